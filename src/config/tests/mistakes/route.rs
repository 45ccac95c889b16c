//! Of a route: its candidate, its subjects, its name.

use super::{beside_a_monolith, in_a_route};

#[test]
fn a_route_without_anything() {
    insta::assert_snapshot!(beside_a_monolith(
        r"[[route]]
"
    ));
}

#[test]
fn a_mode_misspelt() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "cannary"
contract = "article""#
    ));
}

#[test]
fn a_mode_of_later() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "learn"
contract = "article""#
    ));
}

#[test]
fn no_contract() {
    insta::assert_snapshot!(in_a_route(r#"mode = "shadow""#));
}

#[test]
fn a_contract_for_another_candidate() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "shadow"
candidate = "lambda"
contract = "article"
[upstreams.lambda]
url = "http://127.0.0.1:8001""#
    ));
}

#[test]
fn an_upstream_that_does_not_exist() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "shadow"
candidate = "lamda"
upstream = "legacy"
[upstreams.lambda]
url = "http://127.0.0.1:8001""#
    ));
}

#[test]
fn a_candidate_that_is_the_control() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "shadow"
candidate = "monolith""#
    ));
}

#[test]
fn more_than_everybody() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "canary"
contract = "article"
subject = "cookie:session"
[route.canary]
percent = 110"#
    ));
}

#[test]
fn a_subject_misspelt() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "canary"
contract = "article"
subject = "session"
[route.canary]
percent = 10"#
    ));
}

#[test]
fn a_canary_without_subject() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "canary"
contract = "article"
[route.canary]
percent = 10"#
    ));
}

#[test]
fn a_canary_of_nobody() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "canary"
contract = "article"
subject = "client-ip""#
    ));
}

#[test]
fn methods_in_lower_case() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "monolith"
contract = "article"
methods = ["post", "GE T"]
host = "http://x""#
    ));
}

#[test]
fn the_same_name_twice() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "monolith"
contract = "article"

[[route]]
name = "images"
path = "/other"
mode = "monolith"
contract = "article""#
    ));
}

#[test]
fn where_images_are_shown() {
    insta::assert_snapshot!(beside_a_monolith(
        r#"[generator]
max_in_flight = 0
[generator.store]
public_url = "http://cdn/x"
[[generator.serve]]
path = "/img/{id}"
"#
    ));
}

#[test]
fn the_same_images_twice() {
    insta::assert_snapshot!(beside_a_monolith(
        "[[generator.serve]]\npath = \"/img/{name}\"\n[[generator.serve]]\npath = \"/img/{name}\""
    ));
}

#[test]
fn a_default_of_later() {
    insta::assert_snapshot!(beside_a_monolith("[log]\notlp = \"http://127.0.0.1:4317\""));
}
