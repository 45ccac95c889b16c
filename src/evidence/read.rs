//! What a report reads, from any process, while the gateway writes.

mod changes;
mod findings;
pub mod pairs;
mod scan;

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use thiserror::Error;
use uuid::Uuid;

use self::scan::Ask;
pub use self::{
    changes::{Bookmark, Changes},
    findings::Finding,
};
use super::sqlite::{self, VERSION, natural};
use crate::parallel_run::{
    calibration::PathStates,
    comparison::{Alarm, Class, Difference, words::Word},
    settings::Plan,
};

/// An epoch, with the requests that the whole fleet has seen of it.
const EPOCH: &str = "id, route, coalesce(hash, name) AS hash, number, started_at, requests
  + (SELECT coalesce(sum(n), 0) FROM requests_elsewhere WHERE epoch = epoch.id) AS requests";

/// The alarms of an epoch, raised by comparisons after one. In this order: there are fewer alarms than comparisons.
pub(super) const ALARMS: &str = "SELECT alarm.comparison, alarm.kind, acknowledgement.at, who, reason
  FROM alarm CROSS JOIN comparison ON id = alarm.comparison LEFT JOIN acknowledgement USING (comparison, kind)
  WHERE epoch = ?1 AND alarm.comparison > ?2 ORDER BY id, alarm.kind";

/// The evidence cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// There is none.
    #[error("no evidence at {0}")]
    Missing(PathBuf),
    /// `SQLite` said no.
    #[error("cannot read the evidence: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The file is of another version of figueira.
    #[error("the evidence has schema version {0}; this figueira reads version {VERSION}")]
    Version(i64),
    /// A value that this version cannot have written.
    #[error("the evidence holds {0:?}, which is not of this version")]
    Word(String),
}

/// The evidence, open for reading. One consistent view, until another is taken.
#[derive(Debug)]
pub struct Evidence {
    pub(super) connection: Connection,
    samples: PathBuf,
    now: Timestamp,
    /// `PRAGMA data_version` as it was before this view was taken.
    version: i64,
}

/// One epoch of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch {
    pub(super) key: i64,
    /// The route's name.
    pub route: String,
    /// Hash of all that its answers depend on.
    pub id: String,
    /// 1, 2, .. within the route.
    pub number: u64,
    /// When it was begun.
    pub started_at: Timestamp,
    /// Requests that the route's shadow has seen.
    pub requests: u64,
}

impl Epoch {
    /// Whether `later` is the same, whatever was written of it in between.
    pub fn is_still(&self, later: &Self) -> bool {
        (self.key, self.started_at) == (later.key, later.started_at)
    }
}

/// What counts of one sampled request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair<'a> {
    /// Which comparison; nil where it was counted only.
    pub id: Uuid,
    /// When it was sampled.
    pub at: Timestamp,
    /// What came of it.
    pub class: Class,
    /// Size, n and model; empty where it was counted only.
    pub stratum: &'a str,
    /// Keyed hash of its subject; `None` is the shared anonymous one.
    pub subject: Option<&'a str>,
    /// How long the control took, to its last byte.
    pub control: Option<Duration>,
    /// How long the candidate took, or held out.
    pub candidate: Option<Duration>,
    /// What the control cost, in US dollars; 0 where nobody knows.
    pub control_cost_usd: f64,
    /// What the candidate cost, in US dollars; `None` where nobody knows, or it was not called.
    pub candidate_cost_usd: Option<f64>,
    /// Which process wrote it.
    pub gateway: &'a str,
    /// What a person must see.
    pub alarms: &'a [Raised],
    /// How many of the same this is: more than one only of what was counted only.
    pub times: u64,
}

impl Pair<'_> {
    /// Whether nothing but its class is known.
    pub(crate) fn is_counted_only(&self) -> bool {
        self.stratum.is_empty()
    }

    /// So many of a class, of which nothing else is known; sampled by `at`.
    pub(crate) fn counted_only(class: Class, times: u64, at: Timestamp) -> Self {
        Self {
            id: Uuid::nil(),
            at,
            class,
            stratum: "",
            subject: None,
            control: None,
            candidate: None,
            control_cost_usd: 0.0,
            candidate_cost_usd: None,
            gateway: "",
            alarms: &[],
            times,
        }
    }
}

/// One alarm of one pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// Which.
    pub kind: Alarm,
    /// What a person said of it.
    pub acknowledged: Option<Acknowledged>,
}

/// What a person said of an alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub who: String,
    /// Why it need not hold the route back.
    pub reason: String,
}

impl Evidence {
    /// Opens `evidence.sqlite` in the folder `data`. Candidates that were due before `now` and never ended have failed.
    pub fn open(data: &Path, now: Timestamp) -> Result<Self, ReadError> {
        let path = data.join("evidence.sqlite");
        if !path.exists() {
            return Err(ReadError::Missing(path));
        }
        let connection = sqlite::open_to_read(&path)?;
        match sqlite::version(&connection)? {
            VERSION => {}
            found => return Err(ReadError::Version(found)),
        }
        let mut evidence = Self { connection, samples: data.join("samples"), now, version: 0 };
        evidence.look_again(now)?;
        Ok(evidence)
    }

    /// Takes another view, as of `now`.
    pub fn look_again(&mut self, now: Timestamp) -> Result<(), ReadError> {
        self.look_away()?;
        (self.now, self.version) = (now, self.data_version()?);
        // One snapshot for all that is read: counts of one moment, which add up.
        Ok(self.connection.execute_batch("BEGIN")?)
    }

    /// Lets go of this view. While one is held nothing that was written since can be moved into the file.
    pub fn look_away(&self) -> Result<(), ReadError> {
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("COMMIT")?;
        }
        Ok(())
    }

    /// Whether anybody has written since the last view was taken, which was let go.
    pub fn has_news(&self) -> Result<bool, ReadError> {
        Ok(self.data_version()? != self.version)
    }

    fn data_version(&self) -> Result<i64, ReadError> {
        Ok(self.connection.pragma_query_value(None, "data_version", |row| row.get(0))?)
    }

    /// The epoch that each route took up last, by the route's name.
    pub fn current(&self) -> Result<Vec<Epoch>, ReadError> {
        // SQLite takes the bare columns from the row of the maximum.
        self.epochs(&format!("SELECT {EPOCH}, max(active_at) FROM epoch GROUP BY route ORDER BY route"), [])
    }

    /// The epoch of what is compared on `route` as `plan` has it; of several versions that the answers told of
    /// themselves, the one that was taken up last. What was compared otherwise proves nothing of it, and none of it may
    /// have been yet.
    pub fn epoch_of(&self, route: &str, plan: &Plan) -> Result<Option<Epoch>, ReadError> {
        let mut bases = self.connection.prepare_cached(
            "SELECT id, basis FROM epoch WHERE route = ?1 ORDER BY active_at DESC, number DESC",
        )?;
        let mut rows = bases.query([route])?;
        while let Some(row) = rows.next()? {
            if plan.is_based_on(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?) {
                let sql = format!("SELECT {EPOCH} FROM epoch WHERE id = ?1");
                return Ok(self.epochs(&sql, [row.get::<_, i64>(0)?])?.pop());
            }
        }
        Ok(None)
    }

    /// All epochs of one route, the oldest first.
    pub fn epochs_of(&self, route: &str) -> Result<Vec<Epoch>, ReadError> {
        self.epochs(&format!("SELECT {EPOCH} FROM epoch WHERE route = ?1 ORDER BY number"), [route])
    }

    /// Shows `visit` every sampled request of `epoch` that counts: ended, or announced and never heard of again; in the
    /// order of arrival. Those that were counted only come last, without particulars. Returns how many others of its
    /// comparisons are previews.
    pub fn pairs(&self, epoch: &Epoch, mut visit: impl FnMut(&Pair<'_>) + Send) -> Result<u64, ReadError> {
        let scanned = self.scan(epoch, Uuid::nil(), &mut visit)?;
        let last = scanned.last.unwrap_or(epoch.started_at);
        self.counted_only(epoch)?.iter().for_each(|(class, n)| visit(&Pair::counted_only(*class, *n, last)));
        Ok(scanned.previews)
    }

    /// Of these, shows `visit` those that have a record of their own and come after the comparison `after`.
    pub fn pairs_after(
        &self,
        epoch: &Epoch,
        after: Uuid,
        visit: impl FnMut(&Pair<'_>) + Send,
    ) -> Result<(), ReadError> {
        self.scan(epoch, after, visit).map(drop)
    }

    fn scan(
        &self,
        epoch: &Epoch,
        after: Uuid,
        visit: impl FnMut(&Pair<'_>) + Send,
    ) -> Result<scan::Scanned, ReadError> {
        let alarms = self.alarms(epoch, after)?;
        scan::scan(&self.connection, Ask { epoch, after, now: self.now }, &alarms, visit)
    }

    /// How many sampled requests of `epoch` were counted only, or are since they were erased, by class.
    pub fn counted_only(&self, epoch: &Epoch) -> Result<Vec<(Class, u64)>, ReadError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT class, sum(n) FROM (SELECT class, n FROM unrecorded WHERE epoch = ?1
                   UNION ALL SELECT class, n FROM unrecorded_elsewhere WHERE epoch = ?1
                   UNION ALL SELECT class, n FROM erased WHERE epoch = ?1) GROUP BY class",
        )?;
        let mut rows = statement.query([epoch.key])?;
        let mut counts = Vec::new();
        while let Some(row) = rows.next()? {
            counts.push((word(row, 0)?, natural(row.get(1)?)));
        }
        counts.retain(|(_, n)| *n > 0);
        Ok(counts)
    }

    /// Says what has changed in this view since an earlier one, read up to `before`; and up to where this is read.
    pub fn changes(&self, before: Option<Bookmark>) -> Result<(Changes, Bookmark), ReadError> {
        changes::since(&self.connection, before, self.now)
    }

    /// How many pairs of `epoch` each rule spoke of, by the rule's path.
    pub fn rules(&self, epoch: &Epoch) -> Result<HashMap<String, u64>, ReadError> {
        let mut statement =
            self.connection.prepare_cached("SELECT rule, pairs FROM rule_use WHERE epoch = ?1")?;
        let rows = statement.query_map([epoch.key], |row| Ok((row.get(0)?, natural(row.get(1)?))))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What the candidates of `route` have cost since midnight UTC, in US dollars.
    pub fn spent_today(&self, route: &str) -> Result<f64, ReadError> {
        Ok(sqlite::spent_today(&self.connection, route, self.now)?)
    }

    fn epochs(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<Vec<Epoch>, ReadError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let epochs = statement.query_map(parameters, |row| {
            Ok(Epoch {
                key: row.get("id")?,
                route: row.get("route")?,
                id: row.get("hash")?,
                number: natural(row.get("number")?),
                started_at: time(row.get("started_at")?),
                requests: natural(row.get("requests")?),
            })
        })?;
        Ok(epochs.collect::<Result<_, _>>()?)
    }

    /// What calibration found in `epoch`; `None` while it goes on.
    pub fn states(&self, epoch: &Epoch) -> Result<Option<PathStates>, ReadError> {
        let mut statement = self.connection.prepare_cached("SELECT states FROM epoch WHERE id = ?1")?;
        let states: Option<String> = statement.query_row([epoch.key], |row| row.get(0))?;
        states.map(states_of).transpose()
    }

    /// What was learned last of the noise of `route`'s control, in whatever epoch.
    pub fn last_states(&self, route: &str) -> Result<Option<PathStates>, ReadError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT states FROM epoch WHERE route = ?1 AND states IS NOT NULL
             ORDER BY active_at DESC, number DESC LIMIT 1",
        )?;
        let states: Option<String> = statement.query_row([route], |row| row.get(0)).optional()?;
        states.map(states_of).transpose()
    }

    /// What differs in `epoch` from the one that was current before it, whichever was first: keys of the basis, as `rules`.
    pub fn changed(&self, epoch: &Epoch) -> Result<Vec<String>, ReadError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT now.basis, before.basis FROM epoch AS now
             JOIN epoch AS before
               ON before.route = now.route AND (before.active_at, before.number) < (now.active_at, now.number)
             WHERE now.id = ?1 ORDER BY before.active_at DESC, before.number DESC LIMIT 1",
        )?;
        let mut rows = statement.query([epoch.key])?;
        let Some(row) = rows.next()? else { return Ok(Vec::new()) };
        let parse = |json: &str| serde_json::from_str(json).map_err(|_| ReadError::Word(json.to_owned()));
        let now: HashMap<String, serde_json::Value> = parse(&row.get::<_, String>(0)?)?;
        let before: HashMap<String, serde_json::Value> = parse(&row.get::<_, String>(1)?)?;
        let keys: HashSet<&String> = before.keys().chain(now.keys()).collect();
        let mut changed: Vec<String> =
            keys.into_iter().filter(|key| before.get(*key) != now.get(*key)).cloned().collect();
        changed.sort();
        Ok(changed)
    }

    fn alarms(&self, epoch: &Epoch, after: Uuid) -> Result<HashMap<Uuid, Vec<Raised>>, ReadError> {
        let mut statement = self.connection.prepare_cached(ALARMS)?;
        let mut rows = statement.query(params![epoch.key, after.as_bytes()])?;
        let mut alarms: HashMap<Uuid, Vec<Raised>> = HashMap::new();
        while let Some(row) = rows.next()? {
            alarms.entry(Uuid::from_bytes(row.get(0)?)).or_default().push(raised(row, 1)?);
        }
        Ok(alarms)
    }
}

fn states_of(json: String) -> Result<PathStates, ReadError> {
    serde_json::from_str(&json).map_err(|_| ReadError::Word(json))
}

/// An alarm's kind and what was said of it, from column `first` on.
fn raised(row: &Row<'_>, first: usize) -> Result<Raised, ReadError> {
    let at: Option<i64> = row.get(first + 1)?;
    let acknowledged = match at {
        Some(at) => {
            Some(Acknowledged { at: time(at), who: row.get(first + 2)?, reason: row.get(first + 3)? })
        }
        None => None,
    };
    Ok(Raised { kind: word(row, first)?, acknowledged })
}

/// A whole row of a difference, its comparison first.
fn difference(row: &Row<'_>) -> Result<Difference, ReadError> {
    Ok(Difference {
        path: row.get(1)?,
        kind: word(row, 2)?,
        control: row.get(3)?,
        candidate: row.get(4)?,
        severity: word(row, 5)?,
        rule: row.get(6)?,
    })
}

pub(super) fn word<W: Word>(row: &Row<'_>, column: usize) -> Result<W, ReadError> {
    let text = row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?;
    W::from_word(text).ok_or_else(|| ReadError::Word(text.to_owned()))
}

pub(super) fn time(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
}

pub(super) fn micros(micros: i64) -> Duration {
    Duration::from_micros(natural(micros))
}
