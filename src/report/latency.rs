//! What is said of times: percentiles, and the shape of both arms' distributions on one scale.

use std::time::Duration;

use super::summary::{Distribution, Percentiles};
use crate::parallel_run::verdict::martingale::real;

/// Bars of a distribution, each as much wider than the one before it as its own width.
const BARS: usize = 40;

/// By nearest rank; times in microseconds.
pub(super) fn percentiles(times: &[u64]) -> Percentiles {
    let mut times = times.to_vec();
    let mut at = |share: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "below the number of times"
        )]
        let rank = (real(times.len() as u64) * share).ceil() as usize;
        let place = rank.saturating_sub(1);
        (place < times.len()).then(|| millis(*times.select_nth_unstable(place).1))
    };
    Percentiles { p50: at(0.5), p95: at(0.95), p99: at(0.99) }
}

/// Both arms' times, in microseconds, by logarithmic bars from the quickest to the slowest; nothing where there are no times.
pub(super) fn distribution(control: &[u64], candidate: &[u64]) -> Distribution {
    let all = || control.iter().chain(candidate).map(|time| millis(*time).max(0.1));
    let (least, most) =
        all().fold((f64::INFINITY, 0.0_f64), |(least, most), time| (least.min(time), most.max(time)));
    if most <= 0.0 {
        return Distribution::default();
    }
    let width = (most / least).ln().max(0.1) / real(BARS as u64);
    let upper = |bar: usize| least * (width * real(bar as u64 + 1)).exp();
    let count = |times: &[u64]| {
        let mut counts = vec![0; BARS];
        for time in times {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "negative and large are cut"
            )]
            let bar = ((millis(*time).max(0.1) / least).ln() / width) as usize;
            if let Some(count) = counts.get_mut(bar.min(BARS - 1)) {
                *count += 1;
            }
        }
        counts
    };
    Distribution {
        from_ms: Some(least),
        upper_ms: (0..BARS).map(upper).collect(),
        control: count(control),
        candidate: count(candidate),
    }
}

fn millis(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(times: impl IntoIterator<Item = u64>) -> Vec<u64> {
        times.into_iter().map(|millis| millis * 1_000).collect()
    }

    #[test]
    fn percentiles_are_of_nearest_rank() {
        let Percentiles { p50, p95, p99 } = percentiles(&ms((1..=100).rev()));
        assert_eq!((p50, p95, p99), (Some(50.0), Some(95.0), Some(99.0)));
        assert_eq!(percentiles(&ms([7])).p99, Some(7.0));
        assert_eq!(percentiles(&[]).p50, None);
    }

    #[test]
    fn every_time_stands_under_one_bar() {
        let shape = distribution(&ms(1_000..=2_000), &ms([10, 11, 4_000]));
        assert_eq!((shape.control.iter().sum::<u64>(), shape.candidate.iter().sum::<u64>()), (1_001, 3));
        assert_eq!((shape.candidate.first(), shape.candidate.last()), (Some(&2), Some(&1)));
        assert!((shape.upper_ms.last().unwrap() - 4_000.0).abs() < 1e-6);
        assert_eq!(distribution(&ms([5, 5]), &[]).control.iter().sum::<u64>(), 2);
        assert_eq!(distribution(&[], &[]).upper_ms.len(), 0);
    }
}
