//! `[parallel_run]`, and of a route `shadow`, `compare` and `gate`.

mod rule;

use std::{sync::Arc, time::Duration};

use super::{
    kind::{Choice, DURATION, Flag, HEADER, List, Number, OrOff, POINTER, SIZE, Text, Whole},
    section::Section,
};
use crate::{
    evidence::lake::Place,
    forwarding::upstream::Settings as Upstream,
    generator::{
        self,
        settings::{Contract, Draws},
    },
    parallel_run::settings::{
        Action, Answers, Beside, Gate, ImageLimits, Plan, Reverse, Rule, Settings, Start,
    },
    routing::{Candidate, Route, Share},
};

const START: Choice<Start> = Choice(&[("after-control", Start::AfterControl), ("together", Start::Together)]);
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
        max_lag: parallel_run.or("max_lag", DURATION, Duration::from_millis(250)),
        max_share: parallel_run.or("max_share", OrOff(Number(0.0..=1.0)), Some(0.005)),
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
    let shadow = route.section("shadow", shadow);
    let (headers, images, image, rules) = route.section("compare", |compare| {
        let contractual = ["content-type", "cache-control", "location"].map(http::HeaderName::from_static);
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

/// Adds to a route's plan who answers, and who answers instead.
pub(super) fn with_arms(
    plan: Plan,
    route: &Route,
    contract: Option<&Contract>,
    draws: &Draws,
    upstreams: &[&Upstream],
) -> Plan {
    let plan = Plan { control: Arc::clone(&route.control), ..plan };
    match (&route.candidate, contract) {
        (Candidate::Upstream(name), _) => {
            let behaviour = format!("upstream/{}", told(name, upstreams));
            Plan { answers: Answers { behaviour, ..Answers::default() }, ..plan }
        }
        (Candidate::Generator, contract) => {
            let contract = contract.unwrap_or(&Contract::Article);
            let drawn_by = match draws {
                Draws::Local => draws.model(),
                Draws::OpenAi(openai) => format!("{} at {}", draws.model(), openai.base_url),
            };
            let answers = Answers {
                behaviour: format!("generator/{}/{drawn_by}", generator::BEHAVIOUR),
                contract: contract.version(),
                images: contract.image_pointers().iter().map(ToString::to_string).collect(),
                wordings: contract.wordings().iter().map(|path| wording(path)).collect(),
            };
            Plan { answers, beside: Beside::Told, ..plan }
        }
    }
}

/// An upstream as evidence knows it: one that does not tell its own version is whoever is where it is.
fn told(name: &str, upstreams: &[&Upstream]) -> String {
    match upstreams.iter().find(|upstream| *upstream.name == *name) {
        Some(upstream) if upstream.version_header.is_none() => format!("{name} at {}", upstream.authority()),
        _ => name.to_owned(),
    }
}

/// What a contract says to people may be worded otherwise.
fn wording(path: &str) -> Rule {
    let reason = "the contract's own words for people".to_owned();
    Rule { path: path.to_owned(), action: Action::Shape, reason, owner: None, until: None }
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
        image: ImageLimits::DEFAULT,
        rules: Vec::new(),
        expired: Vec::new(),
        beside: Beside::Demanded,
        gate: Gate::DEFAULT,
        control: Arc::default(),
        answers: Answers::default(),
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
    let ImageLimits { min_luma_deviation, min_entropy, max_dominant } = ImageLimits::DEFAULT;
    ImageLimits {
        min_luma_deviation: image.or("min_luma_deviation", Number(0.0..=128.0), min_luma_deviation),
        min_entropy: image.or("min_entropy", Number(0.0..=8.0), min_entropy),
        max_dominant: image.or("max_dominant", Number(0.0..=1.0), max_dominant),
    }
}

fn gate(gate: &mut Section<'_>) -> Gate {
    Gate {
        max_failure_rate: gate.or("max_failure_rate", Number(1e-6..=0.5), Gate::DEFAULT.max_failure_rate),
        confidence: gate.or("confidence", Number(0.5..=0.999_999), Gate::DEFAULT.confidence),
        calibration: gate.or("calibration", Whole(0..=1_000_000), Gate::DEFAULT.calibration),
        per_subject: gate.or("per_subject", Whole(1..=1_000_000), Gate::DEFAULT.per_subject),
        min_subjects: gate.or("min_subjects", Whole(0..=1_000_000_000), Gate::DEFAULT.min_subjects),
        min_pairs_per_stratum: gate.or(
            "min_pairs_per_stratum",
            Whole(0..=1_000_000_000),
            Gate::DEFAULT.min_pairs_per_stratum,
        ),
        min_days: gate.or("min_days", Whole(0..=3650), Gate::DEFAULT.min_days),
        max_skipped: gate.or("max_skipped", Number(0.0..=1.0), Gate::DEFAULT.max_skipped),
        max_latency_ratio: gate.or(
            "max_latency_ratio",
            OrOff(Number(0.001..=1000.0)),
            Gate::DEFAULT.max_latency_ratio,
        ),
        max_cost_ratio: gate.or(
            "max_cost_ratio",
            OrOff(Number(0.001..=1000.0)),
            Gate::DEFAULT.max_cost_ratio,
        ),
        control_usd_per_image: gate.or(
            "control_usd_per_image",
            OrOff(Number(0.000_001..=1000.0)),
            Gate::DEFAULT.control_usd_per_image,
        ),
        max_pairs: gate.or("max_pairs", OrOff(Whole(1..=1_000_000_000)), Gate::DEFAULT.max_pairs),
    }
}
