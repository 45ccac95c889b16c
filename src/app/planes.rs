//! Where everything runs that is no request: the work plane, and what of it runs beside the requests that it watches.

use std::io;

use tokio::runtime::{Builder, Runtime};

use crate::{
    compute::{self, Compute},
    priority,
    schedstat::Crews,
    shutdown::Shutdown,
};

/// The runtimes, their threads and their lifetime.
pub(super) struct Planes {
    /// What a request may have to wait for.
    pub(super) work: Runtime,
    /// What none waits for.
    pub(super) beside: Runtime,
    /// What computes long.
    pub(super) compute: Compute,
    /// Whose threads are whose.
    pub(super) crews: Crews,
    /// It outlives the workers, which need it.
    pub(super) life: Shutdown,
}

impl Planes {
    /// Starts the threads.
    pub(super) fn start() -> io::Result<Self> {
        let crews = Crews::default();
        let crew = crews.beside.clone();
        let work = plane("work", priority::give_way).build()?;
        let beside = move || {
            priority::come_last();
            crew.join();
        };
        let beside = plane("beside", beside).worker_threads(compute::threads()).build()?;
        let compute = Compute::beside(beside.handle().clone());
        Ok(Self { work, beside, compute, crews, life: Shutdown::default() })
    }
}

/// Threads that run tasks, at this priority.
fn plane(name: &str, begin: impl Fn() + Send + Sync + 'static) -> Builder {
    let mut plane = Builder::new_multi_thread();
    plane.thread_name(name).on_thread_start(begin).enable_all();
    plane
}
