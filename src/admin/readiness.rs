//! Whether requests should be sent here, and if not, why.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use crate::{shutdown::Shutdown, telemetry::metrics::gauge};

/// What readiness depends on, kept by those who know it.
#[derive(Debug)]
pub struct Readiness {
    shutdown: Shutdown,
    listening: AtomicBool,
    rules: Mutex<Rules>,
    certificates: AtomicBool,
    brakes: Mutex<&'static str>,
    evidence: Arc<AtomicBool>,
}

#[derive(Clone, Debug, Default)]
struct Rules {
    generation: Option<u64>,
    refused: Option<String>,
}

impl Readiness {
    /// Not ready yet; drains with `shutdown`.
    pub fn new(shutdown: Shutdown) -> Self {
        Self {
            shutdown,
            listening: AtomicBool::new(false),
            rules: Mutex::default(),
            certificates: AtomicBool::new(true),
            brakes: Mutex::new("current"),
            evidence: Arc::new(AtomicBool::new(true)),
        }
    }

    /// What is kept of parallel runs stands as `evidence` says.
    #[must_use]
    pub fn with_evidence(self, evidence: Arc<AtomicBool>) -> Self {
        Self { evidence, ..self }
    }

    /// Every listener is open.
    pub fn listening(&self) {
        self.listening.store(true, Ordering::Release);
    }

    /// The rules of this generation are in force, and are those of the file.
    pub fn rules_in_force(&self, generation: u64) {
        *self.rules() = Rules { generation: Some(generation), refused: None };
    }

    /// The file was refused for `reason`; the last good rules stay in force.
    pub fn rules_refused(&self, reason: impl Into<String>) {
        self.rules().refused = Some(reason.into());
    }

    /// Every certificate is in use as it stands.
    pub fn certificates_in_use(&self) {
        self.certificates.store(true, Ordering::Release);
    }

    /// One is refused as it stands; the last good one stays in use.
    pub fn certificates_refused(&self) {
        self.certificates.store(false, Ordering::Release);
    }

    /// How well the brakes are known, in a word.
    pub fn brakes_are(&self, known: &'static str) {
        *self.brakes.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// How things stand now.
    pub fn check(&self) -> Ready {
        let Rules { generation, refused } = self.rules().clone();
        Ready {
            generation,
            refused,
            certificates: if self.certificates.load(Ordering::Acquire) { "current" } else { "last-good" },
            brakes: *self.brakes.lock().unwrap_or_else(PoisonError::into_inner),
            evidence: if self.evidence.load(Ordering::Acquire) { "current" } else { "not-kept" },
            listening: self.listening.load(Ordering::Acquire),
            draining: self.shutdown.is_draining(),
        }
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Readiness {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let ready = u64::from(self.check().is_ready());
        gauge(&mut encoder, "figueira_ready", "1 where requests should be sent here", None, ready)?;
        let evidence = u64::from(self.evidence.load(Ordering::Acquire));
        let help = "0 while the evidence of parallel runs cannot be kept";
        gauge(&mut encoder, "figueira_evidence_good", help, None, evidence)
    }
}

/// How things stood at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The generation of rules in force, once any are.
    pub generation: Option<u64>,
    /// Why the file as it is now was refused; the last good rules serve.
    pub refused: Option<String>,
    /// `current`, or `last-good` where a certificate as it stands was refused.
    pub certificates: &'static str,
    /// `current`; `last-known` where they cannot be read now, `unknown` where they never could be since the start.
    pub brakes: &'static str,
    /// `current`, or `not-kept` while what pairs show cannot be written: their requests are served all the same.
    pub evidence: &'static str,
    /// Whether every listener is open.
    pub listening: bool,
    /// Whether shutdown has begun.
    pub draining: bool,
}

impl Ready {
    /// Whether requests should be sent here. Last good rules are good rules.
    pub fn is_ready(&self) -> bool {
        self.reasons().next().is_none()
    }

    /// What stands against it.
    pub fn reasons(&self) -> impl Iterator<Item = &'static str> {
        let reasons = [
            (self.generation.is_none(), "no rules are loaded"),
            (!self.listening, "the listeners are not open"),
            (self.draining, "draining"),
        ];
        reasons.into_iter().filter_map(|(stands, reason)| stands.then_some(reason))
    }

    /// For probes, which need no token: so what the file says wrong is not told here.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "ready": self.is_ready(),
            "reasons": self.reasons().collect::<Vec<_>>(),
            "generation": self.generation,
            "certificates": self.certificates,
            "brakes": self.brakes,
            "evidence": self.evidence,
            "rules": if self.refused.is_some() { "last-good" } else { "current" },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_between_its_start_and_its_end() {
        let shutdown = Shutdown::default();
        let readiness = Readiness::new(shutdown.clone());
        let reasons = |readiness: &Readiness| readiness.check().reasons().collect::<Vec<_>>();
        assert_eq!(reasons(&readiness), ["no rules are loaded", "the listeners are not open"]);
        readiness.rules_in_force(1);
        readiness.listening();
        assert!(readiness.check().is_ready());
        shutdown.begin();
        assert_eq!(reasons(&readiness), ["draining"]);
    }

    #[test]
    fn last_good_rules_are_ready_and_say_so() {
        let readiness = Readiness::new(Shutdown::default());
        readiness.listening();
        readiness.rules_in_force(3);
        readiness.rules_refused("routes.toml:7:1: a secret detail");
        let ready = readiness.check();
        assert_eq!(
            ready.to_json(),
            serde_json::json!({
                "ready": true, "reasons": [], "generation": 3, "certificates": "current", "brakes": "current",
                "evidence": "current", "rules": "last-good"
            })
        );
        readiness.brakes_are("last-known");
        assert_eq!((readiness.check().brakes, readiness.check().is_ready()), ("last-known", true));
        readiness.rules_in_force(4);
        assert_eq!(readiness.check().refused, None);
    }
}
