//! Which events are heard: `log.level`, replaced whole by a reload.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tracing::{Metadata, Subscriber, callsite, level_filters::LevelFilter, subscriber::Interest};
use tracing_subscriber::{Layer, filter::Targets, layer::Context};

/// Asked once for each place that says something, and then again only after a change: `tracing` remembers the answers.
/// (The reloadable layer of `tracing_subscriber` takes a lock four times an event.)
#[derive(Clone, Debug)]
pub(super) struct Level(Arc<ArcSwap<Targets>>);

impl Level {
    pub(super) fn new(targets: Targets) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(targets)))
    }

    pub(super) fn set(&self, targets: Targets) {
        self.0.store(Arc::new(targets));
        callsite::rebuild_interest_cache();
    }

    fn hears(&self, metadata: &Metadata<'_>) -> bool {
        self.0.load().would_enable(metadata.target(), metadata.level())
    }
}

impl<S: Subscriber> Layer<S> for Level {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.hears(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.hears(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Layer::<S>::max_level_hint(&**self.0.load())
    }
}
