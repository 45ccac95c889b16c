//! The data plane's threads: one single-threaded runtime each, with its own listening sockets.

use std::{io, net, sync::Arc, thread, time::Duration};

use tokio::{
    net::TcpListener,
    runtime::Builder,
    sync::Semaphore,
    time::{MissedTickBehavior, interval},
};

use super::manager::Pulse;
use crate::{
    gateway::{Gateway, Worker},
    listener::{self, Opening},
    schedstat::{self, Crew},
    shutdown::Shutdown,
    telemetry::log,
};

/// Between two looks for idle connections to close. It also keeps a timer near, so that arming a later one never has to
/// wake the runtime: that would be one more system call a request.
const SWEEP: Duration = Duration::from_secs(1);

/// The running workers.
pub(super) struct Workers {
    threads: Vec<thread::JoinHandle<bool>>,
    pulses: Vec<Arc<Pulse>>,
}

impl Workers {
    /// Starts one a set of sockets.
    pub(super) fn start(
        gateway: &Gateway,
        crew: &Crew,
        sockets: Vec<Vec<net::TcpListener>>,
        opening: &Opening,
        room: &Arc<Semaphore>,
        shutdown: &Shutdown,
    ) -> io::Result<Self> {
        let pulses: Vec<Arc<Pulse>> = sockets.iter().map(|_| Pulse::new()).collect();
        let start = |((number, sockets), pulse): ((usize, Vec<net::TcpListener>), &Arc<Pulse>)| {
            let (worker, opening) = (gateway.worker(number, rand::random()), opening.clone());
            let (crew, room, life, pulse) = (crew.clone(), room.clone(), shutdown.child(), pulse.clone());
            let runtime = Builder::new_current_thread().enable_all().on_thread_park(rest).build()?;
            thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                crew.join();
                log::gather();
                runtime.block_on(run(worker, sockets, opening, room, life, &pulse))
            })
        };
        let threads = sockets.into_iter().enumerate().zip(&pulses).map(start).collect::<io::Result<_>>()?;
        Ok(Self { threads, pulses })
    }

    pub(super) fn len(&self) -> usize {
        self.threads.len()
    }

    /// One a worker, which beats while it works.
    pub(super) fn pulses(&self) -> Vec<Arc<Pulse>> {
        self.pulses.clone()
    }

    /// Waits for all of them; true when none was cut off.
    pub(super) fn join(self) -> bool {
        let whole: Vec<bool> =
            self.threads.into_iter().map(|worker| worker.join().unwrap_or(false)).collect();
        whole.into_iter().all(|whole| whole)
    }
}

/// What a worker does when it has nothing else to do, before it waits.
fn rest() {
    log::hand_over();
    schedstat::settle();
}

/// One worker, from its first connection to the end of its drain; true when nothing was cut off.
async fn run(
    worker: Worker,
    sockets: Vec<net::TcpListener>,
    opening: Opening,
    room: Arc<Semaphore>,
    life: Shutdown,
    pulse: &Pulse,
) -> bool {
    for socket in sockets {
        match TcpListener::from_std(socket) {
            Ok(socket) => {
                life.spawn(listener::accept(
                    socket,
                    opening.clone(),
                    worker.clone(),
                    room.clone(),
                    life.clone(),
                ));
            }
            Err(error) => tracing::error!(%error, "a worker cannot use its socket"),
        }
    }
    let mut sweeps = interval(SWEEP);
    sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = sweeps.tick() => {
                pulse.beat();
                worker.sweep();
            }
            () = life.draining() => break,
        }
    }
    let whole = life.drained(worker.drain_deadline()).await;
    worker.close_idle();
    whole
}
