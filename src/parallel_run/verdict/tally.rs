//! Counts what was sampled, one observation at a time, and decides what it proves.

mod after;

use std::{collections::BTreeMap, mem, sync::Arc};

use jiff::Timestamp;

use super::{
    Cost, Counts, MIN_STRATUM_SHARE, Observation, Past, Proof, Reason, STALE_AFTER, State, Stratum,
    StratumBound, Verdict,
    gate::{self, GateState},
    latency::Latency,
    martingale::{self, Mixture, real},
    proof::Latch,
    seen::Seen,
};
use crate::parallel_run::{
    comparison::{Class, Skip},
    settings,
};

/// Whether a route says who its requests belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subjects {
    /// It names a cookie, a header or the address.
    Configured,
    /// It does not: pairs are assumed independent.
    AssumedIndependent,
}

/// The evidence of one route and epoch, counted.
#[derive(Clone, Debug)]
pub struct Tally {
    pub(super) gate: settings::Gate,
    pub(super) subjects: Subjects,
    pub(super) counts: Counts,
    /// The trials of each subject.
    pub(super) seen: Seen,
    pub(super) strata: BTreeMap<String, Stratum>,
    pub(super) latency: Option<Latency>,
    pub(super) cost: Cost,
    pub(super) alarms: usize,
    /// First and last trial.
    pub(super) window: Option<(Timestamp, Timestamp)>,
    /// What proved it UNSAFE by its failures.
    pub(super) latch: Latch,
    /// What is kept no longer, and counted before all else.
    past: Arc<Past>,
    /// When the first request of all was sampled.
    begun_at: Option<Timestamp>,
    /// When the last request of all was sampled.
    seen_at: Option<Timestamp>,
    needed: f64,
    /// The last pair that should have been run was not, because the budget was used up.
    budget_is_used_up: bool,
    better: Mixture,
    worse: Mixture,
    last_compared: Option<Timestamp>,
    standing: Option<(State, Timestamp)>,
}

impl Tally {
    /// Nothing seen yet.
    pub fn new(gate: &settings::Gate, subjects: Subjects) -> Self {
        Self {
            needed: martingale::threshold(alpha(gate), 1),
            gate: gate.clone(),
            subjects,
            counts: Counts::default(),
            seen: Seen::default(),
            strata: BTreeMap::new(),
            latency: gate.max_latency_ratio.map(Latency::new),
            cost: Cost::default(),
            alarms: 0,
            window: None,
            latch: Latch::default(),
            past: Arc::default(),
            begun_at: None,
            seen_at: None,
            budget_is_used_up: false,
            better: Mixture::below(gate.max_failure_rate),
            worse: Mixture::above(gate.max_failure_rate),
            last_compared: None,
            standing: None,
        }
    }

    /// Nothing seen yet, of the same route.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self::new(&self.gate, self.subjects)
    }

    /// Whether `other` would say the same of the same requests.
    pub fn asks_as(&self, other: &Self) -> bool {
        self.gate == other.gate && self.subjects == other.subjects && self.past == other.past
    }

    /// The verdict as it stood after the last request that was added.
    pub fn state_now(&self) -> State {
        self.standing.map_or(State::None, |(state, _)| state)
    }

    /// log10 of E+ and of E- after `trials`, `failures` of which failed.
    pub fn log10_after(&self, trials: u64, failures: u64) -> (f64, f64) {
        (self.better.log10(trials, failures), self.worse.log10(trials, failures))
    }

    /// All but the subjects, to come [`back_to`](Self::back_to).
    pub fn mark(&mut self) -> Mark {
        let seen = mem::take(&mut self.seen);
        let (tally, taken) = (self.clone(), seen.taken());
        self.seen = seen;
        Mark { tally, taken }
    }

    /// Takes back all that was added since `mark`, a mark of its own past; false where that is too much, and it is of no
    /// use any more.
    pub fn back_to(&mut self, mark: &Mark) -> bool {
        let mut seen = mem::take(&mut self.seen);
        let is_back = seen.back_to(mark.taken);
        *self = mark.tally.clone();
        self.seen = seen;
        is_back
    }

    /// Whether it can still come back to `mark`.
    pub fn reaches(&self, mark: &Mark) -> bool {
        self.seen.reaches(mark.taken)
    }

    /// Adds one sampled request; they come in the order of arrival. Says what it counts as: a subject that meets several
    /// gateways takes a slot of each, and of all these trials only `per_subject` count, the first.
    pub fn observe(&mut self, seen: &Observation<'_>) -> Class {
        let seen = &Observation { class: self.class_of(seen), ..*seen };
        self.begun_at = self.begun_at.or(Some(seen.at));
        if self.is_stale(seen.at) {
            self.standing = None;
        }
        self.counts.add(seen.class, seen.times);
        self.alarms += seen.alarms;
        match seen.class {
            Class::Match | Class::Expected => self.trial(seen, 0),
            Class::Mismatch | Class::CandidateFailed => self.trial(seen, seen.times),
            Class::Calibration => {
                self.last_compared = Some(seen.at);
                if let (Some(latency), Some(time)) = (&mut self.latency, seen.control) {
                    latency.control(time);
                }
            }
            Class::Skipped(Skip::Budget) => self.budget_is_used_up = true,
            Class::ControlFailed | Class::Incomparable | Class::DuplicateSubject | Class::Skipped(_) => {}
        }
        self.seen_at = self.seen_at.max(Some(seen.at));
        self.recall();
        let state = self.state_at(seen.at);
        if self.standing.is_none_or(|(before, _)| before != state) {
            self.standing = Some((state, seen.at));
        }
        seen.class
    }

    fn class_of(&mut self, seen: &Observation<'_>) -> Class {
        let is_trial =
            matches!(seen.class, Class::Match | Class::Expected | Class::Mismatch | Class::CandidateFailed);
        // Of what was counted only nobody knows the subject, which had its slot when it was sampled.
        if !is_trial || seen.is_counted_only() {
            return seen.class;
        }
        let most = match self.subjects {
            Subjects::Configured => self.gate.per_subject,
            Subjects::AssumedIndependent => u64::MAX,
        };
        if self.seen.take(seen.subject, most) { seen.class } else { Class::DuplicateSubject }
    }

    fn trial(&mut self, seen: &Observation<'_>, failed: u64) {
        let (first, _) = self.window.unwrap_or((seen.at, seen.at));
        self.window = Some((first, seen.at));
        self.last_compared = Some(seen.at);
        self.budget_is_used_up = false;
        if failed > 0 {
            self.latch.judge(self.so_far(), &self.worse, self.needed);
        }
        if !seen.is_counted_only() {
            self.particulars(seen, failed);
        }
    }

    /// What only a trial with a record of its own tells: its times, its cost and its stratum.
    fn particulars(&mut self, seen: &Observation<'_>, failed: u64) {
        self.cost.add(seen, self.gate.max_cost_ratio);
        if let Some(latency) = &mut self.latency {
            latency.trial(seen.control, seen.candidate);
        }
        if !self.strata.contains_key(seen.stratum) {
            self.strata.insert(seen.stratum.to_owned(), Stratum::default());
        }
        if let Some(stratum) = self.strata.get_mut(seen.stratum) {
            stratum.trials += 1;
            stratum.failures += failed;
        }
        if failed > 0 {
            self.judge_stratum(seen.stratum);
        }
    }

    fn so_far(&self) -> Proof {
        Proof { trials: self.counts.trials, failures: self.counts.failures }
    }

    /// Each of K strata answers to `alpha / K`, so that the family of them errs no more often than one. A single one is
    /// the whole, which answers for itself. K is that of the moment: strata that come later take nothing back.
    fn judge_stratum(&mut self, key: &str) {
        let needed = self.needed_of_a_stratum();
        let counts = self.strata_that_count().any(|(known, _)| known == key);
        if let Some(stratum) = self.strata.get_mut(key)
            && let Some(needed) = needed
            && counts
        {
            stratum.latch.judge(stratum.so_far(), &self.worse, needed);
        }
    }

    /// log10 of what E- of one stratum must reach; `None` where there is only one.
    fn needed_of_a_stratum(&self) -> Option<f64> {
        let count = self.strata_that_count().count() as u64;
        (count > 1).then(|| martingale::threshold(self.alpha(), count))
    }

    /// What proved it UNSAFE by its failures: all of its trials, where they still do.
    pub fn proved_unsafe(&self) -> Option<Proof> {
        self.latch.proof(self.so_far(), &self.worse, self.needed)
    }

    /// Strata that were proved UNSAFE by themselves, likewise.
    pub(super) fn strata_proved_unsafe(&self) -> impl Iterator<Item = (&str, &Stratum, Proof)> {
        let needed = self.needed_of_a_stratum().unwrap_or(f64::INFINITY);
        self.strata.iter().filter_map(move |(key, stratum)| {
            let proof = stratum.latch.proof(stratum.so_far(), &self.worse, needed)?;
            Some((key.as_str(), stratum, proof))
        })
    }

    /// What was counted.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Different subjects among the trials, the anonymous one included.
    pub fn subjects_seen(&self) -> usize {
        self.seen.len()
    }

    /// Whether they can be told apart at all.
    pub fn subjects(&self) -> Subjects {
        self.subjects
    }

    /// Why it is UNSAFE, alarms aside; empty where it is not.
    pub fn unsafe_reasons(&self) -> Vec<Reason> {
        gate::unsafe_reasons(self)
    }

    /// First and last trial.
    pub fn window(&self) -> Option<(Timestamp, Timestamp)> {
        self.window
    }

    /// What it proves at `now`.
    pub fn verdict(&self, now: Timestamp) -> Verdict {
        let state = self.state_at(now);
        let since = match (state, self.standing) {
            (State::Stale, _) => self.silent_since().and_then(|last| last.checked_add(STALE_AFTER).ok()),
            (_, standing) => standing.map(|(_, since)| since),
        };
        let gates = gate::all(self);
        let missing = gates
            .iter()
            .filter(|gate| gate.state != GateState::Pass)
            .map(|gate| gate.missing.clone())
            .collect();
        let alpha = self.alpha();
        let Counts { trials, failures, .. } = self.counts;
        let upper_bound = martingale::upper_bound(trials, failures, alpha);
        let mut reasons: Vec<_> = gate::unsafe_reasons(self).iter().map(Reason::to_string).collect();
        if self.alarms > 0 {
            reasons.insert(0, gate::alarms_text(self.alarms));
        }
        Verdict {
            state,
            since,
            reasons,
            missing,
            gates,
            alpha,
            log10_safe: self.log10_safe(),
            log10_unsafe: self.log10_unsafe(),
            upper_bound,
            worst_case: martingale::worst_case(upper_bound, self.counts.missing_share()),
            strata: self.strata_bounds(),
        }
    }

    /// The word alone of what it proves at `now`.
    pub fn state_at(&self, now: Timestamp) -> State {
        if self.alarms > 0 {
            State::Blocked
        } else if gate::is_unsafe(self) {
            State::Unsafe
        } else if self.counts.sampled == 0 {
            State::None
        } else if self.is_stale(now) {
            State::Stale
        } else if gate::all_pass(self) {
            State::Safe
        } else if self.budget_is_used_up || self.gate.max_pairs.is_some_and(|most| self.counts.trials >= most)
        {
            State::Inconclusive
        } else if self.counts.trials == 0 && self.counts.calibration < self.gate.calibration {
            State::Calibrating
        } else {
            State::Collecting
        }
    }

    fn is_stale(&self, now: Timestamp) -> bool {
        self.silent_since().is_some_and(|last| now.duration_since(last) >= STALE_AFTER)
    }

    /// When a pair was compared last; where none ever was, when the first request was sampled.
    fn silent_since(&self) -> Option<Timestamp> {
        self.last_compared.or(self.begun_at)
    }

    pub(super) fn alpha(&self) -> f64 {
        alpha(&self.gate)
    }

    pub(super) fn log10_safe(&self) -> f64 {
        self.better.log10(self.counts.trials, self.counts.failures)
    }

    /// Whether E+ is as great as SAFE asks.
    pub(super) fn proves_failures(&self) -> bool {
        self.better.reaches(self.counts.trials, self.counts.failures, self.needed)
    }

    /// log10 of what E+ and E- must reach.
    pub(super) fn needed(&self) -> f64 {
        self.needed
    }

    fn log10_unsafe(&self) -> f64 {
        self.worse.log10(self.counts.trials, self.counts.failures)
    }

    /// Strata with a share of the traffic that asks for proof of its own.
    pub(super) fn strata_that_count(&self) -> impl Iterator<Item = (&str, &Stratum)> + Clone {
        let least = MIN_STRATUM_SHARE * real(self.counts.trials);
        self.strata
            .iter()
            .filter(move |(_, stratum)| real(stratum.trials) >= least)
            .map(|(key, stratum)| (key.as_str(), stratum))
    }

    fn strata_bounds(&self) -> Vec<StratumBound> {
        let alpha = self.alpha();
        let bound = |(key, stratum): (&String, &Stratum)| StratumBound {
            key: key.clone(),
            share: real(stratum.trials) / real(self.counts.trials.max(1)),
            trials: stratum.trials,
            failures: stratum.failures,
            upper_bound: martingale::upper_bound(stratum.trials, stratum.failures, alpha),
        };
        self.strata.iter().map(bound).collect()
    }
}

/// A tally as it was, but for its subjects.
#[derive(Clone, Debug)]
pub struct Mark {
    tally: Tally,
    taken: u64,
}

/// `1 - confidence`, without what the subtraction adds: 0.05 of 0.95.
fn alpha(gate: &settings::Gate) -> f64 {
    ((1.0 - gate.confidence) * 1e12).round() / 1e12
}
