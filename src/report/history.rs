//! How the evidence grew: some hundred points of it, however many trials there are.

use jiff::Timestamp;

use crate::parallel_run::verdict::{State, Tally};

/// Points that are kept, at most.
const POINTS: usize = 256;

/// Trials, thinned while they come: when it is full, every second point goes, and the steps become twice as long.
#[derive(Clone, Debug)]
pub(super) struct History {
    kept: Vec<Moment>,
    last: Option<Moment>,
    step: u64,
}

/// How things stood after one trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) at: Timestamp,
    pub(super) trials: u64,
    pub(super) failures: u64,
    pub(super) state: State,
}

impl Default for History {
    fn default() -> Self {
        Self { kept: Vec::new(), last: None, step: 1 }
    }
}

impl History {
    /// One more trial, which `tally` has counted.
    pub(super) fn trial(&mut self, at: Timestamp, tally: &Tally) {
        let counts = tally.counts();
        let (trials, failures) = (counts.trials, counts.failures);
        let now = Moment { at, trials, failures, state: tally.state_now() };
        self.last = Some(now);
        if trials % self.step != 0 {
            return;
        }
        self.kept.push(now);
        if self.kept.len() >= POINTS {
            self.step *= 2;
            self.kept.retain(|moment| moment.trials % self.step == 0);
        }
    }

    /// All points, the last trial among them.
    pub(super) fn moments(&self) -> impl Iterator<Item = Moment> {
        let last = self.last.filter(|last| self.kept.last() != Some(last));
        self.kept.iter().copied().chain(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel_run::{
        comparison::Class,
        testing,
        verdict::{Observation, Subjects},
    };

    #[test]
    fn a_long_history_is_thinned_evenly_and_ends_with_the_last_trial() {
        let mut tally = Tally::new(&testing::bare_gate(), Subjects::AssumedIndependent);
        let mut history = History::default();
        let at = |n: i64| Timestamp::from_second(n).unwrap();
        for n in 1..=10_001 {
            let (stratum, subject, control, candidate) = ("-", None, None, None);
            let class = Class::Match;
            let (control_cost, candidate_cost, alarms) = (0.0, None, 0);
            tally.observe(&Observation {
                at: at(n),
                class,
                stratum,
                subject,
                control,
                candidate,
                control_cost,
                candidate_cost,
                alarms,
                times: 1,
            });
            history.trial(at(n), &tally);
        }
        let trials: Vec<u64> = history.moments().map(|moment| moment.trials).collect();
        assert!((POINTS / 2..=POINTS).contains(&trials.len()), "{}", trials.len());
        assert_eq!((trials[0], trials[1], trials.last()), (64, 128, Some(&10_001)));
    }
}
