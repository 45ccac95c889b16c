//! The work plane as the generator sees it: where its tasks run, whoever calls.

use std::future::Future;

use tokio::{runtime::Handle, task::JoinHandle};

pub(crate) use crate::compute::Crashed;
use crate::{compute::Compute, shutdown::Shutdown};

/// A runtime and the lifetime that its tasks belong to. Callers may stand on another runtime.
#[derive(Clone, Debug)]
pub(crate) struct Plane {
    runtime: Handle,
    shutdown: Shutdown,
    compute: Compute,
}

impl Plane {
    /// The runtime that this is called on.
    pub(crate) fn current(shutdown: Shutdown) -> Self {
        Self { runtime: Handle::current(), shutdown, compute: Compute::default() }
    }

    /// The same, whose pictures are computed and moved on these threads.
    pub(crate) fn computing_on(self, compute: Compute) -> Self {
        Self { compute, ..self }
    }

    /// Runs `task` on this plane, as part of its lifetime.
    pub(crate) fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let _here = self.runtime.enter();
        self.shutdown.spawn(task)
    }

    /// Runs `work`, which waits for a disk, on a thread that may block.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Crashed> {
        self.runtime.spawn_blocking(self.compute.trapped(work)).await.map_err(|_| Crashed)
    }

    /// Runs `work`, which computes long, after what was there before it and when no request needs its processor.
    pub(crate) async fn computing<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Crashed> {
        self.compute.run(work).await
    }

    /// Runs `task`, which moves many bytes, where it takes a processor from no request; it ends with who waits for it.
    pub(crate) async fn moving<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Crashed> {
        self.compute.moving(task).await
    }

    /// Runs `work`, which moves many bytes to a disk or from it, where it takes a processor from no request.
    pub(crate) async fn bulk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Crashed> {
        self.compute.bulk(work).await
    }

    /// The lifetime that tasks of this plane belong to.
    pub(crate) fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }
}
