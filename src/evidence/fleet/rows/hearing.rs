//! What others have told, kept among what this file knows.

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, named_params, params};
use uuid::Uuid;

use super::{Acknowledged, Batch, Comparison, Epoch, Finding, FleetError};
use crate::evidence::sqlite::natural;

/// How far `origin` has been heard.
pub(in crate::evidence::fleet) fn heard(connection: &Connection, origin: &str) -> rusqlite::Result<u64> {
    let sql = "SELECT batch FROM heard WHERE origin = ?1";
    Ok(connection.query_row(sql, [origin], |row| row.get(0)).optional()?.map_or(0, natural))
}

/// Keeps what `origin` tells in its batch `number`, which may be nothing any more. Says how many comparisons it were.
pub(in crate::evidence::fleet) fn hear(
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
