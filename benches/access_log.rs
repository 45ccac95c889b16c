//! What one access line costs the worker that says it: the brief is below 2 us.

use std::{io, net::Ipv4Addr};

use figueira::telemetry::log::{Access, Format, Settings, subscriber};
use http::Version;

fn main() {
    divan::main();
}

fn access_line() {
    tracing::info!(
        target: "figueira::access",
        request_id = "0192f0c1-2b3c-7d4e-8f50-112233445566",
        client = %Ipv4Addr::LOCALHOST,
        method = "POST",
        host = "shop.example",
        target = "/api/images?size=large",
        version = ?Version::HTTP_11,
        status = 200_u16,
        bytes = 65_536_u64,
        duration_ms = 12.345,
        upstream_ms = 12.001,
        answered_by = "control",
        route = "generate-image",
        mode = "canary",
        generation = 42_u64,
        "request"
    );
}

#[divan::bench(args = [Format::Json, Format::Text], threads = [1, 2], sample_count = 500, sample_size = 100)]
fn line(bencher: divan::Bencher<'_, '_>, format: Format) {
    let settings = Settings { level: "info".into(), format, access: Access::All };
    let Ok((subscriber, _guard)) = subscriber(&settings, io::sink()) else { return };
    let dispatch = tracing::Dispatch::new(subscriber);
    bencher.bench(|| tracing::dispatcher::with_default(&dispatch, access_line));
}
