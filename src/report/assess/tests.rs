//! What a route still needs, and what stands against it.

use std::time::Duration;

use super::*;
use crate::{
    evidence::read::{Acknowledged, Pair, Raised},
    parallel_run::{
        calibration::ValueClass,
        comparison::{Alarm, Class, Difference, DifferenceKind, Severity, Skip},
        settings::{Gate, Rule},
        testing,
    },
    report::{Report, render},
    routing::{Canary, Candidate, Fallback, Mode, Subject, pattern::Pattern},
};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A shadowed route whose subject is a cookie.
pub(in crate::report) fn a_route(name: &str) -> Route {
    Route {
        name: name.into(),
        line: 1,
        methods: vec![],
        path: Pattern::new("/api/images").unwrap(),
        host: crate::routing::Host::Any,
        conditions: Vec::new(),
        mode: Mode::Shadow,
        brake: None,
        candidate: Candidate::Generator,
        control: "monolith".into(),
        subject: Some(Subject::Cookie("session".into())),
        canary: Canary::default(),
        fallback: Fallback::WhenSafe,
        timeout: None,
    }
}

/// The defaults, but for `min_days`.
pub(in crate::report) fn a_plan(min_days: u64) -> Plan {
    let plan = testing::plan();
    let rule = Rule { path: "/created".into(), action: Action::Shape, reason: "time of generation".into() };
    Plan { rules: vec![rule], gate: Gate { min_days, ..plan.gate }, ..plan }
}

const NOTHING: Pair<'_> = Pair {
    id: Uuid::nil(),
    at: Timestamp::UNIX_EPOCH,
    class: Class::Calibration,
    stratum: "-",
    subject: None,
    control: None,
    candidate: None,
    candidate_cost_usd: 0.0,
    gateway: "edge-1",
    alarms: &[],
};

/// Pairs from 12 to 14 November, each of its own subject, the `failed` ones last.
fn known(route: &Route, others: &[(Class, u32)], passed: u32, failed: u32) -> Known {
    let mut pairs = Collector::new(route, &a_plan(2));
    let (from, to) = (at("2026-11-12T08:00:00Z"), at("2026-11-14T20:00:00Z"));
    for (class, n) in others {
        (0..*n).for_each(|_| pairs.pair(&Pair { at: from, class: *class, ..NOTHING }));
    }
    let step = to.duration_since(from) / i32::try_from((passed + failed).max(2) - 1).unwrap();
    for i in 0..passed + failed {
        pairs.pair(&Pair {
            at: from + step * i32::try_from(i).unwrap(),
            class: if i < passed { Class::Match } else { Class::Mismatch },
            subject: Some(&format!("{i:x}")),
            stratum: if i % 4 == 0 { "512x512/1/local" } else { "1024x1024/1/local" },
            control: Some(Duration::from_millis(1_500 + u64::from(i * 37 % 400))),
            candidate: Some(Duration::from_millis(90 + u64::from(i * 13 % 50))),
            candidate_cost_usd: 0.0625,
            ..NOTHING
        });
    }
    Known {
        id: "9f86d081884c7d65".into(),
        number: 2,
        started_at: at("2026-11-12T07:31:00Z"),
        changed: vec!["rules".into()],
        requests: 1_024,
        findings: Vec::new(),
        states: PathStates {
            shapes: [("/imagem".to_owned(), ValueClass::GeneratedName(Some("png".into())))].into(),
            dynamic: [].into(),
        },
        pairs,
    }
}

fn safe(route: &Route) -> Known {
    let others = [
        (Class::Calibration, 20),
        (Class::Skipped(Skip::Queue), 9),
        (Class::Skipped(Skip::ClientGone), 3),
        (Class::DuplicateSubject, 41),
    ];
    known(route, &others, 358, 0)
}

fn bad(route: &Route) -> Known {
    let mut known = known(route, &[(Class::Calibration, 20)], 40, 6);
    let mut differ =
        |pairs: u64, path: &str, kind, severity, control: Option<&str>, candidate: Option<&str>| {
            let rule = (path == "/created").then(|| path.to_owned());
            let (control, candidate) = (control.map(Into::into), candidate.map(Into::into));
            let difference = Difference { path: path.into(), kind, control, candidate, severity, rule };
            let examples = vec![(Uuid::from_u128(pairs.into()), difference)];
            known.findings.push(Finding { path: path.into(), kind, pairs, severity, examples });
        };
    let long = "long ".repeat(50);
    differ(4, "/msg", DifferenceKind::Value, Severity::Failure, Some(&long), Some("\"a\u{1b}[31m\""));
    differ(1, "/created", DifferenceKind::Shape, Severity::Failure, Some("1795465440"), Some("\"now\""));
    differ(1, "/extra", DifferenceKind::Extra, Severity::Failure, None, Some("object with a, b"));
    differ(9, "image:0", DifferenceKind::Image, Severity::Info, Some("no alpha"), Some("alpha"));
    let last = at("2026-11-14T20:00:01Z");
    let said = Acknowledged { at: last, who: "ana, by figueira ack".into(), reason: "known".into() };
    let alarms = [(Alarm::Blank, None), (Alarm::WrongSize, Some(said))]
        .map(|(kind, acknowledged)| Raised { kind, acknowledged });
    let id = Uuid::from_u128(7);
    known.pairs.pair(&Pair { id, at: last, class: Class::Mismatch, alarms: &alarms, ..NOTHING });
    known
}

fn report(routes: Vec<RouteReport>) -> Report {
    Report { schema: 1, generated_at: "2026-11-15T09:00:00Z".into(), routes }
}

fn now() -> Timestamp {
    at("2026-11-15T09:00:00Z")
}

fn five() -> Report {
    let mut nameless = a_route("an-old-form");
    nameless.subject = None;
    let assess = |of: Route, known: &dyn Fn(&Route) -> Option<Known>| {
        route(&of, &a_plan(2), known(&of).as_ref(), now())
    };
    let learning = [(Class::Calibration, 12), (Class::ControlFailed, 1)];
    report(vec![
        assess(a_route("generate-image"), &|route| Some(safe(route))),
        assess(Route { mode: Mode::Canary, ..a_route("edit-image") }, &|route| Some(bad(route))),
        assess(nameless, &|route| Some(known(route, &[], 69, 0))),
        assess(a_route("upscale"), &|route| Some(known(route, &learning, 0, 0))),
        assess(Route { mode: Mode::Monolith, ..a_route("gallery") }, &|_| None),
    ])
}

#[test]
fn the_table_of_routes() {
    insta::assert_snapshot!(render::text(&five(), render::Detail::Table));
}

#[test]
fn everything_about_each_route() {
    insta::assert_snapshot!(render::text(&five(), render::Detail::Full));
}

#[test]
fn text_fits_a_hundred_columns_and_holds_nothing_a_terminal_obeys() {
    for detail in [render::Detail::Table, render::Detail::Full] {
        let text = render::text(&five(), detail);
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(100), "{widest:?}\n{text}");
        assert!(!text.contains('\u{1b}'));
    }
}

/// With nine digits: the last ones are the machine's.
fn rounded(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Number(number) if number.is_f64() => {
            *value = format!("{:.9e}", number.as_f64().unwrap()).parse::<f64>().unwrap().into();
        }
        serde_json::Value::Array(elements) => elements.iter_mut().for_each(rounded),
        serde_json::Value::Object(fields) => fields.values_mut().for_each(rounded),
        _ => {}
    }
}

#[test]
fn the_json_contract() {
    let all = five();
    let [safe, bad, .., never] = &all.routes[..] else { panic!("five routes") };
    let json = render::json(&report(vec![safe.clone(), bad.clone(), never.clone()])).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&json).unwrap();
    rounded(&mut json);
    insta::assert_snapshot!(serde_json::to_string_pretty(&json).unwrap());
}

#[test]
fn counts_add_up() {
    for route in five().routes {
        let counts = &route.counts;
        let rest =
            counts.calibration + counts.control_failed + counts.incomparable + counts.duplicate_subject;
        assert_eq!(
            counts.sampled,
            counts.trials + rest + counts.skipped.values().sum::<u64>(),
            "{}",
            route.name
        );
        assert_eq!(route.pairs, counts.trials);
        assert_eq!(counts.failures + counts.matched + counts.expected, counts.trials);
    }
}

#[test]
fn numbers_stay_finite_however_much_is_known() {
    let of = a_route("r");
    let reported = route(&of, &a_plan(2), Some(&known(&of, &[], 100_000, 0)), now());
    assert!(reported.log10_e_safe > 300.0);
    assert!((reported.e_safe / 1e300 - 1.0).abs() < 1e-9);
    assert!((0.0..1e-100).contains(&reported.e_unsafe));
}

#[test]
fn the_sentence_names_what_was_not_compared() {
    let of = a_route("r");
    let words = route(&of, &a_plan(2), Some(&safe(&of)), now()).words;
    assert_eq!(
        words,
        "358 compared requests from 358 users, 12-14 Nov, none failed the contract: if traffic stays like this, \
         under 1 % would (95 %, however often you looked). 12 were not compared; at worst 4.21 %."
    );
}
