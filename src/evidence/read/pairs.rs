//! Single comparisons, for people who look: a page of them, or one with everything that is kept of it.

use rusqlite::{OptionalExtension, Row, params};
use uuid::Uuid;

use super::{Evidence, Raised, ReadError, difference, micros, natural, raised, time, word};
use crate::{
    evidence::{
        said::Said,
        samples::{self, Kept, stored::Stored},
    },
    parallel_run::comparison::{ArmRecord, Class, Difference, Direction, ImageRecord, words::Word},
};

/// Which comparisons are asked for, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// Of this route.
    pub route: Option<String>,
    /// Of these classes; of all where there is none.
    pub classes: Vec<Class>,
    /// Older than this one.
    pub after: Option<Uuid>,
    /// At most so many.
    pub limit: usize,
}

/// A comparison in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Which.
    pub id: Uuid,
    /// Its route's name.
    pub route: String,
    /// Which epoch of the route: 1, 2, ..
    pub epoch: u64,
    /// When it was sampled.
    pub at: jiff::Timestamp,
    /// Which process.
    pub gateway: String,
    /// Which way it was run.
    pub direction: Direction,
    /// What came of it.
    pub class: Class,
    /// Size, n and model.
    pub stratum: String,
    /// The rate at which it was sampled.
    pub sample_rate: f64,
    /// Keyed hash of its subject.
    pub subject: Option<String>,
    /// Keyed hash of the request.
    pub request: String,
    /// What the control answered.
    pub control: ArmRecord,
    /// What the candidate answered.
    pub candidate: Option<ArmRecord>,
    /// What a person thinks of it.
    pub label: Option<Said>,
}

/// Everything that is kept of one comparison.
#[derive(Clone, Debug)]
pub struct Whole {
    /// As in a list.
    pub line: Line,
    /// What a person must see.
    pub alarms: Vec<Raised>,
    /// Where the arms disagree.
    pub differences: Vec<Difference>,
    /// The images that were judged.
    pub images: Vec<ImageRecord>,
    /// The exchanges themselves, where they were kept.
    pub kept: Option<Kept>,
}

const LINE: &str = "SELECT comparison.id, route, number, comparison.at, gateway, direction, class, stratum, sample_rate,
    subject, request,
    control_outcome, control_status, control_first_byte, control_total, control_bytes, control_media_type,
    control_body_hash, control_cost_usd,
    candidate_outcome, candidate_status, candidate_first_byte, candidate_total, candidate_bytes, candidate_media_type,
    candidate_body_hash, candidate_cost_usd,
    label, label.at, label.who
  FROM comparison JOIN epoch ON epoch.id = comparison.epoch LEFT JOIN label ON label.comparison = comparison.id";

impl Evidence {
    /// The comparisons that `ask` asks for. Candidates that are still at work are none yet.
    pub fn comparisons(&self, ask: &Ask) -> Result<Vec<Line>, ReadError> {
        // Each class is a walk down an index of its own, which ends at the limit.
        let mut lines = Vec::new();
        if ask.classes.is_empty() {
            self.lines(ask, None, &mut lines)?;
        }
        for class in &ask.classes {
            self.lines(ask, Some(*class), &mut lines)?;
        }
        lines.sort_by_key(|line| std::cmp::Reverse(line.id));
        lines.truncate(ask.limit);
        Ok(lines)
    }

    fn lines(&self, ask: &Ask, class: Option<Class>, lines: &mut Vec<Line>) -> Result<(), ReadError> {
        let of_class = if class.is_some() { "class = ?1" } else { "?1 IS NULL" };
        let mut statement = self.connection.prepare_cached(&format!(
            "{LINE} WHERE {of_class} AND comparison.id < ?2 AND (?3 IS NULL OR route = ?3)
             AND (due IS NULL OR due < ?4) ORDER BY comparison.id DESC LIMIT ?5"
        ))?;
        let after = ask.after.unwrap_or(Uuid::max());
        let mut rows = statement.query(params![
            class.map(Word::word),
            after.as_bytes(),
            ask.route,
            self.now.as_millisecond(),
            i64::try_from(ask.limit).unwrap_or(i64::MAX),
        ])?;
        while let Some(row) = rows.next()? {
            lines.push(line(row)?);
        }
        Ok(())
    }

    /// One comparison with everything that is kept of it; `None` where there is none.
    pub fn comparison(&self, id: Uuid) -> Result<Option<Whole>, ReadError> {
        let mut statement = self.connection.prepare_cached(&format!("{LINE} WHERE comparison.id = ?1"))?;
        let found = statement.query_row([id.as_bytes()], |row| Ok(line(row))).optional()?;
        let Some(line) = found.transpose()? else { return Ok(None) };
        let kept = samples::read(&self.samples, &line.route, id);
        Ok(Some(Whole {
            alarms: self.alarms_of(id)?,
            differences: self.differences_of(id)?,
            images: self.images_of(id)?,
            line,
            kept,
        }))
    }

    /// The pair `id` of `route` as it was kept, to be judged again; `None` where it is not.
    pub fn stored(&self, route: &str, id: Uuid) -> std::io::Result<Option<Stored>> {
        samples::stored::read(&self.samples, route, id)
    }

    /// Of `route`, the newest comparisons whose exchanges are kept, failures first.
    pub fn kept(&self, route: &str, most: usize) -> Vec<Uuid> {
        samples::list(&self.samples, route, most)
    }

    fn alarms_of(&self, id: Uuid) -> Result<Vec<Raised>, ReadError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT kind, at, who, reason FROM alarm LEFT JOIN acknowledgement USING (comparison, kind)
             WHERE alarm.comparison = ?1 ORDER BY kind",
        )?;
        let mut rows = statement.query([id.as_bytes()])?;
        let mut alarms = Vec::new();
        while let Some(row) = rows.next()? {
            alarms.push(raised(row, 0)?);
        }
        Ok(alarms)
    }

    fn differences_of(&self, id: Uuid) -> Result<Vec<Difference>, ReadError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT comparison, path, kind, control, candidate, severity, rule FROM difference
             WHERE comparison = ?1 ORDER BY place",
        )?;
        let mut rows = statement.query([id.as_bytes()])?;
        let mut differences = Vec::new();
        while let Some(row) = rows.next()? {
            differences.push(difference(row)?);
        }
        Ok(differences)
    }

    fn images_of(&self, id: Uuid) -> Result<Vec<ImageRecord>, ReadError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT arm, position, delivery, sniffed, declared, width, height, color, bytes, decodes, entropy,
               luma_deviation, dominant, hash, alpha, orientation, correlation, difference_hash FROM image WHERE comparison = ?1 ORDER BY place",
        )?;
        let images = statement.query_map([id.as_bytes()], |row| {
            Ok(ImageRecord {
                candidate: row.get_ref(0)?.as_str()? == "candidate",
                index: usize::try_from(row.get::<_, i64>(1)?).unwrap_or_default(),
                delivery: row.get(2)?,
                sniffed: row.get(3)?,
                declared: row.get(4)?,
                width: row.get(5)?,
                height: row.get(6)?,
                color: row.get(7)?,
                bytes: natural(row.get(8)?),
                decodes: row.get(9)?,
                entropy: row.get(10)?,
                luma_deviation: row.get(11)?,
                dominant: row.get(12)?,
                hash: row.get(13)?,
                alpha: row.get(14)?,
                orientation: row.get(15)?,
                correlation: row.get(16)?,
                difference_hash: row.get::<_, Option<i64>>(17)?.map(i64::cast_unsigned),
                thumbnail: None,
            })
        })?;
        Ok(images.collect::<Result<_, _>>()?)
    }
}

fn line(row: &Row<'_>) -> Result<Line, ReadError> {
    let text: Option<String> = row.get(27)?;
    let label = match text {
        Some(text) => Some(Said { text, at: time(row.get(28)?), who: row.get(29)? }),
        None => None,
    };
    let called: Option<String> = row.get(19)?;
    Ok(Line {
        id: Uuid::from_bytes(row.get(0)?),
        route: row.get(1)?,
        epoch: natural(row.get(2)?),
        at: time(row.get(3)?),
        gateway: row.get(4)?,
        direction: word(row, 5)?,
        class: word(row, 6)?,
        stratum: row.get(7)?,
        sample_rate: row.get(8)?,
        subject: row.get(9)?,
        request: row.get(10)?,
        control: arm(row, 11)?,
        candidate: called.map(|_| arm(row, 19)).transpose()?,
        label,
    })
}

fn arm(row: &Row<'_>, first: usize) -> Result<ArmRecord, ReadError> {
    let duration = |column: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(micros));
    Ok(ArmRecord {
        outcome: word(row, first)?,
        status: row.get(first + 1)?,
        first_byte: duration(first + 2)?,
        total: duration(first + 3)?,
        bytes: row.get::<_, Option<i64>>(first + 4)?.map_or(0, natural),
        media_type: row.get(first + 5)?,
        body_hash: row.get(first + 6)?,
        cost_usd: row.get(first + 7)?,
    })
}
