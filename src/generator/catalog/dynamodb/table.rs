//! The table itself: made when an operator says so, never by surprise.

use std::time::Duration;

use aws_sdk_dynamodb::{
    error::ProvideErrorMetadata,
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
        ProjectionType, ScalarAttributeType, TableStatus, TimeToLiveSpecification,
    },
};

use super::{DynamoDb, INDEX, KEY, PLACE, SHELF, failed};
use crate::generator::catalog::CatalogError;

/// How long a new table may take until it can be used.
const PATIENCE: Duration = Duration::from_mins(5);
const GLANCE: Duration = Duration::from_millis(500);
/// When `DynamoDB` may delete an item by itself, in seconds since 1970.
const GONE: &str = "gone";

/// What came of creating a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Created {
    /// It is there now.
    New,
    /// It was there.
    AlreadyThere,
}

impl DynamoDb {
    /// Creates the table, on demand pricing, with its index and expiry, and waits until it can be used.
    pub(crate) async fn create(&self) -> Result<Created, CatalogError> {
        let invalid = |error: aws_sdk_dynamodb::error::BuildError| CatalogError::DynamoDb(error.into());
        let attribute = |name: &str| {
            let text = AttributeDefinition::builder().attribute_type(ScalarAttributeType::S);
            text.attribute_name(name).build().map_err(invalid)
        };
        let key = |name: &str, kind| {
            KeySchemaElement::builder().attribute_name(name).key_type(kind).build().map_err(invalid)
        };
        let index = GlobalSecondaryIndex::builder()
            .index_name(INDEX)
            .key_schema(key(SHELF, KeyType::Hash)?)
            .key_schema(key(PLACE, KeyType::Range)?)
            .projection(Projection::builder().projection_type(ProjectionType::All).build())
            .build()
            .map_err(invalid)?;
        let create = self
            .client
            .create_table()
            .table_name(&self.table)
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(attribute(KEY)?)
            .attribute_definitions(attribute(SHELF)?)
            .attribute_definitions(attribute(PLACE)?)
            .key_schema(key(KEY, KeyType::Hash)?)
            .global_secondary_indexes(index);
        let created = match create.send().await {
            Ok(_) => Created::New,
            Err(error) if error.code() == Some("ResourceInUseException") => Created::AlreadyThere,
            Err(error) => return Err(failed(error)),
        };
        tokio::time::timeout(PATIENCE, self.active()).await.map_err(|_| {
            CatalogError::DynamoDb("the table is not active yet; see to it and try again".into())
        })??;
        if created == Created::New {
            let expiry = TimeToLiveSpecification::builder()
                .enabled(true)
                .attribute_name(GONE)
                .build()
                .map_err(invalid)?;
            let update =
                self.client.update_time_to_live().table_name(&self.table).time_to_live_specification(expiry);
            update.send().await.map_err(failed)?;
        }
        Ok(created)
    }

    async fn active(&self) -> Result<(), CatalogError> {
        loop {
            let described =
                self.client.describe_table().table_name(&self.table).send().await.map_err(failed)?;
            let status = described.table.and_then(|table| table.table_status);
            if status == Some(TableStatus::Active) {
                return Ok(());
            }
            tokio::time::sleep(GLANCE).await;
        }
    }
}
