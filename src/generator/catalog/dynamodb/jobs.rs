//! Jobs on their way.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, SystemTime},
};

use aws_sdk_dynamodb::{
    operation::query::builders::QueryFluentBuilder,
    types::{AttributeValue, Update, builders::UpdateBuilder},
};
use uuid::Uuid;

use super::{
    DynamoDb, INDEX, KEY, OPEN, OUTBOX, PLACE, SHELF, failed, is_condition,
    item::{
        Item, job_key, list_of, maybe_string, millis, number, objects, record, seen, sortable, text, uuid,
    },
    write::Written,
};
use crate::generator::{
    catalog::{Advance, CatalogError, First, Lease, Object, Owner, Record, Seen, Transition},
    digest::Digest,
    name,
    state::State,
};

/// By how much the clocks of two gateways may differ, of which one begins a job and the other ends it.
const SKEW: Duration = Duration::from_mins(1);

impl DynamoDb {
    pub(in crate::generator::catalog) async fn advance(
        &self,
        from: Lease,
        to: Transition,
        at: SystemTime,
    ) -> Result<Advance, CatalogError> {
        let Some(next) = from.after(to.step()) else { return Ok(Advance::Refused) };
        let mut change = self.change(&from, &next, at).await?;
        if let Some(receipt) = to.receipt() {
            change.maybe("request_id", receipt.request_id.clone().map(text));
            change.maybe("input_tokens", receipt.usage.map(|usage| number(usage.input_tokens)));
            change.maybe("output_tokens", receipt.usage.map(|usage| number(usage.output_tokens)));
            change.maybe("cost", receipt.cost.map(|cost| number(cost.as_micros())));
            change.maybe("cause", receipt.cause.as_ref().map(|cause| text(cause.written())));
        }
        if let Transition::Store(objects, _) = &to {
            change.set("objects", list_of(objects));
        }
        let mut items = vec![self.update(change.conditional(&from, None))?];
        items.extend(self.settle(from.reserved.day, to.spent(&from, &next), None)?);
        Ok(match self.write(items).await? {
            Written::All => Advance::Moved(next),
            Written::Refused(_) => Advance::Refused,
        })
    }

    pub(in crate::generator::catalog) async fn take_over(
        &self,
        Seen { lease, beat }: Seen,
        owner: Owner,
        at: SystemTime,
    ) -> Result<Advance, CatalogError> {
        let Some(next) = lease.taken_over(owner) else { return Ok(Advance::Refused) };
        let change = self.change(&lease, &next, at).await?;
        let update = self.update(change.conditional(&lease, Some(beat)))?;
        Ok(match self.write(vec![update]).await? {
            Written::All => Advance::Moved(next),
            Written::Refused(_) => Advance::Refused,
        })
    }

    /// What moves a job's item from `from` to `to`: off its shelf or onto another, and its end into the outbox where
    /// somebody waits for it.
    async fn change(&self, from: &Lease, to: &Lease, at: SystemTime) -> Result<Change, CatalogError> {
        let state = to.standing.state;
        let mut change = Change::default();
        change.set("state", text(state.name()));
        change.maybe("reason", to.standing.reason.map(|reason| text(reason.name())));
        change.set("owner", text(to.owner.to_string()));
        change.set("fence", number(to.fence));
        change.set("updated_ms", number(millis(at)));
        if state != State::Accepted {
            change.maybe("ordered", None);
        }
        // What is to be told never changes, so that it may be read before the write.
        let awaited = async || self.get(job_key(from.job)).await.map(|item| item?.remove("notify"));
        let (on, place) = if state.is_open() {
            (OPEN, text(from.job.hyphenated().to_string()))
        } else if awaited().await?.is_some() {
            (OUTBOX, sortable(at))
        } else {
            (state.name(), sortable(at))
        };
        let is_news = on == OUTBOX;
        change.maybe("news_tries", is_news.then(|| number(0)));
        change.maybe("news_refused_ms", None);
        change.maybe("news", is_news.then(|| text(state.name())));
        change.set(SHELF, text(on));
        change.set(PLACE, place);
        Ok(change)
    }

    pub(in crate::generator::catalog) async fn beat(
        &self,
        jobs: Vec<Lease>,
        at: SystemTime,
    ) -> Result<(), CatalogError> {
        for Lease { job, owner, fence, .. } in jobs {
            let update = self
                .client
                .update_item()
                .table_name(&self.table)
                .key(KEY, job_key(job))
                .update_expression("SET beat = beat + :one, updated_ms = :at")
                .condition_expression("#owner = :owner AND fence = :fence AND shelf = :open")
                .expression_attribute_names("#owner", "owner")
                .expression_attribute_values(":one", number(1))
                .expression_attribute_values(":at", number(millis(at)))
                .expression_attribute_values(":owner", text(owner.to_string()))
                .expression_attribute_values(":fence", number(fence))
                .expression_attribute_values(":open", text(OPEN));
            match update.send().await {
                // It is over, or another's: whoever works on it will see that.
                Err(error) if !is_condition(&error) => return Err(failed(error)),
                _ => {}
            }
        }
        Ok(())
    }

    pub(in crate::generator::catalog) async fn open_jobs(&self) -> Result<Vec<Seen>, CatalogError> {
        self.shelf(OPEN, None, First::Longest, usize::MAX).await?.iter().map(seen).collect()
    }

    fn on_shelf(&self, on: &str, up_to: Option<AttributeValue>, first: First) -> QueryFluentBuilder {
        let condition = if up_to.is_some() { "shelf = :shelf AND place <= :place" } else { "shelf = :shelf" };
        let mut values = Item::from([(":shelf".to_owned(), text(on))]);
        values.extend(up_to.map(|place| (":place".to_owned(), place)));
        self.client
            .query()
            .table_name(&self.table)
            .index_name(INDEX)
            .key_condition_expression(condition)
            .set_expression_attribute_values(Some(values))
            .scan_index_forward(first == First::Longest)
    }

    /// At most `most` items of a shelf in order, up to a place, from this end.
    pub(super) async fn shelf(
        &self,
        on: &str,
        up_to: Option<AttributeValue>,
        first: First,
        most: usize,
    ) -> Result<Vec<Item>, CatalogError> {
        let mut pages = self.on_shelf(on, up_to, first).into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            found.extend(page.map_err(failed)?.items.unwrap_or_default());
            if found.len() >= most {
                found.truncate(most);
                break;
            }
        }
        Ok(found)
    }

    pub(in crate::generator::catalog) async fn record(
        &self,
        job: Uuid,
    ) -> Result<Option<Record>, CatalogError> {
        self.get(job_key(job)).await?.as_ref().map(record).transpose()
    }

    pub(in crate::generator::catalog) async fn newest(
        &self,
        before: Option<Uuid>,
        most: usize,
    ) -> Result<Vec<Record>, CatalogError> {
        let ends = [State::Done, State::Failed, State::HandedOver].map(State::name);
        let at_once = i32::try_from(most).unwrap_or(i32::MAX);
        let mut newest = BTreeMap::new();
        for on in [OPEN, OUTBOX].into_iter().chain(ends) {
            let query = self.on_shelf(on, None, First::Latest).limit(at_once);
            let mut pages = query.into_paginator().send();
            while let Some(page) = pages.next().await {
                let items = page.map_err(failed)?.items.unwrap_or_default();
                let placed = items.last().and_then(placed);
                for item in items {
                    let job = uuid(&item, "id")?;
                    if before.is_none_or(|before| job < before) {
                        newest.insert(job, item);
                    }
                }
                while newest.len() > most {
                    newest.pop_first();
                }
                // No job is placed there before it is begun, so that those that follow are older than all of these.
                let oldest = newest.keys().next().filter(|_| newest.len() == most).and_then(begun);
                if placed.zip(oldest).is_some_and(|(placed, oldest)| placed + SKEW < oldest) {
                    break;
                }
            }
        }
        newest.values().rev().map(record).collect()
    }

    pub(in crate::generator::catalog) async fn visible(
        &self,
        name: String,
    ) -> Result<Option<Object>, CatalogError> {
        let Some(job) = name::job_of(&name) else { return Ok(None) };
        let Some(item) = self.get(job_key(job)).await? else { return Ok(None) };
        if maybe_string(&item, "state").as_deref() != Some(State::Done.name()) {
            return Ok(None);
        }
        Ok(objects(&item)?.into_iter().find(|object| object.name == name))
    }

    pub(in crate::generator::catalog) async fn ended(
        &self,
        state: State,
        before: SystemTime,
        most: u32,
    ) -> Result<Vec<Uuid>, CatalogError> {
        let up_to = before.checked_sub(Duration::from_millis(1)).unwrap_or(before);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let over = self.shelf(state.name(), Some(sortable(up_to)), First::Longest, most).await?;
        over.iter().map(|item| uuid(item, "id")).collect()
    }

    pub(in crate::generator::catalog) async fn of_tenant(
        &self,
        tenant: Digest,
    ) -> Result<Vec<Uuid>, CatalogError> {
        // The whole table is read: it is asked for by hand, and not often.
        let scan = self
            .client
            .scan()
            .table_name(&self.table)
            .consistent_read(true)
            .filter_expression("tenant = :tenant OR subject = :tenant")
            .projection_expression("id")
            .expression_attribute_values(":tenant", text(tenant.as_str()));
        let mut pages = scan.into_paginator().send();
        let mut jobs = Vec::new();
        while let Some(page) = pages.next().await {
            for item in page.map_err(failed)?.items.unwrap_or_default() {
                jobs.push(uuid(&item, "id")?);
            }
        }
        jobs.sort();
        Ok(jobs)
    }

    pub(in crate::generator::catalog) async fn erase(&self, job: Uuid) -> Result<(), CatalogError> {
        let Some(item) = self.get(job_key(job)).await? else { return Ok(()) };
        if seen(&item)?.lease.standing.state.is_open() {
            return Ok(());
        }
        let delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key(KEY, job_key(job))
            .condition_expression("#state = :state")
            .expression_attribute_names("#state", "state")
            .set_expression_attribute_values(
                item.get("state").map(|state| Item::from([(":state".to_owned(), state.clone())])),
            );
        match delete.send().await {
            Ok(_) => self.release(&item).await,
            // It moved meanwhile: not over after all.
            Err(error) if is_condition(&error) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }
}

/// The moment by which an item stands on its shelf, since 1970; none of open ones, which stand there by their ids.
fn placed(item: &Item) -> Option<Duration> {
    let millis = maybe_string(item, PLACE)?.parse().ok()?;
    Some(Duration::from_millis(millis))
}

/// The moment of which a job's id tells, since 1970.
fn begun(job: &Uuid) -> Option<Duration> {
    let (seconds, nanos) = job.get_timestamp()?.to_unix();
    Some(Duration::new(seconds, nanos))
}

/// What becomes of a job's attributes.
#[derive(Debug, Default)]
struct Change {
    set: Vec<(&'static str, AttributeValue)>,
    remove: Vec<&'static str>,
}

impl Change {
    fn set(&mut self, name: &'static str, value: AttributeValue) {
        self.set.push((name, value));
    }

    /// Sets an attribute, or removes it.
    fn maybe(&mut self, name: &'static str, value: Option<AttributeValue>) {
        match value {
            Some(value) => self.set(name, value),
            None => self.remove.push(name),
        }
    }

    /// The update, if the item still is what `from` and `beat` say.
    fn conditional(self, from: &Lease, beat: Option<u64>) -> UpdateBuilder {
        let Self { set, remove } = self;
        // Every name behind an alias, because many are reserved words.
        let mut names: HashMap<String, String> = HashMap::new();
        let mut values = Item::new();
        let mut alias = |name: &str| {
            names.insert(format!("#{name}"), name.to_owned());
            format!("#{name}")
        };
        let sets: Vec<_> = set
            .into_iter()
            .map(|(name, value)| {
                values.insert(format!(":{name}"), value);
                format!("{} = :{name}", alias(name))
            })
            .collect();
        let mut expression = format!("SET {}", sets.join(", "));
        if !remove.is_empty() {
            let removes: Vec<_> = remove.into_iter().map(&mut alias).collect();
            expression.push_str(" REMOVE ");
            expression.push_str(&removes.join(", "));
        }
        let mut conditions = vec![
            format!("{} = :from_state", alias("state")),
            format!("{} = :from_owner", alias("owner")),
            format!("{} = :from_fence", alias("fence")),
        ];
        values.insert(":from_state".to_owned(), text(from.standing.state.name()));
        values.insert(":from_owner".to_owned(), text(from.owner.to_string()));
        values.insert(":from_fence".to_owned(), number(from.fence));
        if let Some(reason) = from.standing.reason {
            conditions.push(format!("{} = :from_reason", alias("reason")));
            values.insert(":from_reason".to_owned(), text(reason.name()));
        }
        if let Some(beat) = beat {
            conditions.push(format!("{} = :from_beat", alias("beat")));
            values.insert(":from_beat".to_owned(), number(beat));
        }
        Update::builder()
            .key(KEY, job_key(from.job))
            .update_expression(expression)
            .condition_expression(conditions.join(" AND "))
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(values))
    }
}
