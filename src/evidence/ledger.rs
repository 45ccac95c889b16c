//! The evidence's one writer: a thread behind a bounded queue, writing in batches.
//!
//! Nobody waits for it. When the disk is stuck the queue fills, and what finds no place is counted by route, epoch and
//! class; the counts are written with the next batch that goes through, so that the numbers always add up. Where the file
//! cannot be used at all, no pair is run, and everything else goes on.

mod notes;
mod writer;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, Receiver, SyncSender, TrySendError},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use jiff::Timestamp;
use rusqlite::Connection;
use thiserror::Error;

use self::{notes::Notes, writer::Writer};
use super::{
    samples::Samples,
    sqlite::{self, VERSION},
};
use crate::{
    database,
    parallel_run::{
        archive::{Archive, ArchiveError, EpochName, Progress, Resumed, Sample},
        comparison::Comparison,
        sample::Pseudonyms,
    },
    priority,
    routing::Live,
};

#[cfg(test)]
pub(super) use self::writer::passes;

/// Records that wait for the disk.
const QUEUE: usize = 1024;

/// Between two attempts to write what could not be written.
const RETRY: Duration = Duration::from_millis(250);

/// Where the evidence is kept, and how long.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of `evidence.sqlite` and `samples/`.
    pub data: PathBuf,
    /// How long whole pairs are kept.
    pub keep_samples: Duration,
    /// How long comparisons are kept.
    pub keep_comparisons: Duration,
    /// Bytes that comparisons may take for longer, because they are not exported yet; 0 where nothing is exported.
    pub keep_unexported: u64,
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
    /// The file is no evidence any more.
    #[error(
        "{path} is damaged: stop every process that works in its folder, and put a copy back; or move it away and \
         start with a new one: every parallel run begins anew ({error})"
    )]
    Damaged {
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

impl LedgerError {
    /// Whether it may be another time: a file that somebody holds, a disk that is full.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Sqlite { .. } | Self::Io { .. })
    }
}

/// The evidence, open for writing.
#[derive(Debug)]
pub struct Ledger {
    /// Once it is open.
    pseudonyms: OnceLock<Pseudonyms>,
    nobody: Pseudonyms,
    clock: fn() -> Timestamp,
    settings: Arc<Live<Settings>>,
    notes: Arc<Mutex<Notes>>,
    closing: Arc<AtomicBool>,
    queue: SyncSender<Message>,
    /// Until somebody writes.
    messages: Mutex<Option<Receiver<Message>>>,
    /// For what is asked of the file outside the writer's thread; or why nothing is.
    desk: Mutex<Result<Connection, String>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    unexported: Arc<AtomicU64>,
    good: Arc<AtomicBool>,
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

impl Ledger {
    /// Opens the evidence, and begins to write. `fresh_key` becomes the key of its pseudonyms if it has none.
    pub fn open(
        settings: Settings,
        fresh_key: [u8; 32],
        clock: fn() -> Timestamp,
    ) -> Result<Self, LedgerError> {
        let ledger = Self::shut(settings, String::new(), clock);
        ledger.begin(fresh_key)?;
        Ok(ledger)
    }

    /// Keeps nothing, and lets no route begin a parallel run, for this reason: no request needs the evidence.
    pub fn shut(settings: Settings, reason: String, clock: fn() -> Timestamp) -> Self {
        let (queue, messages) = mpsc::sync_channel(QUEUE);
        Self {
            pseudonyms: OnceLock::new(),
            nobody: Pseudonyms::new([0; 32]),
            clock,
            settings: Arc::new(Live::new(settings)),
            notes: Arc::default(),
            closing: Arc::default(),
            queue,
            messages: Mutex::new(Some(messages)),
            desk: Mutex::new(Err(reason)),
            writer: Mutex::default(),
            unexported: Arc::default(),
            good: Arc::default(),
        }
    }

    /// Opens what is shut, and begins to write; what is open stays so.
    pub fn begin(&self, fresh_key: [u8; 32]) -> Result<(), LedgerError> {
        let data = self.settings.load().data.clone();
        let (path, samples_path) = (data.join("evidence.sqlite"), data.join("samples"));
        let sqlite_error = |error| LedgerError::Sqlite { path: path.clone(), error };
        let io_error = |error| LedgerError::Io { path: samples_path.clone(), error };
        let samples = Samples::open(samples_path.clone()).map_err(io_error)?;
        let (desk, connection) = (open(&path)?, open(&path)?);
        let key = sqlite::key(&desk, fresh_key).map_err(sqlite_error)?;
        let Some(messages) = lock(&self.messages).take() else { return Ok(()) };
        let writer = Writer {
            connection,
            samples,
            notes: Arc::clone(&self.notes),
            closing: Arc::clone(&self.closing),
            messages,
            settings: Arc::clone(&self.settings),
            clock: self.clock,
            pruned: None,
            beyond: 0,
            unexported: Arc::clone(&self.unexported),
            good: Arc::clone(&self.good),
        };
        let write = || {
            priority::come_last();
            writer.run();
        };
        let thread = thread::Builder::new().name("evidence".to_owned()).spawn(write).map_err(io_error)?;
        *lock(&self.writer) = Some(thread);
        self.pseudonyms.get_or_init(|| Pseudonyms::new(key));
        self.good.store(true, Ordering::Release);
        *lock(&self.desk) = Ok(desk);
        Ok(())
    }

    /// False while what is to be kept cannot be.
    pub fn good(&self) -> &Arc<AtomicBool> {
        &self.good
    }

    /// Keeps by other settings from now on, but for the folder.
    pub fn configure(&self, settings: Settings) {
        self.settings.replace(settings);
    }

    /// How many comparisons were removed before they could be exported, since this was asked last.
    pub fn unexported(&self) -> u64 {
        self.unexported.swap(0, Ordering::Relaxed)
    }

    /// Waits until all that was given is written, at most `deadline`; false when it was not.
    pub fn sync(&self, deadline: Duration) -> bool {
        let (written, is_written) = mpsc::sync_channel(1);
        // Nobody would ever answer.
        if lock(&self.desk).is_err() {
            return false;
        }
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

    /// Asks the file, for `route`.
    fn ask<T>(
        &self,
        route: &str,
        what: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, ArchiveError> {
        let failed = |reason: String| ArchiveError { route: route.into(), reason };
        let desk = lock(&self.desk);
        let file = desk.as_ref().map_err(|reason| failed(reason.clone()))?;
        what(file).map_err(|error| failed(error.to_string()))
    }

    fn send(&self, comparison: Comparison, due: Option<Timestamp>, sample: Option<Sample>) {
        let (id, comparison) = (comparison.id, Box::new(comparison));
        let sent = self.queue.try_send(Message::Record { comparison, due, sample: sample.map(Box::new) });
        let mut notes = lock(&self.notes);
        match (due, sent) {
            (Some(_), Ok(())) => drop(notes.dispatched.insert(id)),
            (Some(_), Err(_)) => {}
            (None, Ok(())) => drop(notes.dispatched.remove(&id)),
            (None, Err(TrySendError::Full(refused) | TrySendError::Disconnected(refused))) => {
                if let Message::Record { comparison, .. } = refused {
                    notes.crowded_out(*comparison);
                }
            }
        }
    }
}

impl Archive for Ledger {
    fn resume(&self, epoch: &EpochName, basis: &str) -> Result<Resumed, ArchiveError> {
        // What this process has already given of the epoch belongs to it too.
        self.sync(RETRY);
        let (progress, [spent_today, previewed_today], subjects, shown) = self.ask(&epoch.route, |desk| {
            sqlite::take_up(desk, epoch, basis, (self.clock)())?;
            let now = (self.clock)();
            let spent = sqlite::spent_today(desk, &epoch.route, now)?;
            let previewed = sqlite::previewed_today(desk, &epoch.route, now)?;
            let (subjects, shown) = (sqlite::subjects(desk, epoch)?, sqlite::shown(desk, epoch)?);
            Ok((sqlite::progress(desk, epoch)?, [spent, previewed], subjects, shown))
        })?;
        let mut notes = lock(&self.notes);
        let traffic = Arc::clone(notes.traffic.entry(epoch.clone()).or_default());
        Ok(Resumed { progress, subjects, shown, spent_today, previewed_today, traffic })
    }

    fn previewed_today(&self, route: &str) -> Result<f64, ArchiveError> {
        self.ask(route, |desk| sqlite::previewed_today(desk, route, (self.clock)()))
    }

    fn version(&self, route: &str) -> Result<Option<String>, ArchiveError> {
        let basis = self.ask(route, |desk| sqlite::current_basis(desk, route))?;
        let basis: Option<serde_json::Value> = basis.and_then(|basis| serde_json::from_str(&basis).ok());
        Ok(basis.and_then(|basis| Some(basis.get("version")?.as_str()?.to_owned())))
    }

    fn pseudonyms(&self) -> &Pseudonyms {
        self.pseudonyms.get().unwrap_or(&self.nobody)
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

fn open(path: &Path) -> Result<Connection, LedgerError> {
    let failed = |error| {
        let path = path.to_owned();
        if database::is_damaged(&error) {
            LedgerError::Damaged { path, error }
        } else {
            LedgerError::Sqlite { path, error }
        }
    };
    let connection = sqlite::open(path).map_err(failed)?;
    match sqlite::version(&connection).map_err(failed)? {
        VERSION => Ok(connection),
        found => Err(LedgerError::Version { path: path.to_owned(), found }),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
