//! Certificates with their keys: read, judged, chosen by name, and read again when their files change.

mod watch;

use std::{sync::Arc, time::SystemTime};

use arc_swap::ArcSwap;
use rustls::{
    client::verify_server_name,
    pki_types::ServerName,
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::Metrics;
use crate::certificate::{CertificateError, Digest, Files, Identity, Pair};

/// The clock that certificates are held against.
pub type Clock = fn() -> SystemTime;

/// The certificates of `[gateway.tls]`, each the last good one of its files.
#[derive(Debug)]
pub struct Certificates {
    pairs: Vec<Pair>,
    /// What the files held that were read first.
    began_with: Vec<Digest>,
    in_use: ArcSwap<Vec<Arc<CertifiedKey>>>,
    clock: Clock,
    metrics: Metrics,
}

impl Certificates {
    /// Reads them all; the first is for clients that name no site, or none of these.
    pub fn open(pairs: Vec<Pair>, clock: Clock, metrics: Metrics) -> Result<Self, CertificateError> {
        let (mut in_use, mut began_with) = (Vec::with_capacity(pairs.len()), Vec::with_capacity(pairs.len()));
        for pair in &pairs {
            let files = Files::read(pair);
            began_with.push(files.digest());
            let identity = files.judge(pair, clock())?;
            note_end(&metrics, pair, &identity);
            in_use.push(identity.key);
        }
        metrics.all_in_use();
        Ok(Self { pairs, began_with, in_use: ArcSwap::from_pointee(in_use), clock, metrics })
    }

    /// Puts another certificate in use at `place`.
    fn replace(&self, place: usize, identity: Identity) {
        if let Some(pair) = self.pairs.get(place) {
            note_end(&self.metrics, pair, &identity);
        }
        let mut in_use = Vec::clone(&self.in_use.load());
        if let Some(key) = in_use.get_mut(place) {
            *key = identity.key;
        }
        self.in_use.store(Arc::new(in_use));
    }

    /// Of those for `name` the first that the client can verify, else the first; of none for it, the same of all.
    fn choose(
        &self,
        name: Option<&str>,
        can_verify: impl Fn(&CertifiedKey) -> bool,
    ) -> Option<Arc<CertifiedKey>> {
        let in_use = self.in_use.load();
        let name = name.and_then(|name| ServerName::try_from(name).ok());
        let named = || in_use.iter().filter(|key| name.as_ref().is_some_and(|name| is_for(key, name)));
        let usable = named().find(|key| can_verify(key)).or_else(|| named().next());
        usable.or_else(|| in_use.iter().find(|key| can_verify(key))).or_else(|| in_use.first()).cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        self.choose(hello.server_name(), |key| key.key.choose_scheme(schemes).is_some())
    }
}

fn is_for(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let parsed = key.cert.first().and_then(|leaf| ParsedCertificate::try_from(leaf).ok());
    parsed.is_some_and(|parsed| verify_server_name(&parsed, name).is_ok())
}

fn note_end(metrics: &Metrics, pair: &Pair, identity: &Identity) {
    if let Some(seconds) = identity.not_after {
        metrics.ends(pair.certificate.display().to_string(), seconds);
    }
}

#[cfg(test)]
mod tests;
