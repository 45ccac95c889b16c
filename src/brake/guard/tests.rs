//! Figures that trip the guard, and all those that must not.

use proptest::prelude::*;

use super::*;
use crate::telemetry::latency::Latency;

fn settings() -> Settings {
    Settings {
        window: Duration::from_mins(2),
        min_requests: 20,
        max_error_rate: Some(0.05),
        max_latency_ratio: Some(2.0),
        max_fallback_rate: Some(0.05),
    }
}

fn counted(asked: u64, errors: u64, fallbacks: u64) -> Figures {
    Figures { asked, errors, fallbacks, ..Figures::default() }
}

fn times(milliseconds: u64, count: u32) -> Latencies {
    let latency = Latency::default();
    (0..count).for_each(|_| latency.observe(Duration::from_millis(milliseconds)));
    latency.latencies()
}

#[test]
fn each_limit_trips_once_there_are_enough_requests() {
    assert_eq!(judge(&settings(), &counted(19, 19, 19)), None);
    assert_eq!(judge(&settings(), &counted(20, 1, 1)), None, "5 % is the limit and not beyond it");
    let errors = judge(&settings(), &counted(20, 2, 0)).unwrap();
    assert_eq!(errors.to_string(), "2 of 20 requests failed, the limit is 0.05");
    let fallbacks = judge(&settings(), &counted(20, 0, 2)).unwrap();
    assert_eq!(fallbacks.to_string(), "2 of 20 requests were left to the control, the limit is 0.05");
}

#[test]
fn slowness_trips_where_both_arms_have_enough() {
    let slow = |candidate, control| Figures { candidate, control, ..Figures::default() };
    let trip = judge(&settings(), &slow(times(900, 20), times(100, 20))).unwrap();
    assert!(matches!(trip, Trip::Latency { limit: 2.0, .. }), "{trip}");
    assert_eq!(judge(&settings(), &slow(times(900, 20), times(100, 19))), None);
    assert_eq!(judge(&settings(), &slow(times(900, 19), times(100, 20))), None);
    assert_eq!(judge(&settings(), &slow(times(190, 20), times(100, 20))), None);
    let off = Settings { max_latency_ratio: None, ..settings() };
    assert_eq!(judge(&off, &slow(times(900, 20), times(100, 20))), None);
}

#[test]
fn a_window_forgets() {
    let (start, length) = (Instant::now(), Duration::from_mins(2));
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut window = Window::new(start, counted(1000, 900, 0));
    assert_eq!(
        window.advance(at(1), &counted(1010, 905, 0), length),
        counted(10, 5, 0),
        "nothing of before it"
    );
    for second in 2..=140 {
        window.advance(at(second), &counted(1010, 905, 0), length);
    }
    assert_eq!(window.advance(at(141), &counted(1010, 905, 0), length), counted(0, 0, 0));
    assert!(window.slices.len() <= SLICES as usize + 2, "{}", window.slices.len());
}

proptest! {
    #[test]
    fn good_figures_never_trip(asked in 0..100_000_u64, share in 0.0..=0.05_f64, ms in 1..1000_u64) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "small")]
        let bad = (asked as f64 * share).floor() as u64;
        let figures = Figures { candidate: times(ms, 30), control: times(ms, 30), ..counted(asked, bad, bad) };
        prop_assert_eq!(judge(&settings(), &figures), None);
    }

    #[test]
    fn more_errors_never_untrip(asked in 1..10_000_u64, errors in 0..10_000_u64) {
        let errors = errors.min(asked);
        if judge(&settings(), &counted(asked, errors, 0)).is_some() {
            prop_assert!(judge(&settings(), &counted(asked, (errors + 1).min(asked), 0)).is_some());
        }
    }

    /// However often it is looked at, a window holds all of its last `length`, and no more than a slice beyond.
    #[test]
    fn a_window_holds_what_it_should(steps in prop::collection::vec(1..5000_u64, 1..200)) {
        let (start, length) = (Instant::now(), Duration::from_secs(20));
        let (mut window, mut log, mut now, mut total) = (Window::new(start, Figures::default()), vec![(start, 0)], start, 0);
        for step in steps {
            now += Duration::from_millis(step);
            total += 1;
            let within = window.advance(now, &counted(total, 0, 0), length).asked;
            log.push((now, total));
            let counted_since = |from: Duration| {
                let before = log.iter().rev().find(|(at, _)| now.duration_since(*at) >= from);
                total - before.map_or(0, |(_, total)| *total)
            };
            prop_assert!(within >= counted_since(length));
            // A slice ends at the first look after its time.
            prop_assert!(within <= counted_since(length + length / SLICES + Duration::from_secs(10)));
        }
    }
}
