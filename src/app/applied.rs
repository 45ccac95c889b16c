//! What rules that a reload brings change, beside what the routes say: the log, who is told, how long evidence is kept,
//! and how many connections there may be.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{evidence, in_force::InForce};
use crate::{config::Config, evidence::Ledger, shutdown::Shutdown, telemetry::log::Control, tell::Teller};

/// Everything that new rules reach.
pub(super) struct Applied {
    pub(super) log: Option<Control>,
    pub(super) teller: Teller,
    pub(super) evidence: Arc<Ledger>,
    /// A place for each connection.
    pub(super) room: Arc<Semaphore>,
    pub(super) life: Shutdown,
    pub(super) in_force: Arc<InForce>,
}

impl Applied {
    /// Puts `config` in force.
    pub(super) fn apply(&self, generation: u64, config: Arc<Config>) {
        if let Some(log) = &self.log
            && let Err(error) = log.configure(&config.log)
        {
            tracing::error!(%error, "the log stays as it was");
        }
        self.teller.configure(config.hooks.clone());
        self.evidence.configure(evidence::keeping(&config));
        let before = self.in_force.config().gateway.limits.connections;
        resize(&self.room, before, config.gateway.limits.connections, &self.life);
        self.in_force.reloaded(generation, config);
    }
}

/// Gives `room` another size; places that are taken now are taken away as they are given back.
fn resize(room: &Arc<Semaphore>, before: usize, after: usize, life: &Shutdown) {
    room.add_permits(after.saturating_sub(before));
    let missing = u32::try_from(before.saturating_sub(after)).unwrap_or(u32::MAX);
    if missing > 0 {
        let room = room.clone();
        // Ends at the latest with the workers, who give all places back.
        life.spawn(async move {
            if let Ok(places) = room.acquire_many_owned(missing).await {
                places.forget();
            }
        });
    }
}
