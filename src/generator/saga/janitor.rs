//! The janitor: comes by every few seconds, finishes what stands still, misses those who are gone, and lets go of what
//! has had its time.
//!
//! Who shares this data folder is known by its lock. Who works elsewhere in the same catalog gives signs of life; a job
//! whose owner gave none for a `lease`, by our own monotonic clock, is taken over. Not at once where its images may lie
//! in the owner's spool: that is waited for.

use std::{
    collections::{HashMap, HashSet},
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::{
    Saga,
    failure::{Failure, chain},
};
use crate::generator::{
    budget::Day,
    catalog::{Advance, CatalogError, Object, Owner, Seen},
    settings::Settings,
    state::{Care, State},
    store::Held,
};

/// Between two visits.
pub(crate) const SWEEP: Duration = Duration::from_secs(2);
/// Between two looks at what has had its time.
const TIDY: Duration = Duration::from_hours(1);
/// How many records are let go at once.
const BATCH: u32 = 500;
/// And how often in one look.
const BATCHES: u32 = 200;

/// Since when each open job of others has looked the same.
#[derive(Debug, Default)]
pub(crate) struct Watch(HashMap<Uuid, (Seen, Instant)>);

impl Watch {
    /// Whether no job of others is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For how long each of these jobs has shown no sign of life at `now`.
    fn silent(&mut self, open: &[Seen], now: Instant) -> Vec<(Seen, Duration)> {
        let mut before = std::mem::take(&mut self.0);
        open.iter()
            .map(|seen| {
                let known = before.remove(&seen.lease.job).filter(|(known, _)| known == seen);
                let since = known.map_or(now, |(_, since)| since);
                self.0.insert(seen.lease.job, (*seen, since));
                (*seen, now.saturating_duration_since(since))
            })
            .collect()
    }
}

impl Saga {
    /// Keeps house until the process drains, and gives signs of life until its `jobs` have ended. `known` are the boots of
    /// this data folder that are alive, if that could be found out; `settings` are those of now, and `None` when nobody
    /// needs them any more.
    pub(crate) async fn keep_house(
        self,
        known: Option<HashSet<Uuid>>,
        settings: impl Fn() -> Option<Arc<Settings>> + Send + Sync,
        jobs: TaskTracker,
    ) {
        // Beside each other: a store that hangs makes nobody look dead, and a comparison that takes an hour keeps nothing
        // waiting.
        tokio::join!(self.visit_always(known, &settings), self.tidy_always(&settings), self.live(jobs));
    }

    async fn visit_always(
        &self,
        mut known: Option<HashSet<Uuid>>,
        settings: &(impl Fn() -> Option<Arc<Settings>> + Sync),
    ) {
        let (mut sweep, mut watch) = (every(SWEEP), Watch::default());
        while self.unless_draining(sweep.tick()).await
            && let Some(settings) = settings()
        {
            known = self.visit(known, &mut watch, &settings).await;
        }
    }

    async fn tidy_always(&self, settings: &(impl Fn() -> Option<Arc<Settings>> + Sync)) {
        let mut look = every(TIDY);
        while self.unless_draining(look.tick()).await
            && let Some(settings) = settings()
        {
            let chores = async {
                self.tidy(&settings).await;
                self.reconcile_daily().await;
            };
            // They may take long, and can be broken off anywhere: what is left is done another time.
            self.unless_draining(Box::pin(chores)).await;
        }
    }

    /// Gives signs of life for every job of ours that is open, where others would miss them: until the last has ended, be
    /// it while the process drains.
    async fn live(&self, jobs: TaskTracker) {
        if !self.catalog.is_shared() {
            return;
        }
        let over = async {
            self.plane.shutdown().draining().await;
            jobs.wait().await;
        };
        let (mut over, mut pace) = (pin!(over), every(SWEEP));
        loop {
            tokio::select! {
                // Of a catalog that is down, one more sign of life would take longer than the drain.
                biased;
                () = &mut over => return,
                _ = pace.tick() => {}
            }
            if let Err(error) = self.beat().await {
                tracing::warn!(error = chain(&error), "no sign of life could be given");
            }
        }
    }

    /// Waits for `what`, which can be broken off anywhere; false where the process drains before.
    pub(crate) async fn unless_draining(&self, what: impl Future) -> bool {
        tokio::select! {
            // Nothing is begun any more, however long it is due.
            biased;
            () = self.plane.shutdown().draining() => false,
            _ = what => true,
        }
    }

    async fn beat(&self) -> Result<(), CatalogError> {
        let open = self.catalog.open_jobs().await?;
        let ours = open.iter().map(|seen| seen.lease).filter(|lease| lease.owner == self.owner);
        self.catalog.beat(ours.collect(), (self.clock)()).await
    }

    /// One visit to everything that stands still.
    pub(crate) async fn visit(
        &self,
        known: Option<HashSet<Uuid>>,
        watch: &mut Watch,
        settings: &Settings,
    ) -> Option<HashSet<Uuid>> {
        self.sweep().await;
        if settings.daily_budget.is_some()
            && let Ok(spent) = self.catalog.spent(Day::of((self.clock)())).await
        {
            self.metrics.spent.set(spent.as_dollars());
        }
        let known = match known {
            Some(known) => Some(self.miss(known, settings.keep_paid).await),
            None => self.recover(settings.keep_paid).await.ok(),
        };
        if self.catalog.is_shared()
            && let Err(error) = self.look_after_others(watch, settings).await
        {
            tracing::warn!(error = chain(&error), "the jobs of other gateways could not be looked at");
        }
        known
    }

    /// Takes over from those who give no sign of life.
    async fn look_after_others(&self, watch: &mut Watch, settings: &Settings) -> Result<(), CatalogError> {
        let mut others = self.catalog.open_jobs().await?;
        others.retain(|seen| seen.lease.owner != self.owner);
        for (seen, silent) in watch.silent(&others, Instant::now()) {
            if silent >= settings.lease {
                match self.may_take(&seen, silent, settings).await {
                    Ok(true) => self.take(seen).await?,
                    Ok(false) => {}
                    Err(error) => {
                        let job = seen.lease.job;
                        tracing::warn!(%job, error = chain(&error), "a silent owner's job cannot be taken over now");
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a silent owner's job can be brought on from here: its images are in the store, or nowhere any more.
    async fn may_take(&self, seen: &Seen, silent: Duration, settings: &Settings) -> Result<bool, Failure> {
        let Owner { gateway, boot } = seen.lease.owner;
        if gateway == self.owner.gateway {
            // Of before, and the catalog's index did not show it yet when it was asked for such. Its spool is here.
            return Ok(self.living().await.is_ok_and(|living| !living.boots.contains(&boot)));
        }
        if seen.lease.standing.state.care() != Care::Forward || silent >= settings.spool_grace {
            return Ok(true);
        }
        let record = self.catalog.record(seen.lease.job).await.map_err(Failure::Catalog)?;
        // Who is called for a moment only has not seen so long a silence. Each sign of life is dated, and clocks differ
        // by less than a lease.
        let sign = record.as_ref().map_or(SystemTime::UNIX_EPOCH, |record| record.updated);
        if (self.clock)().duration_since(sign).is_ok_and(|quiet| quiet >= settings.spool_grace) {
            return Ok(true);
        }
        for Object { name, sha256, .. } in record.iter().flat_map(|record| &record.objects) {
            if self.store.held(name, sha256).await? != Held::Same {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn take(&self, seen: Seen) -> Result<(), CatalogError> {
        let taken = if seen.lease.owner.gateway == self.owner.gateway {
            self.inherit(seen).await?
        } else {
            self.catalog.take_over(seen, self.owner, (self.clock)()).await?
        };
        if let Advance::Moved(lease) = taken {
            tracing::warn!(job = %lease.job, from = %seen.lease.owner, "took over a job whose owner is silent");
            self.tell_rest(&seen.lease, &lease);
            if lease.standing.state.is_open() {
                self.settle(lease.job).await;
            }
        }
        Ok(())
    }

    /// Lets go of what has had its time: keys, jobs that gave nothing, images that are not to be kept for ever, and those
    /// of shadows. A failure only means that it is done later.
    pub(crate) async fn tidy(&self, settings: &Settings) {
        let now = (self.clock)();
        let before = |age: Duration| now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        let failed = settings.idempotency_ttl.max(settings.keep_paid);
        if let Err(error) = self.store.tidy().await {
            tracing::warn!(error = chain(&error), "what is half-stored could not be removed");
        }
        let tidied = async {
            self.catalog.forget_claims(now).await?;
            let ends = [State::Failed, State::HandedOver].map(|state| (state, failed));
            for (state, age) in ends.into_iter().chain(settings.keep_images.map(|keep| (State::Done, keep))) {
                // Not without end: an index that lags shows some again.
                for _ in 0..BATCHES {
                    let jobs = self.catalog.ended(state, before(age), BATCH).await?;
                    let is_last = jobs.len() < usize::try_from(BATCH).unwrap_or(usize::MAX);
                    for job in jobs {
                        self.let_go(job).await?;
                    }
                    if is_last {
                        break;
                    }
                }
            }
            // The prompt of a job that was only promised, too.
            self.catalog.scrub().await
        };
        if let Err(error) = tidied.await {
            tracing::warn!(error = chain(&error), "what has had its time could not be let go");
        }
        if let Err(error) = self.shadows.tidy(now).await {
            tracing::warn!(%error, "the images of shadows could not be let go");
        }
        if self.is_alone().await {
            // Open jobs are known to the catalog, which is asked about each.
            self.sweep_spool(&HashSet::new(), settings.keep_paid).await;
        }
    }

    /// Forgets a job that is over, and deletes its images. The record goes first: what nobody knows is never half seen,
    /// and what is left in the store is found by the next comparison.
    pub(crate) async fn let_go(&self, job: Uuid) -> Result<(), CatalogError> {
        let Some(record) = self.catalog.record(job).await? else { return Ok(()) };
        self.catalog.erase(job).await?;
        if record.lease.standing.state != State::Done {
            // Nothing of it is stored, or its name holds what is another's.
            return Ok(());
        }
        for Object { name, .. } in &record.objects {
            if let Err(error) = self.store.delete(name).await {
                tracing::warn!(%job, name, error = chain(&error), "an image that is not kept could not be deleted");
            }
        }
        Ok(())
    }
}

/// The moments of a round; one that took longer is not made up for.
fn every(period: Duration) -> Interval {
    let mut moments = interval(period);
    moments.set_missed_tick_behavior(MissedTickBehavior::Delay);
    moments
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;
    use uuid::Uuid;

    use super::Watch;
    use crate::generator::{
        budget::{Day, Reservation},
        catalog::{Lease, Owner, Seen},
        money::Usd,
        state::State,
    };

    #[test]
    fn silence_is_measured_from_the_last_change_that_we_saw() {
        let owner = Owner { gateway: Uuid::from_u128(1), boot: Uuid::from_u128(2) };
        let reserved = Reservation { day: Day::numbered(0), usd: Usd::ZERO };
        let lease =
            Lease { job: Uuid::from_u128(3), standing: State::Drawing.into(), owner, fence: 0, reserved };
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut watch = Watch::default();
        let mut silent = |beat, at| watch.silent(&[Seen { lease, beat }], at)[0].1;
        assert_eq!(silent(0, start), Duration::ZERO);
        assert_eq!(silent(0, start + second), second);
        assert_eq!(silent(1, start + second * 2), Duration::ZERO, "a beat");
        assert_eq!(silent(1, start + second * 5), second * 3);
        let fenced = Lease { fence: 1, ..lease };
        assert_eq!(watch.silent(&[Seen { lease: fenced, beat: 1 }], start + second * 6)[0].1, Duration::ZERO);
        assert!(watch.silent(&[], start + second * 7).is_empty());
        assert!(watch.0.is_empty(), "what is over is forgotten");
    }
}
