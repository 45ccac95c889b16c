//! What must not be lost and is small: it waits beside the queue, and goes with the next batch that is written.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
};

use uuid::Uuid;

use crate::parallel_run::{
    archive::{EpochName, Progress, Traffic},
    comparison::{Class, Comparison, Skip},
};

/// Comparisons with an alarm that found no place in the queue and are kept all the same. Of more only the classes are.
const ALARMING: usize = 1024;

/// Rows that have still to go. Of more, while the file takes nothing, what was announced stands.
const REVOKED: usize = 1 << 16;

/// Bounded by the number of epochs, by the candidates at work, by [`ALARMING`] and by [`REVOKED`].
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Counted where nobody may wait for the lock of these notes.
    pub(super) traffic: HashMap<EpochName, Arc<Traffic>>,
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
        if self.revoked.len() < REVOKED {
            self.revoked.push(comparison.id);
        }
        self.count(comparison);
    }

    fn count(&mut self, comparison: &Comparison) {
        let epoch = EpochName { route: Arc::clone(&comparison.route), id: Arc::clone(&comparison.epoch) };
        // What belongs to no epoch that was taken up would be refused again and again, and all else with it.
        if self.traffic.contains_key(&epoch) {
            *self.unrecorded.entry((epoch, comparison.class)).or_default() += 1;
        }
    }

    pub(super) fn take(&mut self) -> Taken {
        let mut requests = Vec::new();
        for (epoch, traffic) in &self.traffic {
            let skipped = traffic.skipped.swap(0, Ordering::Relaxed);
            if skipped > 0 {
                let key = (epoch.clone(), Class::Skipped(Skip::Queue));
                *self.unrecorded.entry(key).or_default() += skipped;
            }
            let seen = traffic.requests.swap(0, Ordering::Relaxed);
            requests.extend((seen > 0).then(|| (epoch.clone(), seen)));
        }
        Taken {
            requests,
            unrecorded: std::mem::take(&mut self.unrecorded),
            alarming: std::mem::take(&mut self.alarming),
            progress: std::mem::take(&mut self.progress),
            revoked: std::mem::take(&mut self.revoked),
            gone: self.gone.clone(),
        }
    }

    pub(super) fn give_back(&mut self, taken: Taken) {
        for (epoch, seen) in taken.requests {
            self.traffic.entry(epoch).or_default().requests.fetch_add(seen, Ordering::Relaxed);
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
