//! Everything that is written at once: records with all that hangs on them, and what is counted beside them.

use std::collections::HashMap;

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, named_params, params};
use uuid::Uuid;

use super::position;
use crate::parallel_run::{
    archive::{EpochName, Progress},
    comparison::{Class, Comparison, Severity, words::Word},
    sample::sha256_hex,
};

/// One transaction's worth of writing.
pub(crate) struct Batch<'c> {
    transaction: Transaction<'c>,
    epochs: HashMap<EpochName, i64>,
}

impl<'c> Batch<'c> {
    pub(crate) fn begin(connection: &'c mut Connection) -> rusqlite::Result<Self> {
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        Ok(Self { transaction, epochs: HashMap::new() })
    }

    pub(crate) fn commit(self) -> rusqlite::Result<()> {
        self.transaction.commit()
    }

    fn epoch(&mut self, name: &EpochName) -> rusqlite::Result<i64> {
        if let Some(id) = self.epochs.get(name) {
            return Ok(*id);
        }
        let id = self
            .transaction
            .prepare_cached("SELECT id FROM epoch WHERE route = ?1 AND name = ?2")?
            .query_row(params![&*name.route, &*name.id], |row| row.get(0))?;
        self.epochs.insert(name.clone(), id);
        Ok(id)
    }

    /// Writes a comparison over an earlier one of its id. With `due`, it counts only once that time has passed.
    pub(crate) fn comparison(
        &mut self,
        comparison: &Comparison,
        due: Option<Timestamp>,
    ) -> rusqlite::Result<()> {
        let name = EpochName { route: comparison.route.clone(), id: comparison.epoch.clone() };
        let epoch = self.epoch(&name)?;
        let control = &comparison.control;
        let candidate = comparison.candidate.as_ref();
        self.transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO comparison VALUES (
                   :id, :epoch, :at, :due, :gateway, :direction, :stratum, :sample_rate, :subject, :request, :class,
                   :a_outcome, :a_status, :a_first_byte, :a_total, :a_bytes, :a_media_type, :a_body_hash, :a_cost_usd,
                   :b_outcome, :b_status, :b_first_byte, :b_total, :b_bytes, :b_media_type, :b_body_hash, :b_cost_usd)",
            )?
            .execute(named_params! {
                ":id": comparison.id.as_bytes(),
                ":epoch": epoch,
                ":at": comparison.at.as_millisecond(),
                ":due": due.map(Timestamp::as_millisecond),
                ":gateway": &*comparison.gateway,
                ":direction": comparison.direction.word(),
                ":stratum": comparison.stratum,
                ":sample_rate": comparison.sample_rate,
                ":subject": comparison.subject,
                ":request": comparison.request,
                ":class": comparison.class.word(),
                ":a_outcome": control.outcome.word(),
                ":a_status": control.status,
                ":a_first_byte": control.first_byte.map(micros),
                ":a_total": control.total.map(micros),
                ":a_bytes": integer(control.bytes),
                ":a_media_type": control.media_type,
                ":a_body_hash": control.body_hash,
                ":a_cost_usd": control.cost_usd.unwrap_or_default(),
                ":b_outcome": candidate.map(|arm| arm.outcome.word()),
                ":b_status": candidate.and_then(|arm| arm.status),
                ":b_first_byte": candidate.and_then(|arm| arm.first_byte).map(micros),
                ":b_total": candidate.and_then(|arm| arm.total).map(micros),
                ":b_bytes": candidate.map(|arm| integer(arm.bytes)),
                ":b_media_type": candidate.and_then(|arm| arm.media_type.as_deref()),
                ":b_body_hash": candidate.and_then(|arm| arm.body_hash.as_deref()),
                ":b_cost_usd": candidate.and_then(|arm| arm.cost_usd),
            })?;
        self.particulars(comparison)?;
        if !comparison.direction.counts() {
            return Ok(());
        }
        self.rules(epoch, comparison)?;
        self.findings(epoch, comparison)
    }

    /// Counts the pairs of which each rule spoke.
    fn rules(&self, epoch: i64, comparison: &Comparison) -> rusqlite::Result<()> {
        let mut count = self.transaction.prepare_cached(
            "INSERT INTO rule_use VALUES (?1, ?2, 1) ON CONFLICT (epoch, rule) DO UPDATE SET pairs = pairs + 1",
        )?;
        comparison.rules.iter().try_for_each(|rule| count.execute(params![epoch, rule]).map(drop))
    }

    /// Counts what the pair differs in, each path and kind once, as the worst that it is.
    fn findings(&self, epoch: i64, comparison: &Comparison) -> rusqlite::Result<()> {
        let mut worst: HashMap<(&str, &str), Severity> = HashMap::new();
        for difference in &comparison.differences {
            let severity =
                worst.entry((&difference.path, difference.kind.word())).or_insert(difference.severity);
            *severity = difference.severity.max(*severity);
        }
        let mut count = self.transaction.prepare_cached(
            "INSERT INTO finding VALUES (?1, ?2, ?3, ?4, 1, ?5, ?5) ON CONFLICT (epoch, path, kind) DO UPDATE
             SET severity = max(severity, excluded.severity), pairs = pairs + 1, last = excluded.last",
        )?;
        for ((path, kind), severity) in worst {
            count.execute(params![epoch, path, kind, rank(severity), comparison.id.as_bytes()])?;
        }
        Ok(())
    }

    fn particulars(&self, comparison: &Comparison) -> rusqlite::Result<()> {
        let id = comparison.id.as_bytes();
        for (place, difference) in comparison.differences.iter().enumerate() {
            self.transaction
                .prepare_cached("INSERT OR REPLACE INTO difference VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
                .execute(params![
                    id,
                    position(place),
                    difference.path,
                    difference.kind.word(),
                    difference.control,
                    difference.candidate,
                    difference.severity.word(),
                    difference.rule,
                ])?;
        }
        for (place, image) in comparison.images.iter().enumerate() {
            self.transaction
                .prepare_cached(
                    "INSERT OR REPLACE INTO image
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
                       ?20)",
                )?
                .execute(params![
                    id,
                    position(place),
                    if image.candidate { "candidate" } else { "control" },
                    position(image.index),
                    image.delivery,
                    image.sniffed,
                    image.declared,
                    image.width,
                    image.height,
                    image.color,
                    integer(image.bytes),
                    image.decodes,
                    image.entropy,
                    image.luma_deviation,
                    image.dominant,
                    image.hash,
                    image.alpha,
                    image.orientation,
                    image.correlation,
                    // As it is: 64 bits without a sign.
                    image.difference_hash.map(u64::cast_signed),
                ])?;
        }
        // What a preview finds holds nothing back.
        for alarm in comparison.alarms.iter().filter(|_| comparison.direction.counts()) {
            self.transaction
                .prepare_cached("INSERT OR REPLACE INTO alarm VALUES (?1, ?2)")?
                .execute(params![id, alarm.word()])?;
        }
        Ok(())
    }

    /// Adds to the requests that a route's shadow has seen.
    pub(crate) fn requests(&mut self, epoch: &EpochName, more: u64) -> rusqlite::Result<()> {
        let id = self.epoch(epoch)?;
        self.transaction
            .prepare_cached("UPDATE epoch SET requests = requests + ?2 WHERE id = ?1")?
            .execute(params![id, integer(more)])?;
        Ok(())
    }

    /// Writes how far calibration has come. What is frozen stays.
    pub(crate) fn progress(&mut self, epoch: &EpochName, progress: &Progress) -> rusqlite::Result<()> {
        let id = self.epoch(epoch)?;
        match progress {
            Progress::Learning(learner) => self.transaction.execute(
                "UPDATE epoch SET learner = ?2 WHERE id = ?1 AND states IS NULL",
                params![id, learner],
            )?,
            Progress::Frozen(states) => {
                let mut hash = sha256_hex([epoch.id.as_bytes(), states.as_bytes()]);
                hash.truncate(16);
                self.transaction.execute(
                    "UPDATE epoch SET learner = NULL, states = ?2, hash = ?3 WHERE id = ?1 AND states IS NULL",
                    params![id, states, hash],
                )?
            }
        };
        Ok(())
    }

    /// Adds to the comparisons that were counted only.
    pub(crate) fn unrecorded(&mut self, epoch: &EpochName, class: Class, more: u64) -> rusqlite::Result<()> {
        let id = self.epoch(epoch)?;
        self.transaction.execute(
            "INSERT INTO unrecorded VALUES (?1, ?2, ?3) ON CONFLICT (epoch, class) DO UPDATE SET n = n + ?3",
            params![id, class.word(), integer(more)],
        )?;
        Ok(())
    }

    /// Deletes the rows of candidates that were announced, and whose end found no place; says which there were.
    pub(crate) fn revoke(&mut self, ids: &[Uuid]) -> rusqlite::Result<Vec<Uuid>> {
        let mut delete = self.transaction.prepare_cached("DELETE FROM comparison WHERE id = ?1")?;
        let mut gone = Vec::new();
        for id in ids {
            if delete.execute(params![id.as_bytes()])? > 0 {
                gone.push(*id);
            }
        }
        Ok(gone)
    }
}

fn micros(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A severity as a finding holds it, so that the worst is the greatest.
fn rank(severity: Severity) -> i64 {
    match severity {
        Severity::Info => 0,
        Severity::Expected => 1,
        Severity::Failure => 2,
    }
}
