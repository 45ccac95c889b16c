//! Downloads an image from where a provider's answer says it is, and from nowhere else: the hosts that the operator
//! named, over TLS, at addresses of the public internet. The address that was checked is the one connected to.

mod address;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use reqwest::{
    Client, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect,
};
use thiserror::Error;

use self::address::is_public;
use super::settings::FetchHost;
use crate::tell::because;

const CONNECT: Duration = Duration::from_secs(10);
/// Between two pieces.
const SILENCE: Duration = Duration::from_secs(30);
/// The image is paid for: a connection that breaks is tried again.
const TRIES: u32 = 3;

/// Downloads images from the hosts that it knows.
#[derive(Debug)]
pub(crate) struct Fetcher {
    hosts: Vec<FetchHost>,
    largest: usize,
    clients: OnceLock<Client>,
}

/// Why an image was not downloaded. Never with its address: it may carry a signature.
#[derive(Debug, Error)]
pub(crate) enum FetchError {
    /// It is no address of an image.
    #[error("it is at no usable URL: {0}")]
    Url(&'static str),
    /// Nobody said that images may come from there.
    #[error("{0} is not in fetch_hosts")]
    Host(String),
    /// It is not an address of the public internet.
    #[error("{0} is a private address")]
    Private(String),
    /// The host does not answer, or breaks off.
    #[error("it cannot be downloaded: {0}")]
    Transport(String),
    /// The host answers something else.
    #[error("its download was answered with {0}")]
    Status(http::StatusCode),
    /// It was encoded once more.
    #[error("it has a content encoding that was not asked for")]
    Encoded,
    /// It is larger than it may be.
    #[error("it has more than {0} bytes")]
    TooLarge(usize),
}

impl Fetcher {
    /// One that knows `hosts`, for images of at most `largest` bytes.
    pub(crate) fn new(hosts: Vec<FetchHost>, largest: usize) -> Self {
        Self { hosts, largest, clients: OnceLock::new() }
    }

    /// Downloads what is at `url`.
    pub(crate) async fn fetch(&self, url: &str) -> Result<Bytes, FetchError> {
        let url = self.admit(url)?;
        let mut tries = 1;
        loop {
            match self.get(url.clone()).await {
                Err(FetchError::Transport(_)) if tries < TRIES => tries += 1,
                fetched => return fetched,
            }
        }
    }

    /// Whether an address may be asked at all. What it resolves to is judged when it is connected to.
    fn admit(&self, url: &str) -> Result<Url, FetchError> {
        let url = Url::parse(url).map_err(|_| FetchError::Url("it is none"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(FetchError::Url("it names a user"));
        }
        let host =
            url.host_str().ok_or(FetchError::Url("it names no host"))?.trim_end_matches('.').to_owned();
        let port = url.port_or_known_default().ok_or(FetchError::Url("it names no port"))?;
        let known = self.hosts.iter().find(|known| known.is(&host, port));
        let known = known.ok_or_else(|| FetchError::Host(format!("{host}:{port}")))?;
        if let FetchHost::Loopback { .. } = known {
            return Ok(url);
        }
        if url.scheme() != "https" {
            return Err(FetchError::Url("it is not https"));
        }
        // Of a literal address nobody asks the resolver.
        let literal: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        match literal.filter(|address| !is_public(*address)) {
            Some(address) => Err(FetchError::Private(address.to_string())),
            None => Ok(url),
        }
    }

    async fn get(&self, url: Url) -> Result<Bytes, FetchError> {
        let transport = |error| FetchError::Transport(because(error));
        let mut response = self.client(&url)?.get(url).send().await.map_err(transport)?;
        if response.status() != http::StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let headers = response.headers();
        if headers
            .get(CONTENT_ENCODING)
            .is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
        {
            return Err(FetchError::Encoded);
        }
        let declared = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if declared.is_some_and(|declared: usize| declared > self.largest) {
            return Err(FetchError::TooLarge(self.largest));
        }
        let mut whole = BytesMut::new();
        while let Some(piece) = response.chunk().await.map_err(transport)? {
            if whole.len() + piece.len() > self.largest {
                return Err(FetchError::TooLarge(self.largest));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    fn client(&self, url: &Url) -> Result<Client, FetchError> {
        let builder = Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .pool_max_idle_per_host(0)
            .retry(reqwest::retry::never())
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .user_agent(concat!("figueira/", env!("CARGO_PKG_VERSION")));
        let failed = |error| FetchError::Transport(because(error));
        if url.scheme() == "http" {
            return builder.tls_certs_only([]).build().map_err(failed);
        }
        if let Some(client) = self.clients.get() {
            return Ok(client.clone());
        }
        let made = builder.dns_resolver(Arc::new(Public)).build().map_err(failed)?;
        Ok(self.clients.get_or_init(|| made).clone())
    }
}

impl FetchHost {
    fn is(&self, host: &str, port: u16) -> bool {
        match self {
            Self::Named { host: known, port: known_port } => {
                known.eq_ignore_ascii_case(host) && *known_port == port
            }
            Self::Loopback { port: known } => host == Ipv4Addr::LOCALHOST.to_string() && *known == port,
        }
    }
}

impl fmt::Display for FetchHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named { host, port: 443 } => f.write_str(host),
            Self::Named { host, port } => write!(f, "{host}:{port}"),
            Self::Loopback { port } => write!(f, "{}:{port}", Ipv4Addr::LOCALHOST),
        }
    }
}

/// Resolves names, and gives no address of a name of which one is private: what is connected to is what was checked.
#[derive(Debug)]
struct Public;

impl Resolve for Public {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            match found.iter().find(|found| !is_public(found.ip())) {
                Some(private) => Err(FetchError::Private(private.ip().to_string()).into()),
                None => Ok(Box::new(found.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests;
