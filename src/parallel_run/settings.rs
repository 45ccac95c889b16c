//! `[parallel_run]` and a route's `shadow`, `compare` and `gate` as values.

use std::{sync::Arc, time::Duration};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use regex::Regex;

use crate::routing::Share;

/// The parallel run of the whole process; sizes in bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Pairs waiting; above, dropped and counted.
    pub queue: usize,
    /// How late the plane may be on which candidates are called; beyond, pairs are skipped and not timed.
    pub max_lag: Duration,
    /// Where the requests leave little of the processors: what candidates may take, as a share of what the workers take;
    /// `None` sets no limit.
    pub max_share: Option<f64>,
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
    /// The same once the verdict is SAFE, where it is less.
    pub after_verdict: Share,
    /// Candidates in flight.
    pub max_in_flight: usize,
    /// Candidates called in one minute; `None` is without end.
    pub max_per_minute: Option<u32>,
    /// Whether the candidate waits for the control.
    pub start: Start,
    /// Of the candidate.
    pub deadline: Duration,
    /// US dollars of candidates that have a price, from midnight to midnight UTC; `None` is none at all.
    pub budget_usd_per_day: Option<f64>,
    /// Share of the exchanges of calibration for which the control is asked twice.
    pub repeat_control: Share,
    /// Whether what the candidate answers users is compared with the control's.
    pub reverse: Reverse,
    /// Contractual response headers, lower case.
    pub headers: Vec<String>,
    /// JSON pointers to image URLs or names.
    pub images: Vec<String>,
    /// When an image counts as blank.
    pub image: ImageLimits,
    /// Rules over JSON paths, in the file's order.
    pub rules: Vec<Rule>,
    /// Rules whose day is over: they are not applied.
    pub expired: Vec<Rule>,
    /// What is asked of the control's fields that the contract does not know.
    pub beside: Beside,
    /// What SAFE means.
    pub gate: Gate,
    /// The control's name: another one is another epoch.
    pub control: Arc<str>,
    /// Who answers instead of the control.
    pub answers: Answers,
}

impl Plan {
    /// With what the candidate's contract adds to it.
    #[must_use]
    pub fn in_full(mut self) -> Self {
        self.images.append(&mut self.answers.images);
        self.rules.append(&mut self.answers.wordings);
        self
    }
}

/// What the candidate's answers depend on, and what is known of them beside what the route says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers {
    /// Who gives them, as `generator/1/local` or `upstream/new at 10.0.0.2:80`: another one is another epoch.
    pub behaviour: String,
    /// The contract's name and version; empty where there is none.
    pub contract: String,
    /// JSON pointers to the contract's images.
    pub images: Vec<String>,
    /// Rules for what the contract says to people. One of the file for the same path comes first.
    pub wordings: Vec<Rule>,
}

/// When the candidate starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// When the control was ok.
    AfterControl,
    /// With it.
    Together,
}

/// `shadow.reverse`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reverse {
    /// The control is left alone.
    Off,
    /// It is asked what it would have answered.
    On,
}

/// What becomes of a field that the control makes up anew each time, and the candidate does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// It fails the trial.
    Demanded,
    /// It is told: the candidate speaks a contract of ours, which the operator chose and which has no such field.
    Told,
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

impl ImageLimits {
    /// What holds where the file says nothing.
    pub const DEFAULT: Self = Self { min_luma_deviation: 2.0, min_entropy: 1.0, max_dominant: 0.98 };
}

/// `[[route.compare.rule]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// JSON pointer with `*` for any key or index.
    pub path: String,
    /// What it does.
    pub action: Action,
    /// Why.
    pub reason: String,
    /// Whom to ask.
    pub owner: Option<String>,
    /// The last day on which it is applied.
    pub until: Option<Date>,
}

impl Rule {
    /// Whether its last day was over at `now`, as days are in UTC.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until < TimeZone::UTC.to_datetime(now).date())
    }
}

/// What a rule does.
#[derive(Clone, Debug)]
pub enum Action {
    /// The path is not compared.
    Ignore,
    /// It must be there on both sides.
    Presence,
    /// It must have the same type, nullness and class.
    Shape,
    /// It must be equal, or both sides must match.
    Regex(Regex),
    /// Numbers must lie within `abs`, or within `rel` times the control's.
    Tolerance {
        /// Absolute.
        abs: f64,
        /// A fraction of the control's number.
        rel: f64,
    },
    /// Lists must hold the same elements, in any order.
    Set,
    /// Lists of objects are paired by this member.
    ListBy(String),
    /// What differs here and below is known, and does not fail the trial.
    Expected,
}

impl Action {
    /// As `routes.toml` has it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Ignore => "ignore",
            Self::Presence => "presence",
            Self::Shape => "shape",
            Self::Regex(_) => "regex",
            Self::Tolerance { .. } => "tolerance",
            Self::Set => "set",
            Self::ListBy(_) => "list-by",
            Self::Expected => "expected",
        }
    }

    /// What it depends on beside its word, as text.
    pub(crate) fn argument(&self) -> String {
        match self {
            Self::Regex(pattern) => pattern.to_string(),
            Self::Tolerance { abs, rel } => format!("{abs} {rel}"),
            Self::ListBy(key) => key.clone(),
            Self::Ignore | Self::Presence | Self::Shape | Self::Set | Self::Expected => String::new(),
        }
    }
}

impl PartialEq for Action {
    fn eq(&self, other: &Self) -> bool {
        self.word() == other.word() && self.argument() == other.argument()
    }
}

/// `[route.gate]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    /// p0, in (0, 0.5].
    pub max_failure_rate: f64,
    /// 1 - alpha.
    pub confidence: f64,
    /// Control exchanges, but for refusals, from which noise is learned before trials begin; what is under way when they
    /// have ended is no trial either.
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
    /// What the candidate may cost, as a multiple of the control's cost; `None` is off.
    pub max_cost_ratio: Option<f64>,
    /// What an image of the control costs, in US dollars; `None` where nobody knows.
    pub control_usd_per_image: Option<f64>,
    /// INCONCLUSIVE after this many pairs; `None` is never.
    pub max_pairs: Option<u64>,
}

impl Gate {
    /// What failures, times and costs are held against, as text: under other limits another verdict is due.
    pub fn limits(&self) -> String {
        let Self { max_failure_rate, confidence, max_latency_ratio, max_cost_ratio, .. } = self;
        let price = self.control_usd_per_image;
        format!("{max_failure_rate} {confidence} {max_latency_ratio:?} {max_cost_ratio:?} {price:?}")
    }

    /// What holds where the file says nothing.
    pub const DEFAULT: Self = Self {
        max_failure_rate: 0.01,
        confidence: 0.95,
        calibration: 20,
        per_subject: 1,
        min_subjects: 30,
        min_pairs_per_stratum: 30,
        min_days: 0,
        max_skipped: 0.1,
        max_latency_ratio: Some(1.0),
        max_cost_ratio: None,
        control_usd_per_image: None,
        max_pairs: None,
    };
}
