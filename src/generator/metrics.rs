//! What the generator counts.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

/// The generator's families; clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) jobs: Family<Ended, Counter>,
    pub(crate) declined: Family<Because, Counter>,
    pub(crate) in_flight: Gauge,
    pub(crate) queued: Gauge,
    pub(crate) draw: Histogram,
}

/// How a job ended, for now.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Ended {
    /// The job's state.
    pub(crate) state: &'static str,
    /// Why, where it failed; else empty.
    pub(crate) reason: &'static str,
}

/// Why a request was left to the monolith.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Because {
    /// The reason.
    pub(crate) reason: &'static str,
}

/// Why the generator did not take a request. Nothing was called, claimed or stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// Well-formed, but no option of ours: a size, a number, a parameter.
    BeyondTables,
    /// As many jobs draw and wait as may.
    QueueFull,
    /// Disk or catalog failed before the job was claimed.
    BeforeClaim,
}

impl Why {
    /// As logs and metrics write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::BeyondTables => "beyond-tables",
            Self::QueueFull => "queue-full",
            Self::BeforeClaim => "before-claim",
        }
    }
}

impl Metrics {
    /// Registers the families under `figueira_generator_*`.
    pub fn register(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("figueira_generator");
        let metrics = Self {
            jobs: Family::default(),
            declined: Family::default(),
            in_flight: Gauge::default(),
            queued: Gauge::default(),
            draw: Histogram::new([
                0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
            ]),
        };
        registry.register("jobs", "Jobs that came to rest, by state and reason", metrics.jobs.clone());
        registry.register("declined", "Requests not taken, by reason", metrics.declined.clone());
        registry.register("in_flight", "Jobs that draw or store now", metrics.in_flight.clone());
        registry.register("queued", "Requests that wait for a place", metrics.queued.clone());
        registry.register_with_unit("draw", "Time at the provider", Unit::Seconds, metrics.draw.clone());
        metrics
    }
}

/// Counts one for as long as it lives.
#[derive(Debug)]
pub(crate) struct Present(Gauge);

impl Present {
    /// Adds one to `gauge` until dropped.
    pub(crate) fn on(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.dec();
    }
}
