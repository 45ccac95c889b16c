//! What the evidence of one route and epoch proves: pure functions of counts and times, with time as an argument.
//!
//! ```text
//! Observation, one a sampled request -> Tally -> gates -> State
//! ```
//!
//! A trial is a sampled pair whose control was ok, at most `per_subject` of one subject; `x` of `n` failed. The
//! arithmetic is in [`martingale`], the same machine on times in [`latency`]; [`gate`] says in words what still stands
//! between a route and SAFE.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

pub mod martingale;
pub mod latency;
mod cost;
mod counts;
pub(crate) mod figures;
pub mod past;
mod proof;
mod reason;
mod seen;
pub mod tally;
pub mod gate;

pub use cost::Cost;
pub use counts::{Counts, Observation};
pub use gate::{Gate, GateState};
pub use past::{Past, Proved};
pub use proof::{Proof, Stratum};
pub use reason::{About, Reason};
pub use tally::{Mark, Subjects, Tally};

/// Without a pair for this long, evidence no longer speaks for today's traffic.
pub const STALE_AFTER: SignedDuration = SignedDuration::from_hours(14 * 24);
/// A stratum with a smaller share of the traffic asks for nothing by itself.
pub const MIN_STRATUM_SHARE: f64 = 0.01;

/// The word that an operator acts on. Ordered worst first: the first that applies is the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// An alarm that nobody has acknowledged.
    Blocked,
    /// Proved worse than the gate allows; latches for its epoch.
    Unsafe,
    /// No pair for [`STALE_AFTER`].
    Stale,
    /// `max_pairs`, or the budget, used up before SAFE.
    Inconclusive,
    /// The control's noise is being learned; no trial yet.
    Calibrating,
    /// Too few trials, or a gate that does not hold yet.
    Collecting,
    /// Proved as good as the gate asks. Does not latch.
    Safe,
    /// Never sampled.
    None,
}

impl State {
    /// As it is written in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "BLOCKED",
            Self::Unsafe => "UNSAFE",
            Self::Stale => "STALE",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Calibrating => "CALIBRATING",
            Self::Collecting => "COLLECTING",
            Self::Safe => "SAFE",
            Self::None => "NONE",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a [`Tally`] proves at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The word.
    pub state: State,
    /// Since when it has been that word.
    pub since: Option<Timestamp>,
    /// Why it is UNSAFE or BLOCKED.
    pub reasons: Vec<String>,
    /// What stands between it and SAFE.
    pub missing: Vec<String>,
    /// Every condition of SAFE.
    pub gates: Vec<Gate>,
    /// 1 - confidence.
    pub alpha: f64,
    /// log10 of E+.
    pub log10_safe: f64,
    /// log10 of E-.
    pub log10_unsafe: f64,
    /// Smallest p0 that would already be SAFE.
    pub upper_bound: f64,
    /// The failure rate if every pair that was not compared had failed.
    pub worst_case: f64,
    /// Each stratum with its own bound, by key.
    pub strata: Vec<StratumBound>,
}

/// One stratum as it is reported.
#[derive(Clone, Debug, PartialEq)]
pub struct StratumBound {
    /// `1024x1024/1/local`.
    pub key: String,
    /// Its share of the trials.
    pub share: f64,
    /// Its trials.
    pub trials: u64,
    /// How many of them failed.
    pub failures: u64,
    /// Its own upper bound.
    pub upper_bound: f64,
}

#[cfg(test)]
mod tests;
