//! Claims that may be written or not: the catalog did not say, or said no while a write of ours was still on its way to
//! it. Nobody begins such a job, so where it turns out to be there it was refused: its key and its budget are free again.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use uuid::Uuid;

use super::{
    Saga,
    failure::{Failure, chain},
};
use crate::generator::{
    catalog::Transition,
    provider::Receipt,
    spool::Failed,
    state::{Reason, Step},
};

/// What a service has not written after so long it will not write any more.
const LATEST: Duration = Duration::from_mins(5);

/// Jobs whose claims are in doubt, and since when. Clones are one. The spool says the same for the next boot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doubts(Arc<Mutex<BTreeMap<Uuid, Instant>>>);

impl Doubts {
    /// Keeps a job in mind whose claim may be written.
    pub(crate) fn add(&self, job: Uuid) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(job, Instant::now());
    }

    /// Whether a job's claim may be written.
    pub(crate) fn contains(&self, job: Uuid) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&job)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn all(&self) -> BTreeMap<Uuid, Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn settle(&self, job: Uuid) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&job);
    }
}

impl Saga {
    /// Keeps a job in mind, also of who comes after us, whose claim may be written and that nobody begins.
    pub(crate) async fn doubt(&self, job: Uuid) {
        self.doubts.add(job);
        self.note_failure(job, &Failed::before_the_call()).await;
    }

    /// Looks at every claim that is in doubt.
    pub(super) async fn resolve_doubts(&self) {
        for (job, since) in self.doubts.all() {
            match self.deny(job).await {
                Ok(false) if since.elapsed() < LATEST => {}
                Ok(_) => {
                    self.discard(job).await;
                    self.doubts.settle(job);
                }
                Err(error) => {
                    tracing::warn!(%job, error = chain(&error), "whether a claim was written is still unknown");
                    // Where one cannot be looked up, the others cannot either.
                    return;
                }
            }
        }
    }

    /// Refuses a job that nobody begins, if it is there and belongs to a boot of this data folder; whether there was one.
    async fn deny(&self, job: Uuid) -> Result<bool, Failure> {
        let Some(record) = self.catalog.record(job).await.map_err(Failure::Catalog)? else {
            return Ok(false);
        };
        let lease = record.lease;
        if lease.owner.gateway == self.owner.gateway && lease.after(Step::Fail(Reason::Refused)).is_some() {
            let refused = self.step(lease, Transition::Fail(Reason::Refused, Receipt::default())).await?;
            self.tell_rest(&lease, &refused);
        }
        Ok(true)
    }
}
