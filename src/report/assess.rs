//! From what is known of one route to its part of the report: a pure function.

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    collect::{Collector, Known, Raised},
    history::Moment,
    latency::{distribution, percentiles},
    render::words,
    suggestion,
    summary::{
        Acknowledged, AlarmReport, Arms, Brake, Budget, Counts, DifferenceReport, Epoch, Example, Gate, Live,
        Noise, Point, RouteReport, RuleReport, Stratum, Window,
    },
};
use crate::{
    evidence::{AlarmId, read::Finding},
    parallel_run::{
        calibration::PathStates,
        comparison::{Class, Difference, DifferenceKind, Severity, words::Word as _},
        settings::{Plan, Rule},
        verdict::{self, Past, State, Tally, Verdict, martingale},
    },
    routing::{self, Route},
};

/// E of a JSON number: larger ones are not told apart.
const MAX_LOG10: f64 = 300.0;

/// What `known` proves of `route` at `now`.
pub(super) fn route(route: &Route, plan: &Plan, known: Option<&Known>, now: Timestamp) -> RouteReport {
    let nothing = Collector::new(route, plan, Past::default());
    let pairs = known.map_or(&nothing, |known| &known.pairs);
    let (verdict, counted) = (pairs.tally.verdict(now), pairs.tally.counts());
    let window = pairs.tally.window();
    RouteReport {
        name: route.name.to_string(),
        mode: route.mode.as_str(),
        effective_mode: route.effective_mode().as_str(),
        brake: route.brake.as_deref().map(brake),
        verdict: verdict.state,
        verdict_since: verdict.since.map(instant),
        reasons: verdict.reasons.clone(),
        missing: if verdict.state == State::None { Vec::new() } else { verdict.missing.clone() },
        epoch: known.map(epoch),
        window: Window { from: window.map(|(from, _)| instant(from)), to: window.map(|(_, to)| instant(to)) },
        gateways: pairs.gateways.iter().map(ToString::to_string).collect(),
        pairs: counted.trials,
        failures: counted.failures,
        max_failure_rate: plan.gate.max_failure_rate,
        alpha: verdict.alpha,
        e_safe: power(verdict.log10_safe),
        e_unsafe: power(verdict.log10_unsafe),
        log10_e_safe: verdict.log10_safe,
        log10_e_unsafe: verdict.log10_unsafe,
        upper_bound: verdict.upper_bound,
        worst_case: verdict.worst_case,
        counts: counts(known, &pairs.tally),
        gates: gates(&verdict),
        strata: strata(&verdict),
        latency_ms: Arms { control: percentiles(&pairs.control), candidate: percentiles(&pairs.candidate) },
        latency_distribution: distribution(&pairs.control, &pairs.candidate),
        live: Live::default(),
        cost_usd: Arms {
            control: known.map(|_| pairs.control_cost_usd).filter(|cost| *cost > 0.0),
            candidate: known.filter(|_| pairs.unpriced == 0).map(|_| pairs.candidate_cost_usd),
        },
        budget: Budget {
            spent_today: known.map(|known| known.spent_today),
            limit: plan.budget_usd_per_day,
            price_to_prove: price_to_prove(pairs, plan, &verdict),
        },
        alarms: pairs.alarms.iter().map(alarm).collect(),
        differences: known.map(|known| differences(known, plan)).unwrap_or_default(),
        rules: rules(known, plan),
        words: words::sentence(plan, &pairs.tally, &verdict),
        history: pairs.history.moments().map(|moment| point(&pairs.tally, &verdict, &moment)).collect(),
    }
}

fn brake(brake: &routing::Brake) -> Brake {
    Brake {
        at: brake.at.to_string(),
        since: instant(brake.since),
        by: brake.by.to_string(),
        reason: brake.reason.to_string(),
    }
}

fn epoch(known: &Known) -> Epoch {
    Epoch {
        id: known.id.clone(),
        number: known.number,
        started_at: instant(known.started_at),
        changed: known.changed.clone(),
    }
}

/// What proving p0 costs in all, at this candidate's mean price and with the failures so far.
fn price_to_prove(pairs: &Collector, plan: &Plan, verdict: &Verdict) -> Option<f64> {
    let counted = pairs.tally.counts();
    let mean = pairs.candidate_cost_usd / martingale::real(counted.trials);
    let trials = martingale::trials_to_prove(counted.failures, plan.gate.max_failure_rate, verdict.alpha);
    (counted.trials > 0 && pairs.unpriced == 0).then(|| mean * martingale::real(trials))
}

fn counts(known: Option<&Known>, tally: &Tally) -> Counts {
    let counted = tally.counts();
    let skips = Class::WORDS.iter().filter_map(|(class, word)| match class {
        Class::Skipped(why) => Some((word.trim_start_matches("skipped-"), *why)),
        _ => None,
    });
    Counts {
        requests: known.map(|known| known.requests),
        sampled: counted.sampled,
        trials: counted.trials,
        failures: counted.failures,
        matched: counted.matched,
        expected: counted.expected,
        control_failed: counted.control_failed,
        incomparable: counted.incomparable,
        duplicate_subject: counted.duplicate_subject,
        calibration: counted.calibration,
        subjects: tally.subjects_seen() as u64,
        preview: known.map_or(0, |known| known.previews),
        skipped: skips
            .map(|(word, why)| (word, counted.skipped.get(&why).copied().unwrap_or_default()))
            .collect(),
    }
}

/// Those in force, then those whose day is over.
fn rules(known: Option<&Known>, plan: &Plan) -> Vec<RuleReport> {
    let rule = |rule: &Rule, expired| RuleReport {
        path: rule.path.clone(),
        rule: rule.action.word(),
        reason: rule.reason.clone(),
        owner: rule.owner.clone(),
        until: rule.until.map(|until| until.to_string()),
        expired,
        pairs: known.map(|known| known.rules.get(&rule.path).copied().unwrap_or_default()),
    };
    let in_force = plan.rules.iter().map(|known| rule(known, false));
    in_force.chain(plan.expired.iter().map(|known| rule(known, true))).collect()
}

fn differences(known: &Known, plan: &Plan) -> Vec<DifferenceReport> {
    known.findings.iter().map(|found| difference(found, &known.states, plan)).collect()
}

fn gates(verdict: &Verdict) -> Vec<Gate> {
    let gate = |gate: &verdict::Gate| Gate {
        id: gate.id,
        state: gate.state.as_str(),
        value: gate.value,
        limit: gate.limit,
        unit: gate.unit,
        text: gate.text.clone(),
    };
    verdict.gates.iter().map(gate).collect()
}

fn strata(verdict: &Verdict) -> Vec<Stratum> {
    let stratum = |stratum: &verdict::StratumBound| Stratum {
        key: stratum.key.clone(),
        share: stratum.share,
        pairs: stratum.trials,
        failures: stratum.failures,
        upper_bound: stratum.upper_bound,
    };
    verdict.strata.iter().map(stratum).collect()
}

fn alarm(raised: &Raised) -> AlarmReport {
    let id = AlarmId { comparison: raised.comparison, kind: raised.kind };
    AlarmReport {
        id: id.to_string(),
        kind: raised.kind.word(),
        comparison: raised.comparison.to_string(),
        at: instant(raised.at),
        acknowledged: raised.acknowledged.as_ref().map(|said| Acknowledged {
            at: instant(said.at),
            by: said.who.clone(),
            reason: said.reason.clone(),
        }),
    }
}

fn point(tally: &Tally, verdict: &Verdict, moment: &Moment) -> Point {
    let (log10_e_safe, log10_e_unsafe) = tally.log10_after(moment.trials, moment.failures);
    Point {
        at: instant(moment.at),
        n: moment.trials,
        x: moment.failures,
        log10_e_safe,
        log10_e_unsafe,
        upper_bound: martingale::upper_bound(moment.trials, moment.failures, verdict.alpha),
        verdict: moment.state,
    }
}

fn difference(found: &Finding, states: &PathStates, plan: &Plan) -> DifferenceReport {
    let path = found.path.as_str();
    let rule = found.examples.iter().find_map(|(_, example)| example.rule.as_deref());
    let action =
        rule.and_then(|rule| plan.rules.iter().find(|known| known.path == rule)).map(|rule| &rule.action);
    let state = match (action, found.kind) {
        (Some(action), _) => action.word(),
        (None, DifferenceKind::Shape | DifferenceKind::Header) => "shape",
        (None, _) if states.shapes.contains_key(path) => "shape",
        (None, _) => "value",
    };
    let example = |(comparison, example): &(Uuid, Difference)| Example {
        comparison: comparison.to_string(),
        control: example.control.clone(),
        candidate: example.candidate.clone(),
    };
    let suggestion = found.examples.first().filter(|_| rule.is_none() && found.severity == Severity::Failure);
    DifferenceReport {
        suggestion: suggestion.and_then(|(_, example)| {
            suggestion::of(path, found.kind, [example.control.as_deref(), example.candidate.as_deref()])
        }),
        path: path.to_owned(),
        kind: found.kind.word(),
        pairs: found.pairs,
        state,
        severity: found.severity.word(),
        rule: rule.map(str::to_owned),
        noise: Noise {
            repeats: states.repeats.into(),
            disagreed: states.disagreed.get(path).copied().unwrap_or_default().into(),
        },
        examples: found.examples.iter().map(example).collect(),
    }
}

fn power(log10: f64) -> f64 {
    10f64.powf(log10.min(MAX_LOG10))
}

/// RFC 3339, to the second.
pub(crate) fn instant(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
pub(super) mod tests;
