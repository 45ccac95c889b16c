//! What has changed since somebody read the evidence, so that they need not read all of it again.

use std::collections::HashMap;

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::{Epoch, ReadError};

/// Up to where the evidence was read.
#[derive(Clone, Copy, Debug)]
pub struct Bookmark {
    /// The last turn that was seen of the table `touched`.
    turn: i64,
    /// What was due before then has failed.
    at: Timestamp,
}

/// What has changed since a [`Bookmark`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// Nobody knows: too much, or there was no bookmark.
    Anything,
    /// Of each epoch in which something has changed, the earliest comparison: written, changed, removed, acknowledged, or
    /// due by now; the greatest id where only more was counted.
    Since(HashMap<i64, Uuid>),
}

impl Changes {
    /// The earliest comparison of `epoch` that is not as it was; nil where that may be any.
    pub fn first_of(&self, epoch: &Epoch) -> Option<Uuid> {
        match self {
            Self::Anything => Some(Uuid::nil()),
            Self::Since(first) => first.get(&epoch.key).copied(),
        }
    }
}

/// Says what is not as it was at `before`, and where the reading stands `now`.
pub(super) fn since(
    connection: &Connection,
    before: Option<Bookmark>,
    now: Timestamp,
) -> Result<(Changes, Bookmark), ReadError> {
    let ends =
        "SELECT coalesce((SELECT min(turn) FROM touched), 1), coalesce((SELECT max(turn) FROM touched), 0)";
    let mut ends = connection.prepare_cached(ends)?;
    let (first, last): (i64, i64) = ends.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let bookmark = Bookmark { turn: last, at: now };
    // Another file's bookmark, or one of a clock that was set back, says nothing.
    let known = before.filter(|before| (first - 1..=last).contains(&before.turn) && before.at <= now);
    let Some(before) = known else { return Ok((Changes::Anything, bookmark)) };
    let mut changed = connection.prepare_cached(
        "SELECT epoch, min(id) FROM (
           SELECT epoch, comparison AS id FROM touched WHERE turn > ?1
           UNION ALL
           SELECT epoch, id FROM comparison WHERE due >= ?2 AND due < ?3
         ) GROUP BY epoch",
    )?;
    let (from, to) = (before.at.as_millisecond(), now.as_millisecond());
    let epoch = |row: &Row<'_>| Ok((row.get(0)?, Uuid::from_bytes(row.get(1)?)));
    let rows = changed.query_map(params![before.turn, from, to], epoch)?;
    Ok((Changes::Since(rows.collect::<Result<_, _>>()?), bookmark))
}
