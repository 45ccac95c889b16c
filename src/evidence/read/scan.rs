//! The comparisons of an epoch: many are read on one processor while they are counted on another.

use std::{collections::HashMap, ops::Range, sync::mpsc, thread, time::Duration};

use jiff::Timestamp;
use rusqlite::{Connection, params, types::ValueRef};
use uuid::Uuid;

use super::{Epoch, Pair, Raised, ReadError, micros, time, word};
use crate::parallel_run::comparison::{Class, Direction};

/// Chunks that are read before they are counted.
const AHEAD: usize = 4;
/// Rows of one chunk: they stay in the processor's cache.
const ROWS: usize = 512;

/// Rows as they were read.
#[derive(Debug, Default)]
struct Chunk {
    rows: Vec<Row>,
    texts: String,
}

/// A [`Pair`] whose texts are kept beside it.
#[derive(Debug)]
struct Row {
    id: Uuid,
    at: Timestamp,
    class: Class,
    stratum: Range<usize>,
    subject: Option<Range<usize>>,
    control: Option<Duration>,
    candidate: Option<Duration>,
    control_cost_usd: f64,
    candidate_cost_usd: Option<f64>,
    gateway: Range<usize>,
}

/// What a scan saw.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    /// Comparisons that are previews.
    pub(super) previews: u64,
    /// When the last of the others was sampled.
    pub(super) last: Option<Timestamp>,
}

/// Whose comparisons, and which of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    pub(super) epoch: &'a Epoch,
    /// Those that come after this one.
    pub(super) after: Uuid,
    /// Those that have ended, or were due before this time.
    pub(super) now: Timestamp,
}

/// Shows `visit` what is asked for, in order, each with what was raised at it.
pub(super) fn scan(
    connection: &Connection,
    ask: Ask<'_>,
    alarms: &HashMap<Uuid, Vec<Raised>>,
    visit: impl FnMut(&Pair<'_>) + Send,
) -> Result<Scanned, ReadError> {
    let mut visit = Some(visit);
    thread::scope(|scope| {
        let mut counting: Option<mpsc::SyncSender<Chunk>> = None;
        read(connection, ask, |chunk| match (&counting, visit.take()) {
            // Whoever counts them is there until the scan ends.
            (Some(counting), _) => drop(counting.send(chunk)),
            // Where there is more, it is counted while the next is read.
            (None, Some(mut visit)) if chunk.rows.len() == ROWS => {
                let (give, chunks) = mpsc::sync_channel(AHEAD);
                let count = move |chunk: Chunk| chunk.show(alarms, &mut visit);
                scope.spawn(move || chunks.into_iter().for_each(count));
                drop(give.send(chunk));
                counting = Some(give);
            }
            (None, Some(mut visit)) => chunk.show(alarms, &mut visit),
            (None, None) => {}
        })
    })
}

/// Gives what is asked for in chunks, of which the last is not full.
fn read(
    connection: &Connection,
    Ask { epoch, after, now }: Ask<'_>,
    mut give: impl FnMut(Chunk),
) -> Result<Scanned, ReadError> {
    let mut statement = connection.prepare_cached(
        "SELECT direction, id, at, class, stratum, subject, control_total, candidate_total, control_cost_usd,
           candidate_cost_usd, gateway FROM comparison
         WHERE epoch = ?1 AND id > ?2 AND (due IS NULL OR due < ?3) ORDER BY id",
    )?;
    let mut rows = statement.query(params![epoch.key, after.as_bytes(), now.as_millisecond()])?;
    let (mut chunk, mut scanned) = (Chunk::default(), Scanned::default());
    while let Some(row) = rows.next()? {
        let direction: Direction = word(row, 0)?;
        if !direction.counts() {
            scanned.previews += u64::from(direction == Direction::Replay);
            continue;
        }
        let read = chunk.read(row)?;
        scanned.last = Some(read.at);
        chunk.rows.push(read);
        if chunk.rows.len() == ROWS {
            give(std::mem::take(&mut chunk));
        }
    }
    give(chunk);
    Ok(scanned)
}

impl Chunk {
    fn read(&mut self, row: &rusqlite::Row<'_>) -> Result<Row, ReadError> {
        Ok(Row {
            id: Uuid::from_bytes(row.get(1)?),
            at: time(row.get(2)?),
            class: word(row, 3)?,
            stratum: self.text(row.get_ref(4)?)?,
            subject: match row.get_ref(5)? {
                ValueRef::Null => None,
                subject => Some(self.text(subject)?),
            },
            control: row.get::<_, Option<i64>>(6)?.map(micros),
            candidate: row.get::<_, Option<i64>>(7)?.map(micros),
            control_cost_usd: row.get(8)?,
            candidate_cost_usd: row.get(9)?,
            gateway: self.text(row.get_ref(10)?)?,
        })
    }

    fn text(&mut self, text: ValueRef<'_>) -> Result<Range<usize>, ReadError> {
        let begin = self.texts.len();
        self.texts.push_str(text.as_str().map_err(rusqlite::Error::from)?);
        Ok(begin..self.texts.len())
    }

    /// Shows each row to `visit`, with what was raised at it.
    fn show(&self, alarms: &HashMap<Uuid, Vec<Raised>>, visit: &mut impl FnMut(&Pair<'_>)) {
        let text = |range: &Range<usize>| self.texts.get(range.clone()).unwrap_or_default();
        for row in &self.rows {
            let &Row { id, at, class, control, candidate, control_cost_usd, candidate_cost_usd, .. } = row;
            visit(&Pair {
                id,
                at,
                class,
                stratum: text(&row.stratum),
                subject: row.subject.as_ref().map(text),
                control,
                candidate,
                control_cost_usd,
                candidate_cost_usd,
                gateway: text(&row.gateway),
                alarms: if alarms.is_empty() { &[] } else { alarms.get(&id).map_or(&[], Vec::as_slice) },
                times: 1,
            });
        }
    }
}
