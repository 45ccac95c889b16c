//! Of the text itself: syntax, and keys and values that no table has.

use super::{beside_a_monolith, in_a_route, said};

#[test]
fn an_empty_file() {
    insta::assert_snapshot!(said(
        r"# nothing yet
"
    ));
}

#[test]
fn an_unknown_key() {
    insta::assert_snapshot!(beside_a_monolith(
        r#"[gateway]
drian = "30s"
"#
    ));
}

#[test]
fn a_key_that_other_tables_have() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "canary"
subject = "cookie:s"
contract = "article"
polls = 7
percent = 5
urll = "/x"
[route.canary]
subject = "cookie:s"
percen = 5"#
    ));
}

#[test]
fn an_unknown_table() {
    insta::assert_snapshot!(beside_a_monolith(
        r#"[gatway]
drain = "30s"
"#
    ));
}

#[test]
fn a_wrong_type() {
    insta::assert_snapshot!(beside_a_monolith(
        r#"[gateway]
drain = 30
workers = "2"
via = "yes"
"#
    ));
}

#[test]
fn a_bad_duration() {
    insta::assert_snapshot!(beside_a_monolith(
        r#"[gateway]
drain = "30 seconds"
[gateway.limits]
idle_timeout = "0s"
"#
    ));
}

#[test]
fn a_bad_size() {
    insta::assert_snapshot!(beside_a_monolith(
        r#"[gateway.limits]
head = "64KB"
body = "10"
"#
    ));
}

#[test]
fn a_broken_line() {
    insta::assert_snapshot!(beside_a_monolith(
        r"[gateway]
drain = 30s
via =
[log
"
    ));
}

#[test]
fn an_unclosed_string() {
    insta::assert_snapshot!(beside_a_monolith(
        r#"[gateway]
drain = "30s
admin_token = "hunter2
"#
    ));
}

#[test]
fn a_key_twice() {
    insta::assert_snapshot!(beside_a_monolith(
        r#"[gateway]
drain = "30s"
drain = "40s"
"#
    ));
}

#[test]
fn single_brackets() {
    insta::assert_snapshot!(beside_a_monolith(
        r#"[route]
name = "images"
"#
    ));
}

#[test]
fn a_key_of_another_table() {
    insta::assert_snapshot!(in_a_route(
        "mode = \"canary\"\npercent = 10\nsample = 0.5\ncontract = \"article\"\n[route.canary]\npercnt = 10"
    ));
}

#[test]
fn a_date_in_quotes() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "shadow"
contract = "article"
[[route.compare.rule]]
path = "/created"
rule = "shape"
reason = "time of generation"
until = "2020-02-29""#
    ));
}
