//! `[parallel_run]` and a route's `shadow`, `compare` and `gate` as values.

use std::time::Duration;

use crate::routing::Share;

/// The parallel run of the whole process; sizes in bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Pairs waiting; above, dropped and counted.
    pub queue: usize,
    /// Pairs compared at once.
    pub workers: usize,
    /// Captured of one body.
    pub max_body: usize,
    /// How long bodies of stored pairs are kept.
    pub keep_samples: Duration,
    /// How long comparisons are kept.
    pub keep_comparisons: Duration,
    /// Header names never stored.
    pub redact: Vec<String>,
}

/// How one route is compared, and what its verdict asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Share of requests that is sampled.
    pub sample: Share,
    /// Candidates in flight.
    pub max_in_flight: usize,
    /// Whether the candidate waits for the control.
    pub start: Start,
    /// Of the candidate.
    pub deadline: Duration,
    /// Contractual response headers, lower case.
    pub headers: Vec<String>,
    /// JSON pointers to image URLs or names.
    pub images: Vec<String>,
    /// When an image counts as blank.
    pub image: ImageLimits,
    /// Rules over JSON paths, in the file's order.
    pub rules: Vec<Rule>,
    /// What SAFE means.
    pub gate: Gate,
}

/// When the candidate starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// When the control was ok.
    AfterControl,
    /// With it.
    Together,
}

/// `compare.image`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImageLimits {
    /// Standard deviation of luma, 0 to 255, below which an image is blank.
    pub min_luma_deviation: f64,
    /// Bits of luma entropy below which an image is blank.
    pub min_entropy: f64,
    /// Share of one colour above which an image is blank.
    pub max_dominant: f64,
}

/// `[[route.compare.rule]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// JSON pointer with `*` for any key or index.
    pub path: String,
    /// What it does.
    pub action: Action,
    /// Why.
    pub reason: String,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The path is not compared.
    Ignore,
    /// It must have the same type, nullness and class.
    Shape,
}

/// `[route.gate]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    /// p0, in (0, 0.5].
    pub max_failure_rate: f64,
    /// 1 - alpha.
    pub confidence: f64,
    /// Control exchanges from which noise is learned before trials begin; what is under way when they have ended is no
    /// trial either.
    pub calibration: u64,
    /// Trials of one subject.
    pub per_subject: u64,
    /// Subjects needed.
    pub min_subjects: u64,
    /// Pairs needed of each stratum.
    pub min_pairs_per_stratum: u64,
    /// Days needed between the first and the last pair.
    pub min_days: u64,
    /// Share of sampled pairs that may be skipped.
    pub max_skipped: f64,
    /// Candidate p95 over control p95; `None` is off.
    pub max_latency_ratio: Option<f64>,
    /// INCONCLUSIVE after this many pairs; `None` is never.
    pub max_pairs: Option<u64>,
}
