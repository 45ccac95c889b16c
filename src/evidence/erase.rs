//! Erases what was compared for one person: the pairs, what people said of them, and their samples. That they were, and
//! what came of them, stays counted: a verdict is of all that was sampled. The person's name is not in the evidence; its
//! keyed hash is, and with the evidence's own key it can be made again.

use std::{fs, io, ops::AddAssign, path::Path};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use thiserror::Error;
use uuid::Uuid;

use super::{samples, sqlite};
use crate::{database, parallel_run::sample::Pseudonyms};

/// What stopped it. Run again, it goes on.
#[derive(Debug, Error)]
pub enum EraseError {
    /// `SQLite` failed.
    #[error("the evidence failed")]
    Sqlite(#[from] rusqlite::Error),
    /// The file is of another version of figueira.
    #[error("the evidence has schema version {found}; this figueira writes version {}", sqlite::VERSION)]
    Version {
        /// The file's `user_version`.
        found: i64,
    },
    /// A sample could not be deleted.
    #[error("a sample could not be deleted")]
    Sample(#[from] io::Error),
}

/// What was erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Pairs.
    pub pairs: usize,
    /// Alarms among them that nobody had acknowledged, and that hold no route back any more.
    pub alarms: usize,
}

impl AddAssign for Erased {
    fn add_assign(&mut self, more: Self) {
        self.pairs += more.pairs;
        self.alarms += more.alarms;
    }
}

/// Erases the pairs of `subject`, the raw value of a route's `subject`, from the evidence in `data`. A gateway may write
/// there meanwhile: what has not ended at `now` counts when it does. Parquet that was exported is not touched.
pub fn erase(data: &Path, subject: &[u8], now: Timestamp) -> Result<Erased, EraseError> {
    let file = data.join("evidence.sqlite");
    if !file.exists() {
        return Ok(Erased::default());
    }
    let mut connection = sqlite::open(&file)?;
    match sqlite::version(&connection)? {
        sqlite::VERSION => {}
        found => return Err(EraseError::Version { found }),
    }
    let Some(key) = key(&connection)? else { return Ok(Erased::default()) };
    let subject = Pseudonyms::new(key).subject(subject).to_string();
    let erasing = connection.transaction()?;
    let pairs = erasing
        .prepare(
            "SELECT comparison.id, route FROM comparison JOIN epoch ON epoch.id = epoch WHERE subject = ?1",
        )?
        .query_map([&subject], |row| Ok((Uuid::from_bytes(row.get(0)?), row.get(1)?)))?
        .collect::<Result<Vec<(Uuid, String)>, _>>()?;
    for (pair, route) in &pairs {
        for sample in samples::places(&data.join("samples"), route, *pair) {
            match fs::remove_dir_all(sample) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed?,
            }
        }
    }
    let alarms = leave_counted(&erasing, &subject, now)?;
    erasing.execute("DELETE FROM comparison WHERE subject = ?1", params![subject])?;
    erasing.execute(
        "UPDATE finding_elsewhere SET example = NULL, control = NULL, candidate = NULL, rule = NULL
         WHERE example NOT IN (SELECT id FROM comparison)",
        [],
    )?;
    erasing.commit()?;
    database::empty_journal(&connection)?;
    Ok(Erased { pairs: pairs.len(), alarms })
}

/// Leaves of the pairs of `subject` how many there were of what class, and that alarms were acknowledged, not with what
/// words. Says how many alarms nobody had.
fn leave_counted(erasing: &Transaction<'_>, subject: &str, now: Timestamp) -> rusqlite::Result<usize> {
    erasing.execute(
        "INSERT INTO erased SELECT epoch, class, count(*) FROM comparison
         WHERE subject = ?1 AND direction IN ('shadow', 'reverse') AND (due IS NULL OR due < ?2) GROUP BY epoch, class
         ON CONFLICT (epoch, class) DO UPDATE SET n = n + excluded.n",
        params![subject, now.as_millisecond()],
    )?;
    erasing.execute(
        "INSERT OR REPLACE INTO acknowledgement_gone
         SELECT comparison, kind, acknowledgement.at, who, '(erased)' FROM acknowledgement
         JOIN comparison ON id = acknowledgement.comparison WHERE subject = ?1",
        [subject],
    )?;
    let unseen = "SELECT count(*) FROM comparison JOIN alarm ON alarm.comparison = id
         LEFT JOIN acknowledgement USING (comparison, kind)
         WHERE subject = ?1 AND direction IN ('shadow', 'reverse') AND acknowledgement.at IS NULL";
    let alarms = erasing.query_row(unseen, [subject], |row| row.get::<_, i64>(0))?;
    Ok(usize::try_from(alarms).unwrap_or_default())
}

/// The key of the pseudonyms; none where nobody has a name yet.
fn key(connection: &Connection) -> rusqlite::Result<Option<[u8; 32]>> {
    let sql = "SELECT value FROM meta WHERE key = 'pseudonyms'";
    connection.query_row(sql, [], |row| row.get(0)).optional()
}
