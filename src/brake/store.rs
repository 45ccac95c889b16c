//! The file `brake.sqlite`: what is held now, and every pull and release that ever was.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use rusqlite::{
    Connection, OpenFlags, OptionalExtension as _, Row, Transaction, TransactionBehavior, named_params,
};
use thiserror::Error;

use crate::routing::{Brake, Brakes, Hold};

/// Its name in the data folder.
const FILE: &str = "brake.sqlite";
/// `PRAGMA user_version` of the schema in `schema.sql`.
const VERSION: i64 = 1;
/// How long a statement waits for another process' lock.
const BUSY: Duration = Duration::from_secs(2);

/// The brakes cannot be read or written.
#[derive(Debug, Error)]
pub enum BrakeError {
    /// `SQLite` said no.
    #[error("{path}: {error}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What `SQLite` said.
        error: rusqlite::Error,
    },
    /// The file is of another version of figueira.
    #[error("{path} has schema version {found}; this figueira reads version {VERSION}")]
    Version {
        /// The file.
        path: PathBuf,
        /// Its `user_version`.
        found: i64,
    },
    /// Moving it broke off.
    #[error("moving the brake broke off: {0}")]
    Failed(String),
    /// The brake did what it was asked, and the audit log did not.
    #[error("done, but {path} cannot be written: {error}")]
    Audit {
        /// The log.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
}

/// The file, by its path: it is opened for each change, since they are rare and people move files.
#[derive(Clone, Debug)]
pub struct Store {
    path: PathBuf,
}

/// What came of a pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pulled {
    /// It holds now where it was asked to.
    Now {
        /// Where the route was held before.
        before: Option<Hold>,
    },
    /// It was held there, or lower, already: a pull never lets go.
    Already(Brake),
}

/// One pull or release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// The route.
    pub route: Box<str>,
    /// Where it was held before.
    pub before: Option<Hold>,
    /// Where it is held since; nowhere after a release.
    pub after: Option<Hold>,
    /// Who did it.
    pub by: Box<str>,
    /// Why.
    pub reason: Box<str>,
}

/// The brakes in the folder `data` as they are now; none where there is no file.
pub fn read(data: &Path) -> Result<Brakes, BrakeError> {
    let path = data.join(FILE);
    if !path.exists() {
        return Ok(Brakes::default());
    }
    let because = |error| BrakeError::Sqlite { path: path.clone(), error };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let file = Connection::open_with_flags(&path, flags).map_err(because)?;
    file.busy_timeout(BUSY).map_err(because)?;
    match version(&file).map_err(because)? {
        0 => Ok(Brakes::default()),
        VERSION => held(&file).map_err(because),
        found => Err(BrakeError::Version { path, found }),
    }
}

impl Store {
    /// The one in the folder `data`, made where there is none.
    pub fn open(data: &Path) -> Result<Self, BrakeError> {
        let store = Self { path: data.join(FILE) };
        store.connect()?;
        Ok(store)
    }

    /// Holds `route` at `at` or keeps it lower.
    pub fn pull(&self, route: &str, brake: &Brake) -> Result<Pulled, BrakeError> {
        self.write(|file| {
            let held = held_at(file, route)?;
            if let Some(held) = held.as_ref().filter(|held| held.at <= brake.at) {
                return Ok(Pulled::Already(held.clone()));
            }
            let before = held.map(|held| held.at);
            put(file, route, brake)?;
            note(file, route, brake.since, (before, Some(brake.at)), (&brake.by, &brake.reason))?;
            Ok(Pulled::Now { before })
        })
    }

    /// Lets `route` go; what held it, if anything did.
    pub fn release(
        &self,
        route: &str,
        now: Timestamp,
        by: &str,
        reason: &str,
    ) -> Result<Option<Brake>, BrakeError> {
        self.write(|file| {
            let Some(held) = held_at(file, route)? else { return Ok(None) };
            file.execute("DELETE FROM brake WHERE route = ?1", [route])?;
            note(file, route, now, (Some(held.at), None), (by, reason))?;
            Ok(Some(held))
        })
    }

    /// Everything that is held.
    pub fn brakes(&self) -> Result<Brakes, BrakeError> {
        held(&self.connect()?).map_err(|error| self.because(error))
    }

    /// The last pulls and releases, the newest first.
    pub fn history(&self, most: u32) -> Result<Vec<Event>, BrakeError> {
        let file = self.connect()?;
        events(&file, "SELECT * FROM history ORDER BY id DESC LIMIT ?1", most)
            .map_err(|error| self.because(error))
    }

    /// What nobody has told people of yet. It is the caller's to tell now, and nobody else's.
    pub fn take_untold(&self) -> Result<Vec<Event>, BrakeError> {
        self.write(|file| {
            let untold = events(file, "SELECT * FROM history WHERE told = 0 ORDER BY id LIMIT ?1", u32::MAX)?;
            file.execute("UPDATE history SET told = 1 WHERE told = 0", [])?;
            Ok(untold)
        })
    }

    /// When each route was let go last.
    pub fn released(&self) -> Result<HashMap<Box<str>, Timestamp>, BrakeError> {
        let file = self.connect()?;
        let read = || -> rusqlite::Result<HashMap<Box<str>, Timestamp>> {
            let query = "SELECT route, max(time) AS time FROM history WHERE after IS NULL GROUP BY route";
            let mut rows = file.prepare(query)?;
            rows.query_map([], |row| Ok((row.get("route")?, time(row, "time")?)))?.collect()
        };
        read().map_err(|error| self.because(error))
    }

    /// Takes over `known` brakes that the file has never heard of: it is a new one in the place of the one that held
    /// them, and only a release releases.
    pub(super) fn adopt(&self, known: &Brakes) -> Result<usize, BrakeError> {
        self.write(|file| {
            let mut adopted = 0;
            for (route, brake) in known.iter() {
                let heard = "SELECT 1 FROM history WHERE route = ?1";
                if file.query_row(heard, [route], |_| Ok(())).optional()?.is_none() {
                    put(file, route, brake)?;
                    let again = format!("{} (kept: brake.sqlite was replaced)", brake.reason);
                    note(file, route, brake.since, (None, Some(brake.at)), (&brake.by, &again))?;
                    adopted += 1;
                }
            }
            Ok(adopted)
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file, and makes its tables where there are none.
    pub(super) fn connect(&self) -> Result<Connection, BrakeError> {
        let open = || -> rusqlite::Result<(Connection, i64)> {
            let mut file = Connection::open(&self.path)?;
            file.busy_timeout(BUSY)?;
            file.pragma_update(None, "journal_mode", "wal")?;
            file.pragma_update(None, "synchronous", "full")?;
            if version(&file)? == 0 {
                let schema = file.transaction_with_behavior(TransactionBehavior::Immediate)?;
                if version(&schema)? == 0 {
                    schema.execute_batch(include_str!("schema.sql"))?;
                    schema.pragma_update(None, "user_version", VERSION)?;
                }
                schema.commit()?;
            }
            let found = version(&file)?;
            Ok((file, found))
        };
        match open().map_err(|error| self.because(error))? {
            (file, VERSION) => Ok(file),
            (_, found) => Err(BrakeError::Version { path: self.path.clone(), found }),
        }
    }

    pub(super) fn because(&self, error: rusqlite::Error) -> BrakeError {
        BrakeError::Sqlite { path: self.path.clone(), error }
    }

    fn write<T>(&self, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T, BrakeError> {
        let mut file = self.connect()?;
        let run = || {
            let transaction = file.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        run().map_err(|error| self.because(error))
    }
}

/// Everything that `file` holds.
pub(super) fn held(file: &Connection) -> rusqlite::Result<Brakes> {
    let mut rows = file.prepare_cached("SELECT * FROM brake")?;
    rows.query_map([], |row| Ok((row.get("route")?, brake(row)?)))?.collect()
}

fn held_at(file: &Connection, route: &str) -> rusqlite::Result<Option<Brake>> {
    file.query_row("SELECT * FROM brake WHERE route = ?1", [route], brake).optional()
}

fn put(file: &Connection, route: &str, brake: &Brake) -> rusqlite::Result<()> {
    file.execute(
        "INSERT OR REPLACE INTO brake (route, at, since, by, reason) VALUES (:route, :at, :since, :by, :reason)",
        named_params! {
            ":route": route,
            ":at": brake.at.as_str(),
            ":since": brake.since.as_millisecond(),
            ":by": &*brake.by,
            ":reason": &*brake.reason,
        },
    )?;
    Ok(())
}

fn note(
    file: &Connection,
    route: &str,
    time: Timestamp,
    (before, after): (Option<Hold>, Option<Hold>),
    (by, reason): (&str, &str),
) -> rusqlite::Result<()> {
    file.execute(
        "INSERT INTO history (time, route, before, after, by, reason)
         VALUES (:time, :route, :before, :after, :by, :reason)",
        named_params! {
            ":time": time.as_millisecond(),
            ":route": route,
            ":before": before.map(Hold::as_str),
            ":after": after.map(Hold::as_str),
            ":by": by,
            ":reason": reason,
        },
    )?;
    Ok(())
}

fn events(file: &Connection, query: &str, most: u32) -> rusqlite::Result<Vec<Event>> {
    let mut rows = file.prepare(query)?;
    let event = |row: &Row<'_>| {
        Ok(Event {
            time: time(row, "time")?,
            route: row.get("route")?,
            before: hold(row, "before")?,
            after: hold(row, "after")?,
            by: row.get("by")?,
            reason: row.get("reason")?,
        })
    };
    rows.query_map([most], event)?.collect()
}

fn brake(row: &Row<'_>) -> rusqlite::Result<Brake> {
    Ok(Brake {
        // A word of a later version still holds, as low as can be.
        at: hold(row, "at")?.unwrap_or(Hold::Monolith),
        since: time(row, "since")?,
        by: row.get("by")?,
        reason: row.get("reason")?,
    })
}

fn hold(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Hold>> {
    let word: Option<String> = row.get(column)?;
    Ok(word.as_deref().and_then(Hold::from_word))
}

fn time(row: &Row<'_>, column: &str) -> rusqlite::Result<Timestamp> {
    Ok(Timestamp::from_millisecond(row.get(column)?).unwrap_or(Timestamp::UNIX_EPOCH))
}

fn version(file: &Connection) -> rusqlite::Result<i64> {
    file.pragma_query_value(None, "user_version", |row| row.get(0))
}
