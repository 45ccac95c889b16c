//! The file `evidence.sqlite`: its schema, and what is asked of it and removed from it by its writer.

mod batch;
mod gone;

use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, config::DbConfig, named_params, params};
use uuid::{Builder, Uuid};

pub(crate) use self::{
    batch::Batch,
    gone::{Old, prune},
};
use crate::{
    database,
    parallel_run::{
        archive::{EpochName, OWNED, Progress, Shown},
        sample::Pseudonym,
    },
};

/// From an empty file to today's tables, each step from the version before it: `PRAGMA user_version` counts them.
const SCHEMA: [&str; 11] = [
    include_str!("schema/1.sql"),
    concat!(include_str!("schema/2.sql"), include_str!("schema/findings.sql")),
    include_str!("schema/3.sql"),
    include_str!("schema/4.sql"),
    include_str!("schema/5.sql"),
    include_str!("schema/6.sql"),
    include_str!("schema/7.sql"),
    concat!(include_str!("schema/8.sql"), include_str!("schema/findings.sql")),
    include_str!("schema/9.sql"),
    include_str!("schema/10.sql"),
    include_str!("schema/11.sql"),
];

/// The schema's version that this figueira reads and writes.
pub(crate) const VERSION: i64 = 11;

/// Opens the file for writing, and makes its tables where there are none.
pub(crate) fn open(path: &Path) -> rusqlite::Result<Connection> {
    database::open(path, prepare)
}

fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    // A crash of the machine may lose the last commits, never the file.
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    let schema = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    // A later version is left alone: who opens it says so.
    let known = usize::try_from(version(&schema)?).unwrap_or(usize::MAX);
    for step in SCHEMA.iter().skip(known) {
        schema.execute_batch(step)?;
    }
    if known < SCHEMA.len() {
        schema.pragma_update(None, "user_version", VERSION)?;
    }
    schema.commit()
}

/// Opens the file for reading beside its writer.
pub(crate) fn open_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let connection = database::open_to_read(path)?;
    // A plan that leans on a bound value is made anew for each, and one look asks the same of hundreds of routes.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

/// The schema's version; 0 is an empty file.
pub(crate) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// The key of the evidence's pseudonyms; `fresh` where it has none yet.
pub(crate) fn key(connection: &Connection, fresh: [u8; 32]) -> rusqlite::Result<[u8; 32]> {
    connection
        .execute("INSERT OR IGNORE INTO meta (key, value) VALUES ('pseudonyms', ?1)", params![fresh])?;
    connection.query_row("SELECT value FROM meta WHERE key = 'pseudonyms'", [], |row| row.get(0))
}

/// Whose evidence this is.
pub(crate) fn origin(connection: &Connection) -> rusqlite::Result<String> {
    connection.query_row("SELECT value FROM meta WHERE key = 'origin'", [], |row| row.get(0))
}

/// Counts the differences of comparisons that were not written through a [`Batch`].
pub(crate) fn count_findings(connection: &Connection) -> rusqlite::Result<usize> {
    connection.execute(include_str!("schema/findings.sql"), [])
}

/// Makes `epoch` its route's current one, with a row of its own where it has none.
pub(crate) fn take_up(
    connection: &Connection,
    epoch: &EpochName,
    basis: &str,
    now: Timestamp,
) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO epoch (route, name, number, basis, started_at, active_at)
         VALUES (:route, :name, 1 + (SELECT count(*) FROM epoch WHERE route = :route), :basis, :now, :now)
         ON CONFLICT (route, name) DO UPDATE SET active_at = :now",
        named_params! {":route": &*epoch.route, ":name": &*epoch.id, ":basis": basis, ":now": now.as_millisecond()},
    )?;
    Ok(())
}

/// How far calibration had come.
pub(crate) fn progress(connection: &Connection, epoch: &EpochName) -> rusqlite::Result<Option<Progress>> {
    connection
        .query_row(
            "SELECT learner, states FROM epoch WHERE route = ?1 AND name = ?2",
            params![&*epoch.route, &*epoch.id],
            |row| {
                let states: Option<String> = row.get("states")?;
                let learner: Option<String> = row.get("learner")?;
                Ok(states.map(Progress::Frozen).or(learner.map(Progress::Learning)))
            },
        )
        .optional()
        .map(Option::flatten)
}

/// What the parallel run has spent on the route's candidates since midnight UTC, in any epoch. What users were drawn is
/// not its to spend.
pub(crate) fn spent_today(connection: &Connection, route: &str, now: Timestamp) -> rusqlite::Result<f64> {
    connection.query_row(
        "SELECT coalesce(sum(candidate_cost_usd), 0.0) FROM comparison
         WHERE id >= ?1 AND direction != 'reverse' AND epoch IN (SELECT id FROM epoch WHERE route = ?2)",
        params![first_id(midnight(now)).as_bytes(), route],
        |row| row.get(0),
    )
}

/// What of [`spent_today`] previews have cost, which other processes make.
pub(crate) fn previewed_today(connection: &Connection, route: &str, now: Timestamp) -> rusqlite::Result<f64> {
    connection.query_row(
        "SELECT coalesce(sum(candidate_cost_usd), 0.0) FROM comparison INDEXED BY comparison_of_preview
         WHERE id >= ?1 AND direction = 'replay' AND epoch IN (SELECT id FROM epoch WHERE route = ?2)",
        params![first_id(midnight(now)).as_bytes(), route],
        |row| row.get(0),
    )
}

/// The beginning of the day, UTC.
fn midnight(now: Timestamp) -> Timestamp {
    let second = now.as_second().div_euclid(86_400) * 86_400;
    Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The basis of the route's current epoch.
pub(crate) fn current_basis(connection: &Connection, route: &str) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT basis FROM epoch WHERE route = ?1 ORDER BY active_at DESC LIMIT 1";
    connection.query_row(sql, [route], |row| row.get(0)).optional()
}

/// Subjects and the slots that they have taken: each of their records but those of calibration and those that found
/// no slot.
pub(crate) fn subjects(
    connection: &Connection,
    epoch: &EpochName,
) -> rusqlite::Result<Vec<(Option<Pseudonym>, u64)>> {
    let mut statement = connection.prepare(
        "SELECT subject, count(*) FROM comparison
         WHERE epoch = (SELECT id FROM epoch WHERE route = ?1 AND name = ?2)
           AND class NOT IN ('calibration', 'duplicate-subject') AND direction IN ('shadow', 'reverse')
         GROUP BY subject",
    )?;
    let rows = statement.query_map(params![&*epoch.route, &*epoch.id], |row| {
        let subject: Option<String> = row.get(0)?;
        Ok((subject.and_then(|text| text.parse().ok()), natural(row.get(1)?)))
    })?;
    rows.collect()
}

/// What the last pairs of known subjects have shown, in their order.
pub(crate) fn shown(connection: &Connection, epoch: &EpochName) -> rusqlite::Result<Vec<Shown>> {
    // Bounded twice: most pairs may have no image, or each of them many.
    let mut statement = connection.prepare(
        "SELECT hash, subject, request FROM (
           SELECT id, subject, request FROM comparison
           WHERE epoch = (SELECT id FROM epoch WHERE route = ?1 AND name = ?2) AND subject IS NOT NULL
             AND class NOT IN ('calibration', 'duplicate-subject') AND direction IN ('shadow', 'reverse')
           ORDER BY id DESC LIMIT ?3
         ) JOIN image ON comparison = id WHERE decodes ORDER BY id DESC LIMIT ?3",
    )?;
    let rows = statement.query_map(params![&*epoch.route, &*epoch.id, position(OWNED)], |row| {
        let (hash, subject, request): (_, String, _) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(subject.parse().ok().map(|subject| Shown { hash, subject, request }))
    })?;
    let mut shown: Vec<_> = rows.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    shown.reverse();
    Ok(shown)
}

/// How many of the comparisons from before `time` wait for the lake and take more than `bytes`, at the mean size of all.
pub(crate) fn beyond(connection: &Connection, time: Timestamp, bytes: u64) -> rusqlite::Result<u64> {
    let number = |sql, parameters: &[&dyn rusqlite::ToSql]| {
        connection.prepare_cached(sql)?.query_row(parameters, |row| row.get(0)).map(natural)
    };
    let wait = number("SELECT count(*) FROM outbound WHERE comparison < ?1", &[first_id(time).as_bytes()])?;
    if wait == 0 {
        return Ok(0);
    }
    let used = number(
        "SELECT (page_count - freelist_count) * page_size
         FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()",
        &[],
    )?;
    let each = used / number("SELECT count(*) FROM comparison", &[])?.max(1);
    Ok(wait.saturating_sub(bytes / each.max(1)))
}

/// No comparison of `time` or later has a smaller id.
pub(crate) fn first_id(time: Timestamp) -> Uuid {
    let millis = u64::try_from(time.as_millisecond()).unwrap_or(0);
    Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid()
}

/// A count as `SQLite` gives it.
pub(crate) fn natural(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn position(place: usize) -> i64 {
    i64::try_from(place).unwrap_or(i64::MAX)
}
