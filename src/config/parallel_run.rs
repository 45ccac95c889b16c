//! `[parallel_run]`, and of a route `shadow`, `compare` and `gate`.

use std::time::Duration;

use super::{
    kind::{Choice, DURATION, HEADER, List, Number, OrOff, POINTER, SIZE, WORDS, Whole},
    section::Section,
};
use crate::{
    parallel_run::settings::{Action, Gate, ImageLimits, Plan, Rule, Settings, Start},
    routing::Share,
};

const START: Choice<Start> = Choice(&[("after-control", Start::AfterControl), ("together", Start::Together)]);
const RULE: Choice<Action> = Choice(&[("ignore", Action::Ignore), ("shape", Action::Shape)]);
const DAY: Duration = Duration::from_hours(24);

pub(super) fn read(parallel_run: &mut Section<'_>) -> Settings {
    let redacted = ["authorization", "cookie", "set-cookie", "x-api-key"].map(http::HeaderName::from_static);
    let redact = parallel_run.or("redact", List(HEADER), redacted.into());
    Settings {
        queue: parallel_run.or("queue", Whole(1..=100_000), 256),
        workers: parallel_run.or("workers", Whole(1..=256), 2),
        max_body: parallel_run.or("max_body", SIZE, 32 << 20),
        keep_samples: parallel_run.or("keep_samples", DURATION, 7 * DAY),
        keep_comparisons: parallel_run.or("keep_comparisons", DURATION, 90 * DAY),
        redact: redact.iter().map(ToString::to_string).collect(),
    }
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
            compare.list("rule", rule).into_iter().flatten().collect(),
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

fn rule(rule: &mut Section<'_>) -> Option<Rule> {
    let path = rule.required("path", POINTER);
    let action = rule.required("rule", RULE);
    let reason = rule.required("reason", WORDS);
    Some(Rule { path: path?, action: action?, reason: reason? })
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
