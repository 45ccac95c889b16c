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
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use super::{
    address::Address,
    addresses::Addresses,
    dial::{self, Greeting, Opened, Refusal, Speak},
    http2,
    tally::Tally,
    tls::Secure,
};
use crate::stream::Stream;

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

/// The largest head of an answer that is read.
const RESPONSE_HEAD: usize = 64 * 1024;

/// How addresses are asked.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    pub(super) tls: Option<Arc<Secure>>,
    pub(super) speak: Speak,
    /// `Host`, as the URL has it.
    pub(super) host: String,
}

/// Checks every one of `addresses`, for ever.
pub(super) async fn check(addresses: Arc<Addresses>, asking: Asking, settings: Settings, seed: u64) {
    let mut jitter = SmallRng::seed_from_u64(seed);
    let patience = settings.every.max(LEAST_PATIENCE);
    loop {
        let began = Instant::now();
        let mut round = JoinSet::new();
        for address in &*addresses.all() {
            let (addresses, address) = (addresses.clone(), address.clone());
            let (path, asking) = (settings.path.clone(), asking.clone());
            round.spawn(async move {
                let asked = asking.ask(&address, path, addresses.tally());
                let outcome = match timeout(patience, asked).await {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(Missed::Unasked)) => return,
                    Ok(Err(Missed::Failed(error))) => Err(error),
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

/// Why a check has not passed.
enum Missed {
    Failed(String),
    /// For want of a socket, which says nothing of the address.
    Unasked,
}

impl Asking {
    async fn ask(&self, address: &Address, path: Uri, tally: &Tally) -> Result<(), Missed> {
        let greeting = Greeting { tls: self.tls.as_ref(), speak: self.speak, response_head: RESPONSE_HEAD };
        let opened = dial::connect(address.at(), greeting, tally).await;
        let opened = opened.map_err(|refusal| match refusal {
            Refusal::Exhausted(_) => Missed::Unasked,
            Refusal::Unreachable(_) | Refusal::Untrusted(_) => {
                Missed::Failed(format!("cannot connect: {refusal}"))
            }
        })?;
        let unusable = |error: &dyn std::error::Error| Missed::Failed(format!("no usable answer: {error}"));
        let status = match opened {
            Opened::Http1(stream) => self.status(stream, path).await.map_err(|error| unusable(&error))?,
            Opened::Http2(handshaken) => {
                let request = self.request(&path).map_err(|error| unusable(&error))?;
                http2::status(*handshaken, request).await.map_err(|error| unusable(&error))?
            }
        };
        if status.is_success() || status.is_redirection() {
            Ok(())
        } else {
            Err(Missed::Failed(format!("it answered {status}")))
        }
    }

    /// What it answers; the connection is used for nothing else.
    async fn status(&self, stream: Stream, path: Uri) -> Result<StatusCode, hyper::Error> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = path;
        let host = HeaderValue::try_from(&self.host).unwrap_or(HeaderValue::from_static("localhost"));
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

    /// The same question in HTTP/2.
    fn request(&self, path: &Uri) -> Result<Request<()>, http::Error> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let uri =
            Uri::builder().scheme(scheme).authority(self.host.as_str()).path_and_query(path.to_string());
        Request::get(uri.build()?).version(http::Version::HTTP_2).header(USER_AGENT, AGENT).body(())
    }
}
