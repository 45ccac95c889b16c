//! What a report reads, from any process, while the gateway writes.

pub mod pairs;
mod scan;

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};
use thiserror::Error;
use uuid::Uuid;

use self::scan::Chunk;
use super::sqlite::{self, VERSION, natural};
use crate::parallel_run::{
    calibration::PathStates,
    comparison::{Alarm, Class, Difference, DifferenceKind, Severity, words::Word},
};

/// An epoch, with the requests that the whole fleet has seen of it.
const EPOCH: &str = "id, route, name, hash, number, basis, states, started_at, requests
  + (SELECT coalesce(sum(n), 0) FROM requests_elsewhere WHERE epoch = epoch.id) AS requests";

/// The alarms of an epoch. In this order: there are fewer alarms than comparisons.
pub(super) const ALARMS: &str = "SELECT alarm.comparison, alarm.kind, acknowledgement.at, who, reason
  FROM alarm CROSS JOIN comparison ON id = alarm.comparison LEFT JOIN acknowledgement USING (comparison, kind)
  WHERE epoch = ?1 ORDER BY id, alarm.kind";

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

/// The evidence, open for reading. One consistent view for as long as it lives.
#[derive(Debug)]
pub struct Evidence {
    connection: Connection,
    samples: PathBuf,
    now: Timestamp,
}

/// One epoch of a route.
#[derive(Clone, Debug, PartialEq)]
pub struct Epoch {
    key: i64,
    /// The route's name.
    pub route: String,
    /// Hash of all that its answers depend on.
    pub id: String,
    /// 1, 2, .. within the route.
    pub number: u64,
    /// When it was begun.
    pub started_at: Timestamp,
    /// What differs from the epoch before it: keys of the basis, as `rules`.
    pub changed: Vec<String>,
    /// What calibration found; `None` while it goes on.
    pub states: Option<PathStates>,
    /// Requests that the route's shadow has seen.
    pub requests: u64,
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
    /// What the candidate cost, in US dollars.
    pub candidate_cost_usd: f64,
    /// Which process wrote it.
    pub gateway: &'a str,
    /// What a person must see.
    pub alarms: &'a [Raised],
    /// How many of the same this is: more than one only of what was skipped and counted only.
    pub times: u64,
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

/// One path and kind of difference over all pairs of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// `status`, `header:content-type`, `/data/*/url`, `image:0`.
    pub path: String,
    /// What kind of disagreement.
    pub kind: DifferenceKind,
    /// How many pairs show it.
    pub pairs: u64,
    /// The worst that it was.
    pub severity: Severity,
    /// The first and the last that are kept here; none of what only others have seen.
    pub examples: Vec<(Uuid, Difference)>,
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
        // One snapshot for all that is read: counts of one moment, which add up.
        connection.execute_batch("BEGIN")?;
        Ok(Self { connection, samples: data.join("samples"), now })
    }

    /// The current epoch of each route, by the route's name.
    pub fn current(&self) -> Result<Vec<Epoch>, ReadError> {
        // SQLite takes the bare columns from the row of the maximum.
        self.epochs(&format!("SELECT {EPOCH}, max(active_at) FROM epoch GROUP BY route ORDER BY route"), [])
    }

    /// All epochs of one route, the oldest first.
    pub fn epochs_of(&self, route: &str) -> Result<Vec<Epoch>, ReadError> {
        self.epochs(&format!("SELECT {EPOCH} FROM epoch WHERE route = ?1 ORDER BY number"), [route])
    }

    /// Shows `visit` every sampled request of `epoch` that counts: ended, or announced and never heard of again; in the
    /// order of arrival. Those that were counted only come last, without particulars. Returns how many others of its
    /// comparisons are previews: a million are read once, on one processor, and counted on another.
    pub fn pairs(&self, epoch: &Epoch, mut visit: impl FnMut(&Pair<'_>) + Send) -> Result<u64, ReadError> {
        let alarms = self.alarms(epoch)?;
        let scanned = thread::scope(|scope| {
            let (read, chunks) = mpsc::sync_channel(scan::AHEAD);
            scope.spawn(|| chunks.into_iter().for_each(|chunk: Chunk| chunk.show(&alarms, &mut visit)));
            scan::scan(&self.connection, epoch, self.now, &read)
        })?;
        let last = scanned.last.unwrap_or(epoch.started_at);
        for (class, n) in self.unrecorded(epoch)? {
            let (id, stratum, gateway, alarms) = (Uuid::nil(), "", "", [].as_slice());
            let (subject, control, candidate) = (None, None, None);
            let (control_cost_usd, candidate_cost_usd) = (0.0, 0.0);
            let pair = Pair {
                id,
                at: last,
                class,
                stratum,
                subject,
                control,
                candidate,
                control_cost_usd,
                candidate_cost_usd,
                gateway,
                alarms,
                times: 1,
            };
            // So many may have been skipped that nobody could look at each.
            match class {
                Class::Skipped(_) if n > 0 => visit(&Pair { times: n, ..pair }),
                _ => (0..n).for_each(|_| visit(&pair)),
            }
        }
        Ok(scanned.previews)
    }

    /// What the pairs of `epoch` differ in, in the whole fleet, what fails most of them first, at most `most` of it.
    pub fn findings(&self, epoch: &Epoch, most: usize) -> Result<Vec<Finding>, ReadError> {
        let mut statement = self.connection.prepare_cached(
            // Examples lie where they were seen.
            "SELECT path, kind, max(severity) AS severity, sum(pairs) AS pairs, max(first), max(last)
             FROM (SELECT path, kind, severity, pairs, first, last FROM finding WHERE epoch = ?1
                   UNION ALL
                   SELECT path, kind, severity, pairs, NULL, NULL FROM finding_elsewhere WHERE epoch = ?1)
             GROUP BY path, kind ORDER BY severity DESC, pairs DESC, path, kind LIMIT ?2",
        )?;
        let mut rows = statement.query(params![epoch.key, i64::try_from(most).unwrap_or(i64::MAX)])?;
        let mut findings = Vec::new();
        while let Some(row) = rows.next()? {
            let (path, kind): (String, DifferenceKind) = (row.get(0)?, word(row, 1)?);
            let severity = match row.get::<_, i64>(2)? {
                0 => Severity::Info,
                1 => Severity::Expected,
                _ => Severity::Failure,
            };
            let pairs = natural(row.get(3)?);
            let examples = self.examples(&path, kind, [row.get(4)?, row.get(5)?])?;
            findings.push(Finding { path, kind, pairs, severity, examples });
        }
        Ok(findings)
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

    fn examples(
        &self,
        path: &str,
        kind: DifferenceKind,
        [first, last]: [Option<[u8; 16]>; 2],
    ) -> Result<Vec<(Uuid, Difference)>, ReadError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT comparison, path, kind, control, candidate, severity, rule FROM difference
             WHERE comparison IN (?1, ?2) AND path = ?3 AND kind = ?4 ORDER BY comparison, place",
        )?;
        let mut rows = statement.query(params![first, last, path, kind.word()])?;
        let mut examples: Vec<(Uuid, Difference)> = Vec::new();
        while let Some(row) = rows.next()? {
            let id = Uuid::from_bytes(row.get(0)?);
            if examples.iter().all(|(shown, _)| *shown != id) {
                examples.push((id, difference(row)?));
            }
        }
        Ok(examples)
    }

    fn epochs(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<Vec<Epoch>, ReadError> {
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query(parameters)?;
        let mut epochs = Vec::new();
        while let Some(row) = rows.next()? {
            epochs.push(self.epoch(row)?);
        }
        Ok(epochs)
    }

    fn epoch(&self, row: &Row<'_>) -> Result<Epoch, ReadError> {
        let (route, name): (String, String) = (row.get("route")?, row.get("name")?);
        let number: i64 = row.get("number")?;
        let states: Option<String> = row.get("states")?;
        let states =
            states.map(|json| serde_json::from_str(&json).map_err(|_| ReadError::Word(json))).transpose()?;
        Ok(Epoch {
            key: row.get("id")?,
            id: row.get::<_, Option<String>>("hash")?.unwrap_or(name),
            number: natural(number),
            started_at: time(row.get("started_at")?),
            changed: self.changed(&route, number, &row.get::<_, String>("basis")?)?,
            states,
            requests: natural(row.get("requests")?),
            route,
        })
    }

    fn changed(&self, route: &str, number: i64, basis: &str) -> Result<Vec<String>, ReadError> {
        let mut statement =
            self.connection.prepare_cached("SELECT basis FROM epoch WHERE route = ?1 AND number = ?2 - 1")?;
        let mut rows = statement.query(params![route, number])?;
        let Some(row) = rows.next()? else { return Ok(Vec::new()) };
        let parse = |json: &str| serde_json::from_str(json).map_err(|_| ReadError::Word(json.to_owned()));
        let before: HashMap<String, serde_json::Value> = parse(&row.get::<_, String>(0)?)?;
        let now: HashMap<String, serde_json::Value> = parse(basis)?;
        let keys: HashSet<&String> = before.keys().chain(now.keys()).collect();
        let mut changed: Vec<String> =
            keys.into_iter().filter(|key| before.get(*key) != now.get(*key)).cloned().collect();
        changed.sort();
        Ok(changed)
    }

    fn unrecorded(&self, epoch: &Epoch) -> Result<Vec<(Class, u64)>, ReadError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT class, sum(n) FROM (SELECT class, n FROM unrecorded WHERE epoch = ?1
                   UNION ALL SELECT class, n FROM unrecorded_elsewhere WHERE epoch = ?1) GROUP BY class",
        )?;
        let mut rows = statement.query([epoch.key])?;
        let mut counts = Vec::new();
        while let Some(row) = rows.next()? {
            counts.push((word(row, 0)?, natural(row.get(1)?)));
        }
        Ok(counts)
    }

    fn alarms(&self, epoch: &Epoch) -> Result<HashMap<Uuid, Vec<Raised>>, ReadError> {
        let mut statement = self.connection.prepare_cached(ALARMS)?;
        let mut rows = statement.query([epoch.key])?;
        let mut alarms: HashMap<Uuid, Vec<Raised>> = HashMap::new();
        while let Some(row) = rows.next()? {
            alarms.entry(Uuid::from_bytes(row.get(0)?)).or_default().push(raised(row, 1)?);
        }
        Ok(alarms)
    }
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

fn word<W: Word>(row: &Row<'_>, column: usize) -> Result<W, ReadError> {
    let text = row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?;
    W::from_word(text).ok_or_else(|| ReadError::Word(text.to_owned()))
}

fn time(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn micros(micros: i64) -> Duration {
    Duration::from_micros(natural(micros))
}
