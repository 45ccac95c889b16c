//! How long an exchange waits for its answer, and a held body for being asked for.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::body::Progress;
use crate::timer::{LazyTimer, next_tick};

/// How long a body that was announced with `Expect` waits for a 100 (RFC 9110, 10.1.1: not indefinitely).
const CONTINUE_WAIT: Duration = Duration::from_secs(1);

/// The answer that an upstream owes.
#[derive(Debug)]
pub(super) struct Awaits {
    began: Instant,
    after: Duration,
    upload: Option<Arc<Progress>>,
}

impl Awaits {
    /// An answer is due `after` now, or after the last piece of its request.
    pub(super) fn begin(after: Duration, upload: Option<Arc<Progress>>) -> Self {
        Self { began: next_tick(), after, upload }
    }

    /// Ready when the answer is late; lets a held body flow in time.
    pub(super) fn poll_late(&self, cx: &mut Context<'_>, timer: &mut LazyTimer) -> Poll<()> {
        loop {
            let held = self.upload.as_ref().filter(|upload| upload.is_held());
            let due = match (held, &self.upload) {
                (Some(_), _) => self.began + CONTINUE_WAIT.min(self.after),
                // The body's own limit holds; this is polled again with its next piece.
                (None, Some(upload)) if upload.is_starved() => return Poll::Pending,
                (None, Some(upload)) => upload.last() + self.after,
                (None, None) => self.began + self.after,
            };
            if timer.poll_until(cx, due).is_pending() {
                return Poll::Pending;
            }
            let Some(upload) = held else { return Poll::Ready(()) };
            upload.proceed();
        }
    }
}
