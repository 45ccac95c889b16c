//! The catalog as one `DynamoDB` table, for a fleet: conditional writes, transactions, consistent reads.
//!
//! Claims, jobs and budgets are items of one table, told apart by how their keys begin. One sparse index has jobs on
//! shelves: the open ones, those with a letter that is due, and those that are over, by how and when they ended. Expiry
//! is checked by us, because `DynamoDB`'s own lags by days; and so does the index, if only by moments.

mod claims;
mod item;
mod jobs;
mod outbox;
mod write;

use aws_sdk_dynamodb::{Client, error::SdkError, types::AttributeValue};
use uuid::Uuid;

use super::CatalogError;
use crate::aws::{
    SharedTable,
    table::{INDEX, Item, KEY, PLACE, SHELF, Table, is_condition, text},
};

/// The shelf of open jobs, by their ids.
const OPEN: &str = "open";
/// The shelf of letters, by when they are due.
const OUTBOX: &str = "outbox";

/// A catalog in one table.
#[derive(Clone, Debug)]
pub(crate) struct DynamoDb {
    client: Client,
    table: String,
}

impl DynamoDb {
    /// A client of this table; asks nothing yet.
    pub(crate) async fn new(shared: &SharedTable) -> Self {
        let Table { client, name: table } = Table::of_records(shared).await;
        Self { client, table }
    }

    pub(super) async fn identity(&self) -> Result<Uuid, CatalogError> {
        let key = text("identity");
        if let Some(item) = self.get(key.clone()).await? {
            return item::uuid(&item, "id");
        }
        let fresh = Uuid::from_u128(rand::random());
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item(KEY, key.clone())
            .item("id", text(fresh.hyphenated().to_string()))
            .condition_expression("attribute_not_exists(pk)");
        match put.send().await {
            Ok(_) => Ok(fresh),
            // Another gateway named it meanwhile.
            Err(error) if is_condition(&error) => {
                let item = self.get(key).await?.ok_or(CatalogError::Malformed("identity"))?;
                item::uuid(&item, "id")
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// One item, as it is now.
    async fn get(&self, key: AttributeValue) -> Result<Option<Item>, CatalogError> {
        let get = self.client.get_item().table_name(&self.table).key(KEY, key).consistent_read(true);
        Ok(get.send().await.map_err(failed)?.item)
    }
}

fn failed<E>(error: SdkError<E>) -> CatalogError
where
    E: std::error::Error + Send + Sync + 'static,
{
    CatalogError::DynamoDb(error.into())
}
