//! Erases what was compared for one person: the pairs, what people said of them, and their samples. The person's name
//! is not in the evidence; its keyed hash is, and with the evidence's own key it can be made again.

use std::{fs, io, path::Path};

use rusqlite::{Connection, OptionalExtension as _, params};
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

/// Erases the pairs of `subject`, the raw value of a route's `subject`, from the evidence in `data`; says how many there
/// were. A gateway may write there meanwhile. Parquet that was exported is not touched.
pub fn erase(data: &Path, subject: &[u8]) -> Result<usize, EraseError> {
    let file = data.join("evidence.sqlite");
    if !file.exists() {
        return Ok(0);
    }
    let mut connection = sqlite::open(&file)?;
    match sqlite::version(&connection)? {
        sqlite::VERSION => {}
        found => return Err(EraseError::Version { found }),
    }
    let Some(key) = key(&connection)? else { return Ok(0) };
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
    erasing.execute("DELETE FROM comparison WHERE subject = ?1", params![subject])?;
    erasing.execute(
        "UPDATE finding_elsewhere SET example = NULL, control = NULL, candidate = NULL, rule = NULL
         WHERE example NOT IN (SELECT id FROM comparison)",
        [],
    )?;
    erasing.commit()?;
    database::empty_journal(&connection)?;
    Ok(pairs.len())
}

/// The key of the pseudonyms; none where nobody has a name yet.
fn key(connection: &Connection) -> rusqlite::Result<Option<[u8; 32]>> {
    let sql = "SELECT value FROM meta WHERE key = 'pseudonyms'";
    connection.query_row(sql, [], |row| row.get(0)).optional()
}
