//! One timer for all the deadlines of a connection, in turn, and a clock for what they count from.
//!
//! A timer that is moved at every request costs more than the work it guards. This one stays where it is while the
//! deadline only moves away, looks again when it fires, and so costs about one wake-up per idle timeout. What is waited for
//! a second and more may begin some milliseconds late: that time is read from memory that the kernel writes, at a third of
//! what asking the processor takes.

use std::{
    future::Future,
    pin::Pin,
    sync::LazyLock,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};
use tokio::time::{Sleep, sleep_until};

/// A lazy timer. Makes its entry in the runtime's wheel when it is first needed.
#[derive(Debug)]
pub(crate) struct LazyTimer(Pin<Box<Sleep>>);

impl LazyTimer {
    /// Belongs to the runtime it is made in.
    pub(crate) fn new() -> Self {
        Self(Box::pin(sleep_until(Instant::now().into())))
    }

    /// Ready once `deadline` has passed; the task is woken for it, and perhaps once before.
    pub(crate) fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        if self.0.is_elapsed() || self.0.deadline().into_std() > deadline {
            self.0.as_mut().reset(deadline.into());
        }
        loop {
            ready!(self.0.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            self.0.as_mut().reset(deadline.into());
        }
    }
}

/// The next tick of the kernel's clock (`CLOCK_MONOTONIC_COARSE`): at most 10 ms from now, and not past, unless the kernel
/// is late with it.
pub(crate) fn next_tick() -> Instant {
    /// A moment by both clocks, where the slower one is a tick ahead.
    static SAME: LazyLock<(Instant, Duration)> = LazyLock::new(|| {
        let tick = since_boot(clock_getres(ClockId::MonotonicCoarse));
        (Instant::now(), since_boot(clock_gettime(ClockId::Monotonic)).saturating_sub(tick))
    });
    let (instant, since_boot_then) = *SAME;
    instant + since_boot(clock_gettime(ClockId::MonotonicCoarse)).saturating_sub(since_boot_then)
}

fn since_boot(time: Timespec) -> Duration {
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_tick_is_near_and_not_past() {
        let mut to_come = 0;
        while to_come < 1_000 {
            let (before, tick, after) = (Instant::now(), next_tick(), Instant::now());
            assert!(tick <= after + Duration::from_millis(10), "in {:?}", tick - after);
            to_come += u32::from(tick >= before);
        }
    }
}
