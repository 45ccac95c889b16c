//! Active checks: a request of our own to each address, now and then, on a connection of its own.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Request, StatusCode, Uri,
    header::{CONNECTION, HOST, USER_AGENT},
};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rand::{RngExt as _, SeedableRng, rngs::SmallRng};
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use super::{address::Address, addresses::Addresses};

/// A check may always take this long, however often there is one.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);
/// The time between two checks differs by this share, so that many gateways do not ask at once.
const JITTER: f64 = 0.1;
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("figueira/", env!("CARGO_PKG_VERSION"), " (health check)"));

/// `health`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What is asked for; a 2xx or 3xx is good.
    pub path: Uri,
    /// Between the beginnings of two checks; an answer that takes longer (and longer than a second) is none.
    pub every: Duration,
    /// Failed checks in a row after which an address is down.
    pub fall: u32,
    /// Passed checks in a row after which it is up again.
    pub rise: u32,
}

/// Checks every one of `addresses`, for ever.
pub(super) async fn check(addresses: Arc<Addresses>, settings: Settings, seed: u64) {
    let mut jitter = SmallRng::seed_from_u64(seed);
    let host = host(addresses.name());
    let patience = settings.every.max(LEAST_PATIENCE);
    loop {
        let began = Instant::now();
        let mut round = JoinSet::new();
        for address in &*addresses.all() {
            let (addresses, address) = (addresses.clone(), address.clone());
            let (path, host) = (settings.path.clone(), host.clone());
            round.spawn(async move {
                let outcome = match timeout(patience, ask(&address, path, host)).await {
                    Ok(outcome) => outcome,
                    Err(_) => Err(format!("no answer within {patience:?}")),
                };
                addresses.tally().checked(&outcome);
                address.checked(outcome);
            });
        }
        round.join_all().await;
        let pause = settings.every.mul_f64(1.0 + jitter.random_range(-JITTER..=JITTER));
        sleep_until(began + pause).await;
    }
}

async fn ask(address: &Address, path: Uri, host: HeaderValue) -> Result<(), String> {
    let stream =
        TcpStream::connect(address.at()).await.map_err(|error| format!("cannot connect: {error}"))?;
    let status = status(stream, path, host).await.map_err(|error| format!("no usable answer: {error}"))?;
    if status.is_success() || status.is_redirection() { Ok(()) } else { Err(format!("it answered {status}")) }
}

/// What it answers; the connection is used for nothing else.
async fn status(stream: TcpStream, path: Uri, host: HeaderValue) -> Result<StatusCode, hyper::Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = path;
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers.insert(USER_AGENT, AGENT);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    let answer = sender.send_request(request);
    tokio::select! {
        biased;
        answer = answer => answer.map(|answer| answer.status()),
        // It ends only with an answer or an error, and both are the exchange's too.
        Err(error) = connection => Err(error),
    }
}

/// `Host` as the URL has it.
fn host((host, port): (&str, u16)) -> HeaderValue {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let authority = if port == 80 { host } else { format!("{host}:{port}") };
    HeaderValue::try_from(authority).unwrap_or(HeaderValue::from_static("localhost"))
}
