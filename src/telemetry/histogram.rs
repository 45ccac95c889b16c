//! A histogram of durations that a worker can afford: fixed buckets of relaxed counters, summed over workers when
//! somebody asks.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use prometheus_client::encoding::{MetricEncoder, NoLabelSet};

/// Upper bounds in microseconds, fine enough for a proxy's overhead and wide enough for a slow generation.
const BOUNDS: [u64; 20] = [
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    20_000_000,
    30_000_000,
    60_000_000,
    120_000_000,
    300_000_000,
];
/// The last bucket has no upper bound.
const BUCKETS: usize = BOUNDS.len() + 1;

/// Durations seen by one worker.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
}

impl Histogram {
    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let place = BOUNDS.partition_point(|&bound| bound < micros);
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Relaxed);
        }
        self.sum_us.fetch_add(micros, Relaxed);
    }
}

/// What several [`Histogram`]s have seen together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    buckets: [u64; BUCKETS],
    sum_us: u64,
}

impl Totals {
    /// Adds what `histogram` has seen until now.
    pub fn add(&mut self, histogram: &Histogram) {
        for (total, bucket) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *total += bucket.load(Relaxed);
        }
        self.sum_us = self.sum_us.wrapping_add(histogram.sum_us.load(Relaxed));
    }

    /// How many durations.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Writes a histogram in seconds.
    pub fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let bounds = BOUNDS.iter().map(|&bound| seconds(bound)).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(self.buckets).collect();
        encoder.encode_histogram::<NoLabelSet>(seconds(self.sum_us), self.count(), &buckets, None)
    }
}

impl<'h> FromIterator<&'h Histogram> for Totals {
    fn from_iter<I: IntoIterator<Item = &'h Histogram>>(histograms: I) -> Self {
        let mut totals = Self::default();
        histograms.into_iter().for_each(|histogram| totals.add(histogram));
        totals
    }
}

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(micros: u64) -> usize {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_micros(micros));
        let totals: Totals = [&histogram].into_iter().collect();
        totals.buckets.iter().position(|&count| count == 1).unwrap()
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        assert_eq!(place(0), 0);
        assert_eq!(place(250), 0);
        assert_eq!(place(251), 1);
        assert_eq!(place(300_000_000), BUCKETS - 2);
        assert_eq!(place(300_000_001), BUCKETS - 1);
    }

    #[test]
    fn workers_add_up() {
        let workers = [Histogram::default(), Histogram::default()];
        for (millis, worker) in [1, 2, 3].into_iter().zip(workers.iter().cycle()) {
            worker.observe(Duration::from_millis(millis));
        }
        let totals: Totals = workers.iter().collect();
        assert_eq!(totals.count(), 3);
        assert_eq!(totals.sum_us, 6_000);
    }
}
