//! One timer for all the deadlines of a connection, in turn.
//!
//! A timer that is moved at every request costs more than the work it guards. This one stays where it is while the
//! deadline only moves away, looks again when it fires, and so costs about one wake-up per idle timeout.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

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
