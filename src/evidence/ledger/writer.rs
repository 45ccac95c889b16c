//! The ledger's thread: takes what waits, writes it in one transaction, and keeps trying while the disk is stuck.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode};
use uuid::Uuid;

use super::{
    Message, RETRY, Settings, lock,
    notes::{Notes, Taken},
};
use crate::{
    evidence::{
        samples::Samples,
        sqlite::{self, Batch, Old},
    },
    parallel_run::comparison::Comparison,
    routing::Live,
};

/// Records of one transaction.
const BATCH: usize = 256;

/// How long the first record of a transaction waits for others: what comes a thousand times a second is written a few
/// hundred times, and who gives it need not wake this thread. An announcement is mostly followed by its end.
const GATHER: Duration = Duration::from_millis(5);

/// How long counts wait where no record comes.
const FLUSH: Duration = Duration::from_millis(250);

/// Between two looks for what is too old.
const PRUNE: Duration = Duration::from_hours(1);

/// Comparisons that are removed at once, so that what comes meanwhile waits some milliseconds only.
const OLD: usize = 256;

/// The thread's side.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) samples: Samples,
    pub(super) notes: Arc<Mutex<Notes>>,
    pub(super) closing: Arc<AtomicBool>,
    pub(super) messages: Receiver<Message>,
    pub(super) settings: Arc<Live<Settings>>,
    pub(super) clock: fn() -> Timestamp,
    /// When all that was too old had gone; `None` while some of it is left.
    pub(super) pruned: Option<Instant>,
    /// Of what waits for the lake, how many must go all the same.
    pub(super) beyond: u64,
    pub(super) unexported: Arc<AtomicU64>,
    /// Whether what was written last went through.
    pub(super) good: Arc<AtomicBool>,
}

impl Writer {
    pub(super) fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let patience = self.prune();
            let is_last = match self.messages.recv_timeout(patience) {
                Ok(message) => {
                    if matches!(message, Message::Record { .. }) {
                        thread::sleep(GATHER);
                    }
                    batch.push(message);
                    batch.extend(self.messages.try_iter().take(BATCH - 1));
                    false
                }
                Err(RecvTimeoutError::Timeout) => self.closing.load(Ordering::Acquire),
                Err(RecvTimeoutError::Disconnected) => true,
            };
            let is_last = is_last || batch.iter().any(|message| matches!(message, Message::Close));
            if !self.write_until_written(&batch) {
                return;
            }
            self.finish(batch.drain(..));
            if is_last {
                return;
            }
        }
    }

    /// False when it had to give up because the process ends.
    fn write_until_written(&mut self, batch: &[Message]) -> bool {
        loop {
            let mut taken = lock(&self.notes).take();
            if batch.is_empty() && taken.is_empty() {
                return true;
            }
            let written = self.write(batch, &taken);
            if let Ok(heard) = &written {
                lock(&self.notes).gone.retain(|id| !heard.contains(id));
            }
            let was_good = self.good.swap(written.is_ok(), Ordering::AcqRel);
            let Err(error) = written else {
                if !was_good {
                    tracing::info!("evidence can be written again");
                }
                return true;
            };
            if !passes(&error) {
                if was_good {
                    tracing::error!(%error, "evidence was refused; of its records only the classes are kept, until it is taken again");
                }
                // One of them may be why, and is not to be tried again.
                let alarming = std::mem::take(&mut taken.alarming);
                let mut notes = lock(&self.notes);
                notes.give_back(taken);
                alarming.iter().chain(ended(batch)).for_each(|comparison| notes.refused(comparison));
                return true;
            }
            lock(&self.notes).give_back(taken);
            if was_good {
                tracing::error!(%error, "evidence cannot be written; trying again");
            }
            if self.closing.load(Ordering::Acquire) {
                tracing::error!(%error, records = batch.len(), "evidence could not be written before the end; these records are lost");
                return false;
            }
            thread::park_timeout(RETRY);
        }
    }

    /// Says whose announcements have had their end: they were deleted, or never written.
    fn write(&mut self, messages: &[Message], notes: &Taken) -> rusqlite::Result<Vec<Uuid>> {
        let mut batch = Batch::begin(&mut self.connection)?;
        let records = messages.iter().filter_map(|message| match message {
            Message::Record { comparison, due, .. } => Some((comparison, *due)),
            Message::Sync(_) | Message::Close => None,
        });
        let ended: HashSet<Uuid> = ended(messages).map(|comparison| comparison.id).collect();
        let mut heard = batch.revoke(&notes.revoked)?;
        for (comparison, due) in records {
            if due.is_some() && notes.gone.contains(&comparison.id) {
                heard.push(comparison.id);
            } else if due.is_none() || !ended.contains(&comparison.id) {
                batch.comparison(comparison, due)?;
            }
        }
        for comparison in &notes.alarming {
            batch.comparison(comparison, None)?;
        }
        for (epoch, more) in &notes.requests {
            batch.requests(epoch, *more)?;
        }
        for (epoch, progress) in &notes.progress {
            batch.progress(epoch, progress)?;
        }
        for ((epoch, class), more) in &notes.unrecorded {
            batch.unrecorded(epoch, *class, *more)?;
        }
        batch.commit()?;
        Ok(heard)
    }

    /// After the commit: whole pairs to their files, word to those who wait for it.
    fn finish(&mut self, batch: impl Iterator<Item = Message>) {
        for message in batch {
            match message {
                Message::Record { comparison, sample: Some(sample), .. } => {
                    if let Err(error) = self.samples.keep(&comparison, &sample, &self.settings.load().redact)
                    {
                        tracing::warn!(%error, comparison = %comparison.id, "a pair's bodies could not be kept");
                    }
                }
                // Whoever asked may have stopped waiting.
                Message::Sync(written) => drop(written.try_send(())),
                Message::Record { sample: None, .. } | Message::Close => {}
            }
        }
    }

    /// Removes some comparisons from before `time`; whether there may be more. What waits for the lake stays, as long as it
    /// takes no more than `bytes`.
    fn prune_comparisons(&mut self, time: Timestamp, bytes: u64) -> rusqlite::Result<bool> {
        if bytes == 0 {
            return Ok(sqlite::prune(&mut self.connection, time, Old::All, OLD)? == OLD);
        }
        if sqlite::prune(&mut self.connection, time, Old::Exported, OLD)? == OLD {
            return Ok(true);
        }
        if self.beyond == 0 {
            self.beyond = sqlite::beyond(&self.connection, time, bytes)?;
            if self.beyond > 0 {
                tracing::error!(
                    comparisons = self.beyond,
                    "evidence is removed that was never exported: too much of it waits for the lake"
                );
            }
        }
        let most = usize::try_from(self.beyond).unwrap_or(OLD).min(OLD);
        let gone = sqlite::prune(&mut self.connection, time, Old::All, most)? as u64;
        self.unexported.fetch_add(gone, Ordering::Relaxed);
        self.beyond = if gone == 0 { 0 } else { self.beyond.saturating_sub(gone) };
        Ok(self.beyond > 0)
    }

    /// Removes some of what is too old, if it is time to; how long the next record may be waited for.
    fn prune(&mut self) -> Duration {
        if self.pruned.is_some_and(|last| last.elapsed() < PRUNE) {
            return FLUSH;
        }
        let began = Instant::now();
        let now = (self.clock)();
        let settings = self.settings.load_full();
        match self.prune_comparisons(before(now, settings.keep_comparisons), settings.keep_unexported) {
            Ok(true) => {
                self.pruned = None;
                // As long as the file was locked it is free: others that write to it ask again only now and then.
                return began.elapsed();
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "old evidence could not be removed"),
        }
        if let Err(error) = self.samples.prune(before(now, settings.keep_samples)) {
            tracing::warn!(%error, "old bodies could not be removed");
        }
        self.pruned = Some(Instant::now());
        FLUSH
    }
}

/// The records of `batch` that are no announcements.
fn ended(batch: &[Message]) -> impl Iterator<Item = &Comparison> {
    batch.iter().filter_map(|message| match message {
        Message::Record { comparison, due: None, .. } => Some(&**comparison),
        Message::Record { .. } | Message::Sync(_) | Message::Close => None,
    })
}

/// Whether the same statement may go through later: the disk is full, locked, gone or read-only.
pub(in crate::evidence) fn passes(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::OutOfMemory
        )
    )
}

/// `age` before `now`; an age beyond the calendar is the beginning of time.
fn before(now: Timestamp, age: Duration) -> Timestamp {
    now.checked_sub(age).unwrap_or(Timestamp::UNIX_EPOCH)
}
