//! A request that somebody asks about, as text.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header::HOST};
use thiserror::Error;

use crate::routing::Head;

/// A request's head that nobody sent.
#[derive(Clone, Debug)]
pub struct Ask {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    client: IpAddr,
}

/// Why a text is no request.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AskError {
    /// Not a method.
    #[error("\"{0}\" is no method, such as GET")]
    Method(String),
    /// Not a URL.
    #[error(
        "\"{0}\" is neither a path, such as \"/api/images\", nor a URL, such as \"http://www.example.com/api/images\""
    )]
    Url(String),
    /// Not a header.
    #[error("\"{0}\" is no header, such as \"accept: image/png\"")]
    Header(String),
}

impl Ask {
    /// Reads a method, a path or URL, and lines of headers. It comes from this machine.
    pub fn new<'l>(
        method: &str,
        url: &str,
        headers: impl IntoIterator<Item = &'l str>,
    ) -> Result<Self, AskError> {
        let uri: Uri = url.parse().map_err(|_| AskError::Url(url.to_owned()))?;
        if !uri.path().starts_with('/') {
            return Err(AskError::Url(url.to_owned()));
        }
        let mut ask = Self {
            method: method.parse().map_err(|_| AskError::Method(method.to_owned()))?,
            uri,
            headers: HeaderMap::new(),
            client: Ipv4Addr::LOCALHOST.into(),
        };
        for line in headers {
            let (name, value) = header(line).ok_or_else(|| AskError::Header(line.to_owned()))?;
            ask.headers.append(name, value);
        }
        Ok(ask)
    }

    /// The same, from another client.
    #[must_use]
    pub fn from(self, client: IpAddr) -> Self {
        Self { client, ..self }
    }

    /// As routing sees it. A URL's host replaces `Host` (RFC 9112, 3.2.2).
    pub fn head(&self) -> Head<'_> {
        let host = || self.headers.get(HOST).and_then(|host| host.to_str().ok());
        Head {
            method: &self.method,
            host: self.uri.authority().map(http::uri::Authority::as_str).or_else(host).unwrap_or_default(),
            path: self.uri.path(),
            query: self.uri.query(),
            headers: &self.headers,
            client: self.client,
        }
    }
}

fn header(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
    Some((name.trim().parse().ok()?, value.trim().parse().ok()?))
}
