//! Answers that agree, and answers that do not.

use ::image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::*;
use crate::parallel_run::{
    answer::{Asked, Delivery, FetchedImage},
    calibration::{Learner, ValueClass},
    settings::{Action, Beside, Rule},
    testing,
};

mod documents;
mod images;
mod letters;
mod noise;
mod pictures;
mod rules;

fn plan(rules: &[(&str, Action)]) -> Plan {
    let rule = |(path, action): &(&str, Action)| Rule {
        path: (*path).into(),
        action: action.clone(),
        reason: "because".into(),
        owner: None,
        until: None,
    };
    Plan { rules: rules.iter().map(rule).collect(), ..testing::plan() }
}

fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
    let headers = headers
        .iter()
        .map(|(name, value)| (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap()));
    let headers: HeaderMap = headers.collect();
    Answer { status, headers, body: body.into(), images: vec![], asked: Asked::default() }
}

fn json_answer(body: &Value) -> Answer {
    answer(200, &[("content-type", "application/json")], body.to_string())
}

fn judge(control: &Value, candidate: &Value, rules: &[(&str, Action)], states: &PathStates) -> Judgement {
    compare(&plan(rules), states, &json_answer(control), &json_answer(candidate))
}

fn found(judgement: &Judgement) -> Vec<(&str, DifferenceKind)> {
    judgement.differences.iter().map(|difference| (difference.path.as_str(), difference.kind)).collect()
}

#[test]
fn equal_answers_match() {
    let body = json!({"a": [1, {"b": null}], "c": "x"});
    let reordered = json!({"c": "x", "a": [1, {"b": null}]});
    let judgement = judge(&body, &reordered, &[], &PathStates::default());
    assert_eq!((judgement.class, judgement.differences.len()), (Class::Match, 0));
}

#[test]
fn every_kind_of_json_difference_is_told_by_its_path() {
    let control = json!({"gone": 1, "type": 1, "value": "a", "order": [1, 2], "length": [1, 2], "list": [{"x": 1}, {"x": 2}], "a/b": 1});
    let candidate = json!({"type": "1", "value": "b", "order": [2, 1], "length": [1], "list": [{"x": 1}, {"x": 3}], "a/b": 2, "new": 1});
    let judgement = judge(&control, &candidate, &[], &PathStates::default());
    assert_eq!(judgement.class, Class::Mismatch);
    assert_eq!(
        found(&judgement),
        [
            ("/gone", DifferenceKind::Missing),
            ("/type", DifferenceKind::Type),
            ("/value", DifferenceKind::Value),
            ("/order", DifferenceKind::Order),
            ("/length", DifferenceKind::Length),
            ("/list/*/x", DifferenceKind::Value),
            ("/a~1b", DifferenceKind::Value),
            ("/new", DifferenceKind::Extra),
        ]
    );
    let value = &judgement.differences[2];
    assert_eq!((value.control.as_deref(), value.candidate.as_deref()), (Some("\"a\""), Some("\"b\"")));
}

#[test]
fn rules_win_over_everything_below_their_path() {
    let control = json!({"usage": {"tokens": 1}, "created": 1_795_465_440, "id": "a", "extra": {"debug": 1}});
    let candidate = json!({"usage": {"tokens": "many", "more": 1}, "created": 1_795_465_470, "id": "b"});
    let rules = [
        ("/usage", Action::Ignore),
        ("/created", Action::Shape),
        ("/extra/*", Action::Ignore),
        ("/id", Action::Shape),
    ];
    let judgement = judge(&control, &candidate, &rules, &PathStates::default());
    assert_eq!(found(&judgement), [("/extra", DifferenceKind::Missing)]);

    let judgement =
        judge(&json!({"created": 1_795_465_440}), &json!({"created": 7}), &rules, &PathStates::default());
    assert_eq!(found(&judgement), [("/created", DifferenceKind::Shape)]);
    assert_eq!(judgement.differences[0].rule.as_deref(), Some("/created"));
    let judgement = judge(&json!({"created": null}), &json!({"created": 7}), &rules, &PathStates::default());
    assert_eq!(found(&judgement), [("/created", DifferenceKind::Type)]);
}

fn learned(bodies: &[Value]) -> PathStates {
    let mut learner = Learner::default();
    for body in bodies {
        learner.observe(&json_answer(body));
        // What a restart would do.
        learner = serde_json::from_str(&serde_json::to_string(&learner).unwrap()).unwrap();
    }
    learner.freeze()
}

#[test]
fn calibration_tells_what_is_made_up_anew_from_what_is_meant() {
    let body = |n: u64| {
        json!({
            "processed": 200, "city": "Porto", "kind": n % 2,
            "id": uuid::Uuid::from_u128(u128::from(n) << 64).to_string(),
            "name": format!("img-{:08x}.png", n * 7_919),
            "trace": format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            "account": "c0ffee00c0ffee00",
            "counter": n, "data": [{"url": format!("https://cdn.example/i/{:012x}.png", n * 104_729)}],
        })
    };
    let states = learned(&(1..=5).map(body).collect::<Vec<_>>());
    let shapes: Vec<_> = states.shapes.iter().map(|(path, class)| (path.as_str(), class.clone())).collect();
    assert_eq!(
        shapes,
        [
            ("/data/*/url", Some(ValueClass::Url("https://cdn.example/i/*.png".into()))),
            ("/id", Some(ValueClass::Uuid)),
            ("/name", Some(ValueClass::GeneratedName(Some("png".into())))),
            ("/trace", Some(ValueClass::Hex(16))),
        ]
    );
    let mut other = body(99);
    other["counter"] = json!(1);
    let judgement = judge(&body(1), &other, &[], &states);
    assert_eq!(judgement.class, Class::Match, "{:?}", judgement.differences);
    other["name"] = json!("picture.png");
    other["data"][0]["url"] = json!("https://elsewhere.example/i/0123456789ab.png");
    other["account"] = json!("c0ffee00c0ffee01");
    let judgement = judge(&body(1), &other, &[], &states);
    assert_eq!(
        found(&judgement),
        [
            ("/name", DifferenceKind::Shape),
            ("/account", DifferenceKind::Value),
            ("/data/*/url", DifferenceKind::Shape)
        ]
    );
}

#[test]
fn two_answers_of_one_second_do_not_make_their_time_a_constant() {
    let now = |date: &str, created: i64| {
        let mut answer = json_answer(&json!({"created": created, "founded": 1_500_000_000}));
        answer.headers.insert("date", HeaderValue::try_from(date).unwrap());
        answer
    };
    let mut learner = Learner::default();
    for _ in 0..3 {
        learner.observe(&now("Mon, 23 Nov 2026 20:24:00 GMT", 1_795_465_440));
    }
    let states = learner.freeze();
    assert_eq!(states.shapes.keys().collect::<Vec<_>>(), ["/created"]);
}

#[test]
fn made_up_keys_are_paired_and_known_keys_are_not() {
    let body = |key: u64, value: i32| {
        let mut jobs = serde_json::Map::new();
        jobs.insert(format!("{:016x}", key.wrapping_mul(0x9e37_79b9_7f4a_7c15)), json!({"state": value}));
        jobs.insert("total".into(), json!(1));
        json!({"jobs": jobs})
    };
    let states = learned(&[body(1, 0), body(2, 0), body(3, 0)]);
    assert!(states.dynamic.contains("/jobs"));
    assert_eq!(judge(&body(4, 0), &body(5, 0), &[], &states).class, Class::Match);
    let judgement = judge(&body(4, 0), &body(5, 1), &[], &states);
    assert_eq!(found(&judgement), [("/jobs/*/state", DifferenceKind::Value)]);
    let unlearned = judge(&body(4, 0), &body(5, 0), &[], &PathStates::default());
    assert_eq!(unlearned.differences.len(), 2, "missing and extra");
}

#[test]
fn a_refusal_on_one_side_only_is_a_difference() {
    let judge = |control: u16, candidate: u16| {
        let body = r#"{"msg":"no"}"#;
        let judgement = compare(
            &plan(&[]),
            &PathStates::default(),
            &answer(control, &[], body),
            &answer(candidate, &[], body),
        );
        (judgement.class, judgement.differences.len())
    };
    assert_eq!(judge(422, 422), (Class::Match, 0));
    assert_eq!(judge(200, 422), (Class::Mismatch, 1));
    assert_eq!(judge(402, 200), (Class::Mismatch, 1));
    assert_eq!(judge(400, 422), (Class::Mismatch, 1));
    assert_eq!(judge(200, 503), (Class::CandidateFailed, 1));
    assert_eq!(judge(503, 200), (Class::ControlFailed, 1));
}

#[test]
fn headers_are_compared_by_presence_and_shape() {
    let judge = |control: &[(&str, &str)], candidate: &[(&str, &str)]| {
        let judgement = compare(
            &plan(&[]),
            &PathStates::default(),
            &answer(200, control, "x"),
            &answer(200, candidate, "x"),
        );
        judgement.differences.into_iter().map(|difference| difference.path).collect::<Vec<_>>()
    };
    let json = ("content-type", "application/json; charset=utf-8");
    assert!(judge(&[json, ("server", "a")], &[("content-type", "Application/JSON")]).is_empty());
    assert_eq!(judge(&[json], &[("content-type", "text/html")]), ["header:content-type"]);
    assert_eq!(judge(&[json, ("cache-control", "no-store")], &[json]), ["header:cache-control"]);
    assert!(
        judge(&[("cache-control", "max-age=60, private")], &[("cache-control", "private, max-age=90")])
            .is_empty()
    );
    assert_eq!(
        judge(&[("cache-control", "no-store")], &[("cache-control", "public")]),
        ["header:cache-control"]
    );
}

#[test]
fn a_redirection_leads_to_the_same_place() {
    let judge = |control: &str, candidate: &str| {
        let arm = |location: &str| {
            let mut answer = answer(302, &[("location", location)], "");
            answer.asked.host = Some("shop.example".to_owned());
            answer
        };
        compare(&plan(&[]), &PathStates::default(), &arm(control), &arm(candidate)).class
    };
    for (control, candidate) in [
        ("/orders/1", "/orders/2"),
        ("https://shop.example/orders/1", "/orders/2"),
        ("/", "https://Shop.example"),
        ("/login?next=%2Fa", "/login?next=%2Fb"),
        ("https://id.example/a?state=1", "https://id.example/a?state=2"),
    ] {
        assert_eq!(judge(control, candidate), Class::Match, "{control} {candidate}");
        assert_eq!(judge(candidate, control), Class::Match, "{control} {candidate}");
    }
    for (control, candidate) in [
        ("/orders/1", "/login"),
        ("/home", "/lost"),
        ("/", "/a"),
        ("https://shop.example/a", "http://shop.example/a"),
        ("/a", "http://10.0.0.7:9000/a"),
        ("/login?next=%2Fa", "/login"),
    ] {
        assert_eq!(judge(control, candidate), Class::Mismatch, "{control} {candidate}");
        assert_eq!(judge(candidate, control), Class::Mismatch, "{control} {candidate}");
    }
    let plain = answer(302, &[], "");
    assert_eq!(
        compare(&plan(&[]), &PathStates::default(), &answer(302, &[("location", "/a")], ""), &plain).class,
        Class::Mismatch
    );
}

#[test]
fn what_a_header_says_in_words_is_held_to_and_what_is_made_up_in_it_is_not() {
    let judge = |name: &str, control: &str, candidate: &str| {
        let plan = Plan { headers: vec![name.to_owned()], ..plan(&[]) };
        let arm = |value: &str| answer(200, &[(name, value)], "x");
        compare(&plan, &PathStates::default(), &arm(control), &arm(candidate)).class
    };
    for (name, control, candidate) in [
        ("etag", "\"9f86d081884c7d65\"", "\"1f86d081884c7d66\""),
        ("last-modified", "Mon, 23 Nov 2026 20:24:00 GMT", "Mon, 23 Nov 2026 20:25:00 GMT"),
        ("retry-after", "3", "12"),
        ("x-frame-options", "DENY", "DENY"),
        ("set-cookie", "sid=a; Path=/; Max-Age=60; Secure", "sid=b; secure; max-age=90; path=/"),
        ("set-cookie", "sid=; Path=/; Max-Age=0", "sid=x; expires=Thu, 01 Jan 1970 00:00:00 GMT"),
    ] {
        assert_eq!(judge(name, control, candidate), Class::Match, "{control} {candidate}");
    }
    for (name, control, candidate) in [
        ("etag", "\"9f86d081884c7d65\"", "W/\"1f86d081884c7d66\""),
        ("x-frame-options", "DENY", "SAMEORIGIN"),
        ("www-authenticate", "Basic realm=\"a\"", "Bearer"),
        ("set-cookie", "sid=a; Path=/; HttpOnly", "sid=b; Path=/"),
        ("set-cookie", "sid=a; Path=/", "sid=b; Path=/admin"),
        ("set-cookie", "sid=a; Path=/", "sid=; Path=/; Max-Age=0"),
    ] {
        assert_eq!(judge(name, control, candidate), Class::Mismatch, "{control} {candidate}");
    }
}

/// RFC 9110, 9.3.3: of the answer to a POST nothing is kept unless it says so.
#[test]
fn saying_nothing_of_caches_and_forbidding_them_are_one_policy_after_a_post() {
    let judge = |control: &[(&str, &str)], candidate: &[(&str, &str)]| {
        let mut candidate = answer(200, candidate, "x");
        candidate.asked.method = http::Method::POST;
        compare(&plan(&[]), &PathStates::default(), &answer(200, control, "x"), &candidate).class
    };
    let [silent, forbids, lets] =
        [&[][..], &[("cache-control", "no-store")], &[("cache-control", "max-age=60")]];
    assert_eq!((judge(silent, forbids), judge(lets, lets)), (Class::Match, Class::Match));
    assert_eq!((judge(silent, lets), judge(lets, forbids)), (Class::Mismatch, Class::Mismatch));
}

#[test]
fn forms_text_and_other_bytes() {
    let judge = |media: &str, control: &[u8], candidate: &[u8]| {
        let arm = |body: &[u8]| answer(200, &[("content-type", media)], body.to_vec());
        compare(&plan(&[]), &PathStates::default(), &arm(control), &arm(candidate))
    };
    assert_eq!(judge("application/x-www-form-urlencoded", b"a=1&b=2", b"b=2&a=1").class, Class::Match);
    assert_eq!(
        found(&judge("application/x-www-form-urlencoded", b"a=1&b=2", b"a=1&b=3")),
        [("/b/*", DifferenceKind::Value)]
    );
    assert_eq!(
        found(&judge("text/html", b"<p>\none\n", b"<p>\r\ntwo\nthree\n")),
        [("line:2", DifferenceKind::Value), ("lines", DifferenceKind::Length)]
    );
    assert_eq!(
        found(&judge("application/octet-stream", b"\xff\x00", b"\xff\x01")),
        [("body", DifferenceKind::Value)]
    );
    assert_eq!(found(&judge("application/json", b"{}", b"not json")), [("body", DifferenceKind::Type)]);
}

#[test]
fn a_coded_body_that_differs_cannot_be_compared() {
    let coded = |body: &'static str| answer(200, &[("content-encoding", "compress")], body);
    let judge = |one, two| compare(&plan(&[]), &PathStates::default(), &coded(one), &coded(two)).class;
    assert_eq!((judge("a", "b"), judge("a", "a")), (Class::Incomparable, Class::Match));
}

#[test]
fn a_candidate_whose_coding_nobody_can_take_off_has_failed() {
    let plain = answer(200, &[("content-type", "text/plain")], "hello");
    let coded = answer(200, &[("content-type", "text/plain"), ("content-encoding", "gzip")], "hello");
    let judge = |one, two| compare(&plan(&[]), &PathStates::default(), one, two);
    let judgement = judge(&plain, &coded);
    assert_eq!((judgement.class, found(&judgement)), (Class::Mismatch, vec![("body", DifferenceKind::Type)]));
    assert_eq!(judge(&coded, &plain).class, Class::Incomparable, "and a control's says nothing");
}

#[test]
fn sides_are_cut_at_a_character_and_differences_are_bounded() {
    let long = "\u{e3}".repeat(5_000);
    let judgement = judge(&json!({"a": long}), &json!({"a": "b"}), &[], &PathStates::default());
    assert!(judgement.differences[0].control.as_ref().unwrap().len() <= 256);
    let many = |n: i32| (0..5_000).map(|i| (i.to_string(), json!(n))).collect::<Value>();
    let judgement = judge(&many(1), &many(2), &[], &PathStates::default());
    assert_eq!(judgement.differences.len(), MAX_DIFFERENCES);
}
