//! The table itself: made when an operator says so, never by surprise.

use std::{error::Error, time::Duration};

use aws_sdk_dynamodb::{
    error::ProvideErrorMetadata,
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
        ProjectionType, ScalarAttributeType, TableStatus, TimeToLiveSpecification,
    },
};

use super::{INDEX, KEY, PLACE, SHELF, Table};

/// How long a new table may take until it can be used.
const PATIENCE: Duration = Duration::from_mins(5);
const GLANCE: Duration = Duration::from_millis(500);
/// When `DynamoDB` may delete an item by itself, in seconds since 1970.
const GONE: &str = "gone";

type BoxError = Box<dyn Error + Send + Sync>;

/// What came of creating a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Created {
    /// It is there now.
    New,
    /// It was there.
    AlreadyThere,
}

impl Table {
    /// Creates the table, on demand pricing, with its index and expiry, and waits until it can be used.
    pub(crate) async fn create(&self) -> Result<Created, BoxError> {
        let attribute = |name: &str| {
            let text = AttributeDefinition::builder().attribute_type(ScalarAttributeType::S);
            text.attribute_name(name).build()
        };
        let key = |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
        let index = GlobalSecondaryIndex::builder()
            .index_name(INDEX)
            .key_schema(key(SHELF, KeyType::Hash)?)
            .key_schema(key(PLACE, KeyType::Range)?)
            .projection(Projection::builder().projection_type(ProjectionType::All).build())
            .build()?;
        let create = self
            .client
            .create_table()
            .table_name(&self.name)
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(attribute(KEY)?)
            .attribute_definitions(attribute(SHELF)?)
            .attribute_definitions(attribute(PLACE)?)
            .key_schema(key(KEY, KeyType::Hash)?)
            .global_secondary_indexes(index);
        let created = match create.send().await {
            Ok(_) => Created::New,
            Err(error) if error.code() == Some("ResourceInUseException") => Created::AlreadyThere,
            Err(error) => return Err(error.into()),
        };
        let active = tokio::time::timeout(PATIENCE, self.active()).await;
        active.map_err(|_| "the table is not active yet; see to it and try again")??;
        if created == Created::New {
            let expiry = TimeToLiveSpecification::builder().enabled(true).attribute_name(GONE).build()?;
            let update =
                self.client.update_time_to_live().table_name(&self.name).time_to_live_specification(expiry);
            update.send().await?;
        }
        Ok(created)
    }

    async fn active(&self) -> Result<(), BoxError> {
        loop {
            let described = self.client.describe_table().table_name(&self.name).send().await?;
            let status = described.table.and_then(|table| table.table_status);
            if status == Some(TableStatus::Active) {
                return Ok(());
            }
            tokio::time::sleep(GLANCE).await;
        }
    }
}
