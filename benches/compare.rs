//! What comparing two JSON bodies of 20 KB takes: as they agree, as they are made up anew, and as they differ throughout.

use std::path::Path;

use divan::{Bencher, black_box};
use figueira::{
    config,
    parallel_run::{
        answer::{Answer, Asked},
        calibration::{Learner, PathStates},
        compare::compare,
        settings::Plan,
    },
};
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use serde_json::{Value, json};

const RULES: &str = r#"
[monolith]
url = "http://127.0.0.1:1"

[[route]]
name = "orders"
path = "/api/orders"
mode = "shadow"
contract = "article"
subject = "cookie:session"

[[route.compare.rule]]
path = "/items/*/stock"
rule = "tolerance"
abs = 5
reason = "it is sold meanwhile"
"#;

/// The binary's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

/// Some 110 items of 180 bytes; `seed` is in all that is made up anew.
fn body(seed: u64, price: u64) -> Value {
    let item = |n: u64| {
        json!({
            "id": format!("{:016x}", (seed * 1_000 + n).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            "name": format!("a picture of a harbour, number {n}"),
            "price": price + n,
            "stock": 100 + seed % 3,
            "tags": ["sea", "boat", "evening"],
            "made": { "by": "atelier", "on": "2026-11-23T20:24:00Z" },
        })
    };
    json!({ "processed": 200, "items": (0..110).map(item).collect::<Vec<_>>() })
}

fn answer(body: &Value) -> Answer {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    let (images, asked) = (Vec::new(), Asked::default());
    Answer { status: 200, headers, body: body.to_string().into(), images, asked }
}

#[expect(clippy::expect_used, reason = "without it there is nothing to measure")]
fn plan() -> Plan {
    let config = config::parse(RULES, Path::new("routes.toml")).expect("rules");
    config.plans.into_iter().next().expect("a route")
}

fn states() -> PathStates {
    let mut learner = Learner::default();
    (1..=20).for_each(|seed| learner.observe(&answer(&body(seed, 5))));
    learner.freeze()
}

fn compared(bencher: Bencher<'_, '_>, candidate: &Value) {
    let (plan, states) = (plan(), states());
    let (control, candidate) = (answer(&body(21, 5)), answer(candidate));
    assert!((19_000..22_000).contains(&control.body.len()), "{}", control.body.len());
    bencher.bench(|| black_box(compare(&plan, &states, black_box(&control), black_box(&candidate))));
}

#[divan::bench]
fn made_up_anew(bencher: Bencher<'_, '_>) {
    compared(bencher, &body(22, 5));
}

#[divan::bench]
fn other_throughout(bencher: Bencher<'_, '_>) {
    compared(bencher, &body(22, 6));
}

#[divan::bench]
fn learned(bencher: Bencher<'_, '_>) {
    let control = answer(&body(21, 5));
    bencher.with_inputs(Learner::default).bench_values(|mut learner| learner.observe(black_box(&control)));
}
