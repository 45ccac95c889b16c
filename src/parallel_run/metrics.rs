//! What the parallel run counts of itself.

use std::sync::Arc;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::comparison::{Class, words::Word};

/// `figueira_comparisons_total`, by route and what came of the pair.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    comparisons: Family<Labels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    route: Arc<str>,
    class: &'static str,
}

impl Metrics {
    /// Makes the families known to `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "figueira_comparisons",
            "Sampled requests of a parallel run, by what came of them",
            metrics.comparisons.clone(),
        );
        metrics
    }

    pub(crate) fn count(&self, route: &Arc<str>, class: Class) {
        self.counter(route, class).inc();
    }

    pub(crate) fn counter(&self, route: &Arc<str>, class: Class) -> Counter {
        let labels = Labels { route: Arc::clone(route), class: class.word() };
        self.comparisons.get_or_create_owned(&labels)
    }
}
