//! Whether the plane of the parallel runs keeps up: how late a task wakes that wants to wake at every beat.
//!
//! That plane gets what the requests leave of the processors. A candidate that waits for a processor of ours is neither
//! slow nor failing, and a pair that cannot be timed proves nothing: it is skipped, whatever came of it.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::allowance::Allowance;

/// Between two beats.
const BEAT: Duration = Duration::from_millis(20);
/// Beats between two looks at what was taken of the processors, but for as many at first, which are looks each: a load
/// that comes at once should not wait to be seen.
const LOOK: u32 = 5;
/// Beats without a pair after which it rests: an idle gateway wakes for nothing.
const REST: u32 = 50;
/// Skipped pairs of one beat that are written down one by one. Of more only the number is.
const TOLD: u32 = 4;

/// The lateness of one plane, and what it may take. Times in microseconds since it was made.
#[derive(Debug)]
pub(crate) struct Pulse {
    began: Instant,
    last: AtomicU64,
    /// All that the beats were late by.
    lost: AtomicU64,
    rests: AtomicBool,
    /// Beats since the last pair came.
    quiet: AtomicU32,
    at_work: AtomicU32,
    told: AtomicU32,
    wanted: Notify,
    allowance: Allowance,
}

impl Pulse {
    /// At rest.
    pub(crate) fn new(allowance: Allowance) -> Self {
        Self {
            began: Instant::now(),
            last: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            rests: AtomicBool::new(true),
            quiet: AtomicU32::new(0),
            at_work: AtomicU32::new(0),
            told: AtomicU32::new(0),
            wanted: Notify::new(),
            allowance,
        }
    }

    /// Beats on the plane that this is called on, for as long as it is polled.
    pub(crate) async fn beat(self: Arc<Self>) {
        let (mut beats, mut unseen) = (0_u32, Duration::ZERO);
        loop {
            let is_quiet = self.quiet.fetch_add(1, Ordering::Relaxed) >= REST;
            if is_quiet && self.at_work.load(Ordering::Relaxed) == 0 {
                self.rest();
                self.allowance.begin();
                self.wanted.notified().await;
            }
            // Lateness begins with the first beat.
            if self.rests.swap(false, Ordering::AcqRel) {
                self.last.store(self.now(), Ordering::Release);
                self.allowance.begin();
                (beats, unseen) = (0, Duration::ZERO);
            }
            tokio::time::sleep(BEAT).await;
            let now = self.now();
            let since = now.saturating_sub(self.last.swap(now, Ordering::AcqRel));
            self.lost.fetch_add(since.saturating_sub(micros(2 * BEAT)), Ordering::AcqRel);
            unseen += Duration::from_micros(since);
            beats = beats.wrapping_add(1);
            if beats <= LOOK || beats.is_multiple_of(LOOK) {
                self.allowance.review(mem::take(&mut unseen));
            }
            self.told.store(0, Ordering::Relaxed);
        }
    }

    /// What pairs may take from now on, as a share of what the workers take.
    pub(crate) fn may_take(&self, share: Option<f64>) {
        self.allowance.configure(share);
    }

    /// Is not late from now on, whatever happens.
    pub(crate) fn rest(&self) {
        self.rests.store(true, Ordering::Release);
    }

    /// It goes on for as long as this is held.
    pub(crate) fn at_work(&self) -> AtWork<'_> {
        self.at_work.fetch_add(1, Ordering::Relaxed);
        AtWork(self)
    }

    /// A pair is on its way to the plane.
    pub(crate) fn wake(&self) {
        self.quiet.store(0, Ordering::Relaxed);
        if self.rests.load(Ordering::Acquire) {
            self.wanted.notify_one();
        }
    }

    /// Whether one more pair may begin, for all that the requests leave of the processors.
    pub(crate) fn may_begin(&self) -> bool {
        let may = self.allowance.take();
        // Where nobody is let in, this goes on for those who ask, or begins. It is written to once a beat, whoever asks.
        if !may && (self.quiet.load(Ordering::Relaxed) != 0 || self.rests.load(Ordering::Relaxed)) {
            self.wake();
        }
        may
    }

    /// Whether a pair that has its place, and has not called anybody yet, had better not.
    pub(crate) fn is_overdrawn(&self) -> bool {
        self.allowance.is_overdrawn()
    }

    /// Whether the plane is at most `most` late now.
    pub(crate) fn keeps_up(&self, most: Duration) -> bool {
        self.overdue() <= micros(most)
    }

    /// All that it has been late by, up to now. What lies between two of these was lost between them.
    pub(crate) fn lost(&self) -> Duration {
        Duration::from_micros(self.lost.load(Ordering::Acquire) + self.overdue())
    }

    /// Whether one more skipped pair of this beat may be written down by itself.
    pub(crate) fn may_tell(&self) -> bool {
        self.told.fetch_add(1, Ordering::Relaxed) < TOLD
    }

    #[cfg(test)]
    pub(crate) fn overdraw(&self) {
        self.allowance.overdraw();
    }

    #[cfg(test)]
    pub(crate) fn rests(&self) -> bool {
        self.rests.load(Ordering::Acquire)
    }

    fn overdue(&self) -> u64 {
        if self.rests.load(Ordering::Acquire) {
            return 0;
        }
        let since = self.now().saturating_sub(self.last.load(Ordering::Acquire));
        since.saturating_sub(micros(2 * BEAT))
    }

    fn now(&self) -> u64 {
        micros(self.began.elapsed())
    }
}

/// A pair on the plane.
pub(crate) struct AtWork<'p>(&'p Pulse);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.at_work.fetch_sub(1, Ordering::Relaxed);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::schedstat::Crews;

    const MOST: Duration = Duration::from_millis(200);

    fn idle() -> Pulse {
        Pulse::new(Allowance::new(Crews::default(), None))
    }

    #[tokio::test]
    async fn a_plane_that_is_held_up_is_late_and_one_that_rests_is_not() {
        let pulse = Arc::new(idle());
        let beating = tokio::spawn(Arc::clone(&pulse).beat());
        thread::sleep(MOST * 2);
        assert!(pulse.keeps_up(MOST), "nothing has begun");
        pulse.wake();
        // Until it has beaten once.
        while pulse.last.load(Ordering::Acquire) == 0 {
            tokio::task::yield_now().await;
        }
        let before = pulse.lost();
        thread::sleep(MOST * 2);
        assert!(!pulse.keeps_up(MOST), "the only thread was asleep");
        assert!(pulse.lost() > before + MOST);
        while !pulse.rests() {
            tokio::time::sleep(BEAT).await;
        }
        assert!(pulse.lost() > before + MOST, "what is lost stays lost");
        beating.abort();
    }

    #[tokio::test]
    async fn who_is_not_let_in_keeps_it_beating_and_after_a_rest_everybody_is() {
        let pulse = Arc::new(idle());
        let beating = tokio::spawn(Arc::clone(&pulse).beat());
        pulse.wake();
        while pulse.rests() {
            tokio::task::yield_now().await;
        }
        pulse.allowance.close();
        let began = Instant::now();
        while began.elapsed() < BEAT * (REST + 20) {
            assert!(!pulse.rests(), "there are some who ask");
            pulse.may_begin();
            tokio::time::sleep(BEAT).await;
            pulse.allowance.close();
        }
        while !pulse.rests() {
            tokio::time::sleep(BEAT).await;
        }
        assert!(pulse.may_begin());
        beating.abort();
    }

    #[tokio::test]
    async fn who_asks_when_all_places_are_taken_and_no_pair_has_come_of_them_is_not_kept_out_for_good() {
        let pulse = Arc::new(idle());
        let beating = tokio::spawn(Arc::clone(&pulse).beat());
        tokio::time::sleep(BEAT).await;
        let let_in = async {
            while !pulse.rests() {
                tokio::time::sleep(BEAT).await;
            }
            pulse.allowance.close();
            while !pulse.may_begin() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), let_in).await.expect("let in again");
        beating.abort();
    }

    #[test]
    fn only_so_many_are_told_one_by_one() {
        let pulse = idle();
        assert_eq!((0..100).filter(|_| pulse.may_tell()).count(), 4);
    }
}
