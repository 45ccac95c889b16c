//! What the generator counts.

use std::sync::atomic::AtomicU64;

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
    pub(crate) landed: Counter,
    pub(crate) draw: Histogram,
    /// What today's jobs have reserved or cost, in dollars; only where there is a budget.
    pub(crate) spent: Gauge<f64, AtomicU64>,
    pub(crate) provider_calls: Family<Because, Counter>,
    pub(crate) provider_retries: Counter,
    notices: Family<Because, Counter>,
    pub(crate) reconciliations: Family<Because, Counter>,
    pub(crate) crashes: Family<Because, Counter>,
    pub(crate) provider_tokens: Family<Tokens, Counter>,
    pub(crate) provider_cost: Counter<f64, AtomicU64>,
    pub(crate) rate_limit: Family<RateOf, Gauge<f64, AtomicU64>>,
    pub(crate) rate_remaining: Family<RateOf, Gauge<f64, AtomicU64>>,
    pub(crate) rate_reset: Family<RateOf, Gauge<f64, AtomicU64>>,
}

/// What a provider counts of a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Tokens {
    /// `input` or `output`.
    pub(crate) kind: &'static str,
}

/// What a provider limits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RateOf {
    /// `requests`, `tokens` and the like.
    pub(crate) of: &'static str,
}

/// How a job ended, for now.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Ended {
    /// The job's state.
    pub(crate) state: &'static str,
    /// Why, where it failed; else empty.
    pub(crate) reason: &'static str,
}

/// Why something happened.
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
    /// As many of its tenant's do as may.
    TenantFull,
    /// Disk or catalog failed before the job was claimed.
    BeforeClaim,
    /// The day's budget is used up.
    Budget,
    /// There is a budget, and no price.
    Unpriced,
    /// The provider did not draw, and was not paid.
    HandedOver,
    /// The request's key is the monolith's: it answered before.
    KeyOfControl,
}

impl Why {
    /// Whether another may answer: one tenant's crowd is not to be the monolith's either.
    pub fn is_for_others(self) -> bool {
        self != Self::TenantFull
    }

    /// As logs and metrics write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::BeyondTables => "beyond-tables",
            Self::QueueFull => "queue-full",
            Self::TenantFull => "tenant-full",
            Self::BeforeClaim => "before-claim",
            Self::Budget => "budget",
            Self::Unpriced => "unpriced",
            Self::HandedOver => "handed-over",
            Self::KeyOfControl => "key-of-control",
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
            landed: Counter::default(),
            spent: Gauge::default(),
            draw: Histogram::new([
                0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
            ]),
            provider_calls: Family::default(),
            provider_retries: Counter::default(),
            notices: Family::default(),
            reconciliations: Family::default(),
            crashes: Family::default(),
            provider_tokens: Family::default(),
            provider_cost: Counter::default(),
            rate_limit: Family::default(),
            rate_remaining: Family::default(),
            rate_reset: Family::default(),
        };
        registry.register("jobs", "Jobs that came to rest, by state and reason", metrics.jobs.clone());
        registry.register("declined", "Requests not taken, by reason", metrics.declined.clone());
        registry.register("in_flight", "Jobs that draw or store now", metrics.in_flight.clone());
        registry.register(
            "spent_usd",
            "What today's jobs have reserved or cost, where there is a budget",
            metrics.spent.clone(),
        );
        registry.register("queued", "Requests that wait for a place", metrics.queued.clone());
        let help = "Answers of a provider that waited on the disk for memory";
        registry.register("landed", help, metrics.landed.clone());
        registry.register_with_unit("draw", "Time at the provider", Unit::Seconds, metrics.draw.clone());
        let help = "Tries to tell the monolith of a job, by outcome";
        registry.register("notices", help, metrics.notices.clone());
        let help = "Comparisons of store and catalog, by outcome";
        registry.register("reconciliations", help, metrics.reconciliations.clone());
        let help = "Pieces of work that ended in a panic, by what they were for";
        registry.register("crashes", help, metrics.crashes.clone());
        metrics.register_provider(registry);
        metrics
    }

    /// One try to tell the monolith of a job.
    pub(crate) fn notified(&self, outcome: &'static str) {
        self.notices.get_or_create(&Because { reason: outcome }).inc();
    }

    /// How many of these there were.
    #[cfg(test)]
    pub(crate) fn notices(&self, outcome: &'static str) -> u64 {
        self.notices.get_or_create(&Because { reason: outcome }).get()
    }

    /// A piece of a job's work that ended in a panic; what became of the job is counted too.
    pub(crate) fn crashed(&self, of: &'static str) {
        self.crashes.get_or_create(&Because { reason: of }).inc();
    }

    /// One comparison of store and catalog.
    pub(crate) fn reconciled(&self, outcome: &'static str) {
        self.reconciliations.get_or_create(&Because { reason: outcome }).inc();
    }

    fn register_provider(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("provider");
        registry.register(
            "calls",
            "Generations asked of the paid provider, by outcome",
            self.provider_calls.clone(),
        );
        registry.register(
            "retries",
            "Requests sent to it again, nothing having been charged",
            self.provider_retries.clone(),
        );
        registry.register("tokens", "Tokens that it counted", self.provider_tokens.clone());
        registry.register("cost_usd", "What it cost by the table of prices", self.provider_cost.clone());
        registry.register("rate_limit", "Its limit, as it last said", self.rate_limit.clone());
        registry.register("rate_remaining", "What is left of its limit", self.rate_remaining.clone());
        let reset = "Until its limit is whole again";
        registry.register_with_unit("rate_reset", reset, Unit::Seconds, self.rate_reset.clone());
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
