//! What is left of an epoch's pairs that are kept no longer, and what was proved while they were.

use std::{collections::HashSet, path::Path};

use rusqlite::{OptionalExtension, Row, params};

use super::{
    read::{Epoch, Evidence, ReadError, micros, time, word},
    sqlite::{self, natural},
};
use crate::parallel_run::verdict::{
    Past, Proof, Proved,
    past::{Sum, Times},
};

impl Evidence {
    /// Tells of which epochs anything is left.
    pub fn with_a_past(&self) -> Result<impl Fn(&Epoch) -> bool + use<>, ReadError> {
        let mut statement =
            self.connection.prepare_cached("SELECT epoch FROM gone UNION SELECT epoch FROM proof")?;
        let epochs = statement.query_map([], |row| row.get(0))?.collect::<Result<HashSet<i64>, _>>()?;
        Ok(move |epoch: &Epoch| epochs.contains(&epoch.key))
    }

    /// What is left of the pairs of `epoch` that are kept no longer.
    pub fn past(&self, epoch: &Epoch) -> Result<Past, ReadError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT class, stratum, n, first_at, last_at, control_cost_usd, candidate_cost_usd, unpriced
             FROM gone WHERE epoch = ?1 ORDER BY class, stratum",
        )?;
        let mut rows = statement.query([epoch.key])?;
        let mut sums = Vec::new();
        while let Some(row) = rows.next()? {
            sums.push(Sum {
                class: word(row, 0)?,
                stratum: row.get(1)?,
                times: natural(row.get(2)?),
                first: time(row.get(3)?),
                last: time(row.get(4)?),
                control_cost: row.get(5)?,
                candidate_cost: row.get(6)?,
                unpriced: natural(row.get(7)?),
            });
        }
        let mut statement = self
            .connection
            .prepare_cached("SELECT micros FROM gone_control WHERE epoch = ?1 ORDER BY place")?;
        let control = statement.query_map([epoch.key], |row| Ok(micros(row.get(0)?)))?;
        let control = control.collect::<Result<_, _>>()?;
        let mut statement =
            self.connection.prepare_cached("SELECT bucket, n FROM gone_candidate WHERE epoch = ?1")?;
        let mut rows = statement.query([epoch.key])?;
        let mut candidate = Times::default();
        while let Some(row) = rows.next()? {
            candidate.put(u16::try_from(row.get::<_, i64>(0)?).ok(), natural(row.get(1)?));
        }
        Ok(Past { sums, control, candidate, proved: self.proved(epoch)? })
    }

    fn proved(&self, epoch: &Epoch) -> Result<Option<Proved>, ReadError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT at, limits, trials, failures, reasons FROM proof WHERE epoch = ?1")?;
        let proved = |row: &Row<'_>| {
            let counts: (Option<i64>, Option<i64>) = (row.get(2)?, row.get(3)?);
            let failures = match counts {
                (Some(trials), Some(failures)) => {
                    Some(Proof { trials: natural(trials), failures: natural(failures) })
                }
                _ => None,
            };
            let proved = Proved { at: time(row.get(0)?), limits: row.get(1)?, failures, reasons: Vec::new() };
            Ok((proved, row.get::<_, String>(4)?))
        };
        let Some((proved, json)) = statement.query_row([epoch.key], proved).optional()? else {
            return Ok(None);
        };
        let reasons = serde_json::from_str(&json).map_err(|_| ReadError::Word(json))?;
        Ok(Some(Proved { reasons, ..proved }))
    }
}

/// Keeps what proves `epoch` UNSAFE in the folder `data`, beside a gateway that writes there too.
pub fn keep(data: &Path, epoch: &Epoch, proved: &Proved) -> rusqlite::Result<()> {
    let Proved { at, limits, failures, reasons } = proved;
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let connection = sqlite::open(&data.join("evidence.sqlite"))?;
    connection.execute(
        "INSERT OR REPLACE INTO proof VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            epoch.key,
            at.as_millisecond(),
            limits,
            failures.map(|proof| count(proof.trials)),
            failures.map(|proof| count(proof.failures)),
            serde_json::json!(reasons).to_string(),
        ],
    )?;
    Ok(())
}
