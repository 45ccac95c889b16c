//! What the evidence proves, in one sentence that a person can repeat.

use jiff::Timestamp;

use crate::{
    parallel_run::{
        settings::Plan,
        verdict::{
            State, Subjects, Tally, Verdict,
            figures::{at_most, percent, plural, sure},
        },
    },
    report::summary::{RouteReport, RuleReport},
};

/// Of a difference without an example.
pub(super) const ELSEWHERE: &str = "No example is kept here: another gateway has seen it, and shows it in its own report; or it was too long ago.";

/// Before the rule that lets a difference pass.
pub(super) const SUGGESTED: &str = "If this may differ, the rule for it in routes.toml:";

/// What the answers cost, and what a proof takes; nothing where nobody knows of a price.
pub(super) fn cost(route: &RouteReport) -> Option<String> {
    let (cost, budget) = (&route.cost_usd, &route.budget);
    let candidate = cost.candidate.filter(|candidate| *candidate > 0.0 || budget.limit.is_some())?;
    let is_decided = matches!(route.verdict, State::Safe | State::Unsafe | State::Blocked);
    let price = budget.price_to_prove.filter(|price| !is_decided && *price > 0.0);
    let spent = budget.limit.zip(budget.spent_today);
    let parts = [
        Some(format!("the candidate's answers have cost {} US dollars", dollars(candidate))),
        cost.control.map(|control| format!("the control's {}", dollars(control))),
        spent.map(|(limit, spent)| format!("{} of {} are spent today", dollars(spent), dollars(limit))),
        price.map(|price| {
            format!("to prove {} takes {} in all", percent(route.max_failure_rate), dollars(price))
        }),
    ];
    Some(parts.into_iter().flatten().collect::<Vec<_>>().join("; "))
}

/// To the cent, and small ones to a hundredth of it.
fn dollars(usd: f64) -> String {
    if (0.0001..0.1).contains(&usd) { format!("{usd:.4}") } else { format!("{usd:.2}") }
}

/// The rules that do nothing, or nothing any more, each with why.
pub(super) fn idle_rules(route: &RouteReport) -> impl Iterator<Item = (&RuleReport, String)> {
    let idle = |rule: &&RuleReport| rule.expired || route.pairs > 0 && rule.pairs == Some(0);
    route.rules.iter().filter(idle).map(|rule| {
        let why = match (&rule.until, rule.expired) {
            (Some(until), true) => format!("expired on {until}: its path is compared again"),
            _ => format!("unused in {}", plural(route.pairs, "trial")),
        };
        let whom = rule.owner.as_ref().map(|owner| format!(" (ask {owner})")).unwrap_or_default();
        (rule, why + &whom)
    })
}

/// Of a route without evidence.
pub(in crate::report) const NEVER_SAMPLED: &str = "Never sampled.";

/// *"358 compared requests from 358 users, 12-14 Nov, none failed the contract: ..."*
pub(in crate::report) fn sentence(plan: &Plan, tally: &Tally, verdict: &Verdict) -> String {
    let (counts, gate) = (tally.counts(), &plan.gate);
    let Some((from, to)) = tally.window() else {
        return match verdict.state {
            State::None => NEVER_SAMPLED.to_owned(),
            State::Calibrating => format!(
                "{} of {} answers of the monolith seen, to learn what varies by itself; nothing is compared before.",
                counts.calibration, gate.calibration
            ),
            _ => format!("{} requests sampled, none compared yet.", counts.sampled),
        };
    };
    let who = match tally.subjects() {
        Subjects::Configured => format!(" from {}", plural(tally.subjects_seen() as u64, "user")),
        Subjects::AssumedIndependent => " (pairs assumed independent)".to_owned(),
    };
    let failed = match counts.failures {
        0 => "none failed the contract".to_owned(),
        some => format!("{some} failed the contract"),
    };
    let (p0, confidence) = (gate.max_failure_rate, sure(gate.confidence));
    let claim = match tally.proved_unsafe() {
        Some(proof) if proof.trials < counts.trials => {
            format!("{} were more than the {} allowed", proof.of(counts.trials, "request"), percent(p0))
        }
        Some(_) => format!("that is more than the {} allowed", percent(p0)),
        None if verdict.upper_bound <= p0 => {
            format!("if traffic stays like this, under {} would", percent(p0))
        }
        None => format!("if traffic stays like this, at most {} would", at_most(verdict.upper_bound)),
    };
    let compared = plural(counts.trials, "compared request");
    let dates = dates(from, to);
    let text =
        format!("{compared}{who}, {dates}, {failed}: {claim} ({confidence}, however often you looked).");
    let verb = match counts.not_compared() {
        0 => return text,
        1 => "was",
        _ => "were",
    };
    let worst = at_most(verdict.worst_case);
    format!("{text} {} {verb} not compared; at worst {worst}.", counts.not_compared())
}

/// `14 Nov`, `12-14 Nov`, `30 Oct - 2 Nov`, with years where they differ.
fn dates(from: Timestamp, to: Timestamp) -> String {
    let show = |at: Timestamp, format: &str| at.strftime(format).to_string();
    let same = |format: &str| show(from, format) == show(to, format);
    if same("%Y-%m-%d") {
        show(to, "%-d %b")
    } else if same("%Y-%m") {
        format!("{}-{}", show(from, "%-d"), show(to, "%-d %b"))
    } else if same("%Y") {
        format!("{} - {}", show(from, "%-d %b"), show(to, "%-d %b"))
    } else {
        format!("{} - {}", show(from, "%-d %b %Y"), show(to, "%-d %b %Y"))
    }
}
