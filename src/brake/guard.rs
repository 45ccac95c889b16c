//! What pulls the brake by itself: a route's live figures over a moving window, held against its limits.
//!
//! The parallel run's verdict is too slow for this after thousands of good pairs; here only the last minutes count.

use std::{collections::VecDeque, fmt, time::Duration};

use tokio::time::Instant;

use crate::telemetry::latency::Latencies;

/// A window is remembered in this many slices; it may be longer than asked by one of them.
const SLICES: u32 = 16;

/// `[route.guard]`; a limit that is absent does not hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How far back it looks.
    pub window: Duration,
    /// Fewer than these say nothing.
    pub min_requests: u64,
    /// Of the candidate's requests, failed ones; a fallback that masked a failure is one.
    pub max_error_rate: Option<f64>,
    /// The candidate's 95th percentile over the control's.
    pub max_latency_ratio: Option<f64>,
    /// Of the candidate's requests, those left to the control.
    pub max_fallback_rate: Option<f64>,
}

/// What a route has counted, ever or within a window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Requests that the candidate was asked, those left to the control included.
    pub asked: u64,
    /// Those of them that failed, masked or not.
    pub errors: u64,
    /// Those of them that were left to the control.
    pub fallbacks: u64,
    /// Times of the candidate's answers.
    pub candidate: Latencies,
    /// Times of the control's.
    pub control: Latencies,
}

/// Why the brake is pulled.
#[derive(Clone, Debug, PartialEq)]
pub enum Trip {
    /// Too many failed.
    Errors {
        /// How many.
        errors: u64,
        /// Of how many.
        asked: u64,
        /// How many would have done.
        limit: f64,
    },
    /// Too many were left to the control.
    Fallbacks {
        /// How many.
        fallbacks: u64,
        /// Of how many.
        asked: u64,
        /// How many would have done.
        limit: f64,
    },
    /// The candidate is too slow.
    Latency {
        /// Its 95th percentile, at least.
        candidate: Duration,
        /// The control's, at most.
        control: Duration,
        /// The ratio that would have done.
        limit: f64,
    },
}

/// The last figures of one route, as far back as its guard looks.
#[derive(Clone, Debug)]
pub struct Window {
    /// The oldest first. What was counted before the first is not looked at.
    slices: VecDeque<(Instant, Figures)>,
}

impl Figures {
    /// What was counted since `before`. A counter that began anew counts from nothing.
    fn since(&self, before: &Self) -> Self {
        Self {
            asked: self.asked.saturating_sub(before.asked),
            errors: self.errors.saturating_sub(before.errors),
            fallbacks: self.fallbacks.saturating_sub(before.fallbacks),
            candidate: self.candidate.since(&before.candidate),
            control: self.control.since(&before.control),
        }
    }
}

impl Window {
    /// Begins at `now`, when `figures` had been counted.
    pub fn new(now: Instant, figures: Figures) -> Self {
        Self { slices: VecDeque::from([(now, figures)]) }
    }

    /// What was counted within `length` before `now`, `figures` being all that was ever.
    pub fn advance(&mut self, now: Instant, figures: &Figures, length: Duration) -> Figures {
        let ends = |at: Instant| now.saturating_duration_since(at);
        // The newest slice that is old enough is the window's beginning.
        while self.slices.get(1).is_some_and(|(at, _)| ends(*at) >= length) {
            self.slices.pop_front();
        }
        let within = self.slices.front().map(|(_, before)| figures.since(before)).unwrap_or_default();
        if self.slices.back().is_none_or(|(at, _)| ends(*at) >= length / SLICES) {
            self.slices.push_back((now, figures.clone()));
        }
        within
    }
}

/// Whether what was counted within the window passes a limit: the first that it does.
pub fn judge(settings: &Settings, figures: &Figures) -> Option<Trip> {
    let &Settings { min_requests, max_error_rate, max_latency_ratio, max_fallback_rate, window: _ } =
        settings;
    let &Figures { asked, errors, fallbacks, ref candidate, ref control } = figures;
    if asked >= min_requests.max(1) {
        if let Some(limit) = max_error_rate.filter(|limit| exceeds(errors, asked, *limit)) {
            return Some(Trip::Errors { errors, asked, limit });
        }
        if let Some(limit) = max_fallback_rate.filter(|limit| exceeds(fallbacks, asked, *limit)) {
            return Some(Trip::Fallbacks { fallbacks, asked, limit });
        }
    }
    let limit = max_latency_ratio?;
    if candidate.count().min(control.count()) < min_requests.max(1) {
        return None;
    }
    // Buckets are 12 % wide: only what is too slow wherever in them the truth lies is too slow.
    let (candidate, control) = (candidate.percentile(95)?.least, control.percentile(95)?.most?);
    (candidate.as_secs_f64() > limit * control.as_secs_f64()).then_some(Trip::Latency {
        candidate,
        control,
        limit,
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts of minutes are far below 2^52")]
fn exceeds(part: u64, whole: u64, limit: f64) -> bool {
    part as f64 > limit * whole as f64
}

impl fmt::Display for Trip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errors { errors, asked, limit } => {
                write!(f, "{errors} of {asked} requests failed, the limit is {limit}")
            }
            Self::Fallbacks { fallbacks, asked, limit } => {
                write!(f, "{fallbacks} of {asked} requests were left to the control, the limit is {limit}")
            }
            Self::Latency { candidate, control, limit } => write!(
                f,
                "the candidate's p95 is {} ms or more and the control's {} ms or less, the limit is {limit} times",
                candidate.as_millis(),
                control.as_millis()
            ),
        }
    }
}

#[cfg(test)]
mod tests;
