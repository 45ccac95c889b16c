//! What must not be lost and is small: it waits beside the queue, and goes with the next batch that is written.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use uuid::Uuid;

use crate::parallel_run::{
    archive::{EpochName, Progress},
    comparison::{Class, Skip},
};

/// Bounded by the number of epochs, and by the candidates at work.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) requests: HashMap<EpochName, Arc<AtomicU64>>,
    /// Counted where nobody may wait for the lock of these notes.
    pub(super) skipped: HashMap<EpochName, Arc<AtomicU64>>,
    pub(super) unrecorded: HashMap<(EpochName, Class), u64>,
    pub(super) progress: HashMap<EpochName, Progress>,
    /// Candidates that were announced and have not ended.
    pub(super) dispatched: HashSet<Uuid>,
    /// Announced ones whose end was counted only: their rows must go.
    pub(super) revoked: Vec<Uuid>,
}

/// Notes on their way to the file.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) requests: Vec<(EpochName, u64)>,
    pub(super) unrecorded: HashMap<(EpochName, Class), u64>,
    pub(super) progress: HashMap<EpochName, Progress>,
    pub(super) revoked: Vec<Uuid>,
}

impl Taken {
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
            && self.unrecorded.is_empty()
            && self.progress.is_empty()
            && self.revoked.is_empty()
    }
}

impl Notes {
    pub(super) fn take(&mut self) -> Taken {
        for (epoch, skipped) in &self.skipped {
            let n = skipped.swap(0, Ordering::Relaxed);
            if n > 0 {
                let key = (epoch.clone(), Class::Skipped(Skip::Queue));
                *self.unrecorded.entry(key).or_default() += n;
            }
        }
        let requests =
            self.requests.iter().map(|(epoch, seen)| (epoch.clone(), seen.swap(0, Ordering::Relaxed)));
        Taken {
            requests: requests.filter(|(_, seen)| *seen > 0).collect(),
            unrecorded: std::mem::take(&mut self.unrecorded),
            progress: std::mem::take(&mut self.progress),
            revoked: std::mem::take(&mut self.revoked),
        }
    }

    pub(super) fn give_back(&mut self, taken: Taken) {
        for (epoch, seen) in taken.requests {
            self.requests.entry(epoch).or_default().fetch_add(seen, Ordering::Relaxed);
        }
        for (key, n) in taken.unrecorded {
            *self.unrecorded.entry(key).or_default() += n;
        }
        for (epoch, progress) in taken.progress {
            self.progress.entry(epoch).or_insert(progress);
        }
        self.revoked.extend(taken.revoked);
    }
}
