//! The catalog as one `SQLite` file, for one gateway on a local disk.
//!
//! Two connections: what is served to readers does not wait behind a writer's fsync.

use std::{
    collections::HashSet,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rusqlite::{
    Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, named_params, params,
    types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef},
};
use uuid::Uuid;

use super::{Advance, CatalogError, Lease, NewJob, Object, Record, Transition};
use crate::generator::{
    digest::Digest,
    plane::Plane,
    state::{Reason, State},
};

const SCHEMA: &str = include_str!("schema.sql");
const SCHEMA_VERSION: i64 = 1;
const BUSY: Duration = Duration::from_secs(2);

/// A catalog in one `SQLite` file.
#[derive(Clone, Debug)]
pub(crate) struct Sqlite {
    plane: Plane,
    writer: Arc<Mutex<Connection>>,
    reader: Arc<Mutex<Connection>>,
}

impl Sqlite {
    /// Opens or creates the file. Blocks.
    pub(crate) fn open(path: &Path, plane: Plane) -> Result<Self, CatalogError> {
        let mut writer = connect(path)?;
        migrate(&mut writer)?;
        let reader = connect(path)?;
        reader.pragma_update(None, "query_only", true)?;
        Ok(Self { plane, writer: Arc::new(Mutex::new(writer)), reader: Arc::new(Mutex::new(reader)) })
    }

    pub(super) async fn claim(&self, job: NewJob) -> Result<Lease, CatalogError> {
        self.write(move |db| {
            db.prepare_cached(
                "INSERT INTO jobs (id, state, provider, prompt_sha256, prompt_chars, prompt, count, width, height,
                                   owner, fence, created_ms, updated_ms)
                 VALUES (:id, :state, :provider, :prompt_sha256, :prompt_chars, :prompt, :count, :width, :height,
                         :owner, 0, :at, :at)",
            )?
            .execute(named_params! {
                ":id": Id(job.id), ":state": State::Drawing, ":provider": job.provider,
                ":prompt_sha256": job.prompt_sha256.as_str(), ":prompt_chars": whole(job.prompt_chars),
                ":prompt": job.prompt, ":count": job.count, ":width": job.size.width, ":height": job.size.height,
                ":owner": Id(job.owner), ":at": millis(job.at),
            })?;
            db.prepare_cached("INSERT INTO claims (scope, key, job, request, expires_ms) VALUES (?, ?, ?, ?, ?)")?
                .execute(params![job.scope, job.key, Id(job.id), job.request.as_str(), millis(job.claim_expires)])?;
            Ok(Lease { job: job.id, state: State::Drawing, owner: job.owner, fence: 0 })
        })
        .await
    }

    pub(super) async fn advance(
        &self,
        from: Lease,
        to: Transition,
        at: SystemTime,
    ) -> Result<Advance, CatalogError> {
        let Some(state) = from.state.after(to.step()) else { return Ok(Advance::Refused) };
        self.write(move |db| {
            let moved = db
                .prepare_cached(
                    "UPDATE jobs SET state = :to, reason = :reason, updated_ms = :at
                     WHERE id = :id AND state = :from AND owner = :owner AND fence = :fence",
                )?
                .execute(named_params! {
                    ":to": state, ":reason": to.step().reason().map(Reason::name), ":at": millis(at),
                    ":id": Id(from.job), ":from": from.state, ":owner": Id(from.owner), ":fence": whole(from.fence),
                })?;
            if moved == 0 {
                return Ok(Advance::Refused);
            }
            if let Transition::Store(objects) = &to {
                record_objects(db, from.job, objects)?;
            }
            Ok(Advance::Moved(Lease { state, ..from }))
        })
        .await
    }

    pub(super) async fn record(&self, job: Uuid) -> Result<Option<Record>, CatalogError> {
        self.read(move |db| {
            let lease = db
                .prepare_cached("SELECT state, owner, fence FROM jobs WHERE id = ?")?
                .query_row([Id(job)], |row| {
                    let owner: Id = row.get("owner")?;
                    Ok(Lease {
                        job,
                        state: row.get("state")?,
                        owner: owner.0,
                        fence: row.get::<_, i64>("fence")?.cast_unsigned(),
                    })
                })
                .optional()?;
            let Some(lease) = lease else { return Ok(None) };
            let objects = db
                .prepare_cached(
                    "SELECT name, media_type, bytes, sha256 FROM objects WHERE job = ? ORDER BY position",
                )?
                .query_map([Id(job)], object)?
                .collect::<Result<_, _>>()?;
            Ok(Some(Record { lease, objects }))
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

    pub(super) async fn take_over(
        &self,
        owner: Uuid,
        living: HashSet<Uuid>,
        at: SystemTime,
    ) -> Result<HashSet<Uuid>, CatalogError> {
        self.write(move |db| {
            let open: Vec<(Id, Id)> = db
                .prepare_cached(
                    "SELECT id, owner FROM jobs WHERE state IN ('drawing', 'storing', 'undoing')",
                )?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            let orphans = open.into_iter().filter(|(_, of)| !living.contains(&of.0)).map(|(job, _)| job.0);
            let orphans: HashSet<Uuid> = orphans.collect();
            let mut take = db.prepare_cached(
                "UPDATE jobs SET owner = :owner, fence = fence + 1, updated_ms = :at WHERE id = :id",
            )?;
            for job in &orphans {
                take.execute(named_params! { ":owner": Id(owner), ":at": millis(at), ":id": Id(*job) })?;
            }
            Ok(orphans)
        })
        .await
    }

    pub(super) async fn forget_claims(&self, at: SystemTime) -> Result<usize, CatalogError> {
        self.write(move |db| db.execute("DELETE FROM claims WHERE expires_ms < ?", [millis(at)])).await
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

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open(path)?;
    db.busy_timeout(BUSY)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "foreign_keys", true)?;
    Ok(db)
}

fn migrate(db: &mut Connection) -> Result<(), CatalogError> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match found {
        0 => {
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        }
        SCHEMA_VERSION => {}
        newer => return Err(CatalogError::Newer { found: newer, known: SCHEMA_VERSION }),
    }
    Ok(transaction.commit()?)
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

fn object(row: &Row<'_>) -> rusqlite::Result<Object> {
    Ok(Object {
        name: row.get("name")?,
        media_type: row.get("media_type")?,
        bytes: row.get::<_, i64>("bytes")?.cast_unsigned(),
        sha256: Digest::recorded(row.get("sha256")?),
    })
}

fn millis(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| whole(since.as_millis()))
}

/// `SQLite`'s integers are signed; nothing counted here comes near their end.
fn whole(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// A UUID as hyphenated text.
struct Id(Uuid);

impl ToSql for Id {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.hyphenated().to_string().into())
    }
}

impl FromSql for Id {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Uuid::try_parse(value.as_str()?).map(Self).map_err(FromSqlError::other)
    }
}

impl ToSql for State {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.name().into())
    }
}

impl FromSql for State {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::named(value.as_str()?).ok_or(FromSqlError::InvalidType)
    }
}
