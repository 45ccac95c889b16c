//! A histogram fine enough to compare quantiles: eight buckets an octave, one relaxed addition a duration.

use std::{
    iter,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

/// Buckets of one octave, as a power of two.
const FINE: u32 = 3;
/// Durations below this many microseconds share the first bucket: an upstream on loopback takes longer.
const LEAST: u64 = 128;
/// Octaves above it; beyond them (67 s is the 19th, 9 min the 22nd) lies one bucket more.
const OCTAVES: u32 = 22;
const BUCKETS: usize = (OCTAVES << FINE) as usize + 2;

/// Durations as they come, from any thread. Counts wrap, so that only differences of [`Latencies`] mean anything.
#[derive(Debug)]
pub struct Latency([AtomicU32; BUCKETS]);

/// How many durations each bucket has seen.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Latencies(Vec<u32>);

/// Where a quantile lies: in this bucket, at some place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bracket {
    /// It is no shorter.
    pub least: Duration,
    /// It is no longer; nothing is known of what is beyond all buckets.
    pub most: Option<Duration>,
}

impl Default for Latency {
    fn default() -> Self {
        Self([const { AtomicU32::new(0) }; BUCKETS])
    }
}

impl Latency {
    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.0.get(bucket(micros)) {
            bucket.fetch_add(1, Relaxed);
        }
    }

    /// All that it has seen until now.
    pub fn latencies(&self) -> Latencies {
        Latencies(self.0.iter().map(|bucket| bucket.load(Relaxed)).collect())
    }
}

impl Latencies {
    /// What was seen since `before`, of the same histogram.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let before = before.0.iter().copied().chain(iter::repeat(0));
        Self(self.0.iter().zip(before).map(|(now, before)| now.wrapping_sub(before)).collect())
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|&count| u64::from(count)).sum()
    }

    /// Where the duration lies that `percent` of all do not exceed, by nearest rank; `None` of none.
    pub fn percentile(&self, percent: u64) -> Option<Bracket> {
        let rank = (self.count() * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let place = self.0.iter().position(|&count| {
            seen += u64::from(count);
            seen >= rank
        })?;
        let micros = Duration::from_micros;
        let least = if place == 0 { 0 } else { lower_bound(place) };
        let most = (place + 1 < BUCKETS).then(|| micros(lower_bound(place + 1)));
        Some(Bracket { least: micros(least), most })
    }
}

/// The bucket of a duration in microseconds: below [`LEAST`] the first, then by its leading bits.
fn bucket(micros: u64) -> usize {
    if micros < LEAST {
        return 0;
    }
    let octave = (micros / LEAST).ilog2();
    // The bits right below the leading one.
    let within = (micros >> (LEAST.ilog2() + octave - FINE)) & ((1 << FINE) - 1);
    let place = 1 + (u64::from(octave) << FINE) + within;
    usize::try_from(place).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

/// The shortest duration, in microseconds, of any bucket but the first.
fn lower_bound(place: usize) -> u64 {
    let place = place.saturating_sub(1) as u64;
    let (octave, within) = (place >> FINE, place & ((1 << FINE) - 1));
    (LEAST << octave) + (within << (u64::from(LEAST.ilog2()) + octave - u64::from(FINE)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(micros: impl IntoIterator<Item = u64>) -> Latencies {
        let latency = Latency::default();
        micros.into_iter().for_each(|micros| latency.observe(Duration::from_micros(micros)));
        latency.latencies()
    }

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        assert_eq!(seen([]).percentile(95), None);
        let latencies = seen((1..=100).map(|milliseconds| milliseconds * 1000));
        let Bracket { least, most } = latencies.percentile(95).unwrap();
        let rank = Duration::from_millis(95);
        assert!(least <= rank && rank < most.unwrap(), "{least:?} {most:?}");
        assert!(most.unwrap().as_secs_f64() / least.as_secs_f64() < 1.13);
    }

    #[test]
    fn what_is_beyond_all_buckets_has_no_upper_bound() {
        assert_eq!(seen([u64::MAX]).percentile(50).unwrap().most, None);
        assert_eq!(seen([0]).percentile(50).unwrap().least, Duration::ZERO);
    }

    #[test]
    fn a_difference_is_what_came_between() {
        let latency = Latency::default();
        latency.observe(Duration::from_secs(1));
        let before = latency.latencies();
        latency.observe(Duration::from_secs(9));
        let between = latency.latencies().since(&before);
        assert_eq!(between.count(), 1);
        assert!(between.percentile(50).unwrap().least > Duration::from_secs(8));
        assert_eq!(latency.latencies().since(&Latencies::default()).count(), 2);
    }

    proptest! {
        #[test]
        fn every_duration_lies_within_its_bucket(micros in prop_oneof![0..2000_u64, 0..600_000_000_u64]) {
            let Bracket { least, most } = seen([micros]).percentile(95).unwrap();
            let duration = Duration::from_micros(micros);
            prop_assert!(least <= duration, "{least:?} {duration:?}");
            prop_assert!(most.is_none_or(|most| duration < most), "{duration:?} {most:?}");
        }
    }
}
