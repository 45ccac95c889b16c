//! What people say of the evidence: that an alarm need not hold a route back, and what they think of a pair. It stands
//! beside what was counted, and changes none of it.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use thiserror::Error;
use uuid::Uuid;

use super::sqlite::{self, VERSION};
use crate::{
    audit::{self, Line, What},
    parallel_run::comparison::{Alarm, words::Word},
};

/// Characters of a label, at most.
const LABEL: usize = 80;

/// One alarm of one comparison: `019a..-blank`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlarmId {
    /// Of which comparison.
    pub comparison: Uuid,
    /// Which.
    pub kind: Alarm,
}

impl fmt::Display for AlarmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.comparison, self.kind.word())
    }
}

impl FromStr for AlarmId {
    type Err = SaidError;

    fn from_str(text: &str) -> Result<Self, SaidError> {
        let parts = text
            .split_at_checked(36)
            .and_then(|(id, rest)| Some((id.parse().ok()?, Alarm::from_word(rest.strip_prefix('-')?)?)));
        let (comparison, kind) = parts.ok_or_else(|| SaidError::NoAlarm(text.to_owned()))?;
        Ok(Self { comparison, kind })
    }
}

/// Who says something, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// When.
    pub at: Timestamp,
    /// Who, as the audit log names them.
    pub who: String,
    /// Why, or the label.
    pub text: String,
}

/// What an acknowledgement found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledging {
    /// Whose alarm it is: a route's name.
    pub route: String,
    /// Who had acknowledged it before, if anybody had: then that stands.
    pub before: Option<Said>,
    /// How many alarms still hold the route back.
    pub left: u64,
}

/// It could not be said.
#[derive(Debug, Error)]
pub enum SaidError {
    /// There is no evidence.
    #[error("no evidence at {0}")]
    Missing(PathBuf),
    /// `SQLite` said no.
    #[error("cannot write to the evidence: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The file is of another version of figueira.
    #[error("the evidence has schema version {0}; this figueira writes version {VERSION}")]
    Version(i64),
    /// No such alarm.
    #[error("there is no alarm {0}; `figueira report --route NAME` lists them")]
    NoAlarm(String),
    /// No such comparison.
    #[error("there is no comparison {0}")]
    NoComparison(Uuid),
    /// It was said, and the audit log does not know.
    #[error("acknowledged, but the audit log cannot be written: {0}")]
    Audit(io::Error),
    /// Too long, or not plain.
    #[error("a label is 1 to {LABEL} characters of plain text")]
    Label,
}

/// Writes that `alarm` need not hold its route back, in the folder `data`, and in the audit log there. What was acknowledged before stays as it was.
pub fn acknowledge(data: &Path, alarm: AlarmId, said: &Said) -> Result<Acknowledging, SaidError> {
    let mut connection = open(data)?;
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let (id, kind) = (alarm.comparison.as_bytes(), alarm.kind.word());
    let found = transaction
        .query_row(
            "SELECT epoch.id, route FROM alarm JOIN comparison ON comparison.id = alarm.comparison
             JOIN epoch ON epoch.id = comparison.epoch WHERE alarm.comparison = ?1 AND kind = ?2",
            params![id, kind],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)),
        )
        .optional()?;
    let (epoch, route) = found.ok_or_else(|| SaidError::NoAlarm(alarm.to_string()))?;
    let before = transaction
        .query_row(
            "SELECT at, who, reason FROM acknowledgement WHERE comparison = ?1 AND kind = ?2",
            params![id, kind],
            |row| {
                let at = Timestamp::from_millisecond(row.get(0)?).unwrap_or_default();
                Ok(Said { at, who: row.get(1)?, text: row.get(2)? })
            },
        )
        .optional()?;
    if before.is_none() {
        transaction.execute(
            "INSERT INTO acknowledgement VALUES (?1, ?2, ?3, ?4, ?5)",
            params![id, kind, said.at.as_millisecond(), said.who, said.text],
        )?;
    }
    let left = transaction.query_row(
        "SELECT count(*) FROM alarm JOIN comparison ON comparison.id = alarm.comparison
         LEFT JOIN acknowledgement USING (comparison, kind)
         WHERE epoch = ?1 AND acknowledgement.at IS NULL",
        [epoch],
        |row| row.get(0),
    )?;
    transaction.commit()?;
    if before.is_none() {
        audit::Log::in_folder(data).append(&[line(alarm, &route, said)]).map_err(SaidError::Audit)?;
    }
    Ok(Acknowledging { route, before, left: sqlite::natural(left) })
}

/// Writes what a person thinks of a pair, over what was thought before; `None` takes it away.
pub fn label(data: &Path, comparison: Uuid, said: Option<&Said>) -> Result<(), SaidError> {
    let connection = open(data)?;
    let known: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM comparison WHERE id = ?1)",
        [comparison.as_bytes()],
        |row| row.get(0),
    )?;
    if !known {
        return Err(SaidError::NoComparison(comparison));
    }
    let Some(said) = said else {
        connection.execute("DELETE FROM label WHERE comparison = ?1", [comparison.as_bytes()])?;
        return Ok(());
    };
    let is_plain = !said.text.trim().is_empty() && !said.text.chars().any(char::is_control);
    if !is_plain || said.text.chars().count() > LABEL {
        return Err(SaidError::Label);
    }
    connection.execute(
        "INSERT OR REPLACE INTO label VALUES (?1, ?2, ?3, ?4)",
        params![comparison.as_bytes(), said.text.trim(), said.at.as_millisecond(), said.who],
    )?;
    Ok(())
}

fn line(alarm: AlarmId, route: &str, said: &Said) -> Line {
    Line {
        at: said.at,
        what: What::Alarm,
        who: said.who.clone(),
        route: Some(route.to_owned()),
        from: Some(alarm.to_string()),
        to: Some("acknowledged".to_owned()),
        why: Some(said.text.clone()),
        generation: None,
        file: None,
    }
}

fn open(data: &Path) -> Result<Connection, SaidError> {
    let path = data.join("evidence.sqlite");
    if !path.exists() {
        return Err(SaidError::Missing(path));
    }
    let connection = sqlite::open(&path)?;
    match sqlite::version(&connection)? {
        VERSION => Ok(connection),
        found => Err(SaidError::Version(found)),
    }
}
