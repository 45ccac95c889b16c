//! The conditions of SAFE, each with where it stands, in figures and in words.

use super::{
    figures::{at_most, percent, plural, sure},
    latency::{self, Standing},
    martingale::{self, real},
    reason::{About, Reason},
    tally::{Subjects, Tally},
};

/// One condition of SAFE.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    /// `failures`, `latency`, `cost`, `strata`, `subjects`, `days`, `skipped`, `alarms`.
    pub id: &'static str,
    /// Whether it holds.
    pub state: GateState,
    /// Where it stands.
    pub value: Option<f64>,
    /// What it asks for.
    pub limit: Option<f64>,
    /// Of both: `fraction`, `ratio`, `pairs`, `subjects`, `days`, `alarms`.
    pub unit: &'static str,
    /// Where it stands, in words.
    pub text: String,
    /// What it still needs, in words; empty when it holds.
    pub missing: String,
}

/// Whether a gate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GateState {
    /// It holds.
    Pass,
    /// It needs more evidence.
    Wait,
    /// The evidence is against it.
    Fail,
}

impl GateState {
    /// As it is written in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Wait => "wait",
            Self::Fail => "fail",
        }
    }

    fn of(passes: bool, fails: bool) -> Self {
        match (passes, fails) {
            (_, true) => Self::Fail,
            (true, false) => Self::Pass,
            (false, false) => Self::Wait,
        }
    }
}

const SECONDS_A_DAY: f64 = 86_400.0;

/// Every gate in force, in the order of the configuration.
pub(super) fn all(tally: &Tally) -> Vec<Gate> {
    [
        Some(failures(tally)),
        latency(tally),
        cost(tally),
        Some(strata(tally)),
        Some(subjects(tally)),
        days(tally),
        Some(skipped(tally)),
        Some(alarms(tally)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Whether every gate holds, without the words: asked after each pair.
pub(super) fn all_pass(tally: &Tally) -> bool {
    tally.proves_failures()
        && tally.latency.as_ref().is_none_or(|machine| machine.reaches(tally.needed()))
        && tally.gate.max_cost_ratio.is_none_or(|limit| tally.cost.is_within(limit))
        && tally.strata_that_count().all(|(_, stratum)| stratum.trials >= tally.gate.min_pairs_per_stratum)
        && enough_subjects(tally)
        && days_between(tally) >= real(tally.gate.min_days)
        && tally.counts.missing_share() <= tally.gate.max_skipped
        && tally.alarms == 0
}

/// Whether the candidate was ever proved worse than the gates allow.
pub(super) fn is_unsafe(tally: &Tally) -> bool {
    unsafe_failures(tally)
        || unsafe_latency(tally)
        || unsafe_cost(tally)
        || tally.strata.values().any(|stratum| stratum.latch.is_shut())
        || tally.proved_before().is_some()
}

/// Why.
pub(super) fn unsafe_reasons(tally: &Tally) -> Vec<Reason> {
    let counts = tally.counts();
    let confidence = sure(tally.gate.confidence);
    let limit = percent(tally.gate.max_failure_rate);
    let mut reasons = Vec::new();
    if let Some(proof) = tally.proved_unsafe() {
        let proof = proof.of(counts.trials, "trial");
        let proved = format!("{proof} failed, which is more than {limit} ({confidence} sure)");
        reasons.push(Reason::new(About::Failures, proved));
    }
    if let Some(machine) = &tally.latency
        && let Some(proof) = machine.proved_unsafe(tally.needed())
        && let Some(at) = machine.standing()
    {
        let (proof, bound) = (proof.of(at.trials, "candidate answer"), slowest(tally, &at));
        reasons.push(Reason::new(About::Latency, format!("{proof} took longer than {bound}")));
    }
    if let (true, Some(limit)) = (tally.cost.was_too_much(), tally.gate.max_cost_ratio) {
        let proved = format!("the candidate costs more than {limit} times the control");
        reasons.push(Reason::new(About::Cost, proved));
    }
    reasons.extend(tally.strata_proved_unsafe().map(|(key, stratum, proof)| {
        let proof = proof.of(stratum.trials, "trial");
        let proved = format!("{proof} failed, which is more than {limit} ({confidence} sure)");
        Reason::new(About::Stratum(key.to_owned()), proved)
    }));
    let kept = tally.proved_before().map(|proved| proved.reasons.as_slice()).unwrap_or_default();
    let forgotten: Vec<_> = kept.iter().filter(|reason| !reason.is_among(&reasons)).cloned().collect();
    reasons.extend(forgotten);
    reasons
}

pub(super) fn alarms_text(alarms: usize) -> String {
    match alarms {
        0 => "no alarm".to_owned(),
        1 => "1 alarm that nobody has acknowledged".to_owned(),
        more => format!("{more} alarms that nobody has acknowledged"),
    }
}

fn failures(tally: &Tally) -> Gate {
    let (n, x) = (tally.counts.trials, tally.counts.failures);
    let (p0, alpha) = (tally.gate.max_failure_rate, tally.alpha());
    let bound = martingale::upper_bound(n, x, alpha);
    let needed = martingale::trials_to_prove(x, p0, alpha).saturating_sub(n);
    Gate {
        id: "failures",
        state: GateState::of(tally.proves_failures(), unsafe_failures(tally)),
        value: Some(bound),
        limit: Some(p0),
        unit: "fraction",
        text: format!("{x} of {n} trials failed: at most {} would, limit {}", at_most(bound), percent(p0)),
        missing: if unsafe_failures(tally) {
            "a mended candidate, which begins a new epoch".to_owned()
        } else {
            format!("{} without a failure", more(needed, "trial"))
        },
    }
}

fn latency(tally: &Tally) -> Option<Gate> {
    let machine = tally.latency.as_ref()?;
    let gate = |state, value, text, missing| Gate {
        id: "latency",
        state,
        value,
        limit: Some(latency::RATE),
        unit: "fraction",
        text,
        missing,
    };
    let Some(at) = machine.standing() else {
        let left = machine.control_times_missing();
        let text = format!("the control's p95 is fixed after {} control times", latency::FROZEN_AFTER);
        let missing = more(left as u64, "control time");
        return Some(gate(GateState::Wait, None, text, missing));
    };
    let bound = at.upper_bound(tally.alpha());
    let needed = martingale::trials_to_prove(at.slow, latency::RATE, tally.alpha()).saturating_sub(at.trials);
    let fails = unsafe_latency(tally);
    let text = format!(
        "{} of {} candidate answers took longer than {}: at most {} would, limit {}",
        at.slow,
        at.trials,
        slowest(tally, &at),
        at_most(bound),
        percent(latency::RATE),
    );
    let missing = if fails {
        "a faster candidate, which begins a new epoch".to_owned()
    } else {
        format!("{} within {}", more(needed, "trial"), slowest(tally, &at))
    };
    Some(gate(GateState::of(machine.reaches(tally.needed()), fails), Some(bound), text, missing))
}

fn cost(tally: &Tally) -> Option<Gate> {
    let limit = tally.gate.max_cost_ratio?;
    let (ratio, fails) = (tally.cost.ratio(), unsafe_cost(tally));
    let text = match (ratio, tally.cost.of_a_trial()) {
        (Some(ratio), _) => format!("the candidate costs {ratio:.2} times the control, limit {limit}"),
        (None, Some(mean)) => {
            format!("{mean:.4} US dollars a trial, and what the control costs is not known")
        }
        (None, None) => "what the candidate costs is not known".to_owned(),
    };
    let missing = match ratio {
        _ if fails => "a cheaper candidate, which begins a new epoch".to_owned(),
        Some(_) => "a cheaper candidate, or a higher `max_cost_ratio`".to_owned(),
        None if tally.cost.of_a_trial().is_none() => {
            "what the candidate costs; or `max_cost_ratio = \"off\"`".to_owned()
        }
        None => "what the control costs; or `max_cost_ratio = \"off\"`".to_owned(),
    };
    Some(Gate {
        id: "cost",
        state: GateState::of(tally.cost.is_within(limit), fails),
        value: ratio,
        limit: Some(limit),
        unit: "ratio",
        text,
        missing,
    })
}

fn strata(tally: &Tally) -> Gate {
    let needed = tally.gate.min_pairs_per_stratum;
    let strata = tally.strata_that_count();
    let fewest = strata.clone().map(|(_, stratum)| stratum.trials).min();
    let short: Vec<_> = strata
        .clone()
        .filter(|(_, stratum)| stratum.trials < needed)
        .map(|(key, stratum)| format!("{} of stratum {key}", more(needed - stratum.trials, "trial")))
        .collect();
    let bad: Vec<_> = tally.strata_proved_unsafe().map(|(key, ..)| key).collect();
    let text = match (strata.count(), fewest) {
        (_, None) => "no stratum yet".to_owned(),
        (1, Some(fewest)) => format!("one stratum, {}, {needed} asked", plural(fewest, "trial")),
        (strata, Some(fewest)) => {
            format!("{strata} strata, at least {} each, {needed} asked", plural(fewest, "trial"))
        }
    };
    Gate {
        id: "strata",
        state: GateState::of(fewest.is_some() && short.is_empty(), !bad.is_empty()),
        value: fewest.map(real),
        limit: Some(real(needed)),
        unit: "pairs",
        text,
        missing: match (bad.as_slice(), fewest) {
            ([], None) => "a first pair".to_owned(),
            ([], Some(_)) => short.join(", "),
            (bad, _) => format!("a candidate mended for {}, which begins a new epoch", bad.join(", ")),
        },
    }
}

fn subjects(tally: &Tally) -> Gate {
    let needed = tally.gate.min_subjects;
    let seen = tally.seen.len() as u64;
    let gate = |state, value, text, missing| Gate {
        id: "subjects",
        state,
        value,
        limit: Some(real(needed)),
        unit: "subjects",
        text,
        missing,
    };
    match (tally.subjects, needed) {
        (Subjects::AssumedIndependent, 0) => gate(
            GateState::Pass,
            None,
            "pairs assumed independent: the route names no subject".to_owned(),
            String::new(),
        ),
        (Subjects::AssumedIndependent, _) => gate(
            GateState::Fail,
            None,
            format!("{needed} subjects asked, and the route names no subject"),
            "`subject` in the route, or `min_subjects = 0` to assume that pairs are independent".to_owned(),
        ),
        (Subjects::Configured, _) => gate(
            GateState::of(seen >= needed, false),
            Some(real(seen)),
            format!("{seen} different subjects, at least {needed} asked"),
            more(needed.saturating_sub(seen), "subject"),
        ),
    }
}

fn days(tally: &Tally) -> Option<Gate> {
    let needed = (tally.gate.min_days > 0).then_some(real(tally.gate.min_days))?;
    let days = days_between(tally);
    Some(Gate {
        id: "days",
        state: GateState::of(days >= needed, false),
        value: Some(days),
        limit: Some(needed),
        unit: "days",
        text: format!("{days:.1} days between the first and the last trial, at least {needed:.0} asked"),
        missing: format!("{:.1} more days", needed - days),
    })
}

fn skipped(tally: &Tally) -> Gate {
    let (share, limit) = (tally.counts.missing_share(), tally.gate.max_skipped);
    let missing = tally.counts.not_compared();
    let all = missing + tally.counts.trials;
    Gate {
        id: "skipped",
        state: GateState::of(share <= limit, share > limit),
        value: Some(share),
        limit: Some(limit),
        unit: "fraction",
        text: format!("{missing} of {all} pairs not compared ({}), limit {}", percent(share), percent(limit)),
        missing: format!("fewer pairs that are not compared: {}, limit {}", percent(share), percent(limit)),
    }
}

fn alarms(tally: &Tally) -> Gate {
    Gate {
        id: "alarms",
        state: GateState::of(tally.alarms == 0, tally.alarms > 0),
        value: Some(real(tally.alarms as u64)),
        limit: Some(0.0),
        unit: "alarms",
        text: alarms_text(tally.alarms),
        missing: format!("a person's look at {}", alarms_text(tally.alarms)),
    }
}

fn unsafe_failures(tally: &Tally) -> bool {
    tally.latch.is_shut()
}

fn unsafe_latency(tally: &Tally) -> bool {
    tally.latency.as_ref().is_some_and(|machine| machine.unsafe_peak() >= tally.needed())
        || was_proved(tally, &About::Latency)
}

fn unsafe_cost(tally: &Tally) -> bool {
    tally.cost.was_too_much() || was_proved(tally, &About::Cost)
}

/// Whether this was proved to be UNSAFE, by pairs that may be kept no longer.
fn was_proved(tally: &Tally, about: &About) -> bool {
    tally.proved_before().is_some_and(|proved| proved.reasons.iter().any(|reason| reason.about == *about))
}

fn enough_subjects(tally: &Tally) -> bool {
    let needed = tally.gate.min_subjects;
    needed == 0 || tally.subjects == Subjects::Configured && tally.seen.len() as u64 >= needed
}

fn days_between(tally: &Tally) -> f64 {
    tally.window.map_or(0.0, |(first, last)| last.duration_since(first).as_secs_f64() / SECONDS_A_DAY)
}

fn slowest(tally: &Tally, at: &Standing) -> String {
    let ratio = tally.gate.max_latency_ratio.unwrap_or(1.0);
    format!("{:.0} ms", at.control_p95.as_secs_f64() * 1e3 * ratio)
}

fn more(count: u64, noun: &str) -> String {
    plural(count, &format!("more {noun}"))
}
