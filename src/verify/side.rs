//! One side of a verification: where it is, and a connection to it.

use std::{fmt, fs, io, path::Path, str::FromStr, sync::Arc};

use http::Uri;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use rustls_platform_verifier::BuilderVerifierExt;
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// Why a URL names no side.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadUrl {
    /// It is not a URL of HTTP.
    #[error("has to be http://HOST[:PORT] or https://HOST[:PORT]")]
    Scheme,
    /// Who asks stands in the exchanges too.
    #[error("names credentials, which are not sent: say them by --header 'Authorization: ..'")]
    Credentials,
    /// What is asked for stands in the exchanges.
    #[error("has to end after the host and port: targets are those of the exchanges")]
    Path,
}

/// Where requests are sent.
#[derive(Clone, Debug)]
pub struct Side {
    scheme: Scheme,
    host: String,
    port: u16,
    trust: Option<Arc<ClientConfig>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

/// Bytes both ways.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl FromStr for Side {
    type Err = BadUrl;

    fn from_str(url: &str) -> Result<Self, BadUrl> {
        let url: Uri = url.parse().map_err(|_| BadUrl::Scheme)?;
        let (scheme, usual) = match url.scheme_str() {
            Some("http") => (Scheme::Http, 80),
            Some("https") => (Scheme::Https, 443),
            _ => return Err(BadUrl::Scheme),
        };
        let host = url.host().filter(|host| !host.is_empty()).ok_or(BadUrl::Scheme)?;
        if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(BadUrl::Credentials);
        }
        if url.path() != "/" || url.query().is_some() {
            return Err(BadUrl::Path);
        }
        Ok(Self { scheme, host: host.to_owned(), port: url.port_u16().unwrap_or(usual), trust: None })
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme(), self.host, self.port)
    }
}

impl Side {
    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// What `Host` says of it: without the port that its scheme implies.
    pub fn authority(&self) -> String {
        match (self.scheme, self.port) {
            (Scheme::Http, 80) | (Scheme::Https, 443) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }

    /// Whom it is believed by, where it speaks TLS: the certificates in the PEM file at `ca`, or those that this system
    /// trusts.
    pub fn trusting(mut self, ca: Option<&Path>) -> io::Result<Self> {
        if self.scheme == Scheme::Http {
            return Ok(self);
        }
        let config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(io::Error::other)?;
        let config = match ca {
            Some(file) => {
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_slice_iter(&fs::read(file)?) {
                    roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
                }
                config.with_root_certificates(roots).with_no_client_auth()
            }
            None => config.with_platform_verifier().map_err(io::Error::other)?.with_no_client_auth(),
        };
        self.trust = Some(Arc::new(config));
        Ok(self)
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let name = self.host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((name, self.port)).await?;
        stream.set_nodelay(true)?;
        let Some(trust) = &self.trust else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        Ok(Box::new(TlsConnector::from(trust.clone()).connect(name, stream).await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_is_a_scheme_a_host_and_a_port() {
        let side = |url: &str| url.parse::<Side>().map(|side| (side.to_string(), side.authority()));
        let both = |url: &str, authority: &str| Ok((url.to_owned(), authority.to_owned()));
        assert_eq!(side("http://shop.test"), both("http://shop.test:80", "shop.test"));
        assert_eq!(side("https://shop.test:443/"), both("https://shop.test:443", "shop.test"));
        assert_eq!(side("https://[::1]:8443"), both("https://[::1]:8443", "[::1]:8443"));
        assert_eq!(side("shop.test:80"), Err(BadUrl::Scheme));
        assert_eq!(side("ftp://shop.test"), Err(BadUrl::Scheme));
        assert_eq!(side("http://user:secret@shop.test"), Err(BadUrl::Credentials));
        assert_eq!(side("http://shop.test/path"), Err(BadUrl::Path));
        assert_eq!(side("http://shop.test/?q"), Err(BadUrl::Path));
    }
}
