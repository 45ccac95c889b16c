//! What a report reads, from any process, while the gateway writes.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};
use thiserror::Error;
use uuid::Uuid;

use super::sqlite::{self, VERSION, natural};
use crate::parallel_run::{
    calibration::PathStates,
    comparison::{Alarm, Class, DifferenceKind, Severity, words::Word},
    sample::Pseudonym,
};

/// Examples shown of one difference.
const EXAMPLES: i64 = 3;

/// Comparisons that count at time `?2`: ended, or announced and never heard of again.
const COUNTED: &str = "epoch = ?1 AND (due IS NULL OR due < ?2)";

/// The evidence cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// There is none.
    #[error("no evidence at {0}")]
    Missing(PathBuf),
    /// SQLite said no.
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

/// All that is known of an epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    /// Sampled requests by what came of them, those included that were counted only.
    pub classes: HashMap<Class, u64>,
    /// Every trial, in order. Those that were counted only stand at the end, without particulars.
    pub trials: Vec<Trial>,
    /// Differences by path, kind and severity, the commonest first.
    pub differences: Vec<DifferenceGroup>,
    /// What a person must see, in order.
    pub alarms: Vec<AlarmRaised>,
    /// Which processes wrote it.
    pub gateways: Vec<String>,
    /// US dollars that the control and the candidate have cost.
    pub cost_usd: [f64; 2],
}

/// One trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// When it was sampled.
    pub at: Timestamp,
    /// What came of it: a match, expected, a mismatch, or a failed candidate.
    pub class: Class,
    /// Whose request it was; `None` is the shared anonymous subject.
    pub subject: Option<Pseudonym>,
    /// Size, n and model.
    pub stratum: Arc<str>,
    /// How long the control took.
    pub control: Option<Duration>,
    /// How long the candidate took, where it answered.
    pub candidate: Option<Duration>,
}

impl Trial {
    /// Whether it counts against the candidate.
    pub fn is_failure(&self) -> bool {
        matches!(self.class, Class::Mismatch | Class::CandidateFailed)
    }
}

/// One kind of disagreement at one path.
#[derive(Clone, Debug, PartialEq)]
pub struct DifferenceGroup {
    /// `status`, `header:content-type`, `/data/*/url`.
    pub path: String,
    /// What kind.
    pub kind: DifferenceKind,
    /// Whether it fails a trial.
    pub severity: Severity,
    /// The rule that applied.
    pub rule: Option<String>,
    /// In how many pairs.
    pub pairs: u64,
    /// Some of them, the latest first.
    pub examples: Vec<Example>,
}

/// Both sides of one difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The pair.
    pub comparison: Uuid,
    /// The control's side.
    pub control: Option<String>,
    /// The candidate's side.
    pub candidate: Option<String>,
}

/// One alarm of one pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmRaised {
    /// The pair.
    pub comparison: Uuid,
    /// When it was sampled.
    pub at: Timestamp,
    /// What was seen.
    pub kind: Alarm,
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
        Ok(Self { connection, now })
    }

    /// The current epoch of each route, by the route's name.
    pub fn current(&self) -> Result<Vec<Epoch>, ReadError> {
        // SQLite takes the bare columns from the row of the maximum.
        self.epochs("SELECT *, max(active_at) FROM epoch GROUP BY route ORDER BY route", [])
    }

    /// All epochs of one route, the oldest first.
    pub fn epochs_of(&self, route: &str) -> Result<Vec<Epoch>, ReadError> {
        self.epochs("SELECT * FROM epoch WHERE route = ?1 ORDER BY number", [route])
    }

    /// All that is known of `epoch`.
    pub fn body(&self, epoch: &Epoch) -> Result<Body, ReadError> {
        let unrecorded = self.unrecorded(epoch)?;
        let mut trials = self.trials(epoch)?;
        let mut classes = self.classes(epoch)?;
        let last = trials.last().map_or(epoch.started_at, |trial| trial.at);
        for (class, n) in unrecorded {
            *classes.entry(class).or_default() += n;
            if is_trial(class) {
                let (stratum, subject) = (Arc::from("-"), None);
                let trial = Trial { at: last, class, subject, stratum, control: None, candidate: None };
                trials.extend(std::iter::repeat_n(trial, usize::try_from(n).unwrap_or(usize::MAX)));
            }
        }
        let (differences, alarms) = (self.differences(epoch)?, self.alarms(epoch)?);
        let (gateways, cost_usd) = (self.gateways(epoch)?, self.cost_usd(epoch)?);
        Ok(Body { classes, trials, differences, alarms, gateways, cost_usd })
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
        let states = states.map(|json| serde_json::from_str(&json).map_err(|_| ReadError::Word(json))).transpose()?;
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

    fn classes(&self, epoch: &Epoch) -> Result<HashMap<Class, u64>, ReadError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT class, count(*) FROM comparison WHERE epoch = ?1 GROUP BY class
             UNION ALL
             SELECT class, -count(*) FROM comparison WHERE epoch = ?1 AND due >= ?2 GROUP BY class",
        )?;
        let mut rows = statement.query(params![epoch.key, self.now.as_millisecond()])?;
        let mut sums: HashMap<Class, i64> = HashMap::new();
        while let Some(row) = rows.next()? {
            *sums.entry(word(row, 0)?).or_default() += row.get::<_, i64>(1)?;
        }
        Ok(sums.into_iter().filter(|(_, n)| *n > 0).map(|(class, n)| (class, natural(n))).collect())
    }

    fn unrecorded(&self, epoch: &Epoch) -> Result<Vec<(Class, u64)>, ReadError> {
        let mut statement = self.connection.prepare_cached("SELECT class, n FROM unrecorded WHERE epoch = ?1")?;
        let mut rows = statement.query([epoch.key])?;
        let mut counts = Vec::new();
        while let Some(row) = rows.next()? {
            counts.push((word(row, 0)?, natural(row.get(1)?)));
        }
        Ok(counts)
    }

    fn trials(&self, epoch: &Epoch) -> Result<Vec<Trial>, ReadError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT at, class, subject, stratum, control_total, candidate_total, candidate_outcome FROM comparison
             WHERE {COUNTED} AND class IN ('match', 'expected', 'mismatch', 'candidate-failed') ORDER BY id"
        ))?;
        let mut rows = statement.query(params![epoch.key, self.now.as_millisecond()])?;
        let (mut trials, mut strata) = (Vec::new(), HashSet::<Arc<str>>::new());
        while let Some(row) = rows.next()? {
            let stratum = row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?;
            let stratum = strata.get(stratum).cloned().unwrap_or_else(|| {
                let stratum = Arc::<str>::from(stratum);
                strata.insert(Arc::clone(&stratum));
                stratum
            });
            let subject = row.get_ref(2)?.as_str_or_null().map_err(rusqlite::Error::from)?;
            let answered = matches!(row.get_ref(6)?.as_str_or_null(), Ok(Some("ok" | "refused")));
            trials.push(Trial {
                at: time(row.get(0)?),
                class: word(row, 1)?,
                subject: subject.and_then(|text| text.parse().ok()),
                stratum,
                control: row.get::<_, Option<i64>>(4)?.map(micros),
                candidate: row.get::<_, Option<i64>>(5)?.filter(|_| answered).map(micros),
            });
        }
        Ok(trials)
    }

    fn differences(&self, epoch: &Epoch) -> Result<Vec<DifferenceGroup>, ReadError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT path, kind, severity, rule, count(DISTINCT comparison) AS pairs
             FROM difference JOIN comparison ON id = comparison WHERE {COUNTED}
             GROUP BY path, kind, severity, rule ORDER BY pairs DESC, path, kind"
        ))?;
        let mut rows = statement.query(params![epoch.key, self.now.as_millisecond()])?;
        let mut groups = Vec::new();
        while let Some(row) = rows.next()? {
            let mut group = DifferenceGroup {
                path: row.get(0)?,
                kind: word(row, 1)?,
                severity: word(row, 2)?,
                rule: row.get(3)?,
                pairs: natural(row.get(4)?),
                examples: Vec::new(),
            };
            group.examples = self.examples(epoch, &group)?;
            groups.push(group);
        }
        Ok(groups)
    }

    fn examples(&self, epoch: &Epoch, group: &DifferenceGroup) -> Result<Vec<Example>, ReadError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT id, d.control, d.candidate FROM difference AS d JOIN comparison ON id = d.comparison
             WHERE {COUNTED} AND path = ?3 AND kind = ?4 AND severity = ?5 AND rule IS ?6
             ORDER BY id DESC LIMIT ?7"
        ))?;
        let (kind, severity) = (group.kind.word(), group.severity.word());
        let now = self.now.as_millisecond();
        let found = statement
            .query_map(params![epoch.key, now, group.path, kind, severity, group.rule, EXAMPLES], |row| {
                let comparison = Uuid::from_bytes(row.get(0)?);
                Ok(Example { comparison, control: row.get(1)?, candidate: row.get(2)? })
            })?
            .collect::<Result<_, _>>()?;
        Ok(found)
    }

    fn alarms(&self, epoch: &Epoch) -> Result<Vec<AlarmRaised>, ReadError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT id, at, kind FROM alarm JOIN comparison ON id = comparison WHERE {COUNTED} ORDER BY id, kind"
        ))?;
        let mut rows = statement.query(params![epoch.key, self.now.as_millisecond()])?;
        let mut alarms = Vec::new();
        while let Some(row) = rows.next()? {
            let comparison = Uuid::from_bytes(row.get(0)?);
            alarms.push(AlarmRaised { comparison, at: time(row.get(1)?), kind: word(row, 2)? });
        }
        Ok(alarms)
    }

    fn gateways(&self, epoch: &Epoch) -> Result<Vec<String>, ReadError> {
        let mut statement =
            self.connection.prepare_cached("SELECT DISTINCT gateway FROM comparison WHERE epoch = ?1 ORDER BY gateway")?;
        let gateways = statement.query_map([epoch.key], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(gateways)
    }

    fn cost_usd(&self, epoch: &Epoch) -> Result<[f64; 2], ReadError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT total(control_cost_usd), total(candidate_cost_usd) FROM comparison WHERE epoch = ?1",
        )?;
        Ok(statement.query_row([epoch.key], |row| Ok([row.get(0)?, row.get(1)?]))?)
    }
}

fn is_trial(class: Class) -> bool {
    matches!(class, Class::Match | Class::Expected | Class::Mismatch | Class::CandidateFailed)
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
