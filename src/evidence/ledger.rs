//! The evidence's one writer: a thread behind a bounded queue, writing in batches.
//!
//! Nobody waits for it. When the disk is stuck the queue fills, and what finds no place is counted by route, epoch and
//! class; the counts are written with the next batch that goes through, so that the numbers always add up.

use std::{
    collections::{HashMap, HashSet},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode};
use thiserror::Error;
use uuid::Uuid;

use super::{
    samples::Samples,
    sqlite::{self, Batch, VERSION},
};
use crate::parallel_run::{
    archive::{Archive, ArchiveError, EpochName, Progress, Resumed, Sample},
    comparison::{Class, Comparison},
    sample::Pseudonyms,
};

/// Records that wait for the disk.
const QUEUE: usize = 1024;

/// Records of one transaction.
const BATCH: usize = 256;

/// How long counts wait where no record comes.
const FLUSH: Duration = Duration::from_millis(250);

/// Between two attempts to write what could not be written.
const RETRY: Duration = Duration::from_millis(250);

/// Between two looks for what is too old.
const PRUNE: Duration = Duration::from_hours(1);

/// Where the evidence is kept, and how long.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of `evidence.sqlite` and `samples/`.
    pub data: PathBuf,
    /// How long whole pairs are kept.
    pub keep_samples: Duration,
    /// How long comparisons are kept.
    pub keep_comparisons: Duration,
    /// Header names whose values are never written.
    pub redact: Vec<String>,
}

/// The evidence cannot be kept.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// `SQLite` said no.
    #[error("cannot open {path}: {error}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What `SQLite` said.
        error: rusqlite::Error,
    },
    /// The file is of another version of figueira.
    #[error("{path} has schema version {found}; this figueira writes version {VERSION}")]
    Version {
        /// The file.
        path: PathBuf,
        /// Its `user_version`.
        found: i64,
    },
    /// A folder or the thread could not be made.
    #[error("cannot keep samples in {path}: {error}")]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// The evidence, open for writing.
#[derive(Debug)]
pub struct Ledger {
    pseudonyms: Pseudonyms,
    clock: fn() -> Timestamp,
    notes: Arc<Mutex<Notes>>,
    closing: Arc<AtomicBool>,
    queue: SyncSender<Message>,
    /// For what is asked of the file outside the writer's thread.
    desk: Mutex<Connection>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What the writer is told.
#[derive(Debug)]
enum Message {
    Record {
        comparison: Box<Comparison>,
        due: Option<Timestamp>,
        sample: Option<Box<Sample>>,
    },
    /// Answer when all before it is written.
    Sync(SyncSender<()>),
    Close,
}

/// What must not be lost, and is small: bounded by the number of epochs.
#[derive(Debug, Default)]
struct Notes {
    requests: HashMap<EpochName, Arc<AtomicU64>>,
    unrecorded: HashMap<(EpochName, Class), u64>,
    progress: HashMap<EpochName, Progress>,
    /// Candidates that were announced and have not ended.
    dispatched: HashSet<Uuid>,
    /// Announced ones whose end was counted only: their rows must go.
    revoked: Vec<Uuid>,
}

impl Ledger {
    /// Opens the evidence, and begins to write. `fresh_key` becomes the key of its pseudonyms if it has none.
    pub fn open(
        settings: Settings,
        fresh_key: [u8; 32],
        clock: fn() -> Timestamp,
    ) -> Result<Self, LedgerError> {
        let path = settings.data.join("evidence.sqlite");
        let sqlite_error = |error| LedgerError::Sqlite { path: path.clone(), error };
        let samples_path = settings.data.join("samples");
        let samples = Samples::open(samples_path.clone(), settings.redact.clone());
        let io_error = |error| LedgerError::Io { path: samples_path.clone(), error };
        let samples = samples.map_err(io_error)?;
        let desk = open(&path)?;
        let key = sqlite::key(&desk, fresh_key).map_err(sqlite_error)?;
        let (queue, messages) = mpsc::sync_channel(QUEUE);
        let (notes, closing) = (Arc::default(), Arc::default());
        let writer = Writer {
            connection: open(&path)?,
            samples,
            notes: Arc::clone(&notes),
            closing: Arc::clone(&closing),
            messages,
            settings,
            clock,
            pruned: None,
            is_stuck: false,
        };
        let thread =
            thread::Builder::new().name("evidence".to_owned()).spawn(|| writer.run()).map_err(io_error)?;
        let pseudonyms = Pseudonyms::new(key);
        Ok(Self {
            pseudonyms,
            clock,
            notes,
            closing,
            queue,
            desk: Mutex::new(desk),
            writer: Mutex::new(Some(thread)),
        })
    }

    /// Waits until all that was given is written, at most `deadline`; false when it was not.
    pub fn sync(&self, deadline: Duration) -> bool {
        let (written, is_written) = mpsc::sync_channel(1);
        self.queue.try_send(Message::Sync(written)).is_ok() && is_written.recv_timeout(deadline).is_ok()
    }

    /// Writes what was given and ends the thread. What cannot be written now is lost, and the log says so.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
        // Full means stuck, and a stuck writer looks at `closing`.
        drop(self.queue.try_send(Message::Close));
        if let Some(writer) = lock(&self.writer).take() {
            writer.thread().unpark();
            drop(writer.join());
        }
    }

    fn send(&self, comparison: Comparison, due: Option<Timestamp>, sample: Option<Sample>) {
        let (id, class) = (comparison.id, comparison.class);
        let epoch = EpochName { route: Arc::clone(&comparison.route), id: Arc::clone(&comparison.epoch) };
        let comparison = Box::new(comparison);
        let sent =
            self.queue.try_send(Message::Record { comparison, due, sample: sample.map(Box::new) }).is_ok();
        let mut notes = lock(&self.notes);
        match (due, sent) {
            (Some(_), true) => drop(notes.dispatched.insert(id)),
            (Some(_), false) => {}
            (None, true) => drop(notes.dispatched.remove(&id)),
            (None, false) => {
                *notes.unrecorded.entry((epoch, class)).or_default() += 1;
                if notes.dispatched.remove(&id) {
                    notes.revoked.push(id);
                }
            }
        }
    }
}

impl Archive for Ledger {
    fn resume(&self, epoch: &EpochName, basis: &str) -> Result<Resumed, ArchiveError> {
        // What this process has already given of the epoch belongs to it too.
        self.sync(RETRY);
        let desk = lock(&self.desk);
        let read = || {
            sqlite::take_up(&desk, epoch, basis, (self.clock)())?;
            Ok((sqlite::progress(&desk, epoch)?, sqlite::subjects(&desk, epoch)?))
        };
        let failed = |error: rusqlite::Error| ArchiveError {
            route: Arc::clone(&epoch.route),
            reason: error.to_string(),
        };
        let (progress, subjects) = read().map_err(failed)?;
        let requests = Arc::clone(lock(&self.notes).requests.entry(epoch.clone()).or_default());
        Ok(Resumed { progress, subjects, requests })
    }

    fn pseudonyms(&self) -> &Pseudonyms {
        &self.pseudonyms
    }

    fn dispatched(&self, comparison: Comparison, due: Timestamp) {
        self.send(comparison, Some(due), None);
    }

    fn keep(&self, comparison: Comparison, sample: Option<Sample>) {
        self.send(comparison, None, sample);
    }

    fn learned(&self, epoch: &EpochName, progress: Progress) {
        let mut notes = lock(&self.notes);
        match notes.progress.get(epoch) {
            // Two exchanges may end in one moment and arrive the other way round.
            Some(Progress::Frozen(_)) => {}
            Some(Progress::Learning(_)) | None => drop(notes.progress.insert(epoch.clone(), progress)),
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.close();
    }
}

/// The thread's side.
struct Writer {
    connection: Connection,
    samples: Samples,
    notes: Arc<Mutex<Notes>>,
    closing: Arc<AtomicBool>,
    messages: Receiver<Message>,
    settings: Settings,
    clock: fn() -> Timestamp,
    pruned: Option<Instant>,
    is_stuck: bool,
}

impl Writer {
    fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            self.prune();
            let is_last = match self.messages.recv_timeout(FLUSH) {
                Ok(message) => {
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
            let taken = lock(&self.notes).take();
            let Err(error) = self.write(batch, &taken) else {
                if std::mem::take(&mut self.is_stuck) {
                    tracing::info!("evidence can be written again");
                }
                return true;
            };
            lock(&self.notes).give_back(taken);
            if !passes(&error) {
                tracing::error!(%error, records = batch.len(), "evidence was refused; these records are lost");
                return true;
            }
            if !std::mem::replace(&mut self.is_stuck, true) {
                tracing::error!(%error, "evidence cannot be written; trying again");
            }
            if self.closing.load(Ordering::Acquire) {
                tracing::error!(%error, records = batch.len(), "evidence could not be written before the end; these records are lost");
                return false;
            }
            thread::park_timeout(RETRY);
        }
    }

    fn write(&mut self, messages: &[Message], notes: &Taken) -> rusqlite::Result<()> {
        let is_idle = messages.is_empty() && notes.is_empty();
        if is_idle {
            return Ok(());
        }
        let mut batch = Batch::begin(&mut self.connection)?;
        for message in messages {
            if let Message::Record { comparison, due, .. } = message {
                batch.comparison(comparison, *due)?;
            }
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
        batch.revoke(&notes.revoked)?;
        batch.commit()
    }

    /// After the commit: whole pairs to their files, word to those who wait for it.
    fn finish(&mut self, batch: impl Iterator<Item = Message>) {
        for message in batch {
            match message {
                Message::Record { comparison, sample: Some(sample), .. } => {
                    if let Err(error) = self.samples.keep(&comparison, &sample) {
                        tracing::warn!(%error, comparison = %comparison.id, "a pair's bodies could not be kept");
                    }
                }
                // Whoever asked may have stopped waiting.
                Message::Sync(written) => drop(written.try_send(())),
                Message::Record { sample: None, .. } | Message::Close => {}
            }
        }
    }

    fn prune(&mut self) {
        if self.pruned.is_some_and(|last| last.elapsed() < PRUNE) {
            return;
        }
        self.pruned = Some(Instant::now());
        let now = (self.clock)();
        if let Err(error) = sqlite::prune(&self.connection, before(now, self.settings.keep_comparisons)) {
            tracing::warn!(%error, "old evidence could not be removed");
        }
        if let Err(error) = self.samples.prune(before(now, self.settings.keep_samples)) {
            tracing::warn!(%error, "old bodies could not be removed");
        }
    }
}

/// Notes on their way to the file.
#[derive(Default)]
struct Taken {
    requests: Vec<(EpochName, u64)>,
    unrecorded: HashMap<(EpochName, Class), u64>,
    progress: HashMap<EpochName, Progress>,
    revoked: Vec<Uuid>,
}

impl Taken {
    fn is_empty(&self) -> bool {
        self.requests.is_empty()
            && self.unrecorded.is_empty()
            && self.progress.is_empty()
            && self.revoked.is_empty()
    }
}

impl Notes {
    fn take(&mut self) -> Taken {
        let requests =
            self.requests.iter().map(|(epoch, seen)| (epoch.clone(), seen.swap(0, Ordering::Relaxed)));
        Taken {
            requests: requests.filter(|(_, seen)| *seen > 0).collect(),
            unrecorded: std::mem::take(&mut self.unrecorded),
            progress: std::mem::take(&mut self.progress),
            revoked: std::mem::take(&mut self.revoked),
        }
    }

    fn give_back(&mut self, taken: Taken) {
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

/// Whether the same statement may go through later: the disk is full, locked, gone or read-only.
pub(super) fn passes(error: &rusqlite::Error) -> bool {
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

fn open(path: &Path) -> Result<Connection, LedgerError> {
    let failed = |error| LedgerError::Sqlite { path: path.to_owned(), error };
    let connection = sqlite::open(path).map_err(failed)?;
    match sqlite::version(&connection).map_err(failed)? {
        VERSION => Ok(connection),
        found => Err(LedgerError::Version { path: path.to_owned(), found }),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
