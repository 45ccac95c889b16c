//! What a connection rings when something has happened on it.
//!
//! The halves of hyper's client wake each other at every step of an exchange. One task has them all, so only what comes
//! from the socket is news to it: the rest would have it polled once more for each step.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Wake, Waker},
};

/// Passes a waking on to whoever listens, and remembers it where nobody does.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: AtomicBool,
    listens: Mutex<Option<Waker>>,
}

impl Bell {
    /// Nobody listens from now on.
    pub(super) fn hush(&self) {
        *self.listens() = None;
    }

    /// What was rung for is about to be seen to.
    pub(super) fn reset(&self) {
        // Most often it was not: to look costs less than to write.
        if self.has_rung() {
            self.rung.store(false, SeqCst);
        }
    }

    /// Whether it was rung since it was [`reset`](Self::reset).
    pub(super) fn has_rung(&self) -> bool {
        self.rung.load(SeqCst)
    }

    /// `waker` is woken when it is rung, and at once where it was.
    pub(super) fn listen(&self, waker: &Waker) {
        *self.listens() = Some(waker.clone());
        if self.has_rung() {
            waker.wake_by_ref();
        }
    }

    fn listens(&self) -> MutexGuard<'_, Option<Waker>> {
        self.listens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, SeqCst)
            && let Some(listens) = &*self.listens()
        {
            listens.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Sleeper(AtomicBool);

    impl Wake for Sleeper {
        fn wake(self: Arc<Self>) {
            self.0.store(true, SeqCst);
        }
    }

    impl Sleeper {
        fn was_woken(&self) -> bool {
            self.0.swap(false, SeqCst)
        }
    }

    #[test]
    fn who_listens_is_woken_once_and_who_came_late_at_once() {
        let (bell, sleeper) = (Arc::new(Bell::default()), Arc::new(Sleeper::default()));
        let (rope, waker) = (Waker::from(bell.clone()), Waker::from(sleeper.clone()));
        rope.wake_by_ref();
        bell.listen(&waker);
        assert!(sleeper.was_woken(), "it had rung before");
        bell.reset();
        rope.wake_by_ref();
        assert!(sleeper.was_woken() && bell.has_rung());
        rope.wake_by_ref();
        assert!(!sleeper.was_woken(), "it knows");
        bell.reset();
        bell.hush();
        rope.wake_by_ref();
        assert!(!sleeper.was_woken() && bell.has_rung());
    }
}
