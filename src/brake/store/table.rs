//! The brakes of a fleet in one table of `DynamoDB`: one item that says what is held, read whole and replaced on condition
//! that nobody else has, and beside it an item for each change that ever was.

use std::{
    collections::{BTreeMap, HashMap},
    error::Error,
};

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::transact_write_items::TransactWriteItemsError,
    types::{AttributeValue, KeysAndAttributes, Put, TransactWriteItem, Update},
};
use jiff::Timestamp;

use super::{BrakeError, Event};
use crate::{
    aws::{
        self,
        table::{Item, KEY, Table, is_condition, maybe_string, maybe_whole, number, text},
    },
    routing::{Brake, Brakes, Hold},
};

/// The item that says what is held.
const NOW: &str = "brake#now";
/// More characters of a reason are cut off: an item holds 400 KB.
const REASON: usize = 1_000;
/// Items that one request reads.
const BATCH: u64 = 100;

/// What is held, and what is known beside it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct State {
    /// One more at each change.
    pub(super) version: u64,
    /// The last version that people were told of.
    pub(super) told: u64,
    pub(super) held: BTreeMap<Box<str>, Brake>,
    /// When each route was let go last.
    pub(super) released: HashMap<Box<str>, Timestamp>,
}

/// What a change was.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Moves {
    pub(super) time: Timestamp,
    pub(super) by: Box<str>,
    pub(super) reason: Box<str>,
    /// Routes, with where they were held before and after.
    pub(super) routes: Vec<(Box<str>, Option<Hold>, Option<Hold>)>,
}

/// What came of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Done,
    /// Somebody else was faster: nothing is written.
    Overtaken,
}

impl State {
    pub(super) fn brakes(&self) -> Brakes {
        self.held.iter().map(|(route, brake)| (route.clone(), brake.clone())).collect()
    }
}

/// What the table holds now; nothing where there is no item yet.
pub(super) async fn read(table: &Table) -> Result<State, BrakeError> {
    match table.get(text(NOW)).await.map_err(|error| failed(table, &error))? {
        None => Ok(State::default()),
        Some(item) => state(&item).ok_or_else(|| BrakeError::Table {
            table: table.name.clone(),
            why: format!("its item {NOW} is not as this version writes it"),
        }),
    }
}

/// Puts `after` in the place of `before`, if that is what the table holds still.
pub(super) async fn write(
    table: &Table,
    before: &State,
    after: &State,
    moves: &Moves,
) -> Result<Written, BrakeError> {
    let released = after.released.iter().map(|(route, at)| (route.to_string(), number(at.as_millisecond())));
    let replace = Update::builder()
        .table_name(&table.name)
        .key(KEY, text(NOW))
        .update_expression(
            "SET version = :version, held = :held, released = :released, told = if_not_exists(told, :none)",
        )
        .condition_expression(if before.version == 0 {
            "attribute_not_exists(pk)"
        } else {
            "version = :before"
        })
        .expression_attribute_values(":version", number(after.version))
        .expression_attribute_values(":held", held_value(&after.held))
        .expression_attribute_values(":released", AttributeValue::M(released.collect()))
        .expression_attribute_values(":none", number(before.version));
    let replace = match before.version {
        0 => replace,
        version => replace.expression_attribute_values(":before", number(version)),
    };
    let note = Put::builder().table_name(&table.name).set_item(Some(moves_item(after.version, moves)));
    let (Ok(replace), Ok(note)) = (replace.build(), note.build()) else {
        return Err(BrakeError::Failed("a request cannot be built".to_owned()));
    };
    let items = [
        TransactWriteItem::builder().update(replace).build(),
        TransactWriteItem::builder().put(note).build(),
    ];
    let write = table.client.transact_write_items().set_transact_items(Some(items.into()));
    match write.send().await {
        Ok(_) => Ok(Written::Done),
        Err(error) if is_overtaken(&error) => Ok(Written::Overtaken),
        Err(error) => Err(failed(table, &error)),
    }
}

/// Says that people are told of everything up to `version`, if they were told of no more than `told` until now.
pub(super) async fn tell(table: &Table, told: u64, version: u64) -> Result<Written, BrakeError> {
    let update = table
        .client
        .update_item()
        .table_name(&table.name)
        .key(KEY, text(NOW))
        .update_expression("SET told = :version")
        .condition_expression("told = :told")
        .expression_attribute_values(":version", number(version))
        .expression_attribute_values(":told", number(told));
    match update.send().await {
        Ok(_) => Ok(Written::Done),
        Err(error) if is_condition(&error) => Ok(Written::Overtaken),
        Err(error) => Err(failed(table, &error)),
    }
}

/// What was changed after `from` and up to `to`, the oldest first; the last of it, where that is much.
pub(super) async fn events(table: &Table, from: u64, to: u64) -> Result<Vec<Event>, BrakeError> {
    let versions = from.max(to.saturating_sub(BATCH)) + 1..=to;
    let keys = versions.map(|version| Item::from([(KEY.to_owned(), text(moves_key(version)))]));
    let keys = KeysAndAttributes::builder().set_keys(Some(keys.collect())).consistent_read(true);
    let keys = keys.build().map_err(|error| BrakeError::Failed(error.to_string()))?;
    if keys.keys().is_empty() {
        return Ok(Vec::new());
    }
    let read = table.client.batch_get_item().request_items(&table.name, keys).send().await;
    let mut items = read.map_err(|error| failed(table, &error))?.responses.unwrap_or_default();
    let mut items = items.remove(&table.name).unwrap_or_default();
    items.sort_by_key(|item| maybe_whole::<u64>(item, "version"));
    Ok(items.iter().flat_map(events_of).collect())
}

fn moves_key(version: u64) -> String {
    format!("brake#move#{version}")
}

/// Brakes that are the same but for their route are written once.
fn held_value(held: &BTreeMap<Box<str>, Brake>) -> AttributeValue {
    let mut groups: Vec<(&Brake, Vec<AttributeValue>)> = Vec::new();
    for (route, brake) in held {
        match groups.iter_mut().find(|(known, _)| *known == brake) {
            Some((_, routes)) => routes.push(text(&**route)),
            None => groups.push((brake, vec![text(&**route)])),
        }
    }
    let group = |(brake, routes): (&Brake, Vec<AttributeValue>)| {
        let group = [
            ("at", text(brake.at.as_str())),
            ("since", number(brake.since.as_millisecond())),
            ("by", text(&*brake.by)),
            ("reason", text(cut(&brake.reason))),
            ("routes", AttributeValue::L(routes)),
        ];
        AttributeValue::M(named(group))
    };
    AttributeValue::L(groups.into_iter().map(group).collect())
}

fn moves_item(version: u64, moves: &Moves) -> Item {
    let hold = |hold: Option<Hold>| hold.map_or(AttributeValue::Null(true), |hold| text(hold.as_str()));
    let of_route = |(route, before, after): &(Box<str>, Option<Hold>, Option<Hold>)| {
        AttributeValue::M(named([
            ("route", text(&**route)),
            ("before", hold(*before)),
            ("after", hold(*after)),
        ]))
    };
    named([
        (KEY, text(moves_key(version))),
        ("version", number(version)),
        ("time", number(moves.time.as_millisecond())),
        ("by", text(&*moves.by)),
        ("reason", text(cut(&moves.reason))),
        ("moves", AttributeValue::L(moves.routes.iter().map(of_route).collect())),
    ])
}

fn named<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Item {
    attributes.map(|(name, value)| (name.to_owned(), value)).into()
}

fn cut(reason: &str) -> String {
    reason.chars().take(REASON).collect()
}

fn state(item: &Item) -> Option<State> {
    let mut held = BTreeMap::new();
    for group in item.get("held")?.as_l().ok()? {
        let group = group.as_m().ok()?;
        let brake = Brake {
            // A word of a later version still holds, as low as can be.
            at: hold(group, "at").unwrap_or(Hold::Monolith),
            since: moment(group, "since")?,
            by: maybe_string(group, "by")?.into(),
            reason: maybe_string(group, "reason")?.into(),
        };
        for route in group.get("routes")?.as_l().ok()? {
            held.insert(route.as_s().ok()?.as_str().into(), brake.clone());
        }
    }
    let released = item.get("released")?.as_m().ok()?;
    let released = released.keys().map(|route| Some((route.as_str().into(), moment(released, route)?)));
    Some(State {
        version: maybe_whole(item, "version")?,
        told: maybe_whole(item, "told")?,
        held,
        released: released.collect::<Option<_>>()?,
    })
}

/// What an item says of each route; what it does not say is no news.
fn events_of(item: &Item) -> Vec<Event> {
    let moves = item.get("moves").and_then(|moves| moves.as_l().ok()).map(Vec::as_slice).unwrap_or_default();
    let event = |of_route: &AttributeValue| {
        let of_route = of_route.as_m().ok()?;
        Some(Event {
            time: moment(item, "time")?,
            route: maybe_string(of_route, "route")?.into(),
            before: hold(of_route, "before"),
            after: hold(of_route, "after"),
            by: maybe_string(item, "by")?.into(),
            reason: maybe_string(item, "reason")?.into(),
        })
    };
    moves.iter().filter_map(event).collect()
}

fn hold(item: &Item, name: &str) -> Option<Hold> {
    Hold::from_word(&maybe_string(item, name)?)
}

fn moment(item: &Item, name: &str) -> Option<Timestamp> {
    Timestamp::from_millisecond(maybe_whole(item, name)?).ok()
}

fn is_overtaken(error: &SdkError<TransactWriteItemsError>) -> bool {
    let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error()
    else {
        return false;
    };
    let mut codes = cancelled.cancellation_reasons().iter().filter_map(|reason| reason.code());
    codes.any(|code| ["ConditionalCheckFailed", "TransactionConflict"].contains(&code))
}

fn failed(table: &Table, error: &(dyn Error + 'static)) -> BrakeError {
    BrakeError::Table { table: table.name.clone(), why: aws::chain(error) }
}
