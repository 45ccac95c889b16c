//! Proofs that latch: trials that once proved a candidate worse than its gate allows have done so for their whole epoch,
//! whatever comes after.

use super::{figures::plural, martingale::Mixture};

/// Trials that proved a candidate worse than its gate allows, and how many of them failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The first so many.
    pub trials: u64,
    /// Of these.
    pub failures: u64,
}

impl Proof {
    /// `2 of 9 trials`; or `2 of the first 9 trials`, where there are `trials` by now.
    pub(crate) fn of(self, trials: u64, what: &str) -> String {
        let first = if self.trials < trials { "the first " } else { "" };
        format!("{} of {first}{}", self.failures, plural(self.trials, what))
    }
}

/// The last proof of one body of trials, if there ever was one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Latch(Option<Proof>);

impl Latch {
    /// Judges the trials `so_far`, of which the last failed: a success lowers E-, and proves nothing.
    pub(super) fn judge(&mut self, so_far: Proof, worse: &Mixture, needed: f64) {
        if worse.reaches(so_far.trials, so_far.failures, needed) {
            self.0 = Some(so_far);
        }
    }

    /// Whether there was a proof.
    pub(super) fn is_shut(self) -> bool {
        self.0.is_some()
    }

    /// What proved it: all trials `so_far`, where they still do.
    pub(super) fn proof(self, so_far: Proof, worse: &Mixture, needed: f64) -> Option<Proof> {
        let still = worse.reaches(so_far.trials, so_far.failures, needed);
        self.0.map(|proof| if still { so_far } else { proof })
    }
}

/// One size, n and model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stratum {
    /// Trials: what was never read, or never run, has no stratum.
    pub trials: u64,
    /// Trials that failed.
    pub failures: u64,
    /// What proved it UNSAFE by itself, at its share of alpha as it was then.
    pub(super) latch: Latch,
}

impl Stratum {
    pub(super) fn so_far(&self) -> Proof {
        Proof { trials: self.trials, failures: self.failures }
    }
}
