//! What the service manager is told, where there is one (`sd_notify(3)`): ready, reloading, stopping, alive.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use sd_notify::NotifyState;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::interval,
};

use crate::{reload, shutdown::Shutdown};

/// Tells it; where there is none, nothing happens.
pub(super) fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told how it goes");
    }
}

/// Has the file read again, and tells when that has begun and when it is over.
pub(super) async fn reread(handle: &reload::Handle) {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
    handle.reread().await;
    tell(&[NotifyState::Ready]);
}

/// Says at every SIGHUP, which would end the process otherwise, that there is no file to read again.
pub(super) async fn decline_hangups() -> io::Result<()> {
    let mut hangups = signal(SignalKind::hangup())?;
    while hangups.recv().await.is_some() {
        tracing::warn!("SIGHUP: there is no file to read again, the rules come from the command line");
    }
    Ok(())
}

/// When a worker was last seen at work.
#[derive(Debug)]
pub(super) struct Pulse {
    start: Instant,
    last_ms: AtomicU64,
}

impl Pulse {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { start: Instant::now(), last_ms: AtomicU64::new(0) })
    }

    /// It is at work.
    pub(super) fn beat(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(now, Relaxed);
    }

    fn age(&self) -> Duration {
        self.start.elapsed().saturating_sub(Duration::from_millis(self.last_ms.load(Relaxed)))
    }
}

/// Tells the manager that every worker is at work, as often as it asks for. It restarts a process that says no more.
pub(super) async fn watch(pulses: Vec<Arc<Pulse>>, life: Shutdown) {
    let Some(within) = sd_notify::watchdog_enabled().filter(|within| !within.is_zero()) else { return };
    let mut looks = interval(within / 2);
    loop {
        tokio::select! {
            () = life.draining() => return,
            _ = looks.tick() => {}
        }
        if pulses.iter().all(|pulse| pulse.age() < within) {
            tell(&[NotifyState::Watchdog]);
        }
    }
}
