//! Is the candidate fast enough? The same machine as for failures, on times instead of contracts.

use std::time::Duration;

use super::{
    Proof,
    martingale::{self, Mixture, real},
    past::{About, Times},
};

/// Control times from which the bounds of its p95 are frozen: the fewest whose maximum is above the true p95 with
/// 95 % confidence (0.95^59 < 0.05).
pub const FROZEN_AFTER: usize = 59;
/// The share of candidate answers that may be slower than the control's p95.
pub const RATE: f64 = 0.05;
/// Of the first [`FROZEN_AFTER`] control times in ascending order, the greatest that is below the true p95 with
/// 95 % confidence: the largest k with `P(Bin(59, 0.95) < k) <= 0.05` (David, Nagaraja: Order Statistics, 7.1).
const LOWER_RANK: usize = 53;

/// Latency trials of one epoch, in the order of arrival.
///
/// A trial is slow when the candidate took longer than `ratio` times a bound of the control's p95: the lower bound
/// where SAFE is to be proved, the upper bound where UNSAFE is, so that neither leans on the luck of the first times.
#[derive(Clone, Debug)]
pub struct Latency {
    ratio: f64,
    better: Mixture,
    worse: Mixture,
    /// Of trials that came before and are kept no longer.
    before: Times,
    stage: Stage,
}

#[derive(Clone, Debug)]
enum Stage {
    /// Too few control times: those so far, and the candidate's waiting for a bound.
    Waiting {
        control: Vec<Duration>,
        candidate: Vec<Option<Duration>>,
    },
    Frozen(Frozen),
}

#[derive(Clone, Copy, Debug)]
struct Frozen {
    lower: Duration,
    upper: Duration,
    trials: u64,
    over_lower: u64,
    over_upper: u64,
    /// The highest log10 of E- so far, and the trials over the lower bound as they were then.
    peak: (f64, Proof),
}

/// Where the latency trials stand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// Lower 95 % bound of the control's p95.
    pub control_p95: Duration,
    /// Trials.
    pub trials: u64,
    /// Trials slower than `ratio` times `control_p95`.
    pub slow: u64,
    /// log10 of E+ at [`RATE`].
    pub log10_safe: f64,
    /// The highest log10 of E- at [`RATE`] so far: UNSAFE latches.
    pub log10_unsafe_peak: f64,
}

impl Latency {
    /// Nothing seen yet; the candidate's p95 may be `ratio` times the control's.
    pub fn new(ratio: f64) -> Self {
        let stage = Stage::Waiting { control: Vec::new(), candidate: Vec::new() };
        let (better, worse) = (Mixture::below(RATE), Mixture::above(RATE));
        Self { ratio, better, worse, before: Times::default(), stage }
    }

    /// The same after trials that are kept no longer: the control's first times, and all of the candidate's.
    #[must_use]
    pub fn after(mut self, control: &[Duration], candidate: &Times) -> Self {
        self.before = candidate.clone();
        self.stage = Stage::Waiting { control: control.to_vec(), candidate: Vec::new() };
        self.freeze();
        self
    }

    /// A control exchange outside a trial.
    pub fn control(&mut self, time: Duration) {
        if let Stage::Waiting { control, .. } = &mut self.stage {
            control.push(time);
        }
        self.freeze();
    }

    /// One trial; a candidate without an answer is slow.
    pub fn trial(&mut self, control_time: Option<Duration>, candidate_time: Option<Duration>) {
        match &mut self.stage {
            Stage::Waiting { control, candidate } => {
                control.extend(control_time);
                candidate.push(candidate_time);
                self.freeze();
            }
            Stage::Frozen(frozen) => frozen.judge(candidate_time, self.ratio, &self.worse),
        }
    }

    /// `None` until the bounds are frozen.
    pub fn standing(&self) -> Option<Standing> {
        let Stage::Frozen(frozen) = &self.stage else { return None };
        Some(Standing {
            control_p95: frozen.lower,
            trials: frozen.trials,
            slow: frozen.over_lower,
            log10_safe: self.better.log10(frozen.trials, frozen.over_lower),
            log10_unsafe_peak: frozen.peak.0,
        })
    }

    /// Whether log10 of E+ is at least `needed`.
    pub(super) fn reaches(&self, needed: f64) -> bool {
        let Stage::Frozen(frozen) = &self.stage else { return false };
        self.better.reaches(frozen.trials, frozen.over_lower, needed)
    }

    /// The highest log10 of E- so far.
    pub(super) fn unsafe_peak(&self) -> f64 {
        match &self.stage {
            Stage::Waiting { .. } => f64::NEG_INFINITY,
            Stage::Frozen(frozen) => frozen.peak.0,
        }
    }

    /// What proved it UNSAFE, where log10 of E- was once at least `needed`: all of its trials, where they still do.
    pub(super) fn proved_unsafe(&self, needed: f64) -> Option<Proof> {
        let Stage::Frozen(frozen) = &self.stage else { return None };
        let (peak, proof) = frozen.peak;
        let still = self.worse.log10(frozen.trials, frozen.over_upper) >= needed;
        (peak >= needed).then(|| if still { frozen.so_far() } else { proof })
    }

    /// Control times still needed before the bounds freeze.
    pub fn control_times_missing(&self) -> usize {
        match &self.stage {
            Stage::Waiting { control, .. } => FROZEN_AFTER - control.len().min(FROZEN_AFTER),
            Stage::Frozen(_) => 0,
        }
    }

    fn freeze(&mut self) {
        let Stage::Waiting { control, candidate } = &mut self.stage else { return };
        if control.len() < FROZEN_AFTER {
            return;
        }
        control.sort_unstable();
        let lower = control.get(LOWER_RANK - 1).copied().unwrap_or_default();
        let upper = control.last().copied().unwrap_or_default();
        let peak = (f64::NEG_INFINITY, Proof { trials: 0, failures: 0 });
        let mut frozen = Frozen { lower, upper, trials: 0, over_lower: 0, over_upper: 0, peak };
        frozen.go_on(&self.before, self.ratio, &self.worse);
        for &time in candidate.iter() {
            frozen.judge(time, self.ratio, &self.worse);
        }
        self.stage = Stage::Frozen(frozen);
    }
}

impl Frozen {
    /// Counts times that are known about: neither SAFE nor UNSAFE is proved by what they were rounded.
    fn go_on(&mut self, before: &Times, ratio: f64, worse: &Mixture) {
        self.trials = before.len();
        self.over_lower = before.over(ratio * self.lower.as_secs_f64(), About::Longer);
        self.over_upper = before.over(ratio * self.upper.as_secs_f64(), About::Within);
        if self.over_upper > 0 {
            self.peak = (worse.log10(self.trials, self.over_upper), self.so_far());
        }
    }

    fn judge(&mut self, candidate: Option<Duration>, ratio: f64, worse: &Mixture) {
        let over =
            |bound: Duration| candidate.is_none_or(|time| time.as_secs_f64() > ratio * bound.as_secs_f64());
        self.trials += 1;
        self.over_lower += u64::from(over(self.lower));
        if over(self.upper) {
            self.over_upper += 1;
            let (peak, _) = self.peak;
            let now = worse.log10(self.trials, self.over_upper);
            if now > peak {
                self.peak = (now, self.so_far());
            }
        }
    }

    fn so_far(&self) -> Proof {
        Proof { trials: self.trials, failures: self.over_lower }
    }
}

impl Standing {
    /// The share of slow answers, at most, with `1 - alpha` confidence at every look.
    pub fn upper_bound(&self, alpha: f64) -> f64 {
        martingale::upper_bound(self.trials, self.slow, alpha)
    }

    /// The share of slow answers so far.
    pub fn share(&self) -> f64 {
        real(self.slow) / real(self.trials.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    fn frozen(ratio: f64) -> Latency {
        let mut latency = Latency::new(ratio);
        for time in (1..=59).rev() {
            latency.control(ms(time));
        }
        latency
    }

    /// `P(Bin(59, 0.95) < k)`.
    fn fewer_than(k: usize) -> f64 {
        let mut term = 0.05f64.powi(59);
        let mut sum = 0.0;
        for i in 0..k as u64 {
            sum += term;
            term *= real(59 - i) / real(i + 1) * 19.0;
        }
        sum
    }

    #[test]
    fn the_ranks_are_the_order_statistics_they_claim_to_be() {
        assert!(fewer_than(LOWER_RANK) <= 0.05 && fewer_than(LOWER_RANK + 1) > 0.05);
        assert!(0.95f64.powi(59) <= 0.05 && 0.95f64.powi(58) > 0.05);
    }

    #[test]
    fn the_bound_is_frozen_at_the_fifty_ninth_control_time() {
        let mut latency = Latency::new(1.0);
        for time in 1..=58 {
            latency.trial(Some(ms(time)), Some(ms(1)));
        }
        assert_eq!((latency.standing(), latency.control_times_missing()), (None, 1));
        latency.control(ms(59));
        let standing = latency.standing().unwrap();
        assert_eq!((standing.control_p95, standing.trials, standing.slow), (ms(53), 58, 0));
        latency.control(ms(10_000));
        assert_eq!(latency.standing().unwrap().control_p95, ms(53));
    }

    #[test]
    fn it_goes_on_where_it_stood_without_the_times_themselves() {
        let (control, mut times): (Vec<_>, _) = ((1..=59).map(ms).collect(), Times::default());
        (0..69).for_each(|_| times.add(Some(ms(40))));
        let mut latency = Latency::new(1.0).after(&control, &times);
        let needed = martingale::threshold(0.05, 1);
        assert!(!latency.reaches(needed));
        latency.trial(None, Some(ms(53)));
        assert!(latency.reaches(needed));
        assert_eq!((latency.standing().unwrap().trials, latency.standing().unwrap().slow), (70, 0));

        let mut slow = Times::default();
        (0..6).for_each(|_| slow.add(None));
        let proved = Latency::new(1.0).after(&control, &slow);
        assert_eq!(proved.proved_unsafe(needed), Some(Proof { trials: 6, failures: 6 }));

        // Of an epoch that saw too few, what was seen waits with what comes.
        let mut waiting = Latency::new(1.0).after(&control[..58], &times);
        assert_eq!((waiting.standing(), waiting.control_times_missing()), (None, 1));
        waiting.control(ms(59));
        assert_eq!(waiting.standing().unwrap().trials, 69);
    }

    #[test]
    fn seventy_quick_answers_are_safe() {
        let mut latency = frozen(1.0);
        for _ in 0..69 {
            latency.trial(None, Some(ms(53)));
        }
        let needed = martingale::threshold(0.05, 1);
        assert!(latency.standing().unwrap().log10_safe < needed);
        latency.trial(None, Some(ms(53)));
        let standing = latency.standing().unwrap();
        assert!(standing.log10_safe >= needed);
        assert!(standing.upper_bound(0.05) <= RATE);
    }

    #[test]
    fn as_slow_as_the_controls_slowest_is_neither_safe_nor_unsafe() {
        let mut latency = frozen(1.0);
        for _ in 0..100 {
            latency.trial(None, Some(ms(59)));
        }
        let standing = latency.standing().unwrap();
        assert_eq!(standing.slow, 100);
        assert!(standing.log10_safe < 0.0);
        assert!(standing.log10_unsafe_peak < 0.0);
    }

    #[test]
    fn slower_than_the_ratio_allows_is_unsafe_and_stays_so() {
        let mut latency = frozen(2.0);
        latency.trial(None, Some(ms(118)));
        assert!(latency.standing().unwrap().log10_unsafe_peak < 0.0);
        for _ in 0..5 {
            latency.trial(None, None);
        }
        for _ in 0..500 {
            latency.trial(None, Some(ms(1)));
        }
        assert!(latency.standing().unwrap().log10_unsafe_peak >= martingale::threshold(0.05, 1));
    }
}
