//! The catalog as one `SQLite` file, for one gateway on a local disk.
//!
//! Two connections: what is served to readers does not wait behind a writer's fsync.

mod claims;
mod columns;
mod connection;
mod outbox;

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, named_params, params};
use uuid::Uuid;

use self::{
    columns::{By, Id, SEEN, millis, object, record, seen, whole},
    connection::{migrate, set_up},
};
use super::{Advance, CatalogError, Lease, Object, Owner, Record, Seen, Transition};
use crate::{
    database,
    generator::{
        budget::{Day, Reservation},
        digest::Digest,
        money::Usd,
        plane::Plane,
        provider::{Cause, Receipt},
        state::State,
    },
};

/// A catalog in one `SQLite` file.
#[derive(Clone, Debug)]
pub(crate) struct Sqlite {
    plane: Plane,
    writer: Arc<Mutex<Connection>>,
    reader: Arc<Mutex<Connection>>,
}

impl Sqlite {
    /// Opens or creates the file; a new one is called `identity`. Blocks.
    pub(crate) fn open(path: &Path, identity: Uuid, plane: Plane) -> Result<Self, CatalogError> {
        let writer = database::open(path, |db| {
            set_up(db)?;
            migrate(db, identity)
        })?;
        let reader = database::open(path, |db| set_up(db))?;
        reader.pragma_update(None, "query_only", true)?;
        Ok(Self { plane, writer: Arc::new(Mutex::new(writer)), reader: Arc::new(Mutex::new(reader)) })
    }

    pub(super) async fn identity(&self) -> Result<Uuid, CatalogError> {
        self.read(|db| db.query_row("SELECT id FROM identity", [], |row| row.get(0).map(|Id(id)| id))).await
    }

    pub(super) async fn advance(
        &self,
        from: Lease,
        to: Transition,
        at: SystemTime,
    ) -> Result<Advance, CatalogError> {
        let Some(next) = from.after(to.step()) else { return Ok(Advance::Refused) };
        self.write(move |db| {
            if !moved(db, &from, &next, None, at)? {
                return Ok(Advance::Refused);
            }
            if let Some(receipt) = to.receipt() {
                record_receipt(db, from.job, receipt)?;
            }
            if let Transition::Store(objects, _) = &to {
                record_objects(db, from.job, objects)?;
            }
            let (before, after) = to.spent(&from, &next);
            settle(db, from.reserved.day, before, after)?;
            Ok(Advance::Moved(next))
        })
        .await
    }

    pub(super) async fn take_over(
        &self,
        Seen { lease, beat }: Seen,
        owner: Owner,
        at: SystemTime,
    ) -> Result<Advance, CatalogError> {
        let Some(next) = lease.taken_over(owner) else { return Ok(Advance::Refused) };
        self.write(move |db| {
            let moved = moved(db, &lease, &next, Some(beat), at)?;
            Ok(if moved { Advance::Moved(next) } else { Advance::Refused })
        })
        .await
    }

    pub(super) async fn beat(&self, jobs: Vec<Lease>, at: SystemTime) -> Result<(), CatalogError> {
        self.write(move |db| {
            let mut beat = db.prepare_cached(
                "UPDATE jobs SET beat = beat + 1, updated_ms = ? WHERE id = ? AND owner = ? AND fence = ?
                 AND state IN ('accepted', 'drawing', 'storing', 'undoing')",
            )?;
            for Lease { job, owner, fence, .. } in jobs {
                beat.execute(params![millis(at), Id(job), By(owner), whole(fence)])?;
            }
            Ok(())
        })
        .await
    }

    pub(super) async fn open_jobs(&self) -> Result<Vec<Seen>, CatalogError> {
        self.read(|db| {
            db.prepare_cached(&format!(
                "SELECT {SEEN} FROM jobs WHERE state IN ('accepted', 'drawing', 'storing', 'undoing') ORDER BY id"
            ))?
            .query_map([], seen)?
            .collect()
        })
        .await
    }

    pub(super) async fn record(&self, job: Uuid) -> Result<Option<Record>, CatalogError> {
        self.read(move |db| recorded(db, job)).await
    }

    pub(super) async fn newest(
        &self,
        before: Option<Uuid>,
        most: usize,
    ) -> Result<Vec<Record>, CatalogError> {
        self.read(move |db| {
            let jobs = db
                .prepare_cached("SELECT id FROM jobs WHERE ?1 IS NULL OR id < ?1 ORDER BY id DESC LIMIT ?2")?
                .query_map(params![before.map(Id), whole(most)], |row| row.get(0).map(|Id(id)| id))?
                .collect::<Result<Vec<_>, _>>()?;
            jobs.into_iter().filter_map(|job| recorded(db, job).transpose()).collect()
        })
        .await
    }

    pub(super) async fn visible(&self, name: String) -> Result<Option<Object>, CatalogError> {
        self.read(move |db| {
            db.prepare_cached(
                "SELECT name, media_type, bytes, sha256 FROM objects JOIN jobs ON jobs.id = objects.job
                 WHERE name = ? AND state = ?",
            )?
            .query_row(params![name, State::Done], object)
            .optional()
        })
        .await
    }

    pub(super) async fn spent(&self, day: Day) -> Result<Usd, CatalogError> {
        self.read(move |db| {
            let spent = db
                .prepare_cached("SELECT spent FROM budget WHERE day = ?")?
                .query_row([day.number()], |row| row.get(0));
            Ok(spent.optional()?.unwrap_or_default())
        })
        .await
    }

    pub(super) async fn ended(
        &self,
        state: State,
        before: SystemTime,
        most: u32,
    ) -> Result<Vec<Uuid>, CatalogError> {
        self.read(move |db| {
            db.prepare_cached(
                "SELECT id FROM jobs WHERE state = ? AND updated_ms < ? AND (news IS NULL OR news_due_ms IS NULL)
                 ORDER BY updated_ms LIMIT ?",
            )?
            .query_map(params![state, millis(before), most], |row| row.get(0).map(|Id(id)| id))?
            .collect()
        })
        .await
    }

    pub(super) async fn of_tenant(&self, tenant: Digest) -> Result<Vec<Uuid>, CatalogError> {
        self.read(move |db| {
            db.prepare_cached("SELECT id FROM jobs WHERE tenant = ?1 OR subject = ?1 ORDER BY id")?
                .query_map([tenant.as_str()], |row| row.get(0).map(|Id(id)| id))?
                .collect()
        })
        .await
    }

    pub(super) async fn erase(&self, job: Uuid) -> Result<(), CatalogError> {
        self.write(move |db| {
            let over = "SELECT id FROM jobs WHERE id = ? AND state IN ('done', 'failed', 'handed-over')";
            if db.prepare_cached(over)?.exists([Id(job)])? {
                for statement in [
                    "DELETE FROM claims WHERE job = ?",
                    "DELETE FROM objects WHERE job = ?",
                    "DELETE FROM jobs WHERE id = ?",
                ] {
                    db.execute(statement, [Id(job)])?;
                }
            }
            Ok(())
        })
        .await
    }

    pub(super) async fn scrub(&self) -> Result<(), CatalogError> {
        let writer = self.writer.clone();
        let scrubbed = move || {
            let db = writer.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(database::empty_journal(&db)?)
        };
        self.plane.blocking(scrubbed).await?
    }

    async fn write<T, F>(&self, work: F) -> Result<T, CatalogError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let writer = self.writer.clone();
        let written = move || {
            // A panic inside rolled its transaction back, so the connection is as good as before.
            let mut db = writer.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        self.plane.blocking(written).await?
    }

    async fn read<T, F>(&self, work: F) -> Result<T, CatalogError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let reader = self.reader.clone();
        let read = move || {
            let mut db = reader.lock().unwrap_or_else(PoisonError::into_inner);
            // One snapshot for all that is read.
            Ok(work(&db.transaction()?)?)
        };
        self.plane.blocking(read).await?
    }
}

fn recorded(db: &Transaction<'_>, job: Uuid) -> rusqlite::Result<Option<Record>> {
    let objects = db
        .prepare_cached(
            "SELECT name, media_type, bytes, sha256 FROM objects WHERE job = ? ORDER BY position",
        )?
        .query_map([Id(job)], object)?
        .collect::<Result<_, _>>()?;
    db.prepare_cached("SELECT * FROM jobs WHERE id = ?")?
        .query_row([Id(job)], |row| record(row, objects))
        .optional()
}

/// Moves a job's row, if it is still what `from` says, and where its end is news, writes that down too.
fn moved(
    db: &Transaction<'_>,
    from: &Lease,
    to: &Lease,
    beat: Option<u64>,
    at: SystemTime,
) -> rusqlite::Result<bool> {
    let news = (!to.standing.state.is_open()).then_some(to.standing.state);
    let moved = db
        .prepare_cached(
            "UPDATE jobs SET state = :to, reason = :reason, owner = :owner, fence = :fence, updated_ms = :at,
                             ordered = CASE WHEN :to = 'accepted' THEN ordered END,
                             news = CASE WHEN notify IS NOT NULL THEN :news END,
                             news_due_ms = CASE WHEN notify IS NOT NULL AND :news IS NOT NULL THEN :at END,
                             news_tries = 0, news_refused_ms = NULL
             WHERE id = :id AND state = :from AND reason IS :from_reason AND owner = :from_owner
                   AND fence = :from_fence AND beat = COALESCE(:beat, beat)",
        )?
        .execute(named_params! {
            ":to": to.standing.state, ":reason": to.standing.reason, ":owner": By(to.owner), ":fence": whole(to.fence),
            ":at": millis(at), ":news": news, ":id": Id(from.job), ":from": from.standing.state,
            ":from_reason": from.standing.reason, ":from_owner": By(from.owner), ":from_fence": whole(from.fence),
            ":beat": beat.map(whole),
        })?;
    Ok(moved > 0)
}

/// Takes a reservation out of its day, if the day has it.
fn reserve(db: &Transaction<'_>, reserved: Reservation, budget: Option<Usd>) -> rusqlite::Result<bool> {
    if reserved.usd == Usd::ZERO {
        return Ok(true);
    }
    let reserved_now = db
        .prepare_cached(
            "INSERT INTO budget (day, spent) SELECT :day, :usd WHERE :usd <= COALESCE(:budget, :usd)
             ON CONFLICT (day) DO UPDATE SET spent = spent + :usd
             WHERE spent + :usd <= COALESCE(:budget, spent + :usd)",
        )?
        .execute(named_params! { ":day": reserved.day.number(), ":usd": reserved.usd, ":budget": budget })?;
    Ok(reserved_now > 0)
}

/// Replaces, in its day, what was reserved by what is spent.
fn settle(db: &Transaction<'_>, day: Day, before: Usd, after: Usd) -> rusqlite::Result<()> {
    if before != after {
        db.prepare_cached("UPDATE budget SET spent = spent - ? + ? WHERE day = ?")?.execute(params![
            before,
            after,
            day.number()
        ])?;
    }
    Ok(())
}

fn record_receipt(db: &Transaction<'_>, job: Uuid, receipt: &Receipt) -> rusqlite::Result<usize> {
    let Receipt { request_id, usage, cost, cause } = receipt;
    db.prepare_cached(
        "UPDATE jobs SET cost = :cost, input_tokens = :input, output_tokens = :output, request_id = :request,
                         cause = :cause
         WHERE id = :id",
    )?
    .execute(named_params! {
        ":cost": cost, ":input": usage.map(|usage| whole(usage.input_tokens)),
        ":output": usage.map(|usage| whole(usage.output_tokens)), ":request": request_id,
        ":cause": cause.as_deref().map(Cause::written), ":id": Id(job),
    })
}

fn record_objects(db: &Transaction<'_>, job: Uuid, objects: &[Object]) -> rusqlite::Result<()> {
    let mut insert = db.prepare_cached(
        "INSERT INTO objects (name, job, position, media_type, bytes, sha256) VALUES (?, ?, ?, ?, ?, ?)",
    )?;
    for (position, object) in objects.iter().enumerate() {
        let Object { name, media_type, bytes, sha256 } = object;
        insert.execute(params![
            name,
            Id(job),
            whole(position),
            media_type,
            whole(*bytes),
            sha256.as_str()
        ])?;
    }
    Ok(())
}
