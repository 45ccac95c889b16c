//! What is left of the pairs of an epoch that are kept no longer: sums, from which a verdict goes on where it stood. What
//! was proved of a whole epoch would else be forgotten with its beginning, and a bound that holds at every look does not
//! hold for a window that moves.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use super::{Proof, Reason};
use crate::parallel_run::comparison::Class;

/// Times that are told apart differ by this factor.
const STEP: f64 = 1.01;
/// More than the product of a rounded power and a rounded logarithm is off by.
const ROUNDING: f64 = 1e-9;

/// The pairs of an epoch that are kept no longer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Past {
    /// By class and stratum.
    pub sums: Vec<Sum>,
    /// The control's first times, in their order.
    pub control: Vec<Duration>,
    /// How long the candidate took in the trials among them.
    pub candidate: Times,
    /// What proved the epoch UNSAFE, by these pairs or by those that are kept.
    pub proved: Option<Proved>,
}

/// Pairs of one class and stratum.
#[derive(Clone, Debug, PartialEq)]
pub struct Sum {
    /// What came of them.
    pub class: Class,
    /// Size, n and model.
    pub stratum: String,
    /// How many.
    pub times: u64,
    /// When the first was sampled.
    pub first: Timestamp,
    /// When the last was sampled.
    pub last: Timestamp,
    /// What the control cost, in US dollars; 0 where nobody knows.
    pub control_cost: f64,
    /// What the candidate cost, in US dollars, where that is known.
    pub candidate_cost: f64,
    /// Of so many it is not.
    pub unpriced: u64,
}

impl Sum {
    /// How many of them failed; `None` where they are no trials.
    pub fn failed(&self) -> Option<u64> {
        match self.class {
            Class::Match | Class::Expected => Some(0),
            Class::Mismatch | Class::CandidateFailed => Some(self.times),
            Class::Calibration
            | Class::ControlFailed
            | Class::Incomparable
            | Class::DuplicateSubject
            | Class::Skipped(_) => None,
        }
    }
}

/// What proved an epoch UNSAFE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proved {
    /// Since when it is.
    pub at: Timestamp,
    /// What it was held against, as [`Gate::limits`](crate::parallel_run::settings::Gate::limits) has it.
    pub limits: String,
    /// The trials whose failures proved it, where they did: against other limits they are judged anew.
    pub failures: Option<Proof>,
    /// Why; no two about the same.
    pub reasons: Vec<Reason>,
}

/// Times, rounded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times(BTreeMap<Option<u16>, u64>);

/// How a time that lies about at a bound is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// For longer.
    Longer,
    /// For no longer.
    Within,
}

impl Times {
    /// One that took so long; `None` never ended.
    pub fn add(&mut self, time: Option<Duration>) {
        self.put(time.map(bucket), 1);
    }

    /// `times` of one bucket, as [`buckets`](Self::buckets) gives them.
    pub fn put(&mut self, bucket: Option<u16>, times: u64) {
        *self.0.entry(bucket).or_default() += times;
    }

    /// All buckets, each with how many are in it.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<u16>, u64)> {
        self.0.iter().map(|(bucket, times)| (*bucket, *times))
    }

    /// How many there are.
    pub(super) fn len(&self) -> u64 {
        self.0.values().sum()
    }

    /// How many took longer than `bound`, in seconds.
    pub(super) fn over(&self, bound: f64, about: About) -> u64 {
        let micros = bound * 1e6;
        let is_over = |bucket: u16| match about {
            About::Longer => STEP.powi(i32::from(bucket) + 1) * (1.0 + ROUNDING) > micros,
            About::Within => STEP.powi(i32::from(bucket)) * (1.0 - ROUNDING) > micros,
        };
        self.buckets().filter(|(bucket, _)| bucket.is_none_or(is_over)).map(|(_, times)| times).sum()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the logarithm of any time to this base is a small natural number"
)]
fn bucket(time: Duration) -> u16 {
    ((time.as_secs_f64() * 1e6).max(1.0).ln() / STEP.ln()) as u16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_rounded_time_errs_to_the_side_that_is_asked_for(
            micros in proptest::collection::vec(0u64..400_000_000, 0..40),
            bound in 0u64..400_000_000,
        ) {
            let mut times = Times::default();
            times.add(None);
            for time in &micros {
                times.add(Some(Duration::from_micros(*time)));
            }
            let over = micros.iter().filter(|time| **time > bound).count() as u64 + 1;
            let seconds = Duration::from_micros(bound).as_secs_f64();
            prop_assert!(times.over(seconds, About::Longer) >= over);
            prop_assert!(times.over(seconds, About::Within) <= over);
            prop_assert_eq!(times.len(), micros.len() as u64 + 1);
            // By no more than two per cent.
            prop_assert!(times.over(seconds * 1.02 + 2e-6, About::Longer) <= over);
            let mut again = Times::default();
            times.buckets().for_each(|(bucket, n)| again.put(bucket, n));
            prop_assert_eq!(again, times);
        }
    }
}
