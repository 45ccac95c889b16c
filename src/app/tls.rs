//! TLS with clients, from its files to the workers.

use std::{sync::Arc, time::SystemTime};

use anyhow::Context;

use crate::{
    admin::Readiness,
    config::Start,
    listener::{
        Tls,
        tls::{self, Certificates},
    },
    shutdown::Shutdown,
    telemetry::metrics::Metrics,
};

/// What TLS is spoken with.
pub(super) struct Secure {
    certificates: Arc<Certificates>,
    tls: Tls,
}

/// Reads the certificates; `None` where clients are spoken to in plaintext.
pub(super) fn open(start: &Start, metrics: &mut Metrics) -> anyhow::Result<Option<Secure>> {
    if start.certificates.is_empty() {
        return Ok(None);
    }
    let metrics = tls::Metrics::register(metrics.registry());
    let certificates = Certificates::open(start.certificates.clone(), SystemTime::now, metrics.clone())
        .context("cannot speak TLS")?;
    let certificates = Arc::new(certificates);
    let tls = Tls::new(certificates.clone(), metrics).context("cannot speak TLS")?;
    Ok(Some(Secure { certificates, tls }))
}

impl Secure {
    /// Has the certificates followed on the current runtime until `life` drains.
    pub(super) fn follow(self, readiness: &Arc<Readiness>, life: &Shutdown) -> Tls {
        let readiness = readiness.clone();
        let tell = move |errors: Option<String>| match errors {
            None => readiness.certificates_in_use(),
            Some(_) => readiness.certificates_refused(),
        };
        life.spawn(self.certificates.follow(tell, life.clone()));
        self.tls
    }
}
