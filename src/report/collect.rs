//! Gathers the evidence of one route and epoch, in the order of arrival, into what a report needs of it.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    evidence::read::{Epoch, Evidence, Pair, ReadError},
    parallel_run::{
        calibration::PathStates,
        comparison::{Alarm, Class, Difference, DifferenceKind, Severity, words::Word as _},
        settings::Plan,
        verdict::{Observation, Subjects, Tally},
    },
    routing::Route,
};

/// Examples kept of one difference.
const MAX_EXAMPLES: usize = 3;

/// What is known of a route's current epoch.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) id: String,
    pub(super) number: u64,
    pub(super) started_at: Timestamp,
    pub(super) changed: Vec<String>,
    pub(super) requests: u64,
    pub(super) gateways: Vec<String>,
    pub(super) states: PathStates,
    pub(super) pairs: Collector,
}

impl Known {
    /// Reads all of `epoch`.
    pub(super) fn read(
        evidence: &Evidence,
        epoch: &Epoch,
        route: &Route,
        plan: &Plan,
    ) -> Result<Self, ReadError> {
        let mut pairs = Collector::new(route, plan);
        evidence.pairs(epoch, |pair| pairs.pair(pair))?;
        evidence.differences(epoch, |comparison, difference| pairs.difference(comparison, difference))?;
        Ok(Self {
            id: epoch.id.clone(),
            number: epoch.number,
            started_at: epoch.started_at,
            changed: epoch.changed.clone(),
            requests: epoch.requests,
            gateways: evidence.gateways(epoch)?,
            states: epoch.states.clone().unwrap_or_default(),
            pairs,
        })
    }
}

/// Nothing counted yet.
pub(super) fn tally(route: &Route, plan: &Plan) -> Tally {
    let subjects = if route.subject.is_some() { Subjects::Configured } else { Subjects::AssumedIndependent };
    Tally::new(&plan.gate, subjects)
}

/// What the verdict needs of `pair`.
pub(super) fn observation<'p>(pair: &Pair<'p>) -> Observation<'p> {
    let &Pair { at, class, stratum, subject, control, candidate, alarms, .. } = pair;
    Observation { at, class, stratum, subject, control, candidate, alarms: alarms.len() }
}

/// The comparisons of one route and epoch, gathered.
#[derive(Clone, Debug)]
pub(super) struct Collector {
    pub(super) tally: Tally,
    pub(super) control: Vec<Duration>,
    pub(super) candidate: Vec<Duration>,
    pub(super) candidate_cost_usd: f64,
    pub(super) alarms: Vec<Raised>,
    pub(super) differences: BTreeMap<(String, &'static str), Found>,
}

/// One alarm of one pair.
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
    pub(super) fn new(route: &Route, plan: &Plan) -> Self {
        Self {
            tally: tally(route, plan),
            control: Vec::new(),
            candidate: Vec::new(),
            candidate_cost_usd: 0.0,
            alarms: Vec::new(),
            differences: BTreeMap::new(),
        }
    }

    /// Adds one sampled request; they come in the order of arrival.
    pub(super) fn pair(&mut self, pair: &Pair<'_>) {
        let &Pair { id, at, class, control, candidate, candidate_cost_usd, alarms, .. } = pair;
        self.tally.observe(&observation(pair));
        if matches!(class, Class::Match | Class::Expected | Class::Mismatch | Class::CandidateFailed) {
            self.control.extend(control);
        }
        if matches!(class, Class::Match | Class::Expected | Class::Mismatch) {
            self.candidate.extend(candidate);
        }
        self.candidate_cost_usd += candidate_cost_usd;
        self.alarms.extend(alarms.iter().map(|&kind| Raised { kind, comparison: id, at }));
    }

    /// Adds one difference; those of one comparison come together.
    pub(super) fn difference(&mut self, comparison: Uuid, difference: &Difference) {
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
}
