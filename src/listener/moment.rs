//! A moment, or none, that one task writes and reads.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use crate::timer::next_tick;

/// Shared between the parts of one connection, which one task drives: relaxed, because a lock, uncontended or not, costs
/// more than the clock.
#[derive(Debug)]
pub(super) struct Moment {
    base: Instant,
    /// After the base, in nanoseconds; none of those that come within five hundred years is this.
    after: AtomicU64,
}

const NONE: u64 = u64::MAX;

impl Moment {
    /// None; none before `base` can be kept.
    pub(super) fn none(base: Instant) -> Self {
        Self { base, after: AtomicU64::new(NONE) }
    }

    pub(super) fn get(&self) -> Option<Instant> {
        let after = self.after.load(Relaxed);
        (after != NONE).then(|| self.base + Duration::from_nanos(after))
    }

    pub(super) fn set(&self, at: Instant) {
        let after = at.saturating_duration_since(self.base).as_nanos();
        self.after.store(u64::try_from(after).unwrap_or(NONE), Relaxed);
    }

    /// Makes it now, unless it is some moment already.
    pub(super) fn begin(&self) {
        if self.after.load(Relaxed) == NONE {
            self.set(next_tick());
        }
    }

    pub(super) fn clear(&self) {
        self.after.store(NONE, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_keeps_its_beginning() {
        let base = Instant::now();
        let moment = Moment::none(base);
        assert_eq!(moment.get(), None);
        moment.set(base + Duration::from_secs(1));
        moment.begin();
        assert_eq!(moment.get(), Some(base + Duration::from_secs(1)));
        moment.clear();
        assert_eq!(moment.get(), None);
        moment.begin();
        assert!(moment.get().is_some_and(|at| at >= base));
    }
}
