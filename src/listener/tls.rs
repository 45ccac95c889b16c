//! TLS with clients: the handshake, bounded in time, and what it settled.

pub mod certificates;
mod metrics;

use std::{io, sync::Arc, time::Duration};

use rustls::{ProtocolVersion, ServerConfig, crypto::aws_lc_rs};
use thiserror::Error;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsAcceptor;

pub use self::{certificates::Certificates, metrics::Metrics};
use crate::stream::Stream;

/// HTTP/2 and HTTP/1.1 as ALPN names them (RFC 7301; RFC 9113, 3.2), the better one first.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Speaks TLS 1.2 and 1.3 with clients. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    metrics: Metrics,
}

/// How a connection's bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// As they are.
    Plain,
    /// Under TLS 1.2.
    Tls12,
    /// Under TLS 1.3.
    Tls13,
}

impl Transport {
    /// Of URLs: `http` or `https`.
    pub fn scheme(self) -> &'static str {
        if self == Self::Plain { "http" } else { "https" }
    }

    /// The version of TLS, where there is any.
    pub fn tls(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Tls12 => Some("1.2"),
            Self::Tls13 => Some("1.3"),
        }
    }
}

/// What both ends agreed to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agreed {
    Http1,
    Http2,
}

/// Why there is no session.
#[derive(Debug, Error)]
pub(super) enum HandshakeError {
    #[error("no TLS handshake within {0:?}")]
    Late(Duration),
    #[error("TLS handshake failed: {0}")]
    Failed(#[from] io::Error),
    /// It speaks plain HTTP, and can be told so.
    #[error("plain HTTP on a TLS port")]
    Plain(TcpStream),
}

impl Tls {
    /// With the certificates that `certificates` holds from moment to moment.
    pub fn new(certificates: Arc<Certificates>, metrics: Metrics) -> Result<Self, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(certificates);
        config.alpn_protocols = ALPN.iter().map(|name| name.to_vec()).collect();
        // Sessions are kept by those who resume them, sealed, and cost us no memory.
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), metrics })
    }

    /// Shakes hands on a new connection.
    pub(super) async fn handshake(
        &self,
        socket: TcpStream,
        within: Duration,
    ) -> Result<(Stream, Transport, Agreed), HandshakeError> {
        let shaken = timeout(within, self.shake(socket)).await.unwrap_or(Err(HandshakeError::Late(within)));
        match &shaken {
            Ok((_, transport, _)) => self.metrics.shaken(*transport),
            Err(_) => self.metrics.failed(),
        }
        shaken
    }

    async fn shake(&self, socket: TcpStream) -> Result<(Stream, Transport, Agreed), HandshakeError> {
        let mut first = [0];
        // No record of a handshake begins with a letter (RFC 8446, 5.1); every method does.
        if socket.peek(&mut first).await? == 1 && first[0].is_ascii_uppercase() {
            return Err(HandshakeError::Plain(socket));
        }
        let stream = self.acceptor.accept(socket).await?;
        let session = stream.get_ref().1;
        let transport = match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => Transport::Tls13,
            _ => Transport::Tls12,
        };
        let agreed = if session.alpn_protocol() == Some(ALPN[0]) { Agreed::Http2 } else { Agreed::Http1 };
        Ok((Stream::Tls(Box::new(stream.into())), transport, agreed))
    }
}
