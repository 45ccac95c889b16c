//! The table's side: numbered batches of each data folder, one item that says how far each has come, and the key of the
//! fleet's pseudonyms.

use std::{
    error::Error,
    path::{Path, PathBuf},
    time::Duration,
};

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use jiff::Timestamp;
use rusqlite::Connection;
use tokio::task::spawn_blocking;

use super::{
    FleetError,
    rows::{self, Batch},
};
use crate::{
    aws::{
        self, SharedTable,
        table::{Item, KEY, Table, is_condition, number, text},
    },
    evidence::sqlite,
};

/// The item that says how far each data folder has come.
const HEADS: &str = "evidence#heads";
/// The item of the key of the pseudonyms.
const PSEUDONYMS: &str = "evidence#pseudonyms";
/// Batches that are heard, or told, in one turn: what is left waits for the next.
const TURN: u64 = 50;
/// A batch takes no more than this, unpacked.
const UNPACKED: usize = 64 << 20;
const LEVEL: i32 = 3;

/// One data folder among those that share a table.
#[derive(Clone, Debug)]
pub struct Fleet {
    table: Table,
    path: PathBuf,
    origin: String,
    clock: fn() -> Timestamp,
}

impl Fleet {
    /// Joins the fleet of `shared` with the evidence in the folder `data`, and agrees with it on the key by which subjects
    /// are known; `fresh` becomes that key where nobody has one yet. To be called before a ledger is opened there.
    /// Without an answer the folder's own key serves until the next start.
    pub async fn join(
        shared: &SharedTable,
        data: &Path,
        fresh: [u8; 32],
        clock: fn() -> Timestamp,
    ) -> Result<Self, FleetError> {
        let (table, path) = (Table::of_records(shared).await, data.join("evidence.sqlite"));
        let (key, origin) = in_file(&path, move |connection| {
            rows::enlist(connection)?;
            rows::identity(connection, fresh)
        })
        .await?;
        let fleet = Self { table, path, origin, clock };
        match fleet.pseudonyms(key).await {
            Ok(key) => {
                if in_file(&fleet.path, move |connection| Ok(rows::agree(connection, key)?)).await? {
                    tracing::info!("subjects are known by the fleet's key from now on");
                }
            }
            Err(error) => {
                tracing::error!(%error, "the fleet's key cannot be asked for: whoever meets two gateways may count twice");
            }
        }
        Ok(fleet)
    }

    /// The key of all; ours, where nobody was first.
    async fn pseudonyms(&self, ours: [u8; 32]) -> Result<[u8; 32], FleetError> {
        let put = self
            .table
            .client
            .put_item()
            .table_name(&self.table.name)
            .item(KEY, text(PSEUDONYMS))
            .item("key", AttributeValue::B(Blob::new(ours)))
            .condition_expression("attribute_not_exists(pk)");
        match put.send().await {
            Ok(_) => return Ok(ours),
            Err(error) if is_condition(&error) => {}
            Err(error) => return Err(self.failed(&error)),
        }
        let item = self.get(PSEUDONYMS).await?.unwrap_or_default();
        let key =
            item.get("key").and_then(|key| key.as_b().ok()).and_then(|key| key.as_ref().try_into().ok());
        key.ok_or_else(|| malformed(PSEUDONYMS, "it holds no key of 32 bytes"))
    }

    /// Tells the fleet what it does not know yet, and hears what the others tell. Says how many comparisons came.
    pub async fn turn(&self) -> Result<usize, FleetError> {
        self.tell().await?;
        self.hear().await
    }

    /// Tells what waits.
    pub async fn tell(&self) -> Result<(), FleetError> {
        for _ in 0..TURN {
            let Some((number_of_it, batch)) = in_file(&self.path, rows::next).await? else { return Ok(()) };
            self.put(number_of_it, &batch).await?;
            in_file(&self.path, move |connection| rows::taken(connection, number_of_it, &batch)).await?;
        }
        Ok(())
    }

    async fn put(&self, batch_number: u64, batch: &Batch) -> Result<(), FleetError> {
        let key = batch_key(&self.origin, batch_number);
        let json = serde_json::to_vec(batch).map_err(|error| malformed(&key, &error.to_string()))?;
        let packed =
            zstd::bulk::compress(&json, LEVEL).map_err(|error| malformed(&key, &error.to_string()))?;
        let put = self
            .table
            .client
            .put_item()
            .table_name(&self.table.name)
            .item(KEY, text(key))
            .item("batch", AttributeValue::B(Blob::new(packed)))
            .item("gone", number((self.clock)().as_second() + KEPT.as_secs().cast_signed()));
        put.send().await.map_err(|error| self.failed(&error))?;
        let head = self
            .table
            .client
            .update_item()
            .table_name(&self.table.name)
            .key(KEY, text(HEADS))
            .update_expression("SET #origin = :number")
            .condition_expression("attribute_not_exists(#origin) OR #origin < :number")
            .expression_attribute_names("#origin", &self.origin)
            .expression_attribute_values(":number", number(batch_number));
        match head.send().await {
            // Another process of this folder was faster.
            Err(error) if !is_condition(&error) => Err(self.failed(&error)),
            _ => Ok(()),
        }
    }

    async fn hear(&self) -> Result<usize, FleetError> {
        let heads = self.get(HEADS).await?.unwrap_or_default();
        let (mut came, mut turn) = (0, TURN);
        for (origin, head) in heads {
            let Some(last) = head.as_n().ok().and_then(|digits| digits.parse::<u64>().ok()) else { continue };
            if origin == self.origin || origin == KEY {
                continue;
            }
            let whose = origin.clone();
            let known = in_file(&self.path, move |connection| Ok(rows::heard(connection, &whose)?)).await?;
            for batch_number in known + 1..=last {
                if turn == 0 {
                    return Ok(came);
                }
                turn -= 1;
                let batch = self.batch(&origin, batch_number).await?;
                let whose = origin.clone();
                came += in_file(&self.path, move |connection| {
                    rows::hear(connection, &whose, batch_number, batch.as_ref())
                })
                .await?;
            }
        }
        Ok(came)
    }

    /// A batch; none where it was so old that it has gone.
    async fn batch(&self, origin: &str, batch_number: u64) -> Result<Option<Batch>, FleetError> {
        let key = batch_key(origin, batch_number);
        let Some(item) = self.get(&key).await? else { return Ok(None) };
        let packed = item.get("batch").and_then(|batch| batch.as_b().ok());
        let packed = packed.ok_or_else(|| malformed(&key, "it holds no batch"))?;
        let json = zstd::bulk::decompress(packed.as_ref(), UNPACKED);
        let json = json.map_err(|error| malformed(&key, &error.to_string()))?;
        serde_json::from_slice(&json).map(Some).map_err(|error| malformed(&key, &error.to_string()))
    }

    async fn get(&self, key: &str) -> Result<Option<Item>, FleetError> {
        self.table.get(text(key)).await.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &(dyn Error + 'static)) -> FleetError {
        FleetError::Table { table: self.table.name.clone(), why: aws::chain(error) }
    }
}

/// How long a batch can be heard by who comes late: what the evidence of most is kept for.
const KEPT: Duration = Duration::from_hours(90 * 24);

fn batch_key(origin: &str, batch_number: u64) -> String {
    format!("evidence#{origin}#{batch_number}")
}

fn malformed(item: &str, why: &str) -> FleetError {
    FleetError::Malformed { item: item.to_owned(), why: why.to_owned() }
}

async fn in_file<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&mut Connection) -> Result<T, FleetError> + Send + 'static,
) -> Result<T, FleetError> {
    let path = path.to_owned();
    spawn_blocking(move || work(&mut sqlite::open(&path)?)).await?
}
