//! Gathers the comparisons of one route and epoch, in the order of arrival, into what a report needs of them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    parallel_run::{
        comparison::{Alarm, Class, Comparison, Difference, DifferenceKind, Severity, words::Word as _},
        settings::Gate,
        verdict::{Observation, Subjects, Tally},
    },
    routing::Mode,
};

/// Examples kept of one difference.
const MAX_EXAMPLES: usize = 3;

/// One route: what its configuration says and what is known of it.
#[derive(Clone, Debug)]
pub struct Input {
    /// The route's name.
    pub name: Arc<str>,
    /// The file's mode.
    pub mode: Mode,
    /// What SAFE means.
    pub gate: Gate,
    /// Whether it says who its requests belong to.
    pub subjects: Subjects,
    /// Its newest epoch; `None` where it was never sampled.
    pub evidence: Option<Evidence>,
}

/// Everything that is known of one route in one epoch.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Which epoch.
    pub epoch: Epoch,
    /// Requests of the route since it began, sampled or not, where that is known.
    pub requests: Option<u64>,
    /// Which gateways saw them.
    pub gateways: Vec<String>,
    /// Its comparisons, gathered.
    pub collected: Collector,
}

/// What the answers depended on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// Its hash.
    pub id: String,
    /// Counted from 1 for this route: five bad candidates in a row are five chances to err.
    pub number: u64,
    /// When it began.
    pub started_at: Timestamp,
    /// What changed since the one before.
    pub changed: Vec<String>,
}

/// What a report needs of one comparison, beside its differences.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// Which comparison.
    pub id: Uuid,
    /// What counts for the verdict.
    pub observation: Observation<'a>,
    /// What the candidate cost, in US dollars.
    pub candidate_cost_usd: f64,
    /// What a person must see.
    pub alarms: &'a [Alarm],
}

impl<'a> From<&'a Comparison> for Pair<'a> {
    fn from(comparison: &'a Comparison) -> Self {
        Self {
            id: comparison.id,
            observation: Observation::from(comparison),
            candidate_cost_usd: comparison.candidate.as_ref().map_or(0.0, |arm| arm.cost_usd),
            alarms: &comparison.alarms,
        }
    }
}

/// The comparisons of one route and epoch, gathered.
#[derive(Clone, Debug)]
pub struct Collector {
    pub(super) tally: Tally,
    pub(super) control: Vec<Duration>,
    pub(super) candidate: Vec<Duration>,
    pub(super) candidate_cost_usd: f64,
    pub(super) alarms: Vec<Raised>,
    pub(super) differences: BTreeMap<(String, &'static str), Found>,
}

/// One alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Raised {
    pub(super) kind: Alarm,
    pub(super) comparison: Uuid,
    pub(super) at: Timestamp,
}

/// One path and kind of difference over all pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) kind: DifferenceKind,
    pub(super) pairs: u64,
    pub(super) severity: Severity,
    pub(super) examples: Vec<(Uuid, Difference)>,
    last: Uuid,
}

impl Collector {
    /// Nothing gathered yet.
    pub fn new(gate: &Gate, subjects: Subjects) -> Self {
        Self {
            tally: Tally::new(gate, subjects),
            control: Vec::new(),
            candidate: Vec::new(),
            candidate_cost_usd: 0.0,
            alarms: Vec::new(),
            differences: BTreeMap::new(),
        }
    }

    /// Adds one sampled request; they come in the order of arrival.
    pub fn pair(&mut self, pair: &Pair<'_>) {
        let Observation { at, class, control, candidate, .. } = pair.observation;
        self.tally.observe(&pair.observation);
        if matches!(class, Class::Match | Class::Expected | Class::Mismatch | Class::CandidateFailed) {
            self.control.extend(control);
            self.candidate.extend(candidate);
        }
        self.candidate_cost_usd += pair.candidate_cost_usd;
        self.alarms.extend(pair.alarms.iter().map(|&kind| Raised { kind, comparison: pair.id, at }));
    }

    /// Adds one difference; those of one comparison come together.
    pub fn difference(&mut self, comparison: Uuid, difference: &Difference) {
        let key = (difference.path.clone(), difference.kind.word());
        let found = self.differences.entry(key).or_insert_with(|| Found {
            kind: difference.kind,
            pairs: 0,
            severity: difference.severity,
            examples: Vec::new(),
            last: Uuid::nil(),
        });
        found.severity = found.severity.max(difference.severity);
        if found.last != comparison {
            found.last = comparison;
            found.pairs += 1;
            if found.examples.len() < MAX_EXAMPLES {
                found.examples.push((comparison, difference.clone()));
            }
        }
    }

    /// Adds a whole comparison.
    pub fn comparison(&mut self, comparison: &Comparison) {
        self.pair(&Pair::from(comparison));
        for difference in &comparison.differences {
            self.difference(comparison.id, difference);
        }
    }
}
