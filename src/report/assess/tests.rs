//! What a route still needs, and what stands against it.

use std::{collections::BTreeMap, time::Duration};

use super::*;
use crate::parallel_run::settings::Action;
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
    let rule = Rule {
        path: "/created".into(),
        action: Action::Shape,
        reason: "time of generation".into(),
        owner: None,
        until: None,
    };
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
    control_cost_usd: 0.0,
    candidate_cost_usd: Some(0.0),
    gateway: "edge-1",
    alarms: &[],
    times: 1,
};

/// Pairs from 12 to 14 November, each of its own subject, the `failed` ones last.
fn known(route: &Route, others: &[(Class, u32)], passed: u32, failed: u32) -> Known {
    let mut pairs = Collector::new(route, &a_plan(2), Past::default());
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
            candidate_cost_usd: Some(0.0625),
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
            shapes: [("/imagem".to_owned(), Some(ValueClass::GeneratedName(Some("png".into()))))].into(),
            ..PathStates::default()
        },
        rules: [("/created".to_owned(), 3)].into(),
        previews: 0,
        spent_today: 1.25,
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
fn every_other_state_in_words() {
    let assess = |name: &str, plan: &Plan, known: Known, now| route(&a_route(name), plan, Some(&known), now);
    let of = a_route("any");
    let mut limited = a_plan(2);
    (limited.gate.max_pairs, limited.gate.per_subject) = (Some(50), 50);
    let mut few = Known { pairs: Collector::new(&of, &limited, Past::default()), ..known(&of, &[], 0, 0) };
    let from = at("2026-11-12T08:00:00Z");
    (0..50).for_each(|_| few.pairs.pair(&Pair { at: from, class: Class::Match, ..NOTHING }));
    let much_later = at("2026-12-15T09:00:00Z");
    let states = vec![
        assess("failing", &a_plan(2), known(&of, &[], 40, 12), now()),
        assess("forgotten", &a_plan(2), safe(&of), much_later),
        assess("too-dear", &limited, few, now()),
    ];
    let verdicts: Vec<State> = states.iter().map(|route| route.verdict).collect();
    assert_eq!(verdicts, [State::Unsafe, State::Stale, State::Inconclusive]);
    insta::assert_snapshot!(render::text(&report(states), render::Detail::Full));
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

#[test]
fn a_difference_that_only_others_have_seen_says_where_its_examples_are() {
    let of = a_route("r");
    let mut known = known(&of, &[], 40, 6);
    let (kind, severity) = (DifferenceKind::Value, Severity::Failure);
    known.findings.push(Finding { path: "/price".into(), kind, pairs: 3, severity, examples: Vec::new() });
    let report = report(vec![route(&of, &a_plan(2), Some(&known), now())]);
    for text in [render::text(&report, render::Detail::Full), render::html(&report, &BTreeMap::new())] {
        assert!(text.contains("No example is kept here: another gateway has seen it"), "{text}");
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

/// What of `value` is not as `schema` says: those words of JSON Schema that ours uses.
fn faults(schema: &serde_json::Value, value: &serde_json::Value, at: &str, found: &mut Vec<String>) {
    use serde_json::Value;
    let mut say = |what: &str| found.push(format!("{at}: {what} ({value})"));
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        other => panic!("no such type: {other}"),
    };
    let types: Vec<&str> = match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    };
    if !types.is_empty() && !types.iter().any(|name| is(name)) {
        say(&format!("is no {types:?}"));
    }
    if schema.get("const").is_some_and(|only| only != value) {
        say("is another");
    }
    let below = schema["minimum"].as_f64().zip(value.as_f64()).is_some_and(|(least, is)| is < least);
    let above = schema["maximum"].as_f64().zip(value.as_f64()).is_some_and(|(most, is)| is > most);
    if below || above {
        say("is out of range");
    }
    if schema["format"] == "date-time"
        && value.as_str().is_some_and(|text| text.parse::<Timestamp>().is_err())
    {
        say("is no instant");
    }
    if let Some(fields) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                say(&format!("lacks {name}"));
            }
        }
        for (name, field) in fields {
            let known = schema["properties"].get(name).or_else(|| schema.get("additionalProperties"));
            match known {
                Some(schema) => faults(schema, field, &format!("{at}/{name}"), found),
                None => found.push(format!("{at}/{name} is not in the schema")),
            }
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        faults(&schema["items"], item, &format!("{at}/{index}"), found);
    }
}

#[test]
fn the_json_is_as_its_schema_says() {
    let schema: serde_json::Value =
        serde_json::from_str(include_str!("../../../report.schema.json")).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&render::json(&five()).unwrap()).unwrap();
    let mut found = Vec::new();
    faults(&schema, &json, "", &mut found);
    assert_eq!(found, [""; 0]);
    // And the schema sees what is wrong.
    json["routes"][0]["pairs"] = (-1).into();
    json["routes"][1].as_object_mut().unwrap().remove("brake");
    json["routes"][2]["window"]["from"] = "yesterday".into();
    faults(&schema, &json, "", &mut found);
    assert_eq!(found.len(), 3, "{found:?}");
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
