//! Is the candidate cheap enough? What both arms said that their trials cost.

use super::{Observation, latency::FROZEN_AFTER, martingale::real, past::Sum};

/// Trials after which a mean speaks for more than its luck: as many as fix the control's times.
const ENOUGH: u64 = FROZEN_AFTER as u64;

/// Sums of prices are off by so much of themselves, for no other reason than that they are sums.
const ROUNDING: f64 = 1e-9;

/// What the trials of one epoch cost, in US dollars.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    control: f64,
    candidate: f64,
    trials: u64,
    /// Trials of which nobody knows what the candidate cost.
    unknown: u64,
    was_too_much: bool,
}

impl Cost {
    /// Adds trials that are kept no longer: what they cost, as far as that is known.
    pub(super) fn go_on(&mut self, before: &Sum) {
        self.trials += before.times;
        self.control += before.control_cost;
        self.candidate += before.candidate_cost;
        self.unknown += before.unpriced;
    }

    /// Adds one trial, held against `limit`, a multiple of the control's cost.
    pub(super) fn add(&mut self, seen: &Observation<'_>, limit: Option<f64>) {
        self.trials += 1;
        self.control += seen.control_cost;
        match seen.candidate_cost {
            Some(cost) => self.candidate += cost,
            None => self.unknown += 1,
        }
        let beyond = limit.zip(self.ratio()).is_some_and(|(limit, ratio)| exceeds(ratio, limit));
        self.was_too_much |= beyond && self.trials >= ENOUGH;
    }

    /// The candidate's cost as a multiple of the control's; `None` where one of them is not known.
    pub(super) fn ratio(&self) -> Option<f64> {
        match (self.candidate > 0.0, self.control > 0.0) {
            _ if self.unknown > 0 => None,
            (false, _) => (self.trials > 0).then_some(0.0),
            (true, true) => Some(self.candidate / self.control),
            (true, false) => None,
        }
    }

    /// Whether it holds, as far as it is known.
    pub(super) fn is_within(&self, limit: f64) -> bool {
        self.ratio().is_some_and(|ratio| !exceeds(ratio, limit))
    }

    /// Whether it ever was too much, after enough trials: it latches.
    pub(super) fn was_too_much(&self) -> bool {
        self.was_too_much
    }

    /// What one trial of the candidate cost, in the mean, where that is known.
    pub(super) fn of_a_trial(&self) -> Option<f64> {
        (self.unknown == 0).then(|| self.candidate / real(self.trials.max(1)))
    }
}

fn exceeds(ratio: f64, limit: f64) -> bool {
    ratio > limit * (1.0 + ROUNDING)
}
