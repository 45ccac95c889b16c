//! The last resort of completeness.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::Sampled;
use crate::parallel_run::{
    arms,
    comparison::{Class, Outcome, Skip},
};

/// Sees to it that a request leaves its record even if its task is dropped before the candidate was called.
pub(super) struct Guard {
    sampled: Arc<Sampled>,
    armed: AtomicBool,
}

impl Guard {
    pub(super) fn new(sampled: &Arc<Sampled>) -> Self {
        Self { sampled: Arc::clone(sampled), armed: AtomicBool::new(true) }
    }

    /// From here on the record is somebody else's.
    pub(super) fn disarm(&self) {
        self.armed.store(false, Ordering::Relaxed);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if *self.armed.get_mut() {
            let class =
                if std::thread::panicking() { Class::Incomparable } else { Class::Skipped(Skip::Shutdown) };
            self.sampled.keep(self.sampled.record(class, arms::unanswered(Outcome::Transport)), None);
        }
    }
}
