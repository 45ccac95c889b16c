//! Counts what was sampled, one observation at a time, and decides what it proves.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use jiff::Timestamp;

use super::{
    Cost, MIN_STRATUM_SHARE, STALE_AFTER, State, StratumBound, Verdict,
    gate::{self, GateState, plural},
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

impl Observation<'_> {
    /// Whether nothing but its class is known.
    fn is_counted_only(&self) -> bool {
        self.stratum.is_empty()
    }
}

impl Proof {
    /// `2 of 9 trials`; or `2 of the first 9 trials`, where there are `trials` by now.
    pub(crate) fn of(self, trials: u64, what: &str) -> String {
        let first = if self.trials < trials { "the first " } else { "" };
        format!("{} of {first}{}", self.failures, plural(self.trials, what))
    }
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
    /// What proved it UNSAFE by itself, at its share of alpha as it was then: UNSAFE latches.
    pub unsafe_by: Option<Proof>,
}

/// Trials that proved a candidate worse than its gate allows, and how many of them failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The first so many.
    pub trials: u64,
    /// Of these.
    pub failures: u64,
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
    /// The last that E- was great enough for: UNSAFE latches.
    pub(super) unsafe_by: Option<Proof>,
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
            unsafe_by: None,
            budget_is_used_up: false,
            better: Mixture::below(gate.max_failure_rate),
            worse: Mixture::above(gate.max_failure_rate),
            last_compared: None,
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
        match seen.class {
            Class::Match | Class::Expected => self.trial(seen, 0),
            Class::Mismatch | Class::CandidateFailed => self.trial(seen, 1),
            Class::Calibration => {
                self.last_compared = Some(seen.at);
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
        let is_trial =
            matches!(seen.class, Class::Match | Class::Expected | Class::Mismatch | Class::CandidateFailed);
        // Of what was counted only nobody knows the subject, which had its slot when it was sampled.
        if !is_trial || seen.is_counted_only() {
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
        self.last_compared = Some(seen.at);
        self.budget_is_used_up = false;
        // Each success lowers E-, so that only a failure can prove anything.
        if failed > 0 && self.log10_unsafe() >= self.needed {
            self.unsafe_by = Some(self.so_far());
        }
        if !seen.is_counted_only() {
            self.particulars(seen, failed);
        }
    }

    /// What only a trial with a record of its own tells: its times, its cost and its stratum.
    fn particulars(&mut self, seen: &Observation<'_>, failed: u64) {
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
            && self.worse.log10(stratum.trials, stratum.failures) >= needed
        {
            stratum.unsafe_by = Some(Proof { trials: stratum.trials, failures: stratum.failures });
        }
    }

    /// log10 of what E- of one stratum must reach; `None` where there is only one.
    fn needed_of_a_stratum(&self) -> Option<f64> {
        let count = self.strata_that_count().count() as u64;
        (count > 1).then(|| martingale::threshold(self.alpha(), count))
    }

    /// What proved it UNSAFE by its failures: all of its trials, where they still do.
    pub fn proved_unsafe(&self) -> Option<Proof> {
        let still = self.log10_unsafe() >= self.needed;
        self.unsafe_by.map(|proof| if still { self.so_far() } else { proof })
    }

    /// Strata that were proved UNSAFE by themselves, likewise.
    pub(super) fn strata_proved_unsafe(&self) -> impl Iterator<Item = (&str, &Stratum, Proof)> {
        let needed = self.needed_of_a_stratum().unwrap_or(f64::INFINITY);
        self.strata.iter().filter_map(move |(key, stratum)| {
            let &Stratum { trials, failures, unsafe_by } = stratum;
            let still = self.worse.log10(trials, failures) >= needed;
            let proof = if still { Proof { trials, failures } } else { unsafe_by? };
            unsafe_by.map(|_| (key.as_str(), stratum, proof))
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
            (State::Stale, _) => self.last_compared.and_then(|last| last.checked_add(STALE_AFTER).ok()),
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
        self.last_compared.is_some_and(|last| now.duration_since(last) >= STALE_AFTER)
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

/// `1 - confidence`, without what the subtraction adds: 0.05 of 0.95.
fn alpha(gate: &settings::Gate) -> f64 {
    ((1.0 - gate.confidence) * 1e12).round() / 1e12
}
