//! The table that a fleet shares. Several rooms keep items in it, told apart by how their keys begin.

mod create;

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    Client,
    config::Builder,
    error::{ProvideErrorMetadata, SdkError},
    operation::get_item::GetItemError,
    types::AttributeValue,
};

pub(crate) use self::create::Created;
use super::{SharedTable, for_glances, for_records};

/// The key of every item.
pub(crate) const KEY: &str = "pk";

/// The sparse index: what somebody still has to do something about is on a shelf, in order.
pub(crate) const INDEX: &str = "shelves";
pub(crate) const SHELF: &str = "shelf";
pub(crate) const PLACE: &str = "place";

/// What the table holds under one key.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// A client of one table.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) client: Client,
    pub(crate) name: String,
}

impl Table {
    /// For records that somebody waits for; asks nothing yet.
    pub(crate) async fn of_records(shared: &SharedTable) -> Self {
        Self::with(Builder::from(&for_records(&shared.aws).await), shared)
    }

    /// For what is looked at every second; asks nothing yet.
    pub(crate) async fn of_glances(shared: &SharedTable) -> Self {
        Self::with(Builder::from(&for_glances(&shared.aws).await), shared)
    }

    fn with(mut config: Builder, SharedTable { aws, name }: &SharedTable) -> Self {
        config.set_endpoint_url(aws.dynamodb_endpoint_url.clone());
        Self { client: Client::from_conf(config.build()), name: name.clone() }
    }

    /// One item, as it is now.
    pub(crate) async fn get(&self, key: AttributeValue) -> Result<Option<Item>, SdkError<GetItemError>> {
        let get = self.client.get_item().table_name(&self.name).key(KEY, key).consistent_read(true);
        Ok(get.send().await?.item)
    }
}

/// Whether a call was refused by its condition.
pub(crate) fn is_condition<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    error.code() == Some("ConditionalCheckFailedException")
}

pub(crate) fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(crate) fn number(number: impl ToString + Copy) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

pub(crate) fn maybe_string(item: &Item, name: &str) -> Option<String> {
    item.get(name).and_then(|value| value.as_s().ok()).cloned()
}

pub(crate) fn maybe_whole<T: std::str::FromStr>(item: &Item, name: &str) -> Option<T> {
    item.get(name).and_then(|value| value.as_n().ok()).and_then(|digits| digits.parse().ok())
}
