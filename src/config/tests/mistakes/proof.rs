//! Of what is compared, and of what that can prove.

use super::{in_a_route, said};

#[test]
fn a_rule_without_reason() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "shadow"
contract = "article"
[[route.compare.rule]]
path = "created"
rule = "ignroe""#
    ));
}

#[test]
fn a_paid_candidate_without_budget_and_open_to_all() {
    insta::assert_snapshot!(said(
        r#"monolith.url = "http://127.0.0.1:8000"
generator = { provider = "openai", openai = { api_key = { file = "Cargo.toml" } } }

[[route]]
name = "in-the-shadow"
path = "/a"
mode = "shadow"
contract = "openai"
subject = "cookie:session"

[[route]]
name = "for-some"
path = "/b"
mode = "canary"
contract = "openai"
subject = "cookie:session"
canary.percent = 5
shadow.budget_usd_per_day = 2.5

[[route]]
name = "for-all"
path = "/c"
mode = "migrated"
contract = "openai"
authorize = "public"
"#
    ));
}

#[test]
fn a_rule_that_has_expired() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "shadow"
contract = "article"
subject = "cookie:session"
[[route.compare.rule]]
path = "/created"
rule = "shape"
reason = "time of generation"
owner = "ana"
until = 2020-02-29"#
    ));
}

#[test]
fn two_rules_of_one_path() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "shadow"
contract = "article"
subject = "cookie:session"
[[route.compare.rule]]
path = "/created"
rule = "shape"
reason = "time of generation"
[[route.compare.rule]]
path = "/created"
rule = "ignore"
reason = "never mind""#
    ));
}

#[test]
fn a_shadow_that_proves_nothing() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "shadow"
contract = "article"
[route.shadow]
sample = 0.0"#
    ));
}

#[test]
fn a_walk_that_nobody_guards() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "canary"
contract = "article"
subject = "cookie:session"
[route.canary]
allow = ["ana", "ben"]
deny = ["ben"]
[route.guard]
max_error_rate = "off"
max_latency_ratio = "off"
max_fallback_rate = "off""#
    ));
}

#[test]
fn a_subject_that_all_may_share() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "shadow"
contract = "article"
subject = "client-ip""#
    ));
}

#[test]
fn a_candidate_at_the_address_of_the_control() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "shadow"
candidate = "new"
subject = "cookie:session"
[upstreams.new]
url = "http://127.0.0.1:8000""#
    ));
}

#[test]
fn a_multiple_of_a_cost_that_nobody_knows() {
    let with = |generator: &str, gate: &str| {
        said(&format!(
            "monolith.url = \"http://127.0.0.1:8000\"\ngenerator = {{ {generator} }}\n[[route]]\nname = \"images\"\n\
             path = \"/a\"\nmode = \"shadow\"\ncontract = \"openai\"\nsubject = \"cookie:session\"\n\
             shadow.budget_usd_per_day = 2.5\ngate.max_cost_ratio = 1.5\n{gate}\n"
        ))
    };
    let paid = "provider = \"openai\", openai = { api_key = { file = \"Cargo.toml\" } }";
    let unknown = with(paid, "");
    assert!(unknown.contains("warning: \"images\" is never SAFE: `max_cost_ratio` asks for"), "{unknown}");
    assert_eq!(with(paid, "gate.control_usd_per_image = 0.04"), "");
    assert_eq!(with("provider = \"local\"", ""), "", "what costs nothing is never too dear");
}
