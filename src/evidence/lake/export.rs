//! From a data folder into a lake, a batch at a time. A batch is named before it is written, so that one that was cut
//! short is written again under the same names: each comparison lies in the lake once.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};
use thiserror::Error;
use tokio::task::{JoinError, spawn_blocking};
use uuid::Uuid;

use super::{
    Lake, LakeError,
    columns::{
        ACKNOWLEDGEMENT, ALARM, COMPARISON, ColumnError, DIFFERENCE, EPOCH, IMAGE, LABEL, RULE_USE, Rows,
        Table, UNRECORDED,
    },
};
use crate::evidence::sqlite;

/// Comparisons of one batch.
const BATCH: u32 = 20_000;

/// After what is overdue so long, nothing more will be heard of a candidate.
const GIVEN_UP: Duration = Duration::from_hours(1);

/// Day, route: where in the lake a row lies.
type Partition = (String, String);

/// What is written once: a query whose first columns are the table's, and then the partition.
const STREAMS: [(&Table, &str); 4] = [
    (
        &COMPARISON,
        "SELECT comparison.id, (SELECT value FROM meta WHERE key = 'origin'), epoch.name, at, gateway, direction, stratum,
           sample_rate, subject, request, class, control_outcome, control_status, control_first_byte, control_total,
           control_bytes, control_media_type, control_body_hash, control_cost_usd, candidate_outcome, candidate_status,
           candidate_first_byte, candidate_total, candidate_bytes, candidate_media_type, candidate_body_hash,
           candidate_cost_usd, date(at / 1000, 'unixepoch'), route
         FROM outbound JOIN comparison ON comparison.id = outbound.comparison JOIN epoch ON epoch.id = comparison.epoch
         WHERE batch = ?1 ORDER BY route, comparison.id",
    ),
    (
        &DIFFERENCE,
        "SELECT outbound.comparison, place, path, kind, control, candidate, severity, rule, date(at / 1000, 'unixepoch'), route
         FROM outbound JOIN difference USING (comparison) JOIN comparison ON comparison.id = outbound.comparison
           JOIN epoch ON epoch.id = comparison.epoch
         WHERE batch = ?1 ORDER BY route, outbound.comparison, place",
    ),
    (
        &IMAGE,
        "SELECT outbound.comparison, place, arm, position, delivery, sniffed, declared, width, height, color, bytes, decodes,
           entropy, luma_deviation, dominant, image.hash, alpha, orientation, correlation, difference_hash,
           date(at / 1000, 'unixepoch'), route
         FROM outbound JOIN image USING (comparison) JOIN comparison ON comparison.id = outbound.comparison
           JOIN epoch ON epoch.id = comparison.epoch
         WHERE batch = ?1 ORDER BY route, outbound.comparison, place",
    ),
    (
        &ALARM,
        "SELECT outbound.comparison, kind, date(at / 1000, 'unixepoch'), route
         FROM outbound JOIN alarm USING (comparison) JOIN comparison ON comparison.id = outbound.comparison
           JOIN epoch ON epoch.id = comparison.epoch
         WHERE batch = ?1 ORDER BY route, outbound.comparison",
    ),
];

/// What is written anew each time.
const STATES: [(&Table, &str); 5] = [
    (
        &EPOCH,
        "SELECT (SELECT value FROM meta WHERE key = 'origin'), route, name, hash, number, basis, states, started_at,
           active_at, requests
         FROM epoch ORDER BY route, number",
    ),
    (
        &UNRECORDED,
        "SELECT (SELECT value FROM meta WHERE key = 'origin'), route, name, class, n
         FROM unrecorded JOIN epoch ON id = epoch ORDER BY route, class",
    ),
    (
        &RULE_USE,
        "SELECT (SELECT value FROM meta WHERE key = 'origin'), route, name, rule, pairs
         FROM rule_use JOIN epoch ON id = epoch ORDER BY route, rule",
    ),
    (
        &ACKNOWLEDGEMENT,
        "SELECT comparison, kind, at, who, reason FROM acknowledgement
         UNION ALL SELECT comparison, kind, at, who, reason FROM acknowledgement_gone ORDER BY comparison, kind",
    ),
    (&LABEL, "SELECT comparison, label, at, who FROM label ORDER BY comparison"),
];

/// Why evidence did not reach the lake. It is kept, and tried again.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The evidence could not be read.
    #[error("the evidence cannot be read: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// It could not be written as Parquet.
    #[error(transparent)]
    Columns(#[from] ColumnError),
    /// The lake did not take it.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// A thread ended.
    #[error("the export's thread ended")]
    Crashed(#[from] JoinError),
}

/// Carries one data folder's evidence into a lake.
#[derive(Debug)]
pub struct Exporter {
    path: PathBuf,
    lake: Lake,
    clock: fn() -> Timestamp,
}

/// What one batch holds.
struct Batch {
    name: Uuid,
    comparisons: u64,
    files: Vec<(String, Bytes)>,
}

impl Exporter {
    /// Of `evidence.sqlite` in the folder `data`, which its writer has opened before.
    pub fn new(data: &Path, lake: Lake, clock: fn() -> Timestamp) -> Self {
        Self { path: data.join("evidence.sqlite"), lake, clock }
    }

    /// Carries all that waits, and then what has changed of the epochs. Says how many comparisons it were.
    pub async fn carry(&self) -> Result<u64, ExportError> {
        let mut carried = 0;
        while let Some(Batch { name, comparisons, files }) = self.in_file(Self::batch).await? {
            for (name, file) in files {
                self.lake.put_once(&name, file).await?;
            }
            self.in_file(move |connection, _| {
                Ok(connection.execute("DELETE FROM outbound WHERE batch = ?1", [name.as_bytes()])?)
            })
            .await?;
            carried += comparisons;
        }
        for (name, file) in self.in_file(|connection, _| states(connection)).await? {
            self.lake.put(&name, file).await?;
        }
        Ok(carried)
    }

    /// The batch that was begun and not finished, else a new one.
    fn batch(connection: &mut Connection, now: Timestamp) -> Result<Option<Batch>, ExportError> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let given_up = now.checked_sub(GIVEN_UP).unwrap_or(Timestamp::UNIX_EPOCH).as_millisecond();
        transaction.execute("UPDATE comparison SET due = NULL WHERE due < ?1", [given_up])?;
        let begun: Option<[u8; 16]> = transaction
            .query_row("SELECT batch FROM outbound WHERE batch IS NOT NULL LIMIT 1", [], |row| row.get(0))
            .optional()?;
        let name = begun.map_or_else(Uuid::now_v7, Uuid::from_bytes);
        if begun.is_none() {
            transaction.execute(
                "UPDATE outbound SET batch = ?1
                 WHERE comparison IN (SELECT comparison FROM outbound ORDER BY comparison LIMIT ?2)",
                params![name.as_bytes(), BATCH],
            )?;
        }
        let waiting = "SELECT count(*) FROM outbound WHERE batch = ?1";
        let comparisons =
            sqlite::natural(transaction.query_row(waiting, [name.as_bytes()], |row| row.get(0))?);
        if comparisons == 0 {
            return Ok(None);
        }
        let mut files = Vec::new();
        for (table, query) in STREAMS {
            for ((day, route), rows) in partitions(&transaction, table, query, name)? {
                let path = format!("{}/dt={day}/route={route}/{name}.parquet", table.name);
                files.push((path, rows.to_parquet()?));
            }
        }
        transaction.commit()?;
        Ok(Some(Batch { name, comparisons, files }))
    }

    async fn in_file<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection, Timestamp) -> Result<T, ExportError> + Send + 'static,
    ) -> Result<T, ExportError> {
        let (path, now) = (self.path.clone(), (self.clock)());
        spawn_blocking(move || work(&mut sqlite::open(&path)?, now)).await?
    }
}

fn partitions(
    connection: &Connection,
    table: &'static Table,
    query: &str,
    batch: Uuid,
) -> Result<BTreeMap<Partition, Rows>, ExportError> {
    let mut partitions: BTreeMap<Partition, Rows> = BTreeMap::new();
    let mut statement = connection.prepare(query)?;
    let mut found = statement.query([batch.as_bytes()])?;
    while let Some(row) = found.next()? {
        partitions.entry(partition(row, table)?).or_insert_with(|| Rows::of(table)).take(row)?;
    }
    Ok(partitions)
}

fn partition(row: &Row<'_>, table: &Table) -> rusqlite::Result<Partition> {
    let first = table.columns.len();
    Ok((row.get(first)?, row.get(first + 1)?))
}

fn states(connection: &Connection) -> Result<Vec<(String, Bytes)>, ExportError> {
    let origin = sqlite::origin(connection)?;
    let mut files = Vec::new();
    for (table, query) in STATES {
        let mut rows = Rows::of(table);
        let mut statement = connection.prepare(query)?;
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            rows.take(row)?;
        }
        // An empty one too: whoever asks with SQL needs its columns.
        files.push((format!("{}/{origin}.parquet", table.name), rows.to_parquet()?));
    }
    Ok(files)
}
