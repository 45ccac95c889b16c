//! Who takes over does: accepted -> start it; drawing -> storing where all of it is in the spool, failed(paid-invalid)
//! where what is there is unusable, failed as the spool says where the record was not taken, else failed(unknown);
//! storing -> forward if store and spool allow, else undoing; undoing -> delete again, then failed(paid-lost).

use std::{collections::HashSet, error::Error, io, time::Duration};

use uuid::Uuid;

use super::{
    Saga,
    failure::{Failure, chain},
};
use crate::generator::{
    boots::Living,
    catalog::{Advance, CatalogError, Lease, Object, Owner, Record, Seen, Transition},
    digest::Digest,
    metrics::Ended,
    provider::Receipt,
    spool::{Failed, Kept},
    state::{Care, Reason, Standing},
    store::{Held, StoreError},
};

/// Where a job stands of which nobody knows what came.
const GIVEN_UP: Standing = Standing::failed(Reason::Unknown);

impl Saga {
    /// Finishes or undoes what boots left that are no more; those that are.
    pub(crate) async fn recover(
        &self,
        keep_paid: Duration,
    ) -> Result<HashSet<Uuid>, Box<dyn Error + Send + Sync>> {
        let living = self.living().await?;
        let mut open = HashSet::new();
        for seen in self.catalog.open_jobs().await? {
            if self.is_left_here(&seen, &living)
                && let Advance::Moved(lease) = self.inherit(seen).await?
            {
                self.tell_rest(&seen.lease, &lease);
                if lease.standing.state.is_open() {
                    open.insert(lease.job);
                }
            }
        }
        // What others have reserved there belongs to no record yet.
        if living.boots.len() == 1 {
            self.revive(&living, &mut open).await?;
            self.sweep_spool(&open, keep_paid).await;
        }
        let Living { boots, .. } = living;
        for job in open {
            self.settle(job).await;
        }
        Ok(boots)
    }

    /// Takes what another gateway gave up while nobody was here, where the spool knows more of it; and goes on doubting
    /// the claims that a boot of before was in doubt about.
    async fn revive(
        &self,
        living: &Living,
        open: &mut HashSet<Uuid>,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        // What is wrong with the spool is said where it is swept.
        let Ok(jobs) = self.spool.jobs().await else { return Ok(()) };
        for job in jobs {
            let Some(Record { lease, beat, .. }) = self.catalog.record(job).await? else {
                if matches!(self.spool.failed(job).await, Ok(Some(_))) {
                    self.doubts.add(job);
                }
                continue;
            };
            let seen = Seen { lease, beat };
            if lease.standing == GIVEN_UP
                && self.is_left_here(&seen, living)
                && let Advance::Moved(lease) = self.inherit(seen).await?
                && lease.standing.state.is_open()
            {
                open.insert(job);
            }
        }
        Ok(())
    }

    /// Takes a job from an owner who is gone, and worked in this data folder. Who died between keeping what was paid and
    /// recording it has left it here.
    pub(super) async fn inherit(&self, seen: Seen) -> Result<Advance, CatalogError> {
        let Seen { lease, beat } = seen;
        let now = (self.clock)();
        let before_storing = matches!(lease.standing.state.care(), Care::Start | Care::GiveUp);
        let known =
            if before_storing || lease.standing == GIVEN_UP { self.known(lease.job).await } else { None };
        let moved = match known {
            Some(to) => self.catalog.advance(lease, to, now).await?,
            None => Advance::Moved(lease),
        };
        match moved {
            Advance::Moved(lease) if lease.standing.state.is_open() => {
                self.catalog.take_over(Seen { lease, beat }, self.owner, now).await
            }
            over => Ok(over),
        }
    }

    /// What the spool knows of a job and the record does not say: it was drawn, or failed, or was never begun.
    async fn known(&self, job: Uuid) -> Option<Transition> {
        let looked = async {
            if let Some(Kept { objects, receipt }) = self.spool.kept(job).await? {
                return Ok(Some(Transition::Store(objects, receipt)));
            }
            if let Some(Failed { reason, receipt }) = self.spool.failed(job).await? {
                return Ok(Some(Transition::Fail(reason, receipt)));
            }
            let has_paid = self.spool.has_paid(job).await?;
            Ok::<_, io::Error>(has_paid.then(|| Transition::Fail(Reason::PaidInvalid, Receipt::default())))
        };
        looked.await.unwrap_or_else(|error| {
            tracing::warn!(%job, %error, "whether an answer of it is kept is not known");
            None
        })
    }

    /// Takes over where one of the boots `known` is no more; those that are known from now on.
    pub(crate) async fn miss(&self, known: HashSet<Uuid>, keep_paid: Duration) -> HashSet<Uuid> {
        let looked = match self.living().await {
            Ok(living) if known.is_subset(&living.boots) => return living.boots,
            // The door must not stay shut while it is asked for again.
            Ok(living) => {
                drop(living);
                self.recover(keep_paid).await
            }
            Err(error) => Err(error.into()),
        };
        looked.unwrap_or_else(|error| {
            tracing::warn!(error = chain(&*error), "nothing can be taken over from other processes now");
            known
        })
    }

    /// Whether a job belongs to a boot of this data folder that is no more.
    fn is_left_here(&self, seen: &Seen, living: &Living) -> bool {
        let Owner { gateway, boot } = seen.lease.owner;
        let here = !self.catalog.is_shared() || gateway == self.owner.gateway;
        here && !living.boots.contains(&boot)
    }

    /// Whether no other process works in this data folder.
    pub(super) async fn is_alone(&self) -> bool {
        self.living().await.is_ok_and(|living| living.boots.len() == 1)
    }

    pub(super) async fn living(&self) -> io::Result<Living> {
        let boots = self.boots.clone();
        self.plane.blocking(move || boots.living()).await.map_err(io::Error::other)?
    }

    /// Comes back to every parked job once.
    pub(crate) async fn sweep(&self) {
        let _sweeping = self.sweeping.lock().await;
        for job in self.parked.take() {
            self.settle(job).await;
        }
        self.resolve_doubts().await;
    }

    /// Moves one job of ours to its end, or parks it again.
    pub(super) async fn settle(&self, job: Uuid) {
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
    pub(super) fn tell_rest(&self, before: &Lease, after: &Lease) {
        let (state, reason) = (after.standing.state, after.standing.reason.map_or("", Reason::name));
        if before.standing.state.is_open() && !state.is_open() {
            self.metrics.jobs.get_or_create(&Ended { state: state.name(), reason }).inc();
            tracing::info!(job = %after.job, state = state.name(), reason, "a job of before came to rest");
        }
    }

    /// State and reason in which the job came to rest; `None` if there was nothing to do.
    async fn finish(&self, job: Uuid) -> Result<Option<(&'static str, &'static str)>, Failure> {
        let Some(record) = self.catalog.record(job).await.map_err(Failure::Catalog)? else {
            // Erased meanwhile.
            self.discard(job).await;
            return Ok(None);
        };
        if record.lease.owner != self.owner {
            return Ok(None);
        }
        let ended = match record.lease.standing.state.care() {
            Care::Start => {
                let Some(to) = self.known(job).await else {
                    self.promised.add(job);
                    return Ok(None);
                };
                self.bring(record.lease, to).await?
            }
            Care::GiveUp => match self.known(job).await {
                Some(to) => self.bring(record.lease, to).await?,
                None => {
                    self.step(record.lease, Transition::Fail(Reason::Unknown, Receipt::default())).await?
                }
            },
            Care::Forward => self.forward(record.lease, &record.objects).await?,
            Care::Delete => self.undo(record.lease, &record.objects).await?,
            // By another gateway, while this one could not say what it had.
            Care::Nothing if record.lease.standing == GIVEN_UP => match self.known(job).await {
                Some(to @ (Transition::Store(..) | Transition::Fail(Reason::Refused, _))) => {
                    self.bring(record.lease, to).await?
                }
                // It says no more than the record can, and is kept for its time.
                Some(Transition::Fail(Reason::PaidInvalid, _)) => return Ok(None),
                _ => record.lease,
            },
            Care::Nothing => record.lease,
        };
        if !self.is_paid(job, ended.standing.reason).await {
            self.discard(job).await;
        }
        let moved = record.lease.standing != ended.standing;
        Ok(moved.then(|| (ended.standing.state.name(), ended.standing.reason.map_or("", Reason::name))))
    }

    /// Records what the spool has of a job, and goes on from there.
    async fn bring(&self, lease: Lease, to: Transition) -> Result<Lease, Failure> {
        let Transition::Store(objects, _) = &to else { return self.step(lease, to).await };
        let objects = objects.clone();
        let storing = self.step(lease, to).await?;
        self.forward(storing, &objects).await
    }

    /// Stores what the store lacks and the spool has; where both lack something, or a name holds something else, undoes the
    /// rest.
    async fn forward(&self, lease: Lease, objects: &[Object]) -> Result<Lease, Failure> {
        for object in objects {
            let Object { name, sha256, .. } = object;
            if self.store.held(name, sha256).await? == Held::Same {
                continue;
            }
            let spooled =
                self.spool.read(lease.job, name).await.map_err(|error| Failure::Store(error.into()))?;
            let Some(bytes) = spooled.filter(|bytes| Digest::of(bytes) == *sha256) else {
                return self.give_up(lease, objects).await;
            };
            match self.store.put(object, bytes).await {
                Err(error @ StoreError::Taken { .. }) => {
                    tracing::error!(job = %lease.job, %error, "images cannot be stored; they stay in the spool");
                    return self.give_up(lease, objects).await;
                }
                stored => stored?,
            }
        }
        self.step(lease, Transition::Commit).await
    }

    /// Deletes what is stored of a job whose images will never all be.
    pub(super) async fn give_up(&self, lease: Lease, objects: &[Object]) -> Result<Lease, Failure> {
        let undoing = self.step(lease, Transition::Undo).await?;
        self.undo(undoing, objects).await
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

    /// Removes what was spooled for jobs that were never claimed or that came to rest, but for answers that were paid.
    pub(super) async fn sweep_spool(&self, open: &HashSet<Uuid>, keep_paid: Duration) {
        match self.spool.jobs().await {
            Ok(jobs) => {
                for job in jobs.into_iter().filter(|job| !open.contains(job)) {
                    let is_ours = self.claiming.contains(job) || self.doubts.contains(job);
                    if !is_ours && !self.is_kept(job, keep_paid).await {
                        self.discard(job).await;
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "the spool could not be listed"),
        }
    }

    /// Whether what is spooled for a job has to stay: it is open, it was paid not long ago, or nobody can say.
    async fn is_kept(&self, job: Uuid, keep_paid: Duration) -> bool {
        match self.catalog.record(job).await {
            Ok(None) => false,
            Ok(Some(record)) => {
                let age = (self.clock)().duration_since(record.updated).unwrap_or_default();
                let paid = self.is_paid(job, record.lease.standing.reason).await;
                // Given up, and its bytes may still be on their way into the record.
                let ours = record.lease.standing == GIVEN_UP && record.lease.owner == self.owner;
                record.lease.standing.state.is_open() || ours || (paid && age < keep_paid)
            }
            Err(error) => {
                tracing::warn!(%job, error = chain(&error), "whether a spool is needed is not known");
                true
            }
        }
    }

    /// Whether what is spooled for a job that failed for this reason was paid for.
    async fn is_paid(&self, job: Uuid, reason: Option<Reason>) -> bool {
        match reason {
            Some(Reason::PaidInvalid) => true,
            // Another gateway gave it up before its answer was looked at.
            Some(Reason::Unknown) => self.spool.has_paid(job).await.unwrap_or(true),
            // Whole, and its names hold something else.
            Some(Reason::PaidLost) => self.spool.kept(job).await.map_or(true, |kept| kept.is_some()),
            Some(Reason::Refused) | None => false,
        }
    }
}
