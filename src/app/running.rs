//! A gateway that serves, until it is told to end or another process has taken its place; and its end.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use sd_notify::NotifyState;
use tokio::task::JoinHandle;

use super::{
    Outcome,
    exports::{self, Exports},
    fleet::{self, Follower},
    inheritance::Predecessor,
    manager,
    planes::Planes,
    succession::Succession,
    workers::Workers,
};
use crate::{evidence::Ledger, gateway::Rules, routing::Live, shutdown::Shutdown};

/// What the work plane has at least to finish what is left there once the workers have drained: records of the last
/// pairs, jobs that no client waits for.
const LAST_WORK: Duration = Duration::from_secs(1);

/// Both planes, at work.
pub(super) struct Running {
    pub(super) planes: Planes,
    /// Of the workers; they drain once nobody else keeps their sockets open for another process.
    pub(super) data_plane: Shutdown,
    /// Of the operator's listener. A successor has the same one, and answers for itself.
    pub(super) desk: Shutdown,
    pub(super) workers: Workers,
    pub(super) ledger: Arc<Ledger>,
    pub(super) exports: JoinHandle<Exports>,
    pub(super) fleet: Option<JoinHandle<Follower>>,
    pub(super) rules: Arc<Live<Rules>>,
}

/// Why it comes to its end.
enum End {
    /// It was told to.
    Asked,
    /// Another process has taken over.
    Succeeded,
}

impl Running {
    /// Waits for the end, lets everything finish that has begun, within the drain's deadline, and ends.
    pub(super) fn until_its_end(self, succession: io::Result<Succession>, shutdown: &Shutdown) -> Outcome {
        let Self { planes, data_plane, desk, workers, ledger, exports, fleet, rules } = self;
        let Planes { work, beside, life, .. } = planes;
        match work.block_on(end(succession, shutdown)) {
            End::Asked => manager::tell(&[NotifyState::Stopping]),
            End::Succeeded => {
                desk.begin();
                shutdown.begin();
            }
        }
        data_plane.begin();
        rules.load().generator.leave_promises();
        let began = Instant::now();
        let drain = rules.load().settings.drain;
        let whole = workers.join();
        life.begin();
        let last = left_of(drain, began.elapsed());
        // One deadline for both: who waits for this process to end waits for `drain`.
        let (desk_left, finished) =
            work.block_on(async { tokio::join!(desk.drained(last), life.drained(last)) });
        ledger.close();
        // Only now is all that there is to be carried in the file.
        if !work.block_on(exports::last(exports)) {
            tracing::warn!("evidence was not exported to the end; the next start goes on with it");
        }
        if let Some(fleet) = fleet
            && !work.block_on(fleet::last(fleet))
        {
            tracing::warn!("the fleet was not told of all evidence; the next start goes on with it");
        }
        work.shutdown_background();
        beside.shutdown_background();
        let outcome = if whole && desk_left && finished { Outcome::Drained } else { Outcome::Cut };
        outcome.told(began)
    }
}

/// What the work plane has of a `drain` of which so much has been `spent`.
fn left_of(drain: Duration, spent: Duration) -> Duration {
    drain.saturating_sub(spent).max(LAST_WORK)
}

/// Tells all who wait for it that this process serves: one of before drains upon it.
pub(super) fn begun(predecessor: Option<Predecessor>) {
    let Some(predecessor) = predecessor else { return manager::tell(&[NotifyState::Ready]) };
    manager::tell(&[NotifyState::MainPid(std::process::id()), NotifyState::Ready]);
    if let Err(error) = predecessor.relieve() {
        tracing::warn!(%error, "the process of before has ended by itself");
    }
}

/// Resolves when the run is to end; by then no socket is kept open for others.
async fn end(succession: io::Result<Succession>, shutdown: &Shutdown) -> End {
    let succession = match succession {
        Ok(succession) => succession,
        Err(error) => {
            tracing::error!(%error, "no process can take over from this one");
            shutdown.draining().await;
            return End::Asked;
        }
    };
    tokio::select! {
        () = shutdown.draining() => End::Asked,
        successor = succession.succeeded() => {
            tracing::info!(successor, "another process has taken over; draining");
            End::Succeeded
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_plane_has_all_that_is_left_of_a_drain_and_never_nothing() {
        let seconds = Duration::from_secs;
        for (drain, spent, left) in [(60, 0, seconds(60)), (300, 45, seconds(255)), (30, 30, LAST_WORK)] {
            assert_eq!(left_of(seconds(drain), seconds(spent)), left, "{spent} of {drain}");
        }
    }
}
