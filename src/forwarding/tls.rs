//! TLS with upstreams: whom they are trusted by, who we are to them, and both read again when their files change.

mod trouble;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use rustls::{
    ClientConfig, HandshakeKind, client::Resumption, crypto::aws_lc_rs, pki_types::ServerName,
    sign::SingleCertAndKey,
};
use rustls_platform_verifier::Verifier;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use tokio::{
    net::TcpStream,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};
use tokio_rustls::TlsConnector;

pub(super) use self::trouble::{explained, of_session};
use super::tally::{Handshake, Tally};
use crate::{
    certificate::{self, CertificateError, Digest, Pair},
    stream::Stream,
};

/// HTTP/2 and HTTP/1.1 as ALPN names them (RFC 7301; RFC 9113, 3.2).
const H2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// Names whose sessions are kept; there is one.
const SESSIONS: usize = 8;

/// Between two looks at the files. A content counts once two looks in a row found it: certificate and key are seldom
/// written at one moment.
const LOOK: Duration = Duration::from_millis(500);

/// `tls`, of an upstream whose URL says `https`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// PEM: the only issuers that are trusted; none: those that the platform trusts.
    pub ca: Option<PathBuf>,
    /// Who we are, where it asks.
    pub identity: Option<Pair>,
    /// The name that it has to prove, and that it is asked for (SNI); none: the URL's host.
    pub server_name: Option<ServerName<'static>>,
}

/// Why nothing can be spoken with these settings.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unusable {
    /// The file of issuers.
    #[error(transparent)]
    Ca(CertificateError),
    /// Our certificate, or its key.
    #[error(transparent)]
    Identity(CertificateError),
    /// The platform's roots, or the library.
    #[error("TLS cannot be spoken: {0}")]
    Platform(String),
}

/// Reads the files that `settings` name and judges them, to tell an operator before it matters.
pub fn judge(settings: &Settings, now: SystemTime) -> Result<(), Unusable> {
    Files::read(settings).configure(settings, now).map(drop)
}

/// What is offered by ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// HTTP/2, and HTTP/1.1 beside it.
    Either,
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2 alone.
    Http2,
}

/// What is spoken, by ALPN; HTTP/1.1 where nothing is said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agreed {
    Http1,
    Http2,
}

/// One configuration an offer; sessions are resumed within each.
struct Configs {
    either: TlsConnector,
    http1: TlsConnector,
    http2: TlsConnector,
}

/// Speaks TLS with one upstream, by what its files last said that was of use.
pub(super) struct Secure {
    settings: Settings,
    name: ServerName<'static>,
    began_with: Digest,
    in_use: ArcSwap<Result<Configs, Unusable>>,
    /// The upstream's, for the log.
    upstream: Arc<str>,
}

impl std::fmt::Debug for Secure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secure").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Secure {
    /// Reads the files, whatever they hold: what is wrong with them fails requests, until they are mended.
    pub(super) fn new(settings: Settings, host: &str, upstream: Arc<str>) -> Self {
        let files = Files::read(&settings);
        let began_with = files.digest();
        let in_use = files.configure(&settings, SystemTime::now());
        if let Err(error) = &in_use {
            tracing::error!(upstream = &*upstream, %error, "an upstream's TLS files cannot be used: requests fail");
        }
        // A host that is no name was refused when it was read.
        let own = || ServerName::try_from(host.to_owned()).unwrap_or(std::net::Ipv4Addr::UNSPECIFIED.into());
        let name = settings.server_name.clone().unwrap_or_else(own);
        Self { settings, name, began_with, in_use: ArcSwap::from_pointee(in_use), upstream }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether there are any files to look at.
    pub(super) fn names_files(&self) -> bool {
        self.settings.ca.is_some() || self.settings.identity.is_some()
    }

    /// Shakes hands, and says what was agreed on.
    pub(super) async fn shake(
        &self,
        socket: TcpStream,
        offer: Offer,
        tally: &Tally,
    ) -> Result<(Stream, Agreed), String> {
        let connector = match &**self.in_use.load() {
            Ok(configs) => configs.of(offer).clone(),
            Err(error) => return Err(error.to_string()),
        };
        let shaken = connector.connect(self.name.clone(), socket).await;
        let stream = shaken.map_err(|error| explained(&error, &self.name))?;
        let session = stream.get_ref().1;
        tally.shaken(match session.handshake_kind() {
            Some(HandshakeKind::Resumed) => Handshake::Resumed,
            _ => Handshake::Full,
        });
        let agreed = if session.alpn_protocol() == Some(H2) { Agreed::Http2 } else { Agreed::Http1 };
        Ok((Stream::Tls(Box::new(stream.into())), agreed))
    }

    /// Follows the files, for ever.
    pub(super) async fn follow(self: Arc<Self>) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut judged, mut last) = (self.began_with, self.began_with);
        loop {
            looks.tick().await;
            let settings = self.settings.clone();
            let Ok(files) = spawn_blocking(move || Files::read(&settings)).await else { continue };
            let now = files.digest();
            let settled = std::mem::replace(&mut last, now) == now;
            if settled && now != judged {
                judged = now;
                self.take(files.configure(&self.settings, SystemTime::now()));
            }
        }
    }

    fn take(&self, configs: Result<Configs, Unusable>) {
        let upstream = &*self.upstream;
        match &configs {
            Ok(_) => tracing::info!(upstream, "an upstream's TLS files changed and are in use"),
            Err(error) => {
                tracing::error!(upstream, %error, "an upstream's TLS files cannot be used: the last good ones are");
                if self.in_use.load().is_ok() {
                    return;
                }
            }
        }
        self.in_use.store(Arc::new(configs));
    }
}

impl Configs {
    fn of(&self, offer: Offer) -> &TlsConnector {
        match offer {
            Offer::Either => &self.either,
            Offer::Http1 => &self.http1,
            Offer::Http2 => &self.http2,
        }
    }
}

/// What the files held at one moment.
struct Files {
    ca: Option<Result<Vec<u8>, String>>,
    identity: Option<certificate::Files>,
}

impl Files {
    fn read(settings: &Settings) -> Self {
        let ca = settings.ca.as_ref().map(|path| certificate::read(path).map_err(|error| error.to_string()));
        Self { ca, identity: settings.identity.as_ref().map(certificate::Files::read) }
    }

    /// Tells one moment's content from another's.
    fn digest(&self) -> Digest {
        let mut digest = Sha256::new();
        match &self.ca {
            Some(Ok(content)) => digest.update(Sha256::digest(content)),
            Some(Err(reason)) => digest.update(reason),
            None => {}
        }
        if let Some(identity) = &self.identity {
            digest.update(identity.digest());
        }
        digest.finalize().into()
    }

    fn configure(self, settings: &Settings, now: SystemTime) -> Result<Configs, Unusable> {
        let platform = |error: rustls::Error| Unusable::Platform(error.to_string());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(platform)?;
        let builder = match (&settings.ca, self.ca) {
            (Some(path), Some(content)) => {
                builder.with_root_certificates(certificate::issuers(path, content).map_err(Unusable::Ca)?)
            }
            _ => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Verifier::new(provider).map_err(platform)?)),
        };
        let config = match (&settings.identity, self.identity) {
            (Some(pair), Some(files)) => {
                let identity = files.judge(pair, now).map_err(Unusable::Identity)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.key)))
            }
            _ => builder.with_no_client_auth(),
        };
        let offering = |protocols: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            config.resumption = Resumption::in_memory_sessions(SESSIONS);
            TlsConnector::from(Arc::new(config))
        };
        Ok(Configs { either: offering(&[H2, HTTP1]), http1: offering(&[HTTP1]), http2: offering(&[H2]) })
    }
}
