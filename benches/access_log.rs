//! What one access line costs the worker that says it: the brief is below 2 us.

use std::{io, time::Duration};

use figueira::telemetry::log::{Access, AccessFormat, Format, Settings, access, subscriber};

fn main() {
    divan::main();
}

fn access_line() {
    access::Request {
        request_id: "0192f0c12b3c7d4e8f50112233445566",
        client: "127.0.0.1",
        method: "POST",
        host: Some("shop.example"),
        target: "/api/images?size=large",
        version: Some("HTTP/1.1"),
        tls: None,
        status: Some(200),
        bytes: 65_536,
        duration: Duration::from_micros(12_345),
        upstream: Some(Duration::from_micros(12_001)),
        answered_by: "control",
        route: Some("generate-image"),
        mode: Some("canary"),
        fallback: None,
        generation: Some(42),
        invocation: None,
        cut: false,
        error: None,
        visitor: None,
    }
    .say();
}

#[divan::bench(args = [Format::Json, Format::Text], threads = [1, 2], sample_count = 500, sample_size = 100)]
fn line(bencher: divan::Bencher<'_, '_>, format: Format) {
    let settings =
        Settings { level: "info".into(), format, access: Access::All, access_format: AccessFormat::Event };
    let Ok((subscriber, _guard)) = subscriber(&settings, io::sink()) else { return };
    let dispatch = tracing::Dispatch::new(subscriber);
    bencher.bench(|| tracing::dispatcher::with_default(&dispatch, access_line));
}
