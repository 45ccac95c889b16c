//! The day that pays for a generation, and what a job may cost it.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::money::Usd;

const DAY_SECONDS: u64 = 86_400;

/// A day of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Day(i64);

impl Day {
    /// The day of a moment.
    pub(crate) fn of(at: SystemTime) -> Self {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self(i64::try_from(since / DAY_SECONDS).unwrap_or(i64::MAX))
    }

    /// How long it is until the next day begins.
    pub(crate) fn left(at: SystemTime) -> Duration {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Duration::from_secs(DAY_SECONDS - since % DAY_SECONDS)
    }

    /// Days since 1970, as it is written down.
    pub(crate) fn number(self) -> i64 {
        self.0
    }

    /// Reads [`number`](Self::number).
    pub(crate) fn numbered(number: i64) -> Self {
        Self(number)
    }
}

/// As calendars write it: 2026-11-28.
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.saturating_mul(i64::try_from(DAY_SECONDS).unwrap_or(i64::MAX));
        match jiff::Timestamp::from_second(seconds) {
            Ok(start) => write!(f, "{}", start.strftime("%Y-%m-%d")),
            Err(_) => write!(f, "day {}", self.0),
        }
    }
}

/// What all jobs of today have cost or may cost, of what they may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpentToday {
    /// So much.
    pub spent: Usd,
    /// Of so much.
    pub limit: Usd,
    /// Whether a job was refused because it might have cost more than was left.
    pub is_used_up: bool,
}

/// What a job may cost, and the day whose budget keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Reservation {
    /// The day of the claim.
    pub(crate) day: Day,
    /// The most that the job may cost.
    pub(crate) usd: Usd,
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::Day;

    #[test]
    fn a_day_is_utcs() {
        let second = |seconds| Day::of(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(second(1_795_824_000).to_string(), "2026-11-28");
        assert_eq!(second(1_795_824_000 + 86_399), second(1_795_824_000));
        assert_ne!(second(1_795_824_000 - 1), second(1_795_824_000));
        let left = |seconds| Day::left(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).as_secs();
        assert_eq!((left(1_795_824_000), left(1_795_824_000 + 86_399)), (86_400, 1));
    }
}
