//! What a connection to an upstream waits for: watched by the connection itself, with one timer for all its exchanges.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::body::Progress;
use crate::timer::LazyTimer;

/// How long a body that was announced with `Expect` waits for a 100 (RFC 9110, 10.1.1: not indefinitely).
const CONTINUE_WAIT: Duration = Duration::from_secs(1);

/// The answer that a connection owes, if any.
#[derive(Debug, Default)]
pub(super) struct Awaits(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Nothing,
    Answer {
        began: Instant,
        after: Duration,
        upload: Option<Arc<Progress>>,
    },
    Late,
}

impl Awaits {
    /// An answer is due `after` now, or after the last piece of its request.
    pub(super) fn begin(&self, after: Duration, upload: Option<Arc<Progress>>) {
        *self.state() = State::Answer { began: Instant::now(), after, upload };
    }

    /// The answer has come, or never will; false when it was late.
    pub(super) fn end(&self) -> bool {
        !matches!(std::mem::take(&mut *self.state()), State::Late)
    }

    /// Ready when an answer is late; lets a held body flow in time.
    pub(super) fn poll_late(&self, cx: &mut Context<'_>, timer: &mut LazyTimer) -> Poll<()> {
        loop {
            let mut state = self.state();
            let State::Answer { began, after, upload } = &*state else { return Poll::Pending };
            let held = upload.as_ref().filter(|upload| upload.is_held());
            let due = match (held, upload) {
                (Some(_), _) => *began + CONTINUE_WAIT.min(*after),
                // The body's own limit holds; the driver is polled again with its next piece.
                (None, Some(upload)) if upload.is_starved() => return Poll::Pending,
                (None, Some(upload)) => upload.last() + *after,
                (None, None) => *began + *after,
            };
            if timer.poll_until(cx, due).is_pending() {
                return Poll::Pending;
            }
            let Some(upload) = held else {
                *state = State::Late;
                return Poll::Ready(());
            };
            upload.proceed();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
