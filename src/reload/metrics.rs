//! What the metrics say of reloading.

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Counts of reloads and the state they led to. Clones are the same counts.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    reloads: Family<[(&'static str, &'static str); 1], Counter>,
    generation: Gauge,
    good: Gauge,
}

impl Metrics {
    /// Counts that `registry` shows.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "figueira_config_reloads",
            "Contents of routes.toml that were read anew, by outcome: applied or rejected",
            metrics.reloads.clone(),
        );
        registry.register(
            "figueira_config_generation",
            "Which generation of rules is in force, 1 being the one started with",
            metrics.generation.clone(),
        );
        registry.register(
            "figueira_config_good",
            "1 while routes.toml as it stands is in force, 0 while it is rejected",
            metrics.good.clone(),
        );
        metrics
    }

    pub(super) fn applied(&self) {
        self.reloads.get_or_create(&[("outcome", "applied")]).inc();
    }

    pub(super) fn rejected(&self) {
        self.reloads.get_or_create(&[("outcome", "rejected")]).inc();
        self.last_good();
    }

    /// Other rules are in force than the file's.
    pub(super) fn last_good(&self) {
        self.good.set(0);
    }

    /// This generation is in force, and is what the file says.
    pub fn in_force(&self, generation: u64) {
        self.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
        self.good.set(1);
    }
}
