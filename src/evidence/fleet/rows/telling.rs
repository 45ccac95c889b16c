//! What is told of this file, batch by batch.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};
use uuid::Uuid;

use super::{Acknowledged, Alarm, Batch, Comparison, Epoch, Example, Finding, FleetError};
use crate::evidence::sqlite::natural;

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

/// The batch that was begun and not taken, else a new one, with its number. It says the same however often it is asked.
pub(in crate::evidence::fleet) fn next(
    connection: &mut Connection,
) -> Result<Option<(u64, Batch)>, FleetError> {
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
pub(in crate::evidence::fleet) fn taken(
    connection: &mut Connection,
    number: u64,
    batch: &Batch,
) -> Result<(), FleetError> {
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
