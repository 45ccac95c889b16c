//! Threads for what computes long (drawing an image, examining one, comparing two answers) and for what moves many bytes.
//!
//! They run when nothing else wants to, so that neither a request nor a reload ever waits behind a picture. Those that
//! compute are fewer than the processors.

use std::{
    future::Future,
    io,
    num::NonZero,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use thiserror::Error;
use tokio::{runtime::Handle, sync::oneshot};
use tokio_util::task::AbortOnDropHandle;

use crate::priority;

type Job = Box<dyn FnOnce() + Send>;

/// A few threads, started with their first piece of work and ended with the last clone of this.
#[derive(Clone, Debug, Default)]
pub struct Compute {
    threads: Arc<OnceLock<Option<Sender<Job>>>>,
    beside: Option<Handle>,
    trap: Trap,
}

/// What ends a piece of work in a panic where a test has set it, and is nothing elsewhere. Clones are one.
#[derive(Clone, Debug, Default)]
struct Trap(#[cfg(test)] Arc<std::sync::atomic::AtomicUsize>);

impl Trap {
    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "there is none"))]
    fn step(&self) {
        #[cfg(test)]
        assert_ne!(self.0.fetch_sub(1, std::sync::atomic::Ordering::Relaxed), 1, "on purpose");
    }
}

/// A piece of work ended in a panic, or there is no thread for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the work ended without an answer")]
pub struct Crashed;

impl Compute {
    /// Moves bytes on the threads of this plane. The default has only the one that it is called on.
    pub fn beside(plane: Handle) -> Self {
        Self { beside: Some(plane), ..Self::default() }
    }

    /// Runs `task`, which moves many bytes, and ends it when nobody waits for it any more.
    pub async fn moving<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Crashed> {
        let trap = self.trap.clone();
        let task = async move {
            trap.step();
            task.await
        };
        AbortOnDropHandle::new(self.plane().spawn(task)).await.map_err(|_| Crashed)
    }

    /// Runs `work`, which moves many bytes to a disk or from it, to its end.
    pub async fn bulk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Crashed> {
        let work = self.trapped(work);
        self.plane().spawn_blocking(work).await.map_err(|_| Crashed)
    }

    /// The same work, unless a test ends it.
    pub(crate) fn trapped<T>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl FnOnce() -> T + Send + 'static {
        let trap = self.trap.clone();
        move || {
            trap.step();
            work()
        }
    }

    /// Runs `work`, which is short, on the thread that it is called on: two other turns would take longer.
    pub fn at_once<T>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Crashed> {
        catch_unwind(AssertUnwindSafe(self.trapped(work))).map_err(|_| Crashed)
    }

    fn plane(&self) -> Handle {
        self.beside.clone().unwrap_or_else(Handle::current)
    }

    /// Runs `work` when its turn has come; not at all where nobody waits for it any more by then.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Crashed> {
        let (work, (answer, waits)) = (self.trapped(work), oneshot::channel());
        let job = move || {
            if !answer.is_closed()
                && let Ok(done) = catch_unwind(AssertUnwindSafe(work))
            {
                drop(answer.send(done));
            }
        };
        let jobs = self.threads.get_or_init(|| {
            let started = start();
            started.inspect_err(|error| tracing::error!(%error, "no thread to compute on")).ok()
        });
        jobs.as_ref().ok_or(Crashed)?.send(Box::new(job)).map_err(|_| Crashed)?;
        waits.await.map_err(|_| Crashed)
    }
}

#[cfg(test)]
impl Compute {
    /// Has the piece of work of this number end in a panic, the next one being 1; 0 none. So many were still to come.
    pub(crate) fn end(&self, piece: usize) -> usize {
        self.trap.0.swap(piece, std::sync::atomic::Ordering::Relaxed)
    }
}

/// How many there are of what gives way to the requests: one less than processors.
pub(crate) fn threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).saturating_sub(1).max(1)
}

fn start() -> io::Result<Sender<Job>> {
    let (sender, jobs) = channel();
    let jobs = Arc::new(Mutex::new(jobs));
    for number in 0..threads() {
        let jobs = jobs.clone();
        let work = move || {
            priority::compute_last();
            while let Some(job) = next(&jobs) {
                job();
            }
        };
        thread::Builder::new().name(format!("compute-{number}")).spawn(work)?;
    }
    Ok(sender)
}

/// The next piece of work; none once nobody can bring any.
fn next(jobs: &Mutex<Receiver<Job>>) -> Option<Job> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[tokio::test]
    async fn work_is_done_and_a_panic_ends_only_its_own() {
        let compute = Compute::default();
        assert_eq!(compute.run(|| 6 * 7).await, Ok(42));
        for _ in 0..20 {
            assert_eq!(compute.run(|| panic!("on purpose")).await, Err::<(), _>(Crashed));
        }
        let name = compute.run(|| thread::current().name().map(str::to_owned)).await;
        assert!(name.unwrap().unwrap().starts_with("compute-"));
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_not_done() {
        let compute = Compute::default();
        let gate = Arc::new(Barrier::new(threads() + 1));
        // All threads are busy.
        let busy: Vec<_> = (0..threads())
            .map(|_| {
                let (compute, gate) = (compute.clone(), gate.clone());
                tokio::spawn(async move { compute.run(move || _ = gate.wait()).await })
            })
            .collect();
        tokio::task::yield_now().await;
        let done = Arc::new(OnceLock::new());
        let witness = done.clone();
        let given_up = tokio::time::timeout(
            std::time::Duration::from_millis(1),
            compute.run(move || _ = witness.set(())),
        );
        assert!(given_up.await.is_err());
        gate.wait();
        for busy in busy {
            busy.await.unwrap().unwrap();
        }
        compute.run(|| ()).await.unwrap();
        assert_eq!(done.get(), None);
    }
}
