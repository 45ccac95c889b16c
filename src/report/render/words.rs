//! What the evidence proves, in one sentence that a person can repeat.

use jiff::Timestamp;

use crate::parallel_run::{
    settings::Plan,
    verdict::{
        State, Subjects, Tally, Verdict,
        gate::{percent, plural},
        martingale::threshold,
    },
};

/// *"358 compared requests from 358 users, 12-14 Nov, none failed the contract: ..."*
pub(in crate::report) fn sentence(plan: &Plan, tally: &Tally, verdict: &Verdict) -> String {
    let (counts, gate) = (tally.counts(), &plan.gate);
    let Some((from, to)) = tally.window() else {
        return match verdict.state {
            State::None => "Never sampled.".to_owned(),
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
    let (p0, confidence) = (gate.max_failure_rate, percent(gate.confidence));
    let claim = if verdict.log10_unsafe >= threshold(verdict.alpha, 1) {
        format!("that is more than the {} allowed", percent(p0))
    } else if verdict.upper_bound <= p0 {
        format!("if traffic stays like this, under {} would", percent(p0))
    } else {
        format!("if traffic stays like this, at most {} would", percent(verdict.upper_bound))
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
    let worst = percent(verdict.worst_case);
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
