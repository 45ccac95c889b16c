//! Whatever two bodies are compared: an answer agrees with itself, and the judgement of two is bounded.
#![no_main]

use std::path::Path;

use bytes::Bytes;
use figueira::{
    config,
    parallel_run::{
        answer::{Answer, Asked},
        calibration::PathStates,
        compare::compare,
        comparison::Class,
        settings::Plan,
    },
};
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use libfuzzer_sys::fuzz_target;

fn answer(body: &[u8]) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Answer {
        status: 200,
        headers,
        body: Bytes::copy_from_slice(body),
        images: Vec::new(),
        asked: Asked::default(),
    }
}

/// The plan of a route with a rule of each kind.
fn plan() -> Plan {
    const RULES: &str = r#"
[monolith]
url = "http://127.0.0.1:1"
[[route]]
name = "a"
path = "/a"
mode = "monolith"
contract = "article"
[[route.compare.rule]]
path = "/a/*"
rule = "ignore"
reason = "none"
[[route.compare.rule]]
path = "/b"
rule = "shape"
reason = "none"
"#;
    let config = config::parse(RULES, Path::new("routes.toml")).unwrap_or_else(|errors| panic!("{errors}"));
    config.plans.into_iter().next().unwrap()
}

thread_local!(static PLAN: Plan = plan());

fuzz_target!(|bytes: &[u8]| {
    let cut = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len() / 2);
    let (one, other) = (answer(&bytes[..cut]), answer(bytes.get(cut + 1..).unwrap_or_default()));
    let states = PathStates::default();
    PLAN.with(|plan| {
        for same in [&one, &other] {
            assert_eq!(compare(plan, &states, same, same).class, Class::Match, "{same:?}");
        }
        let judged = compare(plan, &states, &one, &other);
        assert!(judged.differences.len() <= 101, "{} differences", judged.differences.len());
        let failed = judged.class == Class::Mismatch;
        assert!(!failed || !judged.differences.is_empty(), "a mismatch without a difference");
    });
});
