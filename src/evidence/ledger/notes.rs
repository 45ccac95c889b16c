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
    comparison::{Class, Comparison, Skip},
};

/// Comparisons with an alarm that found no place in the queue and are kept all the same. Of more only the classes are.
const ALARMING: usize = 1024;

/// Bounded by the number of epochs, by the candidates at work, and by [`ALARMING`].
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) requests: HashMap<EpochName, Arc<AtomicU64>>,
    /// Counted where nobody may wait for the lock of these notes.
    pub(super) skipped: HashMap<EpochName, Arc<AtomicU64>>,
    pub(super) unrecorded: HashMap<(EpochName, Class), u64>,
    /// What a person must see is not counted only.
    pub(super) alarming: Vec<Comparison>,
    pub(super) progress: HashMap<EpochName, Progress>,
    /// Candidates that were announced and have not ended.
    pub(super) dispatched: HashSet<Uuid>,
    /// Announced ones whose end found no place: their rows must go.
    pub(super) revoked: Vec<Uuid>,
    /// Those of them whose announcement may still wait in the queue: it is not to be written any more.
    pub(super) gone: HashSet<Uuid>,
}

/// Notes on their way to the file.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) requests: Vec<(EpochName, u64)>,
    pub(super) unrecorded: HashMap<(EpochName, Class), u64>,
    pub(super) alarming: Vec<Comparison>,
    pub(super) progress: HashMap<EpochName, Progress>,
    pub(super) revoked: Vec<Uuid>,
    pub(super) gone: HashSet<Uuid>,
}

impl Taken {
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
            && self.unrecorded.is_empty()
            && self.alarming.is_empty()
            && self.progress.is_empty()
            && self.revoked.is_empty()
    }
}

impl Notes {
    /// A comparison that found no place in the queue.
    pub(super) fn crowded_out(&mut self, comparison: Comparison) {
        if self.dispatched.remove(&comparison.id) {
            self.revoked.push(comparison.id);
            self.gone.insert(comparison.id);
        }
        if !comparison.alarms.is_empty() && self.alarming.len() < ALARMING {
            return self.alarming.push(comparison);
        }
        self.count(&comparison);
    }

    /// A comparison that will never be written. Its announcement may have been.
    pub(super) fn refused(&mut self, comparison: &Comparison) {
        self.revoked.push(comparison.id);
        self.count(comparison);
    }

    fn count(&mut self, comparison: &Comparison) {
        let epoch = EpochName { route: Arc::clone(&comparison.route), id: Arc::clone(&comparison.epoch) };
        // What belongs to no epoch that was taken up would be refused again and again, and all else with it.
        if self.requests.contains_key(&epoch) {
            *self.unrecorded.entry((epoch, comparison.class)).or_default() += 1;
        }
    }

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
            alarming: std::mem::take(&mut self.alarming),
            progress: std::mem::take(&mut self.progress),
            revoked: std::mem::take(&mut self.revoked),
            gone: self.gone.clone(),
        }
    }

    pub(super) fn give_back(&mut self, taken: Taken) {
        for (epoch, seen) in taken.requests {
            self.requests.entry(epoch).or_default().fetch_add(seen, Ordering::Relaxed);
        }
        for (key, n) in taken.unrecorded {
            *self.unrecorded.entry(key).or_default() += n;
        }
        self.alarming.extend(taken.alarming);
        for (epoch, progress) in taken.progress {
            self.progress.entry(epoch).or_insert(progress);
        }
        self.revoked.extend(taken.revoked);
    }
}
