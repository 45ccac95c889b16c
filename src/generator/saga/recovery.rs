//! Who takes over does: drawing -> failed(unknown); storing -> forward if store and spool allow, else undoing;
//! undoing -> delete again, then failed(paid-lost).

use std::{collections::HashSet, time::Duration};

use tokio::time::interval;
use uuid::Uuid;

use super::{
    Saga,
    failure::{Failure, chain},
};
use crate::generator::{
    catalog::{Advance, CatalogError, Lease, Object, Record, Transition},
    digest::Digest,
    metrics::Ended,
    provider::Receipt,
    state::{Care, Reason},
    store::Held,
};

/// Between two visits to parked jobs.
const SWEEP: Duration = Duration::from_secs(2);
/// Between two visits to expired claims.
const FORGET: Duration = Duration::from_hours(1);

impl Saga {
    /// Finishes or undoes what earlier boots left. Only for who holds the data folder's lock.
    pub(crate) async fn recover(&self) -> Result<(), CatalogError> {
        let mut open = HashSet::new();
        for seen in self.catalog.open_jobs().await? {
            // Nobody else works in this folder: whoever did is gone.
            if let Advance::Moved(lease) = self.catalog.take_over(seen, self.owner, (self.clock)()).await? {
                self.tell_rest(&seen.lease, &lease);
                if lease.standing.state.is_open() {
                    open.insert(lease.job);
                }
            }
        }
        self.sweep_spool(&open).await;
        for job in open {
            self.settle(job).await;
        }
        Ok(())
    }

    /// Comes back to parked jobs and forgets expired claims until the process drains.
    pub(crate) async fn keep_house(self) {
        let draining = self.plane.shutdown().clone();
        let (mut sweep, mut forget) = (interval(SWEEP), interval(FORGET));
        loop {
            tokio::select! {
                () = draining.draining() => return,
                _ = sweep.tick() => self.sweep().await,
                _ = forget.tick() => self.forget_claims().await,
            }
        }
    }

    /// Comes back to every parked job once.
    pub(crate) async fn sweep(&self) {
        for job in self.parked.take() {
            self.settle(job).await;
        }
    }

    /// Forgets expired claims; a failure only means that they are forgotten later.
    async fn forget_claims(&self) {
        if let Err(error) = self.catalog.forget_claims((self.clock)()).await {
            tracing::warn!(error = chain(&error), "expired claims could not be forgotten");
        }
    }

    /// Moves one job of ours to its end, or parks it again.
    async fn settle(&self, job: Uuid) {
        let (state, reason) = match self.finish(job).await {
            Ok(Some(rest)) => rest,
            Ok(None) => return,
            Err(failure) => {
                if failure.stands_still() {
                    self.parked.add(job);
                }
                tracing::warn!(%job, error = chain(&failure), "a job of before still stands still");
                return;
            }
        };
        self.metrics.jobs.get_or_create(&Ended { state, reason }).inc();
        tracing::info!(%job, state, reason, "a job of before came to rest");
    }

    /// Says that a job came to rest by being taken over.
    fn tell_rest(&self, before: &Lease, after: &Lease) {
        let (state, reason) = (after.standing.state, after.standing.reason.map_or("", Reason::name));
        if before.standing.state.is_open() && !state.is_open() {
            self.metrics.jobs.get_or_create(&Ended { state: state.name(), reason }).inc();
            tracing::info!(job = %after.job, state = state.name(), reason, "a job of before came to rest");
        }
    }

    /// State and reason in which the job came to rest; `None` if there was nothing to do.
    async fn finish(&self, job: Uuid) -> Result<Option<(&'static str, &'static str)>, Failure> {
        let Some(record) = self.catalog.record(job).await.map_err(Failure::Catalog)? else {
            // The claim whose write was ambiguous was never written.
            self.discard(job).await;
            return Ok(None);
        };
        if record.lease.owner != self.owner {
            return Ok(None);
        }
        let ended = match record.lease.standing.state.care() {
            Care::Start => {
                self.step(record.lease, Transition::Fail(Reason::Refused, Receipt::default())).await?
            }
            Care::GiveUp => {
                self.step(record.lease, Transition::Fail(Reason::Unknown, Receipt::default())).await?
            }
            Care::Forward => self.forward(&record).await?,
            Care::Delete => self.undo(record.lease, &record.objects).await?,
            Care::Nothing => record.lease,
        };
        self.discard(job).await;
        let moved = record.lease.standing != ended.standing;
        Ok(moved.then(|| (ended.standing.state.name(), ended.standing.reason.map_or("", Reason::name))))
    }

    /// Stores what the store lacks and the spool has; where both lack something, undoes the rest.
    async fn forward(&self, record: &Record) -> Result<Lease, Failure> {
        for Object { name, sha256, .. } in &record.objects {
            if self.store.held(name, sha256).await? == Held::Same {
                continue;
            }
            let spooled = self
                .spool
                .read(record.lease.job, name)
                .await
                .map_err(|error| Failure::Store(error.into()))?;
            let Some(bytes) = spooled.filter(|bytes| Digest::of(bytes) == *sha256) else {
                let undoing = self.step(record.lease, Transition::Undo).await?;
                return self.undo(undoing, &record.objects).await;
            };
            self.store.put(name, bytes).await?;
        }
        self.step(record.lease, Transition::Commit).await
    }

    async fn undo(&self, lease: Lease, objects: &[Object]) -> Result<Lease, Failure> {
        for Object { name, sha256, .. } in objects {
            // A name that holds other bytes is not ours to delete.
            if self.store.held(name, sha256).await? == Held::Same {
                self.store.delete(name).await?;
            }
        }
        self.step(lease, Transition::Lose).await
    }

    /// Removes what was spooled for jobs that were never claimed or that came to rest.
    async fn sweep_spool(&self, open: &HashSet<Uuid>) {
        match self.spool.jobs().await {
            Ok(jobs) => {
                for job in jobs.into_iter().filter(|job| !open.contains(job)) {
                    self.discard(job).await;
                }
            }
            Err(error) => tracing::warn!(%error, "the spool could not be listed"),
        }
    }
}
