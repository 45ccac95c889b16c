//! One conditional write, or several in a transaction: what was refused, by which condition, and what only has to be
//! tried again because somebody else was writing there.

use std::{error::Error, time::Duration};

use aws_sdk_dynamodb::{
    operation::transact_write_items::TransactWriteItemsError,
    types::{Put, TransactWriteItem, Update, builders::UpdateBuilder},
};

use super::{
    DynamoDb, KEY, failed,
    item::{Item, budget_key, number},
};
use crate::generator::{budget::Day, catalog::CatalogError, money::Usd};

/// How often a write is tried again when others are at it; the budget of a day is one item for all.
const CONFLICTS: u32 = 12;
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(500);

/// What came of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// All of it.
    All,
    /// None of it: the condition at this place did not hold.
    Refused(usize),
}

impl DynamoDb {
    /// Writes all of `items` or none.
    pub(super) async fn write(&self, items: Vec<TransactWriteItem>) -> Result<Written, CatalogError> {
        for attempt in 0..CONFLICTS {
            let write = self.client.transact_write_items().set_transact_items(Some(items.clone()));
            let Err(error) = write.send().await else { return Ok(Written::All) };
            let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
                error.as_service_error()
            else {
                return Err(failed(error));
            };
            let codes: Vec<_> = cancelled
                .cancellation_reasons()
                .iter()
                .map(|reason| reason.code().unwrap_or_default())
                .collect();
            if let Some(place) = codes.iter().position(|code| *code == "ConditionalCheckFailed") {
                return Ok(Written::Refused(place));
            }
            if !codes.contains(&"TransactionConflict") {
                return Err(failed(error));
            }
            tokio::time::sleep(backoff(attempt)).await;
        }
        let busy: Box<dyn Error + Send + Sync> = "others were writing the same items all the time".into();
        Err(CatalogError::DynamoDb(busy))
    }

    pub(super) fn put(
        &self,
        item: Item,
        condition: &str,
        values: Item,
    ) -> Result<TransactWriteItem, CatalogError> {
        let values = Some(values).filter(|values| !values.is_empty());
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression(condition)
            .set_expression_attribute_values(values);
        let put = put.build().map_err(|error| CatalogError::DynamoDb(error.into()))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    pub(super) fn update(&self, update: UpdateBuilder) -> Result<TransactWriteItem, CatalogError> {
        let update = update.table_name(&self.table).build();
        let update = update.map_err(|error| CatalogError::DynamoDb(error.into()))?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    /// Replaces, in the budget of a day, `before` by `after`; nothing to write where they are the same. With a
    /// `budget`, only where that has it.
    pub(super) fn settle(
        &self,
        day: Day,
        (before, after): (Usd, Usd),
        budget: Option<Usd>,
    ) -> Result<Option<TransactWriteItem>, CatalogError> {
        if before == after {
            return Ok(None);
        }
        let change = i128::from(after.as_micros()) - i128::from(before.as_micros());
        let mut update = Update::builder()
            .key(KEY, budget_key(day))
            .update_expression("SET spent = if_not_exists(spent, :nothing) + :change")
            .expression_attribute_values(":nothing", number(0))
            .expression_attribute_values(":change", number(change));
        if let Some(budget) = budget {
            let room = i128::from(budget.as_micros()) - change;
            update = update
                // An absent attribute compares with nothing; what does not fit an empty day is refused before.
                .condition_expression("attribute_not_exists(spent) OR spent <= :room")
                .expression_attribute_values(":room", number(room));
        }
        self.update(update).map(Some)
    }
}

/// Longer each time, and never two gateways alike.
fn backoff(attempt: u32) -> Duration {
    let most = SHORTEST.saturating_mul(1 << attempt.min(6)).min(LONGEST);
    most.mul_f64(0.5 + 0.5 * rand::random::<f64>())
}
