//! What the pairs of an epoch differ in, with examples.

use rusqlite::params;
use uuid::Uuid;

use super::{Epoch, Evidence, ReadError, difference, word};
use crate::{
    evidence::sqlite::natural,
    parallel_run::comparison::{Difference, DifferenceKind, Severity, words::Word as _},
};

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
    /// The first and the last that are kept here; of what only others have seen, what they have told.
    pub examples: Vec<(Uuid, Difference)>,
}

impl Evidence {
    /// What the pairs of `epoch` differ in, in the whole fleet, what fails most of them first, at most `most` of it.
    pub fn findings(&self, epoch: &Epoch, most: usize) -> Result<Vec<Finding>, ReadError> {
        let mut statement = self.connection.prepare_cached(
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
            let mut examples = self.examples(&path, kind, [row.get(4)?, row.get(5)?])?;
            if examples.is_empty() {
                examples = self.examples_elsewhere(epoch, &path, kind)?;
            }
            findings.push(Finding { path, kind, pairs, severity, examples });
        }
        Ok(findings)
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

    /// Those of pairs that are still known: of who is erased nothing is shown.
    fn examples_elsewhere(
        &self,
        epoch: &Epoch,
        path: &str,
        kind: DifferenceKind,
    ) -> Result<Vec<(Uuid, Difference)>, ReadError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT example, path, kind, control, candidate,
               CASE severity WHEN 2 THEN 'failure' WHEN 1 THEN 'expected' ELSE 'info' END, rule
             FROM finding_elsewhere
             WHERE epoch = ?1 AND path = ?2 AND kind = ?3 AND example IN (SELECT id FROM comparison)
             ORDER BY origin LIMIT 2",
        )?;
        let mut rows = statement.query(params![epoch.key, path, kind.word()])?;
        let mut examples = Vec::new();
        while let Some(row) = rows.next()? {
            examples.push((Uuid::from_bytes(row.get(0)?), difference(row)?));
        }
        Ok(examples)
    }
}
