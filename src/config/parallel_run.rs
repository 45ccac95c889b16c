//! `[parallel_run]`, and of a route `shadow`, `compare` and `gate`.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};

use super::{
    diagnostic::{Problem, Span},
    kind::{Choice, DURATION, Day, HEADER, List, Number, OrOff, POINTER, SIZE, Text, WORDS, Whole},
    section::{Document, Section},
};
use crate::{
    evidence::lake::Place,
    parallel_run::settings::{Action, Gate, ImageLimits, Plan, Rule, Settings, Start},
    routing::Share,
};

const START: Choice<Start> = Choice(&[("after-control", Start::AfterControl), ("together", Start::Together)]);
const RULE: Choice<Action> = Choice(&[("ignore", Action::Ignore), ("shape", Action::Shape)]);
const DAY: Duration = Duration::from_hours(24);

/// Where evidence may go.
const PLACE: Text<Place> = Text::new(
    "a folder, or a bucket such as \"s3://evidence/figueira\"",
    |text| Place::parse(text).map_err(|error| error.to_string()),
    Place::to_string,
);

pub(super) fn read(parallel_run: &mut Section<'_>) -> (Settings, Option<Place>) {
    let redacted = ["authorization", "cookie", "set-cookie", "x-api-key"].map(http::HeaderName::from_static);
    let redact = parallel_run.or("redact", List(HEADER), redacted.into());
    let export = parallel_run.or("export", OrOff(PLACE), None);
    let export = export.map(|place| place.beside(|folder| parallel_run.document().beside(folder)));
    let settings = Settings {
        queue: parallel_run.or("queue", Whole(1..=100_000), 256),
        workers: parallel_run.or("workers", Whole(1..=256), 2),
        max_body: parallel_run.or("max_body", SIZE, 32 << 20),
        keep_samples: parallel_run.or("keep_samples", DURATION, 7 * DAY),
        keep_comparisons: parallel_run.or("keep_comparisons", DURATION, 90 * DAY),
        redact: redact.iter().map(ToString::to_string).collect(),
    };
    (settings, export)
}

/// How a route is compared.
pub(super) fn plan(route: &mut Section<'_>) -> Plan {
    let (sample, max_in_flight, start, deadline) = route.section("shadow", |shadow| {
        (
            Share::from_fraction(shadow.or("sample", Number(0.0..=1.0), 1.0)).unwrap_or(Share::ALL),
            shadow.or("max_in_flight", Whole(1..=10_000), 4),
            shadow.or("start", START, Start::AfterControl),
            shadow.or("deadline", DURATION, Duration::from_mins(5)),
        )
    });
    let (headers, images, image, rules) = route.section("compare", |compare| {
        let contractual = ["content-type", "cache-control"].map(http::HeaderName::from_static);
        let headers = compare.or("headers", List(HEADER), contractual.into());
        (
            headers.iter().map(ToString::to_string).collect(),
            compare.or("images", List(POINTER), Vec::new()),
            compare.section("image", image),
            in_order(compare.document(), compare.list("rule", rule)),
        )
    });
    let gate = route.section("gate", gate);
    Plan { sample, max_in_flight, start, deadline, headers, images, image, rules, gate }
}

fn image(image: &mut Section<'_>) -> ImageLimits {
    ImageLimits {
        min_luma_deviation: image.or("min_luma_deviation", Number(0.0..=128.0), 2.0),
        min_entropy: image.or("min_entropy", Number(0.0..=8.0), 1.0),
        max_dominant: image.or("max_dominant", Number(0.0..=1.0), 0.98),
    }
}

/// A rule that is in force; one that has expired is not applied any more.
fn rule(rule: &mut Section<'_>) -> Option<(Rule, Span)> {
    let path = rule.required("path", POINTER);
    let action = rule.required("rule", RULE);
    let reason = rule.required("reason", WORDS);
    let (owner, until) = (rule.optional("owner", WORDS), rule.optional("until", Day));
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
    let expired = until.filter(|until| *until < today);
    if let Some(until) = expired {
        let whom = owner.map_or_else(String::new, |owner| format!("ask {owner}; "));
        let help =
            format!("{whom}take the rule out, or set a later date: until then its path is compared again");
        rule.warning("until", format!("this rule expired on {until} and is not applied"), help);
    }
    let rule_at = rule.span_of("path");
    let rule = Rule { path: path?, action: action?, reason: reason? };
    expired.is_none().then_some((rule, rule_at))
}

/// The first rule of a path speaks for it.
fn in_order(document: &Document<'_>, rules: Vec<Option<(Rule, Span)>>) -> Vec<Rule> {
    let mut kept: Vec<(Rule, Span)> = Vec::new();
    for (rule, span) in rules.into_iter().flatten() {
        if let Some((_, first)) = kept.iter().find(|(known, _)| known.path == rule.path) {
            document.report(
                Problem::warning(format!("an earlier rule speaks for \"{}\"", rule.path))
                    .at(span.clone())
                    .related(first.clone(), "this one")
                    .help("leave one of them out"),
            );
        }
        kept.push((rule, span));
    }
    kept.into_iter().map(|(rule, _)| rule).collect()
}

fn gate(gate: &mut Section<'_>) -> Gate {
    Gate {
        max_failure_rate: gate.or("max_failure_rate", Number(1e-6..=0.5), 0.01),
        confidence: gate.or("confidence", Number(0.5..=0.999_999), 0.95),
        calibration: gate.or("calibration", Whole(0..=1_000_000), 20),
        per_subject: gate.or("per_subject", Whole(1..=1_000_000), 1),
        min_subjects: gate.or("min_subjects", Whole(0..=1_000_000_000), 30),
        min_pairs_per_stratum: gate.or("min_pairs_per_stratum", Whole(0..=1_000_000_000), 30),
        min_days: gate.or("min_days", Whole(0..=3650), 0),
        max_skipped: gate.or("max_skipped", Number(0.0..=1.0), 0.1),
        max_latency_ratio: gate.or("max_latency_ratio", OrOff(Number(0.001..=1000.0)), Some(1.0)),
        max_pairs: gate.or("max_pairs", OrOff(Whole(1..=1_000_000_000)), None),
    }
}
