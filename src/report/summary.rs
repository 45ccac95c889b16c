//! The report as a value: version 1 of the JSON contract. Keys may be added; these stay. What is unknown is null and
//! never absent, rates are fractions, numbers are finite.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::parallel_run::verdict::State;

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
    /// What holds the route back.
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
    pub latency_distribution: Distribution,
    pub live: Live,
    pub cost_usd: Arms<Option<f64>>,
    pub budget: Budget,
    pub alarms: Vec<AlarmReport>,
    pub differences: Vec<DifferenceReport>,
    /// Those of the file; what a contract rules by itself is not among them.
    pub rules: Vec<RuleReport>,
    /// What it proves, in a sentence.
    pub words: String,
    /// How the evidence grew.
    #[serde(skip)]
    pub history: Vec<Point>,
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

/// How many times of both arms fall under each bar of one logarithmic scale, in milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(missing_docs, reason = "the fields are the contract's own keys")]
pub struct Distribution {
    /// Where the first bar begins.
    pub from_ms: Option<f64>,
    /// Where each ends.
    pub upper_ms: Vec<f64>,
    pub control: Vec<u64>,
    pub candidate: Vec<u64>,
}

/// How things stood after one trial: one element of a route's history.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the contract's own keys")]
pub struct Point {
    pub at: String,
    pub n: u64,
    pub x: u64,
    pub log10_e_safe: f64,
    pub log10_e_unsafe: f64,
    pub upper_bound: f64,
    #[serde(serialize_with = "word")]
    pub verdict: State,
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

/// Money, from midnight to midnight UTC.
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
    pub acknowledged: Option<Acknowledged>,
}

/// What a person said of an alarm.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the contract's own keys")]
pub struct Acknowledged {
    pub at: String,
    pub by: String,
    pub reason: String,
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
    /// The rule that applied, by its path.
    pub rule: Option<String>,
    pub noise: Noise,
    pub examples: Vec<Example>,
    /// The rule that would let it pass, as `routes.toml` has it.
    pub suggestion: Option<String>,
}

/// One rule of the file, and whether it is of use.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the contract's own keys")]
pub struct RuleReport {
    pub path: String,
    pub rule: &'static str,
    pub reason: String,
    pub owner: Option<String>,
    pub until: Option<String>,
    /// Its day is over: it is not applied.
    pub expired: bool,
    /// Pairs of this epoch of which it spoke: none, and it may be taken out.
    pub pairs: Option<u64>,
}

/// How often the control, asked twice while its noise was learned, disagreed with itself at this path.
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
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn word<S: serde::Serializer>(state: &State, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state.as_str())
}
