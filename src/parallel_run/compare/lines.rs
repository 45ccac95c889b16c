//! Texts, line by line, but for what the control makes up anew in them.

use std::borrow::Cow;

use super::{Findings, MAX_SIDE};
use crate::parallel_run::{
    calibration::PathStates,
    comparison::{DifferenceKind, Severity},
    settings::{Action, Rule},
};

/// Compares two texts by the rule that speaks for all of them.
pub(super) fn compare(
    rule: Option<&Rule>,
    states: &PathStates,
    (control, candidate): (&str, &str),
    findings: &mut Findings,
) {
    let admits = |one: &str, two: &str| match rule {
        Some(Rule { action: Action::Regex(pattern), .. }) => pattern.is_match(one) && pattern.is_match(two),
        _ => false,
    };
    let (ours, theirs): (Vec<_>, Vec<_>) = (control.lines().collect(), candidate.lines().collect());
    for (index, (one, two)) in ours.iter().zip(&theirs).enumerate() {
        if let Some(place) = states.part_at("", one, two)
            && !admits(one, two)
        {
            let (one, two) = (from(one, place.0), from(two, place.1));
            differ(rule, format!("line:{}", index + 1), DifferenceKind::Value, [&one, &two], findings);
        }
    }
    if ours.len() != theirs.len() {
        let (ours, theirs) = (ours.len().to_string(), theirs.len().to_string());
        differ(rule, "lines".to_owned(), DifferenceKind::Length, [&ours, &theirs], findings);
    }
}

/// A difference of what no pointer leads into; it counts unless the rule expects it.
pub(super) fn differ(
    rule: Option<&Rule>,
    path: String,
    kind: DifferenceKind,
    [control, candidate]: [&str; 2],
    findings: &mut Findings,
) {
    let is_expected = rule.is_some_and(|rule| rule.action == Action::Expected);
    let severity = if is_expected { Severity::Expected } else { Severity::Failure };
    let rule = rule.map(|rule| rule.path.as_str());
    findings.add(path, kind, [Some(control), Some(candidate)], severity, rule);
}

/// A line as it is told: from `place` on where that would be cut off, since a page may be one line.
fn from(line: &str, place: usize) -> Cow<'_, str> {
    match line.get(place..) {
        Some(rest) if place >= MAX_SIDE / 2 => format!("..{rest}").into(),
        _ => line.into(),
    }
}
