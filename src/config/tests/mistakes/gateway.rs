//! Of where it listens, and of whom it asks and tells.

use super::{beside_a_monolith, in_a_route, said};

#[test]
fn no_monolith() {
    insta::assert_snapshot!(said(
        r#"[gateway]
drain = "5s"
"#
    ));
}

#[test]
fn a_monolith_without_url() {
    insta::assert_snapshot!(said(
        r"[monolith]
retries = 1
"
    ));
}

#[test]
fn a_url_with_a_path() {
    insta::assert_snapshot!(said(
        r#"[monolith]
url = "http://127.0.0.1:8000/shop"
"#
    ));
}

#[test]
fn a_url_with_a_password() {
    insta::assert_snapshot!(said(
        r#"[monolith]
url = "http://ana:hunter2@127.0.0.1:8000"
"#
    ));
}

#[test]
fn a_url_without_scheme() {
    insta::assert_snapshot!(said(
        r#"[monolith]
url = "127.0.0.1:8000"
"#
    ));
}

#[test]
fn a_bad_address() {
    insta::assert_snapshot!(beside_a_monolith(
        r#"[gateway]
listen = ["localhost:8080", "127.0.0.1"]
trusted_proxies = ["10.0.0.0/40"]
"#
    ));
}

#[test]
fn an_open_admin() {
    insta::assert_snapshot!(beside_a_monolith(
        r#"[gateway]
admin = "0.0.0.0:9901"
"#
    ));
}

#[test]
fn addresses_that_are_in_each_others_way() {
    insta::assert_snapshot!(beside_a_monolith(
        r#"[gateway]
listen = ["127.0.0.1:8080", "127.0.0.1:8081", "0.0.0.0:8080"]
admin = "127.0.0.1:8080"
"#
    ));
}

#[test]
fn a_literal_secret() {
    insta::assert_snapshot!(beside_a_monolith(
        r#"[gateway]
admin_token = "hunter2"
"#
    ));
}

#[test]
fn an_unset_variable() {
    insta::assert_snapshot!(beside_a_monolith(
        r#"[gateway]
admin_token = { env = "FIGUEIRA_NO_SUCH_VARIABLE" }
"#
    ));
}

#[test]
fn a_missing_secret_file() {
    insta::assert_snapshot!(beside_a_monolith(
        r#"[gateway]
admin_token = { file = "no/such/file" }
"#
    ));
}

#[test]
fn a_bad_level() {
    insta::assert_snapshot!(beside_a_monolith(
        r#"[log]
level = "inof"
format = "jsno"
"#
    ));
}

#[test]
fn an_upstream_with_a_name_of_ours() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "monolith"
contract = "article"
[upstreams.generator]
url = "http://127.0.0.1:8001"
[upstreams.Lambda_1]
url = "http://127.0.0.1:8002""#
    ));
}

#[test]
fn health_checks_and_ejections_that_cannot_be() {
    insta::assert_snapshot!(said(
        r#"[monolith]
url = "http://127.0.0.1:8000"
health = { path = "healthz", every = "0s", fall = 0, rise = -1 }
eject = { consecutive_errors = 0, for = "soon" }

[upstreams.other]
url = "http://127.0.0.1:8001"
health = { every = "5s" }
eject = { errors = 5 }
"#
    ));
}

#[test]
fn health_that_is_a_path() {
    insta::assert_snapshot!(said(
        r#"[monolith]
url = "http://127.0.0.1:8000"
health = "/healthz"
"#
    ));
}

#[test]
fn a_monolith_that_is_the_gateway() {
    insta::assert_snapshot!(said(
        r#"[gateway]
listen = "0.0.0.0:8000"
trusted_proxies = ["0.0.0.0/0"]
[monolith]
url = "http://127.0.0.1:8000"
"#
    ));
}

#[test]
fn a_monolith_that_is_the_gateway_by_name() {
    let named = |listen: &str| {
        said(&format!("[gateway]\nlisten = \"{listen}\"\n[monolith]\nurl = \"http://localhost:8000\"\n"))
    };
    for listen in ["127.0.0.1:8000", "[::1]:8000", "0.0.0.0:8000"] {
        assert!(named(listen).contains("it would ask itself"), "{listen}");
    }
    assert!(!named("192.0.2.1:8000").contains("it would ask itself"));
}

#[test]
fn a_hook_that_others_can_read() {
    insta::assert_snapshot!(beside_a_monolith(
        r#"[[tell]]
url = "http://hooks.example.net/T000/B000"
on = []
[[tell]]
url = "http://[::1]:9000/"
"#
    ));
}
