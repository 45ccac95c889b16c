//! What is counted of TLS.

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::Transport;

/// Counts of handshakes, and the state of the certificates. Clones are the same counts.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    handshakes: Family<[(&'static str, &'static str); 2], Counter>,
    reloads: Family<[(&'static str, &'static str); 1], Counter>,
    good: Gauge,
    not_after: Family<[(&'static str, String); 1], Gauge>,
}

impl Metrics {
    /// Counts that `registry` shows.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "figueira_tls_handshakes",
            "TLS handshakes with clients, by outcome (done or failed) and version",
            metrics.handshakes.clone(),
        );
        registry.register(
            "figueira_tls_certificate_reloads",
            "Certificates whose files changed, by outcome: applied or rejected",
            metrics.reloads.clone(),
        );
        registry.register(
            "figueira_tls_certificates_good",
            "1 while every certificate as it stands is in use, 0 while one is rejected",
            metrics.good.clone(),
        );
        registry.register_with_unit(
            "figueira_tls_certificate_not_after",
            "When a certificate in use ends, since 1970",
            Unit::Seconds,
            metrics.not_after.clone(),
        );
        metrics
    }

    pub(super) fn shaken(&self, transport: Transport) {
        let version = transport.tls().unwrap_or("none");
        self.handshakes.get_or_create(&[("outcome", "done"), ("version", version)]).inc();
    }

    pub(super) fn failed(&self) {
        self.handshakes.get_or_create(&[("outcome", "failed"), ("version", "none")]).inc();
    }

    pub(super) fn applied(&self) {
        self.reloads.get_or_create(&[("outcome", "applied")]).inc();
    }

    pub(super) fn rejected(&self) {
        self.reloads.get_or_create(&[("outcome", "rejected")]).inc();
    }

    pub(super) fn all_in_use(&self) {
        self.good.set(1);
    }

    pub(super) fn last_good(&self) {
        self.good.set(0);
    }

    /// The certificate in use from `file` ends then, in seconds since 1970.
    pub(super) fn ends(&self, file: String, seconds: u64) {
        self.not_after
            .get_or_create(&[("certificate", file)])
            .set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }
}
