//! What the monolith is still to be told: columns of the job itself, so that news and the step that makes them are one
//! write.

use std::time::SystemTime;

use rusqlite::{OptionalExtension as _, named_params, params};
use uuid::Uuid;

use super::{
    Sqlite,
    columns::{Id, letter, millis},
};
use crate::generator::catalog::{CatalogError, First, Letter, Posted};

impl Sqlite {
    pub(in crate::generator::catalog) async fn letters(
        &self,
        at: SystemTime,
        first: First,
        most: u32,
    ) -> Result<Vec<Letter>, CatalogError> {
        let order = match first {
            First::Latest => "DESC",
            First::Longest => "ASC",
        };
        self.read(move |db| {
            db.prepare_cached(&format!(
                "SELECT id, news, reason, news_tries, news_refused_ms, updated_ms FROM jobs
                 WHERE news IS NOT NULL AND news_due_ms <= ? ORDER BY news_due_ms {order} LIMIT ?"
            ))?
            .query_map(params![millis(at), most], letter)?
            .collect()
        })
        .await
    }

    pub(in crate::generator::catalog) async fn letter(
        &self,
        job: Uuid,
    ) -> Result<Option<Letter>, CatalogError> {
        self.read(move |db| {
            db.prepare_cached(
                "SELECT id, news, reason, news_tries, news_refused_ms, updated_ms FROM jobs
                 WHERE id = ? AND news IS NOT NULL",
            )?
            .query_row([Id(job)], letter)
            .optional()
        })
        .await
    }

    pub(in crate::generator::catalog) async fn posted(
        &self,
        letter: Letter,
        posted: Posted,
    ) -> Result<(), CatalogError> {
        self.write(move |db| {
            let Letter { job, news, .. } = letter;
            match posted {
                Posted::Delivered => db
                    .prepare_cached(
                        "UPDATE jobs SET news = NULL, news_due_ms = NULL,
                                         notify = CASE WHEN :last THEN NULL ELSE notify END
                         WHERE id = :id AND news = :news",
                    )?
                    .execute(named_params! { ":last": letter.is_last(), ":id": Id(job), ":news": news })?,
                // Without a time it is never due.
                Posted::Dead => db
                    .prepare_cached("UPDATE jobs SET news_due_ms = NULL WHERE id = ? AND news = ?")?
                    .execute(params![Id(job), news])?,
                Posted::Again { due, refused } => db
                    .prepare_cached(
                        "UPDATE jobs SET news_due_ms = :due, news_tries = news_tries + 1, news_refused_ms = :refused
                         WHERE id = :id AND news = :news",
                    )?
                    .execute(named_params! {
                        ":due": millis(due), ":refused": refused.map(millis), ":id": Id(job), ":news": news,
                    })?,
            };
            Ok(())
        })
        .await
    }
}
