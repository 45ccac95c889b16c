//! What became of the requests of one mode.

use std::{collections::BTreeMap, time::Duration};

use super::{
    plan::Visit,
    visitor::{Answer, Outcome, Untrue},
};
use crate::routing::{Arm, Mode};

/// Who must answer an order for the mode to be true to its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// This one.
    Only(Arm),
    /// Always the same one for the same visitor.
    OneEach,
    /// Any: the switch is just being thrown.
    Any,
}

impl Due {
    /// What a mode promises once it is in force.
    pub(crate) fn of(mode: Mode) -> Self {
        match mode {
            Mode::Monolith | Mode::Learn | Mode::Shadow => Self::Only(Arm::Control),
            Mode::Canary => Self::OneEach,
            Mode::Migrated => Self::Only(Arm::Candidate),
        }
    }
}

/// The requests of one mode, counted.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Requests made.
    pub(crate) requests: usize,
    /// Orders that the monolith filled.
    pub(crate) by_monolith: usize,
    /// Orders that the generator filled.
    pub(crate) by_generator: usize,
    /// Refusals that were due.
    pub(crate) refused: usize,
    /// The monolith's own errors, passed on.
    pub(crate) breakdowns: usize,
    /// Everything that should not have happened, in words.
    pub(crate) failures: Vec<String>,
    /// Orders that the monolith answered, in whatever way.
    pub(crate) orders_at_monolith: usize,
    order_times: Vec<Duration>,
    hands: BTreeMap<String, Arm>,
}

impl Tally {
    /// Enters one request.
    pub(crate) fn enter(&mut self, visitor: &str, visit: &Visit, due: Due, result: Result<Answer, Untrue>) {
        self.requests += 1;
        let answer = match result {
            Ok(answer) => answer,
            Err(untrue) => return self.fail(visitor, visit, &untrue.to_string()),
        };
        if !visit.is_order() {
            return;
        }
        if answer.by == Arm::Control {
            self.orders_at_monolith += 1;
        }
        match (answer.outcome, answer.by) {
            (Outcome::Served, Arm::Control) => self.by_monolith += 1,
            (Outcome::Served, Arm::Candidate) => self.by_generator += 1,
            (Outcome::Refused, _) => self.refused += 1,
            (Outcome::Breakdown, _) => self.breakdowns += 1,
        }
        if answer.outcome == Outcome::Served {
            self.order_times.push(answer.took);
        }
        match due {
            Due::Only(arm) if answer.by != arm => self.fail(visitor, visit, "answered by the wrong arm"),
            Due::OneEach => {
                let first = *self.hands.entry(visitor.to_owned()).or_insert(answer.by);
                if first != answer.by {
                    self.fail(visitor, visit, "changed arms within one canary");
                }
            }
            Due::Only(_) | Due::Any => {}
        }
    }

    /// The time that `percent` of the filled orders kept to; `None` without one.
    pub(crate) fn order_time(&self, percent: usize) -> Option<Duration> {
        let mut times = self.order_times.clone();
        times.sort_unstable();
        let rank = (times.len() * percent).div_ceil(100).max(1);
        times.get(rank - 1).copied()
    }

    fn fail(&mut self, visitor: &str, visit: &Visit, why: &str) {
        self.failures.push(format!("{visitor}, {visit:?}: {why}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: Visit = Visit::Order { prompt: "a cat", size: 256 };

    fn answered(by: Arm, millis: u64) -> Answer {
        Answer { by, outcome: Outcome::Served, took: Duration::from_millis(millis) }
    }

    #[test]
    fn a_canary_may_not_move_anybody() {
        let mut tally = Tally::default();
        tally.enter("ana", &ORDER, Due::Any, Ok(answered(Arm::Control, 1)));
        tally.enter("ana", &ORDER, Due::of(Mode::Canary), Ok(answered(Arm::Candidate, 1)));
        tally.enter("rui", &ORDER, Due::of(Mode::Canary), Ok(answered(Arm::Control, 1)));
        assert!(tally.failures.is_empty());
        tally.enter("ana", &ORDER, Due::of(Mode::Canary), Ok(answered(Arm::Control, 1)));
        assert_eq!(tally.failures.len(), 1);
        assert_eq!((tally.by_monolith, tally.by_generator), (3, 1));
    }

    #[test]
    fn a_migrated_route_is_answered_by_the_candidate() {
        let mut tally = Tally::default();
        tally.enter("ana", &ORDER, Due::of(Mode::Migrated), Ok(answered(Arm::Control, 1)));
        tally.enter("ana", &Visit::Home, Due::of(Mode::Migrated), Ok(answered(Arm::Control, 1)));
        assert_eq!((tally.requests, tally.failures.len()), (2, 1));
    }

    #[test]
    fn times_are_ranked() {
        let mut tally = Tally::default();
        assert_eq!(tally.order_time(50), None);
        for millis in 1..=20 {
            tally.enter("ana", &ORDER, Due::Any, Ok(answered(Arm::Control, millis)));
        }
        assert_eq!(tally.order_time(50), Some(Duration::from_millis(10)));
        assert_eq!(tally.order_time(95), Some(Duration::from_millis(19)));
        assert_eq!(tally.order_time(100), Some(Duration::from_millis(20)));
    }
}
