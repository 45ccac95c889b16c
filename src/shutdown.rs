//! How the process ends: one token that everything listens to, one tracker that knows every task, one deadline.

use std::{future::Future, io, process, time::Duration};

use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The lifetime that tasks belong to. Cheap to clone; all clones are one lifetime.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    draining: CancellationToken,
    tracker: TaskTracker,
}

impl Shutdown {
    /// A lifetime within this one: it drains with it, and can also be ended and waited for by itself.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { draining: self.draining.child_token(), tracker: TaskTracker::new() }
    }

    /// Asks everything to finish what it has begun and to begin nothing more.
    pub fn begin(&self) {
        self.draining.cancel();
        self.tracker.close();
    }

    /// True once [`begin`](Self::begin) was called.
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Resolves when draining begins.
    pub async fn draining(&self) {
        self.draining.cancelled().await;
    }

    /// Runs `task` on the current runtime as part of this lifetime.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.tracker.spawn(task)
    }

    /// Waits until every task has ended, at most `deadline`; false when the deadline cut something off.
    pub async fn drained(&self, deadline: Duration) -> bool {
        self.tracker.close();
        tokio::time::timeout(deadline, self.tracker.wait()).await.is_ok()
    }

    /// Obeys [signals](Self::on_signals) by a task on `plane` that belongs to no lifetime: a second one has to be heard to
    /// the very end.
    pub fn obey_signals(&self, plane: &Handle) {
        let signals = self.clone().on_signals();
        drop(plane.spawn(async move {
            if let Err(error) = signals.await {
                tracing::error!(%error, "signals cannot be heard");
            }
        }));
    }

    /// Begins to drain at the first SIGTERM or SIGINT; the second ends the process at once.
    pub async fn on_signals(self) -> io::Result<()> {
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        for times in 1.. {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if times > 1 {
                tracing::warn!(signal = name, "ending at once");
                process::exit(1);
            }
            tracing::info!(signal = name, "draining; a second signal ends at once");
            self.begin();
        }
        Ok(())
    }
}
