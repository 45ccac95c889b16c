//! Jobs of this boot that somebody keeps in mind: those that stand still because a disk or the catalog failed, until the
//! janitor comes by, and those that have a place in the spool and no record yet.

use std::{
    collections::BTreeSet,
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use uuid::Uuid;

/// A set of jobs. Clones are one set; a restart finds the same jobs in the catalog.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jobs(Arc<Mutex<BTreeSet<Uuid>>>);

impl Jobs {
    /// Keeps a job in mind.
    pub(crate) fn add(&self, job: Uuid) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(job);
    }

    /// Forgets a job.
    pub(crate) fn remove(&self, job: Uuid) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&job);
    }

    /// Whether a job is kept in mind.
    pub(crate) fn contains(&self, job: Uuid) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&job)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Takes all of them, oldest first.
    pub(crate) fn take(&self) -> BTreeSet<Uuid> {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
