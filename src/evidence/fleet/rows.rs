//! Batches out of `evidence.sqlite`, and into it.

mod hearing;
mod telling;

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use serde::{Deserialize, Serialize};

pub(super) use self::{
    hearing::{hear, heard},
    telling::{next, taken},
};
use super::FleetError;
use crate::evidence::sqlite;

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

/// The key of the pseudonyms here, and whose evidence it is.
pub(super) fn identity(connection: &Connection, fresh: [u8; 32]) -> Result<([u8; 32], String), FleetError> {
    Ok((sqlite::key(connection, fresh)?, sqlite::origin(connection)?))
}

/// From now on pseudonyms are made with the fleet's key; true where that is another one.
pub(super) fn agree(connection: &Connection, key: [u8; 32]) -> rusqlite::Result<bool> {
    let sql = "UPDATE meta SET value = ?1 WHERE key = 'pseudonyms' AND value != ?1";
    Ok(connection.execute(sql, [key])? > 0)
}
