//! Values as columns: text where a person reads it, whole numbers where it is counted.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{
    Row, ToSql,
    types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef},
};
use uuid::Uuid;

use crate::{
    generator::{
        budget::{Day, Reservation},
        catalog::{Lease, Letter, Object, Owner, Record, Seen},
        digest::Digest,
        money::Usd,
        order::Size,
        provider::{Cause, Receipt, Usage},
        state::{Reason, Standing, State},
    },
    routing::Arm,
};

/// The columns of a [`Lease`], and the beat.
pub(super) const SEEN: &str = "id, state, reason, owner, fence, beat, day, reserved";

pub(super) fn seen(row: &Row<'_>) -> rusqlite::Result<Seen> {
    let Id(job) = row.get("id")?;
    let By(owner) = row.get("owner")?;
    let lease = Lease {
        job,
        standing: Standing { state: row.get("state")?, reason: row.get("reason")? },
        owner,
        fence: row.get::<_, i64>("fence")?.cast_unsigned(),
        reserved: Reservation { day: Day::numbered(row.get("day")?), usd: row.get("reserved")? },
    };
    Ok(Seen { lease, beat: row.get::<_, i64>("beat")?.cast_unsigned() })
}

/// A whole row of `jobs`, and the images beside it.
pub(super) fn record(row: &Row<'_>, objects: Vec<Object>) -> rusqlite::Result<Record> {
    let Seen { lease, beat } = seen(row)?;
    Ok(Record {
        lease,
        beat,
        route: row.get("route")?,
        tenant: row.get::<_, Option<String>>("tenant")?.map(Digest::recorded),
        provider: row.get("provider")?,
        model: row.get("model")?,
        prompt_sha256: Digest::recorded(row.get("prompt_sha256")?),
        prompt: row.get("prompt")?,
        count: row.get("count")?,
        size: Size { width: row.get("width")?, height: row.get("height")? },
        ordered: row.get("ordered")?,
        notify: row.get("notify")?,
        receipt: Receipt {
            request_id: row.get("request_id")?,
            usage: usage(row)?,
            cost: row.get("cost")?,
            cause: row.get::<_, Option<String>>("cause")?.as_deref().and_then(Cause::read).map(Box::new),
        },
        created: moment(row.get("created_ms")?),
        updated: moment(row.get("updated_ms")?),
        objects,
    })
}

fn usage(row: &Row<'_>) -> rusqlite::Result<Option<Usage>> {
    let tokens = |column| row.get::<_, Option<i64>>(column).map(|tokens| tokens.map(i64::cast_unsigned));
    let (input, output) = (tokens("input_tokens")?, tokens("output_tokens")?);
    Ok(input.zip(output).map(|(input_tokens, output_tokens)| Usage { input_tokens, output_tokens }))
}

pub(super) fn object(row: &Row<'_>) -> rusqlite::Result<Object> {
    Ok(Object {
        name: row.get("name")?,
        media_type: row.get("media_type")?,
        bytes: row.get::<_, i64>("bytes")?.cast_unsigned(),
        sha256: Digest::recorded(row.get("sha256")?),
    })
}

pub(super) fn letter(row: &Row<'_>) -> rusqlite::Result<Letter> {
    let Id(job) = row.get("id")?;
    Ok(Letter {
        job,
        news: row.get("news")?,
        reason: row.get("reason")?,
        tries: row.get("news_tries")?,
        refused: row.get::<_, Option<i64>>("news_refused_ms")?.map(moment),
        written: moment(row.get("updated_ms")?),
    })
}

pub(super) fn millis(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| whole(since.as_millis()))
}

fn moment(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis.max(0).cast_unsigned())
}

/// `SQLite`'s integers are signed; nothing counted here comes near their end.
pub(super) fn whole(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// A UUID as hyphenated text.
pub(super) struct Id(pub(super) Uuid);

/// An owner as text.
pub(super) struct By(pub(super) Owner);

/// An arm as text.
pub(super) struct Side(pub(super) Arm);

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

impl ToSql for By {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.to_string().into())
    }
}

impl FromSql for By {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Owner::parse(value.as_str()?).map(Self).ok_or(FromSqlError::InvalidType)
    }
}

impl ToSql for Side {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.name().into())
    }
}

impl FromSql for Side {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let text = value.as_str()?;
        let arm = [Arm::Control, Arm::Candidate].into_iter().find(|arm| arm.name() == text);
        arm.map(Self).ok_or(FromSqlError::InvalidType)
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

impl ToSql for Reason {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.name().into())
    }
}

impl FromSql for Reason {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::named(value.as_str()?).ok_or(FromSqlError::InvalidType)
    }
}

impl ToSql for Usd {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(whole(self.as_micros()).into())
    }
}

impl FromSql for Usd {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(|micros| Self::micros(micros.max(0).cast_unsigned()))
    }
}
