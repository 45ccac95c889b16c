//! What the monolith is still to be told: attributes of the job itself, so that news and the step that makes them are
//! one write.

use std::time::SystemTime;

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use uuid::Uuid;

use super::{
    DynamoDb, KEY, OUTBOX, failed, is_condition,
    item::{Item, job_key, maybe_string, millis, moment, number, sortable, string, text, uuid, whole},
};
use crate::generator::{
    catalog::{CatalogError, First, Letter, Posted},
    state::{Reason, State},
};

impl DynamoDb {
    pub(in crate::generator::catalog) async fn letters(
        &self,
        at: SystemTime,
        first: First,
        most: u32,
    ) -> Result<Vec<Letter>, CatalogError> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let due = self.shelf(OUTBOX, Some(sortable(at)), first, most).await?;
        due.iter().map(read).collect()
    }

    /// Read from the job itself: an index lags behind.
    pub(in crate::generator::catalog) async fn letter(
        &self,
        job: Uuid,
    ) -> Result<Option<Letter>, CatalogError> {
        let item = self.get(job_key(job)).await?;
        item.filter(|item| item.contains_key("news")).as_ref().map(read).transpose()
    }

    pub(in crate::generator::catalog) async fn posted(
        &self,
        letter: Letter,
        posted: Posted,
    ) -> Result<(), CatalogError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(KEY, job_key(letter.job))
            .condition_expression("news = :news")
            .expression_attribute_values(":news", text(letter.news.name()));
        let update = match posted {
            Posted::Delivered => {
                let carried = if letter.is_last() { ", notify" } else { "" };
                update
                    .update_expression(format!(
                        "SET shelf = :news, place = :ended REMOVE news, news_tries, news_refused_ms{carried}"
                    ))
                    .expression_attribute_values(":ended", sortable(letter.written))
            }
            // Off the outbox's shelf it is never due.
            Posted::Dead => update
                .update_expression("SET shelf = :news, place = :ended")
                .expression_attribute_values(":ended", sortable(letter.written)),
            Posted::Again { due, refused: None } => again(update, due)
                .update_expression("SET place = :due, news_tries = news_tries + :one REMOVE news_refused_ms"),
            Posted::Again { due, refused: Some(since) } => again(update, due)
                .update_expression(
                    "SET place = :due, news_tries = news_tries + :one, news_refused_ms = :refused",
                )
                .expression_attribute_values(":refused", number(millis(since))),
        };
        match update.send().await {
            // The job has other news by now.
            Err(error) if !is_condition(&error) => Err(failed(error)),
            _ => Ok(()),
        }
    }
}

fn again(update: UpdateItemFluentBuilder, due: SystemTime) -> UpdateItemFluentBuilder {
    update.expression_attribute_values(":due", sortable(due)).expression_attribute_values(":one", number(1))
}

fn read(item: &Item) -> Result<Letter, CatalogError> {
    Ok(Letter {
        job: uuid(item, "id")?,
        news: State::named(&string(item, "news")?).ok_or(CatalogError::Malformed("news"))?,
        reason: maybe_string(item, "reason").as_deref().and_then(Reason::named),
        tries: whole(item, "news_tries")?,
        refused: item.contains_key("news_refused_ms").then(|| moment(item, "news_refused_ms")).transpose()?,
        written: moment(item, "updated_ms")?,
    })
}
