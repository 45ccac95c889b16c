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
    state::{Reason, Step},
};

/// What a service has not written after so long it will not write any more.
const LATEST: Duration = Duration::from_mins(5);

/// Jobs whose claims are in doubt, and since when. Clones are one; a boot that ends leaves what was written after all to
/// the next one, for which its outcome is unknown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doubts(Arc<Mutex<BTreeMap<Uuid, Instant>>>);

impl Doubts {
    /// Keeps a job in mind whose claim may be written.
    pub(crate) fn add(&self, job: Uuid) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(job, Instant::now());
    }

    fn all(&self) -> BTreeMap<Uuid, Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn settle(&self, job: Uuid) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&job);
    }
}

impl Saga {
    /// Looks at every claim that is in doubt.
    pub(super) async fn resolve_doubts(&self) {
        for (job, since) in self.doubts.all() {
            match self.deny(job).await {
                Ok(true) => self.doubts.settle(job),
                Ok(false) if since.elapsed() > LATEST => self.doubts.settle(job),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%job, error = chain(&error), "whether a claim was written is still unknown");
                    // Where one cannot be looked up, the others cannot either.
                    return;
                }
            }
        }
    }

    /// Refuses a job that nobody begins, if it is there and still ours; whether there was one.
    async fn deny(&self, job: Uuid) -> Result<bool, Failure> {
        let Some(record) = self.catalog.record(job).await.map_err(Failure::Catalog)? else {
            return Ok(false);
        };
        let lease = record.lease;
        if lease.owner == self.owner && lease.after(Step::Fail(Reason::Refused)).is_some() {
            let refused = self.step(lease, Transition::Fail(Reason::Refused, Receipt::default())).await?;
            self.tell_rest(&lease, &refused);
        }
        Ok(true)
    }
}
