//! `[parallel_run]`, and of a route `shadow`, `compare` and `gate`.

mod rule;

use std::time::Duration;

use super::{
    kind::{Choice, DURATION, Flag, HEADER, List, Number, OrOff, POINTER, SIZE, Whole},
    section::Section,
};
use crate::{
    parallel_run::settings::{Beside, Gate, ImageLimits, Plan, Reverse, Settings, Start},
    routing::Share,
};

const START: Choice<Start> = Choice(&[("after-control", Start::AfterControl), ("together", Start::Together)]);
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
    let shadow = route.section("shadow", shadow);
    let (headers, images, image, rules) = route.section("compare", |compare| {
        let contractual = ["content-type", "cache-control"].map(http::HeaderName::from_static);
        let headers = compare.or("headers", List(HEADER), contractual.into());
        (
            headers.iter().map(ToString::to_string).collect(),
            compare.or("images", List(POINTER), Vec::new()),
            compare.section("image", image),
            compare.list("rule", rule::read),
        )
    });
    let document = route.document();
    let (rules, expired) = rule::in_order(document, rules);
    let gate = route.section("gate", gate);
    Plan { headers, images, image, rules, expired, gate, ..shadow }
}

/// `shadow`, in a plan that says nothing else yet.
fn shadow(shadow: &mut Section<'_>) -> Plan {
    let share = |fraction: f64| Share::from_fraction(fraction).unwrap_or(Share::ALL);
    let plan = Plan {
        sample: share(shadow.or("sample", Number(0.0..=1.0), 1.0)),
        after_verdict: share(shadow.or("after_verdict", Number(0.0..=1.0), 0.01)),
        max_in_flight: shadow.or("max_in_flight", Whole(1..=10_000), 4),
        max_per_minute: shadow.or("max_per_minute", OrOff(Whole(1..=1_000_000)), None),
        start: shadow.or("start", START, Start::AfterControl),
        deadline: shadow.or("deadline", DURATION, Duration::from_mins(5)),
        budget_usd_per_day: shadow.or("budget_usd_per_day", OrOff(Number(0.0..=1e9)), None),
        repeat_control: share(shadow.or("repeat_control", Number(0.0..=1.0), 0.0)),
        reverse: if shadow.or("reverse", Flag, false) { Reverse::On } else { Reverse::Off },
        headers: Vec::new(),
        images: Vec::new(),
        image: ImageLimits { min_luma_deviation: 2.0, min_entropy: 1.0, max_dominant: 0.98 },
        rules: Vec::new(),
        expired: Vec::new(),
        beside: Beside::Demanded,
        gate: GATE,
    };
    if !shadow.or("control_repeatable", Flag, false) {
        let help = "control_repeatable = true says that asking it again has no effect: no credit taken, no row written";
        if plan.repeat_control > Share::NONE {
            shadow.error("repeat_control", "`repeat_control` asks the control a second time", help);
        }
        if plan.reverse == Reverse::On {
            shadow.error("reverse", "`reverse` asks the control beside the candidate", help);
        }
    }
    plan
}

fn image(image: &mut Section<'_>) -> ImageLimits {
    ImageLimits {
        min_luma_deviation: image.or("min_luma_deviation", Number(0.0..=128.0), 2.0),
        min_entropy: image.or("min_entropy", Number(0.0..=8.0), 1.0),
        max_dominant: image.or("max_dominant", Number(0.0..=1.0), 0.98),
    }
}

/// The defaults.
const GATE: Gate = Gate {
    max_failure_rate: 0.01,
    confidence: 0.95,
    calibration: 20,
    per_subject: 1,
    min_subjects: 30,
    min_pairs_per_stratum: 30,
    min_days: 0,
    max_skipped: 0.1,
    max_latency_ratio: Some(1.0),
    max_cost_ratio: None,
    max_pairs: None,
};

fn gate(gate: &mut Section<'_>) -> Gate {
    Gate {
        max_failure_rate: gate.or("max_failure_rate", Number(1e-6..=0.5), GATE.max_failure_rate),
        confidence: gate.or("confidence", Number(0.5..=0.999_999), GATE.confidence),
        calibration: gate.or("calibration", Whole(0..=1_000_000), GATE.calibration),
        per_subject: gate.or("per_subject", Whole(1..=1_000_000), GATE.per_subject),
        min_subjects: gate.or("min_subjects", Whole(0..=1_000_000_000), GATE.min_subjects),
        min_pairs_per_stratum: gate.or(
            "min_pairs_per_stratum",
            Whole(0..=1_000_000_000),
            GATE.min_pairs_per_stratum,
        ),
        min_days: gate.or("min_days", Whole(0..=3650), GATE.min_days),
        max_skipped: gate.or("max_skipped", Number(0.0..=1.0), GATE.max_skipped),
        max_latency_ratio: gate.or(
            "max_latency_ratio",
            OrOff(Number(0.001..=1000.0)),
            GATE.max_latency_ratio,
        ),
        max_cost_ratio: gate.or("max_cost_ratio", OrOff(Number(0.001..=1000.0)), GATE.max_cost_ratio),
        max_pairs: gate.or("max_pairs", OrOff(Whole(1..=1_000_000_000)), GATE.max_pairs),
    }
}
