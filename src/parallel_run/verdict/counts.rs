//! What the verdict needs of one sampled request, and how many of what there were.

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;

use super::martingale::real;
use crate::parallel_run::comparison::{Class, Skip};

/// What the verdict needs of one comparison.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// When it was sampled.
    pub at: Timestamp,
    /// What came of it.
    pub class: Class,
    /// Size, n and model; empty where the comparison was counted only, and nothing but its class is known.
    pub stratum: &'a str,
    /// Keyed hash of its subject; `None` is the shared anonymous one.
    pub subject: Option<&'a str>,
    /// How long the control took.
    pub control: Option<Duration>,
    /// How long the candidate took, where it answered.
    pub candidate: Option<Duration>,
    /// What the control cost, in US dollars; 0 where nobody knows.
    pub control_cost: f64,
    /// What the candidate cost, in US dollars; `None` where nobody knows.
    pub candidate_cost: Option<f64>,
    /// Alarms that nobody has acknowledged.
    pub alarms: usize,
    /// How many of the same came at once: more than one only of what was counted only.
    pub times: u64,
}

impl Observation<'_> {
    /// Whether nothing but its class is known.
    pub(super) fn is_counted_only(&self) -> bool {
        self.stratum.is_empty()
    }
}

/// How many of what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Everything below, but for `failures`, `matched` and `expected`, which are trials.
    pub sampled: u64,
    /// Pairs that count.
    pub trials: u64,
    /// Trials that failed.
    pub failures: u64,
    /// Trials without a difference.
    pub matched: u64,
    /// Trials whose differences a rule expects.
    pub expected: u64,
    /// The control was not ok.
    pub control_failed: u64,
    /// A body was too large, or unreadable.
    pub incomparable: u64,
    /// Pairs of a subject that has had its share.
    pub duplicate_subject: u64,
    /// Control exchanges from which noise was learned.
    pub calibration: u64,
    /// Sampled and never run, by why.
    pub skipped: HashMap<Skip, u64>,
}

impl Counts {
    /// Pairs that should have been compared and were not.
    pub fn not_compared(&self) -> u64 {
        self.incomparable + self.skipped.values().sum::<u64>()
    }

    /// Their share of all that should have been.
    pub fn missing_share(&self) -> f64 {
        let missing = self.not_compared();
        real(missing) / real((missing + self.trials).max(1))
    }

    pub(super) fn add(&mut self, class: Class, times: u64) {
        self.sampled += times;
        let (count, is_trial) = match class {
            Class::Match => (&mut self.matched, true),
            Class::Expected => (&mut self.expected, true),
            Class::Mismatch | Class::CandidateFailed => (&mut self.failures, true),
            Class::ControlFailed => (&mut self.control_failed, false),
            Class::Incomparable => (&mut self.incomparable, false),
            Class::DuplicateSubject => (&mut self.duplicate_subject, false),
            Class::Calibration => (&mut self.calibration, false),
            Class::Skipped(why) => (self.skipped.entry(why).or_default(), false),
        };
        *count += times;
        self.trials += if is_trial { times } else { 0 };
    }
}
