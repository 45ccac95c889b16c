//! From a lake into an `evidence.sqlite` of its own, so that a fleet's evidence is read as one gateway's is.
//!
//! Epochs of several gateways are one where their names are the same: the same candidate, contract and rules. Each gateway
//! has judged its pairs by the path states that it had learned itself, as in a fleet whose gateways tell each other.

use std::{collections::HashMap, path::Path};

use bytes::Bytes;
use rusqlite::{Connection, Transaction, params, params_from_iter, types::Value};
use thiserror::Error;

use super::{
    Lake, LakeError,
    columns::{
        self, ACKNOWLEDGEMENT, COMPARISON, ColumnError, EPOCH, LABEL, RULE_USE, STREAMS, Table, UNRECORDED,
    },
};
use crate::evidence::sqlite;

/// Why a lake cannot be read.
#[derive(Debug, Error)]
pub enum ImportError {
    /// There is nothing in it.
    #[error("{0} holds no evidence: a gateway writes there what [parallel_run] export names")]
    Empty(String),
    /// The lake itself.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// One of its files.
    #[error("{file}: {error}")]
    File {
        /// Its name.
        file: String,
        /// What is wrong with it.
        error: RowError,
    },
    /// What is read cannot be kept.
    #[error("cannot keep what is read: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// What is wrong with one row of a file.
#[derive(Debug, Error)]
pub enum RowError {
    /// The file.
    #[error(transparent)]
    Columns(#[from] ColumnError),
    /// It cannot be kept.
    #[error("a row cannot be kept: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// Its epoch is in no file.
    #[error("an epoch that no file under epoch/ describes: the export is not complete yet")]
    Epoch,
    /// Its path does not say of which route it is.
    #[error("the path has no route=")]
    Route,
}

const ADD_UNRECORDED: &str =
    "INSERT INTO unrecorded VALUES (?1, ?2, ?3) ON CONFLICT (epoch, class) DO UPDATE SET n = n + excluded.n";
const ADD_RULE_USE: &str = "INSERT INTO rule_use VALUES (?1, ?2, ?3) ON CONFLICT (epoch, rule) DO UPDATE SET pairs = pairs + excluded.pairs";

/// Origin, route and name of an epoch in the lake, to its row here.
type Epochs = HashMap<[String; 3], i64>;

/// Reads all of `lake` into an `evidence.sqlite` in `folder`.
pub async fn fetch(lake: &Lake, place: &str, folder: &Path) -> Result<(), ImportError> {
    let mut connection = sqlite::open(&folder.join("evidence.sqlite"))?;
    // It is thrown away after it was read.
    connection.pragma_update(None, "synchronous", "off")?;
    connection.pragma_update(None, "foreign_keys", false)?;
    let transaction = connection.transaction()?;
    let mut epochs = Epochs::new();
    for (name, file) in files(lake, &EPOCH).await? {
        in_file(name, columns::rows(&EPOCH, file, |row| epoch(&transaction, &mut epochs, row)))?;
    }
    if epochs.is_empty() {
        return Err(ImportError::Empty(place.to_owned()));
    }
    in_order(&transaction)?;
    for (table, add) in [(&UNRECORDED, ADD_UNRECORDED), (&RULE_USE, ADD_RULE_USE)] {
        for (name, file) in files(lake, table).await? {
            in_file(name, columns::rows(table, file, |row| count(&transaction, &epochs, add, row)))?;
        }
    }
    for table in STREAMS {
        let insert = insert(table);
        for (name, file) in files(lake, table).await? {
            let route = route(&name);
            let read = columns::rows(table, file, |row| {
                if table.name == COMPARISON.name {
                    return comparison(&transaction, &insert, &epochs, route.as_deref(), row);
                }
                transaction.prepare_cached(&insert)?.execute(params_from_iter(row))?;
                Ok(())
            });
            in_file(name, read)?;
        }
    }
    // An export from before there were labels has no such folder.
    for table in [&ACKNOWLEDGEMENT, &LABEL] {
        let insert = insert(table);
        for (name, file) in files(lake, table).await? {
            let read = columns::rows(table, file, |row| {
                transaction.prepare_cached(&insert)?.execute(params_from_iter(row))?;
                Ok(())
            });
            in_file(name, read)?;
        }
    }
    sqlite::count_findings(&transaction)?;
    transaction.commit()?;
    Ok(())
}

async fn files(lake: &Lake, table: &Table) -> Result<Vec<(String, Bytes)>, ImportError> {
    let mut files = Vec::new();
    for name in lake.list(table.name).await? {
        let file = lake.get(&name).await?;
        files.push((name, file));
    }
    Ok(files)
}

fn in_file<T>(file: String, read: Result<T, RowError>) -> Result<T, ImportError> {
    read.map_err(|error| ImportError::File { file, error })
}

/// The value of `route=` in a file's name.
fn route(name: &str) -> Option<String> {
    name.split('/').find_map(|part| part.strip_prefix("route=")).map(str::to_owned)
}

fn insert(table: &Table) -> String {
    let names: Vec<&str> =
        table.columns.iter().map(|(name, _)| *name).filter(|name| *name != "origin").collect();
    let places: Vec<String> = (1..=names.len()).map(|place| format!("?{place}")).collect();
    format!("INSERT OR REPLACE INTO {} ({}) VALUES ({})", table.name, names.join(", "), places.join(", "))
}

fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        _ => String::new(),
    }
}

/// One gateway's part of an epoch: begun with the first, active with the last, and all of their requests. Of the path
/// states of several only those of one can be shown.
fn epoch(transaction: &Transaction<'_>, epochs: &mut Epochs, row: &[Value]) -> Result<(), RowError> {
    let [origin, route, name, hash, _number, basis, states, started_at, active_at, requests] = row else {
        return Ok(());
    };
    let key = transaction
        .prepare_cached(
            "INSERT INTO epoch (route, name, hash, number, basis, states, started_at, active_at, requests)
             VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (route, name) DO UPDATE SET
               hash = coalesce(hash, excluded.hash), states = coalesce(states, excluded.states),
               started_at = min(started_at, excluded.started_at), active_at = max(active_at, excluded.active_at),
               requests = requests + excluded.requests
             RETURNING id",
        )?
        .query_row(params![route, name, hash, basis, states, started_at, active_at, requests], |row| row.get(0))?;
    epochs.insert([text(origin), text(route), text(name)], key);
    Ok(())
}

/// Numbers the epochs of each route as they began.
fn in_order(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "UPDATE epoch SET number = (SELECT count(*) FROM epoch AS other WHERE other.route = epoch.route
           AND (other.started_at, other.name) <= (epoch.started_at, epoch.name))",
    )
}

/// Adds a number that each gateway has counted by itself.
fn count(transaction: &Transaction<'_>, epochs: &Epochs, add: &str, row: &[Value]) -> Result<(), RowError> {
    let [origin, route, name, what, n] = row else { return Ok(()) };
    let epoch = epochs.get(&[text(origin), text(route), text(name)]).ok_or(RowError::Epoch)?;
    transaction.prepare_cached(add)?.execute(params![epoch, what, n])?;
    Ok(())
}

/// A comparison, its epoch by row instead of by name.
fn comparison(
    transaction: &Transaction<'_>,
    insert: &str,
    epochs: &Epochs,
    route: Option<&str>,
    row: &[Value],
) -> Result<(), RowError> {
    let [id, origin, name, rest @ ..] = row else { return Ok(()) };
    let key = [text(origin), route.ok_or(RowError::Route)?.to_owned(), text(name)];
    let epoch = Value::Integer(*epochs.get(&key).ok_or(RowError::Epoch)?);
    let values = [id, &epoch].into_iter().chain(rest);
    transaction.prepare_cached(insert)?.execute(params_from_iter(values))?;
    Ok(())
}
