//! The file `brake.sqlite`: what is held now, and every pull and release that ever was.

mod watch;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, named_params};

pub(in crate::brake) use self::watch::Watch;
use super::{BrakeError, Event, Pulled};
use crate::{
    database,
    routing::{Brake, Brakes, Hold},
};

/// Its name in the data folder.
const FILE: &str = "brake.sqlite";
/// `PRAGMA user_version` of the schema in `schema.sql`.
pub(super) const VERSION: i64 = 1;

/// The file, by its path: it is opened for each change, since they are rare and people move files.
#[derive(Clone, Debug)]
pub(in crate::brake) struct File {
    path: PathBuf,
}

/// The brakes in the folder `data` as they are now; none where there is no file.
pub(super) fn read(data: &Path) -> Result<Brakes, BrakeError> {
    let path = data.join(FILE);
    if !path.exists() {
        return Ok(Brakes::default());
    }
    let because = |error| BrakeError::Sqlite { path: path.clone(), error };
    let file = database::open_to_read(&path).map_err(because)?;
    match version(&file).map_err(because)? {
        0 => Ok(Brakes::default()),
        VERSION => held(&file).map_err(because),
        found => Err(BrakeError::Version { path, found }),
    }
}

impl File {
    /// The one in the folder `data`, made where there is none.
    pub(super) fn open(data: &Path) -> Result<Self, BrakeError> {
        let store = Self { path: data.join(FILE) };
        store.connect()?;
        Ok(store)
    }

    pub(super) fn pull(&self, routes: &[&str], brake: &Brake) -> Result<Vec<Pulled>, BrakeError> {
        self.write(|file| routes.iter().map(|route| pull(file, route, brake)).collect())
    }

    pub(super) fn release(
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

    pub(super) fn brakes(&self) -> Result<Brakes, BrakeError> {
        held(&self.connect()?).map_err(|error| self.because(error))
    }

    pub(super) fn history(&self, most: u32) -> Result<Vec<Event>, BrakeError> {
        let file = self.connect()?;
        events(&file, "SELECT * FROM history ORDER BY id DESC LIMIT ?1", most)
            .map_err(|error| self.because(error))
    }

    pub(super) fn take_untold(&self) -> Result<Vec<Event>, BrakeError> {
        self.write(|file| {
            let untold = events(file, "SELECT * FROM history WHERE told = 0 ORDER BY id LIMIT ?1", u32::MAX)?;
            file.execute("UPDATE history SET told = 1 WHERE told = 0", [])?;
            Ok(untold)
        })
    }

    /// Forgets `brake`, which is kept elsewhere by now; false where it holds `route` no more.
    #[cfg(feature = "aws")]
    pub(super) fn hand_over(&self, route: &str, brake: &Brake) -> Result<bool, BrakeError> {
        self.write(|file| {
            let same = "DELETE FROM brake WHERE route = ?1 AND at = ?2 AND since = ?3";
            let gone = file.execute(same, (route, brake.at.as_str(), brake.since.as_millisecond()))?;
            Ok(gone > 0)
        })
    }

    pub(super) fn released(&self) -> Result<HashMap<Box<str>, Timestamp>, BrakeError> {
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
    fn adopt(&self, known: &Brakes) -> Result<usize, BrakeError> {
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

    fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file, and makes its tables where there are none.
    fn connect(&self) -> Result<Connection, BrakeError> {
        let open = database::open(&self.path, prepare);
        match open
            .and_then(|file| version(&file).map(|found| (file, found)))
            .map_err(|error| self.because(error))?
        {
            (file, VERSION) => Ok(file),
            (_, found) => Err(BrakeError::Version { path: self.path.clone(), found }),
        }
    }

    fn because(&self, error: rusqlite::Error) -> BrakeError {
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

fn prepare(file: &mut Connection) -> rusqlite::Result<()> {
    file.pragma_update(None, "journal_mode", "wal")?;
    file.pragma_update(None, "synchronous", "full")?;
    if version(file)? == 0 {
        let schema = file.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if version(&schema)? == 0 {
            schema.execute_batch(include_str!("../schema.sql"))?;
            schema.pragma_update(None, "user_version", VERSION)?;
        }
        schema.commit()?;
    }
    Ok(())
}

fn pull(file: &Connection, route: &str, brake: &Brake) -> rusqlite::Result<Pulled> {
    let held = held_at(file, route)?;
    if let Some(held) = held.as_ref().filter(|held| held.at <= brake.at) {
        return Ok(Pulled::Already(held.clone()));
    }
    let before = held.map(|held| held.at);
    put(file, route, brake)?;
    note(file, route, brake.since, (before, Some(brake.at)), (&brake.by, &brake.reason))?;
    Ok(Pulled::Now { before })
}

/// Everything that `file` holds.
fn held(file: &Connection) -> rusqlite::Result<Brakes> {
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
