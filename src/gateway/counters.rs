//! What is counted of every request: relaxed counters of one worker each, summed when somebody scrapes.

mod scrape;

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{StatusCode, Version};

pub use self::scrape::Scrape;
use super::coverage::{Seen, Sighting};
use crate::{
    brake::guard::Figures,
    generator::Why,
    routing::Arm,
    telemetry::{histogram::Histogram, latency::Latency},
};

/// Who answered a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answerer {
    /// The monolith, a request that no route took.
    Monolith,
    /// A route's control.
    Control,
    /// A route's candidate.
    Candidate,
    /// The generator's store, an image.
    Images,
    /// Nobody but the gateway: a rejection or a failure.
    Gateway,
}

impl Answerer {
    const ALL: [Self; 5] = [Self::Monolith, Self::Control, Self::Candidate, Self::Images, Self::Gateway];

    /// As metrics and logs say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Monolith => "monolith",
            Self::Control => "control",
            Self::Candidate => "candidate",
            Self::Images => "images",
            Self::Gateway => "gateway",
        }
    }
}

/// Why a request was left to the control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FellBack {
    /// The generator declined it.
    Declined(Why),
    /// Nothing was sent to the candidate: it was not connected.
    Unsent,
    /// The candidate has answered so, and says that it charged nothing.
    Uncharged(StatusCode),
}

impl FellBack {
    /// Whether it hides a failure of the candidate's.
    fn masks(self) -> bool {
        match self {
            Self::Declined(Why::QueueFull | Why::BeforeClaim | Why::HandedOver) | Self::Unsent => true,
            Self::Declined(
                Why::BeyondTables | Why::TenantFull | Why::Budget | Why::Unpriced | Why::KeyOfControl,
            ) => false,
            Self::Uncharged(status) => status.is_server_error(),
        }
    }

    /// As the log says it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Declined(Why::BeyondTables) => "beyond_tables",
            Self::Declined(Why::QueueFull) => "queue_full",
            Self::Declined(Why::TenantFull) => "tenant_full",
            Self::Declined(Why::BeforeClaim) => "before_claim",
            Self::Declined(Why::Budget) => "budget",
            Self::Declined(Why::Unpriced) => "unpriced",
            Self::Declined(Why::HandedOver) => "handed_over",
            Self::Declined(Why::KeyOfControl) => "key_of_control",
            Self::Unsent => "unsent",
            Self::Uncharged(_) => "uncharged",
        }
    }
}

/// Why the gateway answered in an arm's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The request was not let in.
    Rejected,
    /// No connection, or no way to sign what is sent over it.
    Connect,
    /// Too late.
    Timeout,
    /// No address was in service.
    Unavailable,
    /// The upstream broke the exchange.
    Protocol,
    /// The client did.
    Client,
}

impl FailureKind {
    const ALL: [Self; 6] =
        [Self::Rejected, Self::Connect, Self::Timeout, Self::Unavailable, Self::Protocol, Self::Client];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Protocol => "protocol",
            Self::Client => "client",
        }
    }
}

/// `1xx` to `5xx`, and answers that never came.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
const SERVER_ERRORS: usize = 5;

fn class(status: Option<StatusCode>) -> usize {
    status.map_or(0, |status| usize::from(status.as_u16() / 100)).min(CLASSES.len() - 1)
}

/// Protocols that clients speak, as metrics and logs say it.
const PROTOCOLS: [&str; 3] = ["HTTP/1.0", "HTTP/1.1", "HTTP/2.0"];

/// One of them.
pub(super) fn protocol(version: Version) -> &'static str {
    let [http10, http11, http2] = PROTOCOLS;
    match version {
        Version::HTTP_10 => http10,
        Version::HTTP_2 => http2,
        _ => http11,
    }
}

type ByClass = [AtomicU64; CLASSES.len()];

fn add(counters: &ByClass, status: Option<StatusCode>) {
    if let Some(counter) = counters.get(class(status)) {
        counter.fetch_add(1, Relaxed);
    }
}

fn of(counters: &ByClass, class: usize) -> u64 {
    counters.get(class).map_or(0, |counter| counter.load(Relaxed))
}

/// The counters of one worker.
#[derive(Debug, Default)]
pub struct Counters {
    requests: [ByClass; Answerer::ALL.len()],
    failures: [AtomicU64; FailureKind::ALL.len()],
    protocols: [AtomicU64; PROTOCOLS.len()],
    accept_failures: AtomicU64,
    duration: Histogram,
    seen: Seen,
}

impl Counters {
    pub(super) fn answered(&self, answerer: Answerer, status: Option<StatusCode>, total: Duration) {
        if let Some(by_class) = self.requests.get(answerer as usize) {
            add(by_class, status);
        }
        self.duration.observe(total);
    }

    /// What it came by.
    pub(super) fn spoke(&self, version: Version) {
        let [http10, http11, http2] = &self.protocols;
        let counter = match version {
            Version::HTTP_10 => http10,
            Version::HTTP_2 => http2,
            _ => http11,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn failed(&self, kind: FailureKind) {
        if let Some(counter) = self.failures.get(kind as usize) {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// What it was, for the coverage.
    pub(super) fn saw(&self, sighting: &Sighting<'_>) {
        self.seen.saw(sighting);
    }

    pub(super) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// What never became a request.
    pub(super) fn refused(&self) {
        self.failed(FailureKind::Rejected);
    }

    /// Nothing could be accepted.
    pub(super) fn accept_failed(&self) {
        self.accept_failures.fetch_add(1, Relaxed);
    }
}

/// The counters of one route, kept across reloads.
#[derive(Debug, Default)]
pub struct RouteCounters {
    control: ByClass,
    candidate: ByClass,
    fallbacks: AtomicU64,
    subjectless: AtomicU64,
    /// Fallbacks that a failure of the candidate's was the reason of.
    masked: AtomicU64,
    /// Answers of the candidate's that broke off.
    broken: AtomicU64,
    /// Times of both arms, from when the candidate first answers users.
    latency: OnceLock<Box<Latencies>>,
}

/// Times to the first byte, which a slow client cannot lengthen.
#[derive(Debug, Default)]
struct Latencies {
    control: Latency,
    candidate: Latency,
}

impl RouteCounters {
    pub(super) fn answered(&self, arm: Arm, status: Option<StatusCode>) {
        add(self.of_arm(arm), status);
    }

    pub(super) fn fell_back(&self, why: FellBack) {
        self.fallbacks.fetch_add(1, Relaxed);
        self.masked.fetch_add(u64::from(why.masks()), Relaxed);
    }

    pub(super) fn broke(&self) {
        self.broken.fetch_add(1, Relaxed);
    }

    /// How long `arm` took, in a mode in which both may answer.
    pub(super) fn took(&self, arm: Arm, time: Duration) {
        let latency = self.latency.get_or_init(Box::default);
        match arm {
            Arm::Control => latency.control.observe(time),
            Arm::Candidate => latency.candidate.observe(time),
        }
    }

    /// What the route's guard looks at. Who left before the answer came says nothing of it.
    pub fn figures(&self) -> Figures {
        let (masked, fallbacks) = (self.masked.load(Relaxed), self.fallbacks.load(Relaxed));
        let answered: u64 = (1..CLASSES.len()).map(|class| of(&self.candidate, class)).sum();
        let failed = self.errors(Arm::Candidate);
        let times = |arm: fn(&Latencies) -> &Latency| {
            self.latency.get().map(|latency| arm(latency).latencies()).unwrap_or_default()
        };
        Figures {
            asked: answered + fallbacks,
            errors: failed + masked,
            fallbacks,
            candidate: times(|latency| &latency.candidate),
            control: times(|latency| &latency.control),
        }
    }

    /// A canary had nobody to assign.
    pub(super) fn subjectless(&self) {
        self.subjectless.fetch_add(1, Relaxed);
    }

    /// Requests of a canary that belonged to nobody, and so to the control.
    pub fn requests_without_subject(&self) -> u64 {
        self.subjectless.load(Relaxed)
    }

    /// Requests that this arm has answered.
    pub fn requests(&self, arm: Arm) -> u64 {
        self.of_arm(arm).iter().map(|counter| counter.load(Relaxed)).sum()
    }

    /// Those of them that were errors of the server's, or broke off.
    pub fn errors(&self, arm: Arm) -> u64 {
        let broken = if arm == Arm::Candidate { self.broken.load(Relaxed) } else { 0 };
        of(self.of_arm(arm), SERVER_ERRORS) + broken
    }

    /// Requests that the candidate left to the control.
    pub fn fallbacks(&self) -> u64 {
        self.fallbacks.load(Relaxed)
    }

    fn of_arm(&self, arm: Arm) -> &ByClass {
        match arm {
            Arm::Control => &self.control,
            Arm::Candidate => &self.candidate,
        }
    }
}
