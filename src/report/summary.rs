//! The report as a value: version 1 of the JSON contract. Keys may be added; these stay. What is unknown is null and
//! never absent, rates are fractions, numbers are finite.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::Serialize;

use super::collect::{Collector, Evidence, Found, Input, Raised};
use crate::{
    parallel_run::{
        comparison::{Class, DifferenceKind, words::Word},
        verdict::{self, Counts as Counted, State, Verdict, martingale},
    },
    routing::Mode,
};

/// E of a JSON number: larger ones are not told apart.
const MAX_LOG10: f64 = 300.0;

/// What every route's evidence proves.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Of this contract.
    pub schema: u32,
    /// When it was made.
    pub generated_at: String,
    /// In the file's order.
    pub routes: Vec<RouteReport>,
}

/// What one route's evidence proves.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the contract's own keys")]
pub struct RouteReport {
    pub name: String,
    pub mode: &'static str,
    pub effective_mode: &'static str,
    /// What holds the route back; this version has no brake.
    pub brake: Option<Brake>,
    #[serde(serialize_with = "word")]
    pub verdict: State,
    pub verdict_since: Option<String>,
    pub reasons: Vec<String>,
    pub missing: Vec<String>,
    pub epoch: Option<Epoch>,
    pub window: Window,
    pub gateways: Vec<String>,
    /// Trials.
    pub pairs: u64,
    pub failures: u64,
    pub max_failure_rate: f64,
    pub alpha: f64,
    pub e_safe: f64,
    pub e_unsafe: f64,
    pub log10_e_safe: f64,
    pub log10_e_unsafe: f64,
    pub upper_bound: f64,
    pub worst_case: f64,
    pub counts: Counts,
    pub gates: Vec<Gate>,
    pub strata: Vec<Stratum>,
    pub latency_ms: Arms<Percentiles>,
    pub live: Live,
    pub cost_usd: Arms<Option<f64>>,
    pub budget: Budget,
    pub alarms: Vec<AlarmReport>,
    pub differences: Vec<DifferenceReport>,
    /// What it proves, in a sentence.
    pub words: String,
}

/// What holds a route lower than its file says.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the contract's own keys")]
pub struct Brake {
    pub at: String,
    pub since: String,
    pub by: String,
    pub reason: String,
}

/// What the answers depended on.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the contract's own keys")]
pub struct Epoch {
    pub id: String,
    pub number: u64,
    pub started_at: String,
    pub changed: Vec<String>,
}

/// First and last trial.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(missing_docs, reason = "the fields are the contract's own keys")]
pub struct Window {
    pub from: Option<String>,
    pub to: Option<String>,
}

/// How many of what.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(missing_docs, reason = "the fields are the contract's own keys")]
pub struct Counts {
    pub requests: Option<u64>,
    pub sampled: u64,
    pub trials: u64,
    pub failures: u64,
    pub matched: u64,
    pub expected: u64,
    pub control_failed: u64,
    pub incomparable: u64,
    pub duplicate_subject: u64,
    pub calibration: u64,
    pub subjects: u64,
    pub preview: u64,
    pub skipped: BTreeMap<&'static str, u64>,
}

/// One condition of SAFE.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the contract's own keys")]
pub struct Gate {
    pub id: &'static str,
    pub state: &'static str,
    pub value: Option<f64>,
    pub limit: Option<f64>,
    pub unit: &'static str,
    pub text: String,
}

/// One size, n and model.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the contract's own keys")]
pub struct Stratum {
    pub key: String,
    pub share: f64,
    pub pairs: u64,
    pub failures: u64,
    pub upper_bound: f64,
}

/// The same of both arms.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(missing_docs, reason = "the fields are the contract's own keys")]
pub struct Arms<T> {
    pub control: T,
    pub candidate: T,
}

/// By nearest rank, in milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(missing_docs, reason = "the fields are the contract's own keys")]
pub struct Percentiles {
    pub p50: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
}

/// What users got of each arm; evidence alone does not know it.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(missing_docs, reason = "the fields are the contract's own keys")]
pub struct Live {
    pub control: LiveControl,
    pub candidate: LiveCandidate,
}

/// What users got of the control.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(missing_docs, reason = "the fields are the contract's own keys")]
pub struct LiveControl {
    pub requests: Option<u64>,
    pub errors: Option<u64>,
}

/// What users got of the candidate.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(missing_docs, reason = "the fields are the contract's own keys")]
pub struct LiveCandidate {
    pub requests: Option<u64>,
    pub errors: Option<u64>,
    pub fallbacks: Option<u64>,
}

/// Money; this version reserves none.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(missing_docs, reason = "the fields are the contract's own keys")]
pub struct Budget {
    pub spent_today: Option<f64>,
    pub limit: Option<f64>,
    pub price_to_prove: Option<f64>,
}

/// What a person must see.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the contract's own keys")]
pub struct AlarmReport {
    pub id: String,
    pub kind: &'static str,
    pub comparison: String,
    pub at: String,
    pub acknowledged: Option<String>,
}

/// One path and kind of difference.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the contract's own keys")]
pub struct DifferenceReport {
    pub path: String,
    pub kind: &'static str,
    pub pairs: u64,
    pub state: &'static str,
    pub severity: &'static str,
    pub noise: Noise,
    pub examples: Vec<Example>,
}

/// How often the control disagreed with itself; this version never asks it twice.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(missing_docs, reason = "the fields are the contract's own keys")]
pub struct Noise {
    pub repeats: u64,
    pub disagreed: u64,
}

/// Both sides of one difference.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the contract's own keys")]
pub struct Example {
    pub comparison: String,
    pub control: Option<String>,
    pub candidate: Option<String>,
    pub rule: Option<String>,
}

/// Says what the evidence proves at `now`.
pub fn build(routes: impl IntoIterator<Item = Input>, now: Timestamp) -> Report {
    let routes = routes.into_iter().map(|input| route(&input, now)).collect();
    Report { schema: 1, generated_at: instant(now), routes }
}

fn route(input: &Input, now: Timestamp) -> RouteReport {
    let nothing = Collector::new(&input.gate, input.subjects);
    let collected = input.evidence.as_ref().map_or(&nothing, |evidence| &evidence.collected);
    let counted = collected.tally.counts();
    let verdict = collected.tally.verdict(now);
    let words = super::render::words::sentence(input, collected, &verdict);
    let mode = mode_name(input.mode);
    let window = collected.tally.window();
    RouteReport {
        name: input.name.to_string(),
        mode,
        effective_mode: mode,
        brake: None,
        verdict: verdict.state,
        verdict_since: verdict.since.map(instant),
        reasons: verdict.reasons.clone(),
        missing: if verdict.state == State::None { Vec::new() } else { verdict.missing.clone() },
        epoch: input.evidence.as_ref().map(epoch),
        window: Window { from: window.map(|(from, _)| instant(from)), to: window.map(|(_, to)| instant(to)) },
        gateways: input.evidence.as_ref().map(|evidence| evidence.gateways.clone()).unwrap_or_default(),
        pairs: counted.trials,
        failures: counted.failures,
        max_failure_rate: input.gate.max_failure_rate,
        alpha: verdict.alpha,
        e_safe: power(verdict.log10_safe),
        e_unsafe: power(verdict.log10_unsafe),
        log10_e_safe: verdict.log10_safe,
        log10_e_unsafe: verdict.log10_unsafe,
        upper_bound: verdict.upper_bound,
        worst_case: verdict.worst_case,
        counts: counts(input, collected, counted),
        gates: gates(&verdict),
        strata: strata(&verdict),
        latency_ms: Arms {
            control: percentiles(&collected.control),
            candidate: percentiles(&collected.candidate),
        },
        live: Live::default(),
        cost_usd: Arms {
            control: None,
            candidate: (counted.sampled > 0).then_some(collected.candidate_cost_usd),
        },
        budget: Budget { price_to_prove: price_to_prove(input, collected, &verdict), ..Budget::default() },
        alarms: collected.alarms.iter().map(alarm).collect(),
        differences: differences(collected),
        words,
    }
}

fn epoch(evidence: &Evidence) -> Epoch {
    let epoch = &evidence.epoch;
    Epoch {
        id: epoch.id.clone(),
        number: epoch.number,
        started_at: instant(epoch.started_at),
        changed: epoch.changed.clone(),
    }
}

fn counts(input: &Input, collected: &Collector, counted: &Counted) -> Counts {
    let skips = Class::WORDS.iter().filter_map(|(class, word)| match class {
        Class::Skipped(why) => Some((word.trim_start_matches("skipped-"), *why)),
        _ => None,
    });
    let skipped =
        skips.map(|(word, why)| (word, counted.skipped.get(&why).copied().unwrap_or_default())).collect();
    Counts {
        requests: input.evidence.as_ref().and_then(|evidence| evidence.requests),
        sampled: counted.sampled,
        trials: counted.trials,
        failures: counted.failures,
        matched: counted.matched,
        expected: counted.expected,
        control_failed: counted.control_failed,
        incomparable: counted.incomparable,
        duplicate_subject: counted.duplicate_subject,
        calibration: counted.calibration,
        subjects: collected.tally.subjects_seen() as u64,
        preview: 0,
        skipped,
    }
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

/// What proving p0 costs in all, at this candidate's mean price and with the failures so far.
fn price_to_prove(input: &Input, collected: &Collector, verdict: &Verdict) -> Option<f64> {
    let counted = collected.tally.counts();
    let mean = collected.candidate_cost_usd / martingale::real(counted.trials);
    let trials = martingale::trials_to_prove(counted.failures, input.gate.max_failure_rate, verdict.alpha);
    (counted.trials > 0).then(|| mean * martingale::real(trials))
}

fn alarm(raised: &Raised) -> AlarmReport {
    let kind = raised.kind.word();
    AlarmReport {
        id: format!("{}-{kind}", raised.comparison),
        kind,
        comparison: raised.comparison.to_string(),
        at: instant(raised.at),
        acknowledged: None,
    }
}

/// What fails most pairs comes first.
fn differences(collected: &Collector) -> Vec<DifferenceReport> {
    let mut all: Vec<_> = collected.differences.iter().collect();
    all.sort_by_key(|(_, found)| std::cmp::Reverse((found.severity, found.pairs)));
    all.into_iter().map(|((path, kind), found)| difference(path, kind, found)).collect()
}

fn difference(path: &str, kind: &'static str, found: &Found) -> DifferenceReport {
    let examples = found.examples.iter().map(|(comparison, example)| Example {
        comparison: comparison.to_string(),
        control: example.control.clone(),
        candidate: example.candidate.clone(),
        rule: example.rule.clone(),
    });
    DifferenceReport {
        path: path.to_owned(),
        kind,
        pairs: found.pairs,
        // A path that differed in its shape was compared by shape; all that was ignored never differed.
        state: if matches!(found.kind, DifferenceKind::Shape | DifferenceKind::Header) {
            "shape"
        } else {
            "value"
        },
        severity: found.severity.word(),
        noise: Noise::default(),
        examples: examples.collect(),
    }
}

/// By nearest rank.
fn percentiles(times: &[Duration]) -> Percentiles {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let rank = |percent: usize| {
        let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        sorted.get(place).map(|time| time.as_secs_f64() * 1e3)
    };
    Percentiles { p50: rank(50), p95: rank(95), p99: rank(99) }
}

fn power(log10: f64) -> f64 {
    10f64.powf(log10.min(MAX_LOG10))
}

/// RFC 3339, to the second.
fn instant(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn word<S: serde::Serializer>(state: &State, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state.as_str())
}

fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Monolith => "monolith",
        Mode::Learn => "learn",
        Mode::Shadow => "shadow",
        Mode::Canary => "canary",
        Mode::Migrated => "migrated",
    }
}
