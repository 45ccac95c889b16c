//! Batches out of `evidence.sqlite`, and into it.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, named_params, params};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::FleetError;
use crate::evidence::sqlite::{self, natural};

/// Comparisons of one batch: some 200 KB, where an item holds 400.
const BATCH: u32 = 2_000;
/// Paths and kinds of difference that are told of an epoch, the worst first: as many as a report shows.
const FINDINGS: u32 = 100;
/// Those of them of which an example is told too: each has twice 256 bytes at most.
const EXAMPLES: usize = 10;
/// The last batch that the table took of ours.
const TOLD: &str = "told";
/// Epochs of one batch that tells nothing but what was counted.
const COUNTED: u32 = 20;
/// Epochs whose comparisons that were counted only are more than were told: what was told stands under a key each.
const MORE_COUNTED: &str = "SELECT epoch FROM unrecorded LEFT JOIN meta ON key = 'counted ' || epoch
  GROUP BY epoch HAVING sum(n) > coalesce(max(value), 0) LIMIT ?1";

/// What one data folder tells at once.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Batch {
    pub(super) epochs: Vec<Epoch>,
    pub(super) comparisons: Vec<Comparison>,
}

/// An epoch of which it tells.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Epoch {
    route: String,
    name: String,
    hash: Option<String>,
    basis: String,
    states: Option<String>,
    started_at: i64,
    /// What its route's shadow has seen there, in all.
    requests: i64,
    /// By class: comparisons that were counted only, in all.
    unrecorded: BTreeMap<String, i64>,
    /// What its pairs differ in, in all.
    #[serde(default)]
    findings: Vec<Finding>,
}

/// A path and kind of difference.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Finding {
    path: String,
    kind: String,
    severity: i64,
    pairs: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    example: Option<Example>,
}

/// What both sides said in one pair, as it is written down: without secrets, and cut.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Example {
    comparison: String,
    control: Option<String>,
    candidate: Option<String>,
    rule: Option<String>,
}

/// What counts of a comparison.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Comparison {
    id: String,
    /// At this place among the batch's.
    epoch: usize,
    at: i64,
    gateway: String,
    direction: String,
    stratum: String,
    sample_rate: f64,
    subject: Option<String>,
    class: String,
    control_outcome: String,
    control_total: Option<i64>,
    control_cost_usd: f64,
    candidate_outcome: Option<String>,
    candidate_total: Option<i64>,
    candidate_cost_usd: Option<f64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    alarms: Vec<Alarm>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Alarm {
    kind: String,
    acknowledged: Option<Acknowledged>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Acknowledged {
    at: i64,
    who: String,
    reason: String,
}

/// Begins to note what the fleet is to be told, once for a file.
pub(super) fn enlist(connection: &mut Connection) -> Result<(), FleetError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let enlisted = "SELECT 1 FROM sqlite_master WHERE name = 'untold_ended'";
    if transaction.query_row(enlisted, [], |_| Ok(())).optional()?.is_none() {
        transaction.execute_batch(include_str!("../schema/fleet.sql"))?;
    }
    Ok(transaction.commit()?)
}

/// The batch that was begun and not taken, else a new one, with its number. It says the same however often it is asked.
pub(super) fn next(connection: &mut Connection) -> Result<Option<(u64, Batch)>, FleetError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let begun = "SELECT batch FROM untold WHERE batch IS NOT NULL LIMIT 1";
    let begun: Option<i64> = transaction.query_row(begun, [], |row| row.get(0)).optional()?;
    let number = if let Some(number) = begun {
        number
    } else {
        let number = told(&transaction)? + 1;
        let named = transaction.execute(
            "UPDATE untold SET batch = ?1
             WHERE comparison IN (SELECT comparison FROM untold ORDER BY comparison LIMIT ?2)",
            params![number, BATCH],
        )?;
        if named == 0 {
            let epochs = counted(&transaction)?;
            let batch = Batch { epochs, comparisons: Vec::new() };
            return Ok((!batch.epochs.is_empty()).then_some((natural(number), batch)));
        }
        number
    };
    let batch = batch(&transaction, number)?;
    transaction.commit()?;
    Ok(Some((natural(number), batch)))
}

/// Where many pairs find no place, none may leave a comparison that could be told.
fn counted(connection: &Connection) -> rusqlite::Result<Vec<Epoch>> {
    let mut more = connection.prepare(MORE_COUNTED)?;
    let keys =
        more.query_map([COUNTED], |row| row.get::<_, i64>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    keys.into_iter().map(|key| epoch(connection, key)).collect()
}

/// The table has taken `batch`, its `number`th.
pub(super) fn taken(connection: &mut Connection, number: u64, batch: &Batch) -> Result<(), FleetError> {
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute("DELETE FROM untold WHERE batch = ?1", [number])?;
    let told = number.max(told(&transaction)?);
    transaction.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)", params![TOLD, told])?;
    for epoch in batch.epochs.iter().filter(|epoch| !epoch.unrecorded.is_empty()) {
        transaction.execute(
            "INSERT OR REPLACE INTO meta (key, value)
             SELECT 'counted ' || id, ?3 FROM epoch WHERE route = ?1 AND name = ?2",
            params![epoch.route, epoch.name, epoch.unrecorded.values().sum::<i64>()],
        )?;
    }
    Ok(transaction.commit()?)
}

fn told(connection: &Connection) -> rusqlite::Result<i64> {
    let told = connection.query_row("SELECT value FROM meta WHERE key = ?1", [TOLD], |row| row.get(0));
    Ok(told.optional()?.unwrap_or(0))
}

fn batch(connection: &Connection, number: i64) -> Result<Batch, FleetError> {
    let mut batch = Batch::default();
    let mut places = BTreeMap::new();
    let mut statement = connection.prepare(
        "SELECT id, epoch, at, gateway, direction, stratum, sample_rate, subject, class, control_outcome, control_total,
           control_cost_usd, candidate_outcome, candidate_total, candidate_cost_usd
         FROM untold JOIN comparison ON id = untold.comparison WHERE batch = ?1 ORDER BY id",
    )?;
    let mut rows = statement.query([number])?;
    while let Some(row) = rows.next()? {
        let (id, key): ([u8; 16], i64) = (row.get(0)?, row.get(1)?);
        let place = *places.entry(key).or_insert(batch.epochs.len());
        if place == batch.epochs.len() {
            batch.epochs.push(epoch(connection, key)?);
        }
        batch.comparisons.push(Comparison {
            id: Uuid::from_bytes(id).to_string(),
            epoch: place,
            at: row.get(2)?,
            gateway: row.get(3)?,
            direction: row.get(4)?,
            stratum: row.get(5)?,
            sample_rate: row.get(6)?,
            subject: row.get(7)?,
            class: row.get(8)?,
            control_outcome: row.get(9)?,
            control_total: row.get(10)?,
            control_cost_usd: row.get(11)?,
            candidate_outcome: row.get(12)?,
            candidate_total: row.get(13)?,
            candidate_cost_usd: row.get(14)?,
            alarms: alarms(connection, id)?,
        });
    }
    Ok(batch)
}

fn epoch(connection: &Connection, key: i64) -> rusqlite::Result<Epoch> {
    let mut unrecorded = connection.prepare_cached("SELECT class, n FROM unrecorded WHERE epoch = ?1")?;
    let unrecorded = unrecorded.query_map([key], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let unrecorded = unrecorded.collect::<rusqlite::Result<_>>()?;
    let findings = findings(connection, key)?;
    let sql = "SELECT route, name, hash, basis, states, started_at, requests FROM epoch WHERE id = ?1";
    connection.query_row(sql, [key], |row| {
        Ok(Epoch {
            route: row.get(0)?,
            name: row.get(1)?,
            hash: row.get(2)?,
            basis: row.get(3)?,
            states: row.get(4)?,
            started_at: row.get(5)?,
            requests: row.get(6)?,
            unrecorded,
            findings,
        })
    })
}

fn findings(connection: &Connection, epoch: i64) -> rusqlite::Result<Vec<Finding>> {
    let mut statement = connection.prepare_cached(
        "SELECT path, kind, severity, pairs, last FROM finding WHERE epoch = ?1
         ORDER BY severity DESC, pairs DESC LIMIT ?2",
    )?;
    let mut rows = statement.query([epoch, FINDINGS.into()])?;
    let mut findings = Vec::new();
    while let Some(row) = rows.next()? {
        let (path, kind): (String, String) = (row.get(0)?, row.get(1)?);
        let example =
            if findings.len() < EXAMPLES { example(connection, row.get(4)?, &path, &kind)? } else { None };
        findings.push(Finding { path, kind, severity: row.get(2)?, pairs: row.get(3)?, example });
    }
    Ok(findings)
}

fn example(
    connection: &Connection,
    comparison: [u8; 16],
    path: &str,
    kind: &str,
) -> rusqlite::Result<Option<Example>> {
    let mut statement = connection.prepare_cached(
        "SELECT control, candidate, rule FROM difference WHERE comparison = ?1 AND path = ?2 AND kind = ?3
         ORDER BY place LIMIT 1",
    )?;
    let example = |row: &Row<'_>| {
        let comparison = Uuid::from_bytes(comparison).to_string();
        Ok(Example { comparison, control: row.get(0)?, candidate: row.get(1)?, rule: row.get(2)? })
    };
    statement.query_row(params![comparison, path, kind], example).optional()
}

fn alarms(connection: &Connection, id: [u8; 16]) -> rusqlite::Result<Vec<Alarm>> {
    let mut statement = connection.prepare_cached(
        "SELECT alarm.kind, at, who, reason FROM alarm LEFT JOIN acknowledgement USING (comparison, kind)
         WHERE alarm.comparison = ?1",
    )?;
    let alarms = statement.query_map([id], |row| {
        let acknowledged = match row.get(1)? {
            Some(at) => Some(Acknowledged { at, who: row.get(2)?, reason: row.get(3)? }),
            None => None,
        };
        Ok(Alarm { kind: row.get(0)?, acknowledged })
    })?;
    alarms.collect()
}

/// How far `origin` has been heard.
pub(super) fn heard(connection: &Connection, origin: &str) -> rusqlite::Result<u64> {
    let sql = "SELECT batch FROM heard WHERE origin = ?1";
    Ok(connection.query_row(sql, [origin], |row| row.get(0)).optional()?.map_or(0, natural))
}

/// Keeps what `origin` tells in its batch `number`, which may be nothing any more. Says how many comparisons it were.
pub(super) fn hear(
    connection: &mut Connection,
    origin: &str,
    number: u64,
    batch: Option<&Batch>,
) -> Result<usize, FleetError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut kept = 0;
    if let Some(batch) = batch {
        let epochs: Vec<i64> = batch
            .epochs
            .iter()
            .map(|epoch| keep_epoch(&transaction, origin, epoch))
            .collect::<rusqlite::Result<_>>()?;
        for comparison in &batch.comparisons {
            if let Some(epoch) = epochs.get(comparison.epoch) {
                keep(&transaction, *epoch, comparison)?;
                kept += 1;
            }
        }
    }
    transaction.execute(
        "INSERT INTO heard VALUES (?1, ?2) ON CONFLICT (origin) DO UPDATE SET batch = max(batch, excluded.batch)",
        params![origin, i64::try_from(number).unwrap_or(i64::MAX)],
    )?;
    transaction.commit()?;
    Ok(kept)
}

/// An epoch that only others have taken up is nobody's current one here. Where it is taken up later, it begins with what
/// they have learned.
fn keep_epoch(transaction: &Transaction<'_>, origin: &str, epoch: &Epoch) -> rusqlite::Result<i64> {
    let key: i64 = transaction
        .prepare_cached(
            "INSERT INTO epoch (route, name, hash, number, basis, states, started_at, active_at)
             VALUES (:route, :name, :hash, 1 + (SELECT count(*) FROM epoch WHERE route = :route), :basis, :states,
                     :started_at, 0)
             ON CONFLICT (route, name) DO UPDATE SET started_at = min(started_at, excluded.started_at)
             RETURNING id",
        )?
        .query_row(
            named_params! {
                ":route": epoch.route, ":name": epoch.name, ":hash": epoch.hash, ":basis": epoch.basis,
                ":states": epoch.states, ":started_at": epoch.started_at,
            },
            |row| row.get(0),
        )?;
    transaction
        .prepare_cached("INSERT OR REPLACE INTO requests_elsewhere VALUES (?1, ?2, ?3)")?
        .execute(params![key, origin, epoch.requests])?;
    for (class, n) in &epoch.unrecorded {
        transaction
            .prepare_cached("INSERT OR REPLACE INTO unrecorded_elsewhere VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![key, origin, class, n])?;
    }
    transaction
        .prepare_cached("DELETE FROM finding_elsewhere WHERE epoch = ?1 AND origin = ?2")?
        .execute(params![key, origin])?;
    for Finding { path, kind, severity, pairs, example } in &epoch.findings {
        let id = example.as_ref().and_then(|example| Uuid::try_parse(&example.comparison).ok());
        let example = example.as_ref().filter(|_| id.is_some());
        transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO finding_elsewhere VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                key,
                origin,
                path,
                kind,
                severity,
                pairs,
                id.map(Uuid::into_bytes),
                example.map(|example| &example.control),
                example.map(|example| &example.candidate),
                example.map(|example| &example.rule),
            ])?;
    }
    Ok(key)
}

fn keep(transaction: &Transaction<'_>, epoch: i64, told: &Comparison) -> rusqlite::Result<()> {
    // A name that is none is nobody's.
    let Ok(id) = Uuid::try_parse(&told.id) else { return Ok(()) };
    let id = id.as_bytes();
    let is_known = transaction
        .prepare_cached("SELECT 1 FROM comparison WHERE id = ?1")?
        .query_row([id], |_| Ok(()))
        .optional()?
        .is_some();
    let waits = transaction
        .prepare_cached("SELECT 1 FROM untold WHERE comparison = ?1")?
        .query_row([id], |_| Ok(()))
        .optional()?;
    transaction
        .prepare_cached(
            "INSERT INTO comparison (id, epoch, at, gateway, direction, stratum, sample_rate, subject, request, class,
               control_outcome, control_total, control_bytes, control_cost_usd, candidate_outcome, candidate_total,
               candidate_cost_usd)
             VALUES (:id, :epoch, :at, :gateway, :direction, :stratum, :sample_rate, :subject, '-', :class,
               :control_outcome, :control_total, 0, :control_cost_usd, :candidate_outcome, :candidate_total,
               :candidate_cost_usd)
             ON CONFLICT (id) DO UPDATE SET class = excluded.class, control_total = excluded.control_total,
               candidate_outcome = excluded.candidate_outcome, candidate_total = excluded.candidate_total,
               candidate_cost_usd = excluded.candidate_cost_usd",
        )?
        .execute(named_params! {
            ":id": id, ":epoch": epoch, ":at": told.at, ":gateway": told.gateway, ":direction": told.direction,
            ":stratum": told.stratum, ":sample_rate": told.sample_rate, ":subject": told.subject,
            ":class": told.class, ":control_outcome": told.control_outcome, ":control_total": told.control_total,
            ":control_cost_usd": told.control_cost_usd, ":candidate_outcome": told.candidate_outcome,
            ":candidate_total": told.candidate_total, ":candidate_cost_usd": told.candidate_cost_usd,
        })?;
    for alarm in &told.alarms {
        let kind = &alarm.kind;
        transaction
            .prepare_cached("INSERT OR IGNORE INTO alarm VALUES (?1, ?2)")?
            .execute(params![id, kind])?;
        if let Some(Acknowledged { at, who, reason }) = &alarm.acknowledged {
            transaction
                .prepare_cached("INSERT OR IGNORE INTO acknowledgement VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![id, kind, at, who, reason])?;
        }
    }
    // It is its own gateway's to export and to tell; only what was said of it here is told from here.
    if !is_known {
        transaction.prepare_cached("DELETE FROM outbound WHERE comparison = ?1")?.execute([id])?;
    }
    if waits.is_none() {
        transaction.prepare_cached("DELETE FROM untold WHERE comparison = ?1")?.execute([id])?;
    }
    Ok(())
}

/// The key of the pseudonyms here, and whose evidence it is.
pub(super) fn identity(connection: &Connection, fresh: [u8; 32]) -> Result<([u8; 32], String), FleetError> {
    Ok((sqlite::key(connection, fresh)?, sqlite::origin(connection)?))
}

/// From now on pseudonyms are made with the fleet's key; true where that is another one.
pub(super) fn agree(connection: &Connection, key: [u8; 32]) -> rusqlite::Result<bool> {
    let sql = "UPDATE meta SET value = ?1 WHERE key = 'pseudonyms' AND value != ?1";
    Ok(connection.execute(sql, [key])? > 0)
}
