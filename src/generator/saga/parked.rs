//! Jobs of this boot that stand still because a disk or the catalog failed, until the janitor comes by.

use std::{
    collections::BTreeSet,
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use uuid::Uuid;

/// A set of jobs. Clones are one set; a restart finds the same jobs in the catalog.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parked(Arc<Mutex<BTreeSet<Uuid>>>);

impl Parked {
    /// Leaves a job for the next sweep.
    pub(crate) fn add(&self, job: Uuid) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(job);
    }

    /// Takes all of them, oldest first.
    pub(crate) fn take(&self) -> BTreeSet<Uuid> {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
