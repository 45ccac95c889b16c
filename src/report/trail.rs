//! The pairs of one epoch, counted in the order of their arrival, with marks on the way: what ends late, is acknowledged
//! or goes stands somewhere among them, and then they are counted anew from the last mark before it.

use jiff::Timestamp;
use uuid::Uuid;

use super::collect::observation;
use crate::{
    evidence::read::Pair,
    parallel_run::verdict::{Mark, Tally},
};

/// Pairs between two marks, at most.
const STEP: u64 = 1024;

/// What the pairs of one epoch add up to.
#[derive(Clone, Debug)]
pub(super) struct Trail {
    /// Of what is kept no longer, to begin with.
    empty: Tally,
    /// All of them.
    all: Tally,
    /// Those that were sampled after this time.
    fresh: Option<(Timestamp, Tally)>,
    /// The last of them that has a record of its own.
    last: Option<(Uuid, Timestamp)>,
    /// How many of them do.
    pairs: u64,
    marks: Vec<Milestone>,
}

/// A trail as it was.
#[derive(Clone, Debug)]
struct Milestone {
    last: (Uuid, Timestamp),
    pairs: u64,
    all: Mark,
    fresh: Option<Mark>,
}

impl Trail {
    /// Begins with `empty`, for all pairs, and with nothing for those that were sampled after `since`.
    pub(super) fn new(empty: Tally, since: Option<Timestamp>) -> Self {
        let (all, fresh) = (empty.clone(), since.map(|since| (since, empty.anew())));
        Self { empty, all, fresh, last: None, pairs: 0, marks: Vec::new() }
    }

    /// All pairs.
    pub(super) fn all(&self) -> &Tally {
        &self.all
    }

    /// Those that are fresh; all, where none is told from the others.
    pub(super) fn fresh(&self) -> &Tally {
        self.fresh.as_ref().map_or(&self.all, |(_, fresh)| fresh)
    }

    /// When the last pair was sampled.
    pub(super) fn last_at(&self) -> Option<Timestamp> {
        self.last.map(|(_, at)| at)
    }

    /// Whether it counts such pairs, and tells those that were sampled after `since` from the others.
    pub(super) fn is_of(&self, empty: &Tally, since: Option<Timestamp>) -> bool {
        self.empty.asks_as(empty) && self.fresh.as_ref().map(|(since, _)| *since) == since
    }

    /// Adds one; they come in the order of arrival.
    pub(super) fn add(&mut self, pair: &Pair<'_>) {
        self.count(pair);
        self.last = Some((pair.id, pair.at));
        self.pairs += 1;
        if self.pairs.is_multiple_of(STEP) {
            self.mark();
        }
    }

    /// Counts what has no record of its own, and so no place among the others.
    pub(super) fn count(&mut self, pair: &Pair<'_>) {
        let observation = observation(pair);
        self.all.observe(&observation);
        if let Some((_, fresh)) = self.fresh.as_mut().filter(|(since, _)| pair.at > *since) {
            fresh.observe(&observation);
        }
    }

    /// Sets a mark: what comes is likely to stand after it.
    pub(super) fn mark(&mut self) {
        let Some(last) = self.last else { return };
        if self.marks.last().is_none_or(|mark| mark.pairs < self.pairs) {
            let (all, fresh) = (self.all.mark(), self.fresh.as_mut().map(|(_, fresh)| fresh.mark()));
            self.marks.push(Milestone { last, pairs: self.pairs, all, fresh });
            self.thin();
        }
    }

    /// Keeps few marks, each some twice as far from the end as the next: whatever the depth of a change is, about as many
    /// pairs are counted anew.
    fn thin(&mut self) {
        let far = |mark: &Milestone| self.pairs - mark.pairs;
        let mut kept: Vec<Milestone> = Vec::with_capacity(self.marks.len());
        let mut marks = std::mem::take(&mut self.marks).into_iter().rev().peekable();
        while let Some(mark) = marks.next() {
            let between = kept.last().zip(marks.peek());
            let is_spare = between.is_some_and(|(next, before)| far(before) <= 2 * far(next));
            if !is_spare && self.all.reaches(&mark.all) {
                kept.push(mark);
            }
        }
        kept.reverse();
        self.marks = kept;
    }

    /// Takes back all that stands at or after the pair `first`, and what has no place; says after which pair to go on.
    pub(super) fn back_before(&mut self, first: Uuid) -> Uuid {
        self.marks.retain(|mark| mark.last.0 < first);
        let Some(mark) = self.marks.last() else { return self.start_over() };
        let is_back = self.all.back_to(&mark.all);
        let fresh = self.fresh.as_mut().zip(mark.fresh.as_ref());
        if !is_back || fresh.is_some_and(|((_, fresh), mark)| !fresh.back_to(mark)) {
            return self.start_over();
        }
        (self.last, self.pairs) = (Some(mark.last), mark.pairs);
        mark.last.0
    }

    fn start_over(&mut self) -> Uuid {
        let since = self.fresh.as_ref().map(|(since, _)| *since);
        *self = Self::new(self.empty.clone(), since);
        Uuid::nil()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::parallel_run::{
        comparison::{Class, Skip},
        settings::Gate,
        testing,
        verdict::Subjects,
    };

    const CLASSES: [Class; 6] = [
        Class::Match,
        Class::Match,
        Class::Expected,
        Class::Mismatch,
        Class::Calibration,
        Class::Skipped(Skip::Queue),
    ];

    fn at(n: u128) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + i64::try_from(n).unwrap()).unwrap()
    }

    fn walk(trail: &mut Trail, draws: &[u8], from: usize) {
        for (n, draw) in draws.iter().enumerate().skip(from) {
            let (n, draw) = (n as u128 + 1, usize::from(*draw));
            let subject = format!("{:032x}", draw % 11);
            trail.add(&Pair {
                id: Uuid::from_u128(n),
                stratum: if draw % 3 == 0 { "a" } else { "b" },
                subject: Some(&subject),
                control_cost_usd: 0.1,
                candidate_cost_usd: Some(0.3),
                ..Pair::counted_only(CLASSES[draw % CLASSES.len()], 1, at(n))
            });
        }
    }

    proptest! {
        #[test]
        fn what_was_taken_back_and_counted_anew_is_what_was_counted_once(
            draws in proptest::collection::vec(any::<u8>(), 1..400),
            looks in proptest::collection::vec((0usize..400, 0usize..400), 1..12),
        ) {
            let gate = Gate { per_subject: 3, max_cost_ratio: Some(2.0), ..testing::bare_gate() };
            let empty = Tally::new(&gate, Subjects::Configured);
            let since = Some(at(100));
            let mut trail = Trail::new(empty.clone(), since);
            let mut known = 0;
            for (first, end) in looks {
                // From the first that changed on, up to as many as there are now.
                let (first, end) = (first.min(known), end.min(draws.len()));
                let from = trail.back_before(Uuid::from_u128(first as u128 + 1));
                let from = usize::try_from(from.as_u128()).unwrap();
                prop_assert!(from <= first);
                walk(&mut trail, &draws[..end.max(from)], from);
                trail.mark();
                known = end.max(from);
                let mut anew = Trail::new(empty.clone(), since);
                walk(&mut anew, &draws[..known], 0);
                let now = at(1_000);
                prop_assert_eq!(trail.all().verdict(now), anew.all().verdict(now));
                prop_assert_eq!(trail.fresh().verdict(now), anew.fresh().verdict(now));
                prop_assert_eq!(trail.last, anew.last);
                trail.count(&Pair::counted_only(Class::Mismatch, 7, now));
            }
        }
    }

    #[test]
    fn a_change_costs_about_as_much_as_it_is_deep() {
        let mut trail = Trail::new(Tally::new(&testing::bare_gate(), Subjects::AssumedIndependent), None);
        let draws = vec![1; 30_000];
        let mut known = 0;
        while known < draws.len() {
            let end = (known + 37).min(draws.len());
            walk(&mut trail, &draws[..end], known);
            trail.mark();
            known = end;
        }
        assert!(trail.marks.len() < 30, "{}", trail.marks.len());
        for depth in [1, 100, 1_000, 10_000] {
            let first = draws.len() - depth;
            let from = usize::try_from(trail.clone().back_before(Uuid::from_u128(first as u128)).as_u128());
            let again = draws.len() - from.unwrap();
            assert!(again <= 3 * depth + 100, "{again} for {depth}");
        }
    }

    #[test]
    fn what_is_deeper_than_the_marks_begins_anew() {
        let mut trail = Trail::new(Tally::new(&testing::bare_gate(), Subjects::AssumedIndependent), None);
        let draws = vec![1; 40_000];
        walk(&mut trail, &draws, 0);
        assert_eq!(trail.back_before(Uuid::from_u128(7)), Uuid::nil());
        assert_eq!((trail.pairs, trail.all().counts().sampled, trail.last), (0, 0, None));
    }
}
