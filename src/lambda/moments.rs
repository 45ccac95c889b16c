//! How long an event may take, and what of that is for drawing.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// What is kept of an event's time for storing what was drawn, where there is so much.
const FOR_STORING: Duration = Duration::from_secs(10);
/// And for handing the answer over.
const FOR_ANSWERING: Duration = Duration::from_millis(500);

/// The ends of one event's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moments {
    /// When the provider must have answered.
    pub(super) drawn: Instant,
    /// When everything must be over: Lambda ends the process soon after.
    pub(super) over: Instant,
}

impl Moments {
    /// Of an event that has until `deadline`; one that has passed says nothing, and `most` is all the time there is.
    pub(super) fn of(deadline: SystemTime, most: Duration, now: (SystemTime, Instant)) -> Self {
        let (date, now) = now;
        let left = deadline.duration_since(date).unwrap_or_default();
        let left = if left.is_zero() { most + FOR_STORING } else { left };
        let over = left.saturating_sub(FOR_ANSWERING.min(left / 4));
        // Somebody who has given a function little time gets two thirds of it for drawing.
        let drawn = over.saturating_sub(FOR_STORING.min(over / 3));
        // Beyond what an `Instant` can say, there is no end.
        let at = |after: Duration| now.checked_add(after).unwrap_or(now + most);
        Self { drawn: at(drawn), over: at(over) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_for_drawing_and_then_for_storing() {
        let (date, now) = (SystemTime::UNIX_EPOCH + Duration::from_hours(1), Instant::now());
        let of = |left: Duration| {
            let moments = Moments::of(date + left, Duration::from_mins(5), (date, now));
            (moments.drawn - now, moments.over - now)
        };
        let millis = Duration::from_millis;
        assert_eq!(of(millis(60_000)), (millis(49_500), millis(59_500)));
        assert_eq!(of(millis(3_500)), (millis(2_000), millis(3_000)));
        assert_eq!(of(millis(400)), (millis(200), millis(300)));
        // As cargo-lambda counts them: from 1970.
        let passed = Moments::of(SystemTime::UNIX_EPOCH, Duration::from_mins(5), (date, now));
        assert_eq!(passed.drawn - now, millis(299_500));
        assert_eq!(passed.over - now, millis(309_500));
    }
}
