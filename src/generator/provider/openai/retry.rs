//! When a provider that did not draw may be asked again.

use std::time::Duration;

use http::HeaderValue;
use jiff::Timestamp;

use super::super::{Refused, WhyRefused};

/// A wish to be left alone for longer is obeyed by not asking again.
const LONGEST_WAIT: Duration = Duration::from_mins(2);
const FIRST: f64 = 0.5;
const LONGEST_STEP: f64 = 8.0;
/// How much of a step chance may take off, so that many who wait do not come back at once.
const JITTER: f64 = 0.25;

/// How long to wait after the refusal of try `attempt`, counted from 0; none where asking again is of no use. `chance`
/// is from 0 to 1.
pub(super) fn pause(refused: &Refused, attempt: u32, chance: f64) -> Option<Duration> {
    let again = matches!(refused.why, WhyRefused::RateLimit | WhyRefused::Overload | WhyRefused::Unreachable);
    match refused.retry_after {
        _ if !again => None,
        Some(asked) => Some(asked).filter(|asked| *asked <= LONGEST_WAIT),
        None => {
            let step = FIRST * 2_f64.powi(attempt.min(16).cast_signed());
            Some(Duration::from_secs_f64(step.min(LONGEST_STEP) * (1.0 - JITTER * chance.clamp(0.0, 1.0))))
        }
    }
}

/// What `Retry-After-Ms` and `Retry-After` ask for, the finer one first.
pub(super) fn asked(
    millis: Option<&HeaderValue>,
    after: Option<&HeaderValue>,
    now: Timestamp,
) -> Option<Duration> {
    let millis = millis.and_then(seconds).map(|millis| millis / 1000.0);
    let wait = millis.or_else(|| seconds(after?)).or_else(|| until(after?, now))?;
    Duration::try_from_secs_f64(wait).ok()
}

/// Milliseconds of a pause, for the log.
pub(super) fn millis(pause: Duration) -> u64 {
    u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)
}

fn seconds(value: &HeaderValue) -> Option<f64> {
    let number: f64 = value.to_str().ok()?.trim().parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number)
}

/// A date (RFC 9110, 10.2.3); one that has passed asks for nothing.
fn until(value: &HeaderValue, now: Timestamp) -> Option<f64> {
    let text = value.to_str().ok()?.trim();
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(date.duration_since(now).as_secs_f64().max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(why: WhyRefused, retry_after: Option<Duration>) -> Refused {
        Refused { why, blame: None, message: String::new(), request_id: None, retry_after }
    }

    #[test]
    fn steps_double_up_to_eight_seconds_less_a_quarter() {
        let busy = refused(WhyRefused::RateLimit, None);
        for (attempt, longest) in [(0, 0.5), (1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 8.0), (400, 8.0)] {
            assert_eq!(pause(&busy, attempt, 0.0), Some(Duration::from_secs_f64(longest)));
            assert_eq!(pause(&busy, attempt, 1.0), Some(Duration::from_secs_f64(longest * 0.75)));
        }
    }

    #[test]
    fn only_what_cannot_have_been_charged_is_asked_again() {
        for why in [WhyRefused::RateLimit, WhyRefused::Overload, WhyRefused::Unreachable] {
            assert!(pause(&refused(why, None), 0, 0.5).is_some(), "{why:?}");
        }
        for why in [
            WhyRefused::Moderation,
            WhyRefused::Request,
            WhyRefused::Key,
            WhyRefused::Model,
            WhyRefused::Quota,
        ] {
            assert_eq!(pause(&refused(why, Some(Duration::from_secs(1))), 0, 0.5), None, "{why:?}");
        }
        let later =
            |seconds| pause(&refused(WhyRefused::Overload, Some(Duration::from_secs(seconds))), 0, 0.5);
        assert_eq!((later(120), later(121)), (Some(Duration::from_mins(2)), None));
    }

    #[test]
    fn what_is_asked_for_is_read_in_all_its_forms() {
        let now: Timestamp = "2026-11-28T08:00:00Z".parse().unwrap();
        let of = |millis: Option<&'static str>, after: Option<&'static str>| {
            let value = |text: Option<&'static str>| text.map(HeaderValue::from_static);
            asked(value(millis).as_ref(), value(after).as_ref(), now)
        };
        assert_eq!(of(Some("250"), Some("9")), Some(Duration::from_millis(250)));
        assert_eq!(of(None, Some("1.5")), Some(Duration::from_millis(1500)));
        assert_eq!(of(Some("soon"), Some("2")), Some(Duration::from_secs(2)));
        assert_eq!(of(None, Some("Sat, 28 Nov 2026 08:00:30 GMT")), Some(Duration::from_secs(30)));
        assert_eq!(of(None, Some("Sat, 28 Nov 2026 07:00:00 GMT")), Some(Duration::ZERO));
        for nothing in ["", "-1", "NaN", "inf", "tomorrow"] {
            assert_eq!(of(None, Some(nothing)), None, "{nothing}");
        }
    }
}
