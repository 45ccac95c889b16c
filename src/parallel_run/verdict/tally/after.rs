//! A tally that goes on where its epoch stood, after pairs that are kept no longer.

use std::sync::Arc;

use super::Tally;
use crate::parallel_run::{
    comparison::Class,
    verdict::{
        State,
        past::{Past, Proved},
    },
};

impl Tally {
    /// The same of an epoch of which the pairs of `past` are kept no longer.
    #[must_use]
    pub fn after(mut self, past: Arc<Past>) -> Self {
        for sum in &past.sums {
            self.counts.add(sum.class, sum.times);
            let failed = sum.failed();
            if failed.is_some() || sum.class == Class::Calibration {
                self.last_compared = self.last_compared.max(Some(sum.last));
            }
            let Some(failed) = failed else { continue };
            let (first, last) = self.window.unwrap_or((sum.first, sum.last));
            self.window = Some((first.min(sum.first), last.max(sum.last)));
            self.cost.go_on(sum);
            let stratum = self.strata.entry(sum.stratum.clone()).or_default();
            stratum.trials += sum.times;
            stratum.failures += failed;
        }
        self.latency = self.latency.map(|latency| latency.after(&past.control, &past.candidate));
        if self.counts.failures > 0 {
            self.latch.judge(self.so_far(), &self.worse, self.needed);
        }
        let failing: Vec<_> = self
            .strata
            .iter()
            .filter(|(_, stratum)| stratum.failures > 0)
            .map(|(key, _)| key.clone())
            .collect();
        for key in &failing {
            self.judge_stratum(key);
        }
        self.begun_at = past.sums.iter().map(|sum| sum.first).min();
        self.seen_at = past.sums.iter().map(|sum| sum.last).max();
        self.past = past;
        self.recall();
        self.standing = self.seen_at.map(|last| match (self.state_at(last), &self.past.proved) {
            (State::Unsafe, Some(proved)) => (State::Unsafe, proved.at),
            (state, _) => (state, last),
        });
        self
    }

    /// Failures that were proved to be too many by now are so whatever is left of them.
    pub(super) fn recall(&mut self) {
        if let Some(proof) = self.proved().and_then(|proved| proved.failures)
            && !self.latch.is_shut()
        {
            self.latch.judge(proof, &self.worse, self.needed);
        }
    }

    /// What is kept of a proof that it is UNSAFE, as soon as all is counted that proved it.
    fn proved(&self) -> Option<&Proved> {
        self.past.proved.as_ref().filter(|proved| Some(proved.at) <= self.seen_at)
    }

    /// The same, where it is one against the limits of now.
    pub(in crate::parallel_run::verdict) fn proved_before(&self) -> Option<&Proved> {
        self.proved().filter(|proved| proved.limits == self.gate.limits())
    }

    /// What proves it UNSAFE and is not kept as such yet: to be kept, because the pairs that prove it will not be.
    pub fn to_be_kept(&self) -> Option<Proved> {
        let known = self.proved_before();
        let reasons = self.unsafe_reasons();
        if reasons.iter().all(|reason| known.is_some_and(|known| reason.is_among(&known.reasons))) {
            return None;
        }
        let at = known.map(|known| known.at).or(self.standing.map(|(_, since)| since))?;
        Some(Proved { at, limits: self.gate.limits(), failures: self.proved_unsafe(), reasons })
    }
}
