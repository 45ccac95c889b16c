//! What has had its time goes, and leaves what a verdict needs of it.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params};

use super::{first_id, natural, position};
use crate::parallel_run::{
    comparison::{Class, Direction, words::Word},
    verdict::{latency::FROZEN_AFTER, past::Times},
};

/// Which comparisons have had their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Old {
    /// All of them.
    All,
    /// Those that are in the lake.
    Exported,
}

/// Of comparisons that go: none whose alarm nobody has acknowledged, which holds its route back until somebody does.
const OLD: &str =
    "SELECT id, epoch, at, direction, class, stratum, control_total, candidate_total, control_cost_usd,
    candidate_cost_usd
  FROM comparison WHERE id < ?1 AND NOT EXISTS (
    SELECT 1 FROM alarm LEFT JOIN acknowledgement USING (comparison, kind)
    WHERE alarm.comparison = comparison.id AND acknowledgement.at IS NULL)";

/// Deletes the oldest comparisons from before `time`, at most `most`, with all that hangs on them; how many there were.
/// What they add to a verdict is counted in the same moment.
pub(crate) fn prune(
    connection: &mut Connection,
    time: Timestamp,
    old: Old,
    most: usize,
) -> rusqlite::Result<usize> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let which = match old {
        Old::All => "",
        Old::Exported => "AND NOT EXISTS (SELECT 1 FROM outbound WHERE comparison = id)",
    };
    let mut going = Vec::new();
    let mut left: BTreeMap<i64, Left> = BTreeMap::new();
    {
        let mut statement = transaction.prepare_cached(&format!("{OLD} {which} ORDER BY id LIMIT ?2"))?;
        let mut rows = statement.query(params![first_id(time).as_bytes(), position(most)])?;
        while let Some(row) = rows.next()? {
            going.push(row.get::<_, [u8; 16]>(0)?);
            // What another version has written counts for nothing here.
            let direction = Direction::from_word(row.get_ref(3)?.as_str()?);
            let class = Class::from_word(row.get_ref(4)?.as_str()?);
            if let (true, Some(class)) = (direction.is_some_and(Direction::counts), class) {
                left.entry(row.get(1)?).or_default().add(class, row)?;
            }
        }
        for (epoch, left) in &left {
            left.write(&transaction, *epoch)?;
        }
        let mut remember = transaction.prepare_cached(
            "INSERT OR REPLACE INTO acknowledgement_gone
             SELECT comparison, kind, at, who, reason FROM acknowledgement WHERE comparison = ?1",
        )?;
        let mut delete = transaction.prepare_cached("DELETE FROM comparison WHERE id = ?1")?;
        for id in &going {
            remember.execute([id])?;
            delete.execute([id])?;
        }
    }
    transaction.commit()?;
    Ok(going.len())
}

/// What is left of some comparisons of one epoch.
#[derive(Default)]
struct Left {
    sums: BTreeMap<(&'static str, String), Sum>,
    /// The first times of the control, in microseconds.
    control: Vec<i64>,
    candidate: Times,
}

struct Sum {
    times: i64,
    first: i64,
    last: i64,
    control_cost: f64,
    candidate_cost: f64,
    unpriced: i64,
}

impl Left {
    fn add(&mut self, class: Class, row: &Row<'_>) -> rusqlite::Result<()> {
        let (at, candidate_cost): (i64, Option<f64>) = (row.get(2)?, row.get(9)?);
        let sum = self.sums.entry((class.word(), row.get(5)?)).or_insert(Sum {
            times: 0,
            first: at,
            last: at,
            control_cost: 0.0,
            candidate_cost: 0.0,
            unpriced: 0,
        });
        sum.times += 1;
        (sum.first, sum.last) = (sum.first.min(at), sum.last.max(at));
        sum.control_cost += row.get::<_, f64>(8)?;
        sum.candidate_cost += candidate_cost.unwrap_or_default();
        sum.unpriced += i64::from(candidate_cost.is_none());
        let is_trial =
            matches!(class, Class::Match | Class::Expected | Class::Mismatch | Class::CandidateFailed);
        if is_trial {
            let took: Option<i64> = row.get(7)?;
            self.candidate.add(took.map(|micros| Duration::from_micros(natural(micros))));
        }
        if (is_trial || class == Class::Calibration) && self.control.len() < FROZEN_AFTER {
            self.control.extend(row.get::<_, Option<i64>>(6)?);
        }
        Ok(())
    }

    fn write(&self, transaction: &Transaction<'_>, epoch: i64) -> rusqlite::Result<()> {
        let mut add = transaction.prepare_cached(
            "INSERT INTO gone VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (epoch, class, stratum) DO UPDATE SET n = n + excluded.n,
               first_at = min(first_at, excluded.first_at), last_at = max(last_at, excluded.last_at),
               control_cost_usd = control_cost_usd + excluded.control_cost_usd,
               candidate_cost_usd = candidate_cost_usd + excluded.candidate_cost_usd,
               unpriced = unpriced + excluded.unpriced",
        )?;
        for ((class, stratum), sum) in &self.sums {
            let Sum { times, first, last, control_cost, candidate_cost, unpriced } = sum;
            add.execute(params![
                epoch,
                class,
                stratum,
                times,
                first,
                last,
                control_cost,
                candidate_cost,
                unpriced
            ])?;
        }
        let mut count = transaction.prepare_cached(
            "INSERT INTO gone_candidate VALUES (?1, ?2, ?3)
             ON CONFLICT (epoch, bucket) DO UPDATE SET n = n + excluded.n",
        )?;
        for (bucket, times) in self.candidate.buckets() {
            let times = i64::try_from(times).unwrap_or(i64::MAX);
            count.execute(params![epoch, bucket.map_or(-1, i64::from), times])?;
        }
        let mut first = transaction.prepare_cached(
            "INSERT INTO gone_control SELECT ?1, count(*), ?2 FROM gone_control WHERE epoch = ?1
             HAVING count(*) < ?3",
        )?;
        for micros in &self.control {
            first.execute(params![epoch, micros, position(FROZEN_AFTER)])?;
        }
        Ok(())
    }
}
