//! Gathers the evidence of one route and epoch, in the order of arrival, into what a report needs of it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use uuid::Uuid;

use super::history::History;
use crate::{
    evidence::read::{Acknowledged, Epoch, Evidence, Finding, Pair, ReadError},
    parallel_run::{
        calibration::PathStates,
        comparison::{Alarm, Class},
        settings::Plan,
        verdict::{Observation, Past, Subjects, Tally},
    },
    routing::Route,
};

/// Paths and kinds of difference that a report shows.
const MAX_FINDINGS: usize = 100;

/// What is known of a route's current epoch.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) id: String,
    pub(super) number: u64,
    pub(super) started_at: Timestamp,
    pub(super) changed: Vec<String>,
    pub(super) requests: u64,
    pub(super) states: PathStates,
    pub(super) findings: Vec<Finding>,
    /// Pairs of which each rule spoke.
    pub(super) rules: HashMap<String, u64>,
    pub(super) previews: u64,
    pub(super) spent_today: f64,
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
        let mut pairs = Collector::new(route, plan, evidence.past(epoch)?);
        let previews = evidence.pairs(epoch, |pair| pairs.pair(pair))?;
        Ok(Self {
            id: epoch.id.clone(),
            number: epoch.number,
            started_at: epoch.started_at,
            changed: evidence.changed(epoch)?,
            requests: epoch.requests,
            states: evidence.states(epoch)?.unwrap_or_default(),
            findings: evidence.findings(epoch, MAX_FINDINGS)?,
            rules: evidence.rules(epoch)?,
            previews,
            spent_today: evidence.spent_today(&epoch.route)?,
            pairs,
        })
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Nothing counted but what is kept no longer.
pub(super) fn tally(route: &Route, plan: &Plan, past: Past) -> Tally {
    let subjects = if route.subject.is_some() { Subjects::Configured } else { Subjects::AssumedIndependent };
    Tally::new(&plan.gate, subjects).after(Arc::new(past))
}

/// What the verdict needs of `pair`.
pub(super) fn observation<'p>(pair: &Pair<'p>) -> Observation<'p> {
    let &Pair { at, class, stratum, subject, control, candidate, alarms, times, .. } = pair;
    let (control_cost, candidate_cost) = (pair.control_cost_usd, pair.candidate_cost_usd);
    let alarms = alarms.iter().filter(|alarm| alarm.acknowledged.is_none()).count();
    Observation {
        at,
        class,
        stratum,
        subject,
        control,
        candidate,
        control_cost,
        candidate_cost,
        alarms,
        times,
    }
}

/// The comparisons of one route and epoch, gathered.
#[derive(Clone, Debug)]
pub(super) struct Collector {
    pub(super) tally: Tally,
    /// Times of the trials, in microseconds: there may be a million.
    pub(super) control: Vec<u64>,
    pub(super) candidate: Vec<u64>,
    pub(super) control_cost_usd: f64,
    pub(super) candidate_cost_usd: f64,
    /// Trials of which nobody knows what the candidate cost.
    pub(super) unpriced: u64,
    pub(super) alarms: Vec<Raised>,
    pub(super) gateways: BTreeSet<Box<str>>,
    pub(super) history: History,
}

/// One alarm of one pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Raised {
    pub(super) kind: Alarm,
    pub(super) comparison: Uuid,
    pub(super) at: Timestamp,
    pub(super) acknowledged: Option<Acknowledged>,
}

impl Collector {
    /// Nothing gathered but what is left of pairs that are kept no longer.
    pub(super) fn new(route: &Route, plan: &Plan, past: Past) -> Self {
        let trials = past.sums.iter().filter(|sum| sum.failed().is_some());
        Self {
            unpriced: trials.map(|sum| sum.unpriced).sum(),
            control_cost_usd: past.sums.iter().map(|sum| sum.control_cost).sum(),
            candidate_cost_usd: past.sums.iter().map(|sum| sum.candidate_cost).sum(),
            tally: tally(route, plan, past),
            control: Vec::new(),
            candidate: Vec::new(),
            alarms: Vec::new(),
            gateways: BTreeSet::new(),
            history: History::default(),
        }
    }

    /// Adds one sampled request; they come in the order of arrival.
    pub(super) fn pair(&mut self, pair: &Pair<'_>) {
        let &Pair { id, at, control, candidate, candidate_cost_usd, gateway, alarms, .. } = pair;
        let class = self.tally.observe(&observation(pair));
        if matches!(class, Class::Match | Class::Expected | Class::Mismatch | Class::CandidateFailed) {
            self.control.extend(control.map(micros));
            self.history.trial(at, &self.tally);
            self.unpriced += u64::from(candidate_cost_usd.is_none() && !pair.is_counted_only());
        }
        if matches!(class, Class::Match | Class::Expected | Class::Mismatch) {
            self.candidate.extend(candidate.map(micros));
        }
        self.control_cost_usd += pair.control_cost_usd;
        self.candidate_cost_usd += candidate_cost_usd.unwrap_or_default();
        if !gateway.is_empty() && !self.gateways.contains(gateway) {
            self.gateways.insert(gateway.into());
        }
        self.alarms.extend(alarms.iter().map(|alarm| Raised {
            kind: alarm.kind,
            comparison: id,
            at,
            acknowledged: alarm.acknowledged.clone(),
        }));
    }
}
