//! Counts what was sampled, one observation at a time, and decides what it proves.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use jiff::Timestamp;

use super::{
    Cost, MIN_STRATUM_SHARE, STALE_AFTER, State, StratumBound, Verdict,
    gate::{self, GateState},
    latency::Latency,
    martingale::{self, Mixture, real},
    seen::Seen,
};
use crate::parallel_run::{
    comparison::{Class, Skip},
    settings,
};

/// What the verdict needs of one comparison.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// When it was sampled.
    pub at: Timestamp,
    /// What came of it.
    pub class: Class,
    /// Size, n and model.
    pub stratum: &'a str,
    /// Keyed hash of its subject; `None` is the shared anonymous one.
    pub subject: Option<&'a str>,
    /// How long the control took.
    pub control: Option<Duration>,
    /// How long the candidate took, where it answered.
    pub candidate: Option<Duration>,
    /// What the control cost, in US dollars; 0 where nobody knows.
    pub control_cost: f64,
    /// What the candidate cost, in US dollars.
    pub candidate_cost: f64,
    /// Alarms that nobody has acknowledged.
    pub alarms: usize,
    /// How many of the same came at once: more than one only of what was skipped.
    pub times: u64,
}

/// Whether a route says who its requests belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subjects {
    /// It names a cookie, a header or the address.
    Configured,
    /// It does not: pairs are assumed independent.
    AssumedIndependent,
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

    fn add(&mut self, class: Class, times: u64) {
        self.sampled += times;
        match class {
            Class::Match => (self.trials, self.matched) = (self.trials + 1, self.matched + 1),
            Class::Expected => (self.trials, self.expected) = (self.trials + 1, self.expected + 1),
            Class::Mismatch | Class::CandidateFailed => {
                (self.trials, self.failures) = (self.trials + 1, self.failures + 1);
            }
            Class::ControlFailed => self.control_failed += 1,
            Class::Incomparable => self.incomparable += 1,
            Class::DuplicateSubject => self.duplicate_subject += 1,
            Class::Calibration => self.calibration += 1,
            Class::Skipped(why) => *self.skipped.entry(why).or_default() += times,
        }
    }
}

/// One size, n and model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stratum {
    /// Trials: what was never read, or never run, has no stratum.
    pub trials: u64,
    /// Trials that failed.
    pub failures: u64,
    /// Whether it was ever UNSAFE by itself, at its share of alpha as it was then: UNSAFE latches.
    pub is_unsafe: bool,
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
    /// The highest log10 of E- so far: UNSAFE latches.
    unsafe_peak: f64,
    needed: f64,
    /// The last pair that should have been run was not, because the budget was used up.
    budget_is_used_up: bool,
    better: Mixture,
    worse: Mixture,
    last_pair: Option<Timestamp>,
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
            unsafe_peak: f64::NEG_INFINITY,
            budget_is_used_up: false,
            better: Mixture::below(gate.max_failure_rate),
            worse: Mixture::above(gate.max_failure_rate),
            last_pair: None,
            standing: None,
        }
    }

    /// The verdict as it stood after the last request that was added.
    pub fn state_now(&self) -> State {
        self.standing.map_or(State::None, |(state, _)| state)
    }

    /// log10 of E+ and of E- after `trials`, `failures` of which failed.
    pub fn log10_after(&self, trials: u64, failures: u64) -> (f64, f64) {
        (self.better.log10(trials, failures), self.worse.log10(trials, failures))
    }

    /// Adds one sampled request; they come in the order of arrival. Says what it counts as: a subject that meets several
    /// gateways takes a slot of each, and of all these trials only `per_subject` count, the first.
    pub fn observe(&mut self, seen: &Observation<'_>) -> Class {
        let seen = &Observation { class: self.class_of(seen), ..*seen };
        if self.is_stale(seen.at) {
            self.standing = None;
        }
        self.counts.add(seen.class, seen.times);
        self.alarms += seen.alarms;
        if !matches!(seen.class, Class::Skipped(_)) {
            self.last_pair = Some(seen.at);
        }
        match seen.class {
            Class::Match | Class::Expected => self.trial(seen, 0),
            Class::Mismatch | Class::CandidateFailed => self.trial(seen, 1),
            Class::Calibration => {
                if let (Some(latency), Some(time)) = (&mut self.latency, seen.control) {
                    latency.control(time);
                }
            }
            Class::Skipped(Skip::Budget) => self.budget_is_used_up = true,
            Class::ControlFailed | Class::Incomparable | Class::DuplicateSubject | Class::Skipped(_) => {}
        }
        let state = self.state(seen.at);
        if self.standing.is_none_or(|(before, _)| before != state) {
            self.standing = Some((state, seen.at));
        }
        seen.class
    }

    fn class_of(&mut self, seen: &Observation<'_>) -> Class {
        if !matches!(seen.class, Class::Match | Class::Expected | Class::Mismatch | Class::CandidateFailed) {
            return seen.class;
        }
        let trials = self.seen.trials(seen.subject);
        if self.subjects == Subjects::Configured && *trials >= self.gate.per_subject {
            return Class::DuplicateSubject;
        }
        *trials += 1;
        seen.class
    }

    fn trial(&mut self, seen: &Observation<'_>, failed: u64) {
        let (first, _) = self.window.unwrap_or((seen.at, seen.at));
        self.window = Some((first, seen.at));
        self.budget_is_used_up = false;
        self.cost.add(seen, self.gate.max_cost_ratio);
        if let Some(latency) = &mut self.latency {
            let answered = (seen.class != Class::CandidateFailed).then_some(seen.candidate).flatten();
            latency.trial(seen.control, answered);
        }
        if !self.strata.contains_key(seen.stratum) {
            self.strata.insert(seen.stratum.to_owned(), Stratum::default());
        }
        if let Some(stratum) = self.strata.get_mut(seen.stratum) {
            stratum.trials += 1;
            stratum.failures += failed;
        }
        // Each success lowers E-, so that only a failure can be a new peak.
        if failed > 0 {
            self.unsafe_peak = self.unsafe_peak.max(self.log10_unsafe());
            self.judge_stratum(seen.stratum);
        }
    }

    /// Each of K strata answers to `alpha / K`, so that the family of them errs no more often than one. A single one is
    /// the whole, which answers for itself. K is that of the moment: strata that come later take nothing back.
    fn judge_stratum(&mut self, key: &str) {
        let count = self.strata_that_count().count() as u64;
        let needed = martingale::threshold(self.alpha(), count);
        let counts = self.strata_that_count().any(|(known, _)| known == key);
        if let Some(stratum) = self.strata.get_mut(key)
            && count > 1
            && counts
        {
            stratum.is_unsafe |= self.worse.log10(stratum.trials, stratum.failures) >= needed;
        }
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
    pub fn unsafe_reasons(&self) -> Vec<String> {
        gate::unsafe_reasons(self)
    }

    /// First and last trial.
    pub fn window(&self) -> Option<(Timestamp, Timestamp)> {
        self.window
    }

    /// What it proves at `now`.
    pub fn verdict(&self, now: Timestamp) -> Verdict {
        let state = self.state(now);
        let since = match (state, self.standing) {
            (State::Stale, _) => self.last_pair.and_then(|last| last.checked_add(STALE_AFTER).ok()),
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
        let mut reasons = gate::unsafe_reasons(self);
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

    fn state(&self, now: Timestamp) -> State {
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
        self.last_pair.is_some_and(|last| now.duration_since(last) >= STALE_AFTER)
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

    pub(super) fn log10_unsafe_peak(&self) -> f64 {
        self.unsafe_peak
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

/// `1 - confidence`, without what the subtraction adds: 0.05 of 0.95.
fn alpha(gate: &settings::Gate) -> f64 {
    ((1.0 - gate.confidence) * 1e12).round() / 1e12
}
