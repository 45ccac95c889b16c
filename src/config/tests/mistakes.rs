//! What a person is told: every mistake with its message, as it is printed.

use std::path::Path;

use crate::config::parse;

/// What is printed of a file that ends with `text`, whose monolith and routes are right unless `text` says otherwise.
fn said(text: &str) -> String {
    match parse(text, Path::new("routes.toml")) {
        Ok(config) => config.warnings.to_string(),
        Err(errors) => errors.to_string(),
    }
}

/// A file that is right but for `text`, which stands first.
fn beside_a_monolith(text: &str) -> String {
    said(&format!("{text}\n[monolith]\nurl = \"http://127.0.0.1:8000\"\n"))
}

/// A route that is right but for `text`.
fn in_a_route(text: &str) -> String {
    said(&format!(
        "monolith.url = \"http://127.0.0.1:8000\"\n\n[[route]]\nname = \"images\"\npath = \"/api/images\"\n{text}\n"
    ))
}

#[test]
fn an_empty_file() {
    insta::assert_snapshot!(said(
        r"# nothing yet
"
    ));
}

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
fn an_unknown_key() {
    insta::assert_snapshot!(beside_a_monolith(
        r#"[gateway]
drian = "30s"
"#
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
fn two_routes_that_tie() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "monolith"
contract = "article"

[[route]]
name = "also-images"
path = "/api/images"
mode = "monolith"
contract = "article""#
    ));
}

#[test]
fn two_routes_whose_conditions_could_both_hold() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "monolith"
contract = "article"
headers = { x-beta = "1" }

[[route]]
name = "of-gold"
path = "/api/images"
cookies = { tier = "gold" }
mode = "monolith"
contract = "article""#
    ));
}

#[test]
fn conditions_that_ask_for_nothing_sensible() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "monolith"
contract = "article"
headers = { x-beta = { regexp = "^a" }, x-b = { regex = "(" }, X-c = "1", x-C = "2", cookie = "a=b" }
cookies = { a = { present = false }, "b c" = "1", d = { prefix = "1", regex = "2" }, e = 1 }
query = { q = "caf\u00e9", "a=b" = "1" }"#
    ));
}

#[test]
fn conditions_that_are_no_table() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "monolith"
contract = "article"
headers = ["x-beta"]
host = "*.example.*""#
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
fn a_path_that_is_none() {
    insta::assert_snapshot!(said(
        r#"monolith.url = "http://h"
[[route]]
name = "Images"
path = "/api/{a}{b}"
mode = "monolith"
contract = "article"
"#
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
fn a_key_of_another_table() {
    insta::assert_snapshot!(in_a_route(
        "mode = \"canary\"\npercent = 10\nsample = 0.5\ncontract = \"article\"\n[route.canary]\npercnt = 10"
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
fn a_route_that_no_request_reaches() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "monolith"
contract = "article"

[[route]]
name = "pictures"
methods = ["GET"]
path = "/figueira/images/{id}"
mode = "monolith"
contract = "article"

[[route]]
name = "tunnel"
methods = ["CONNECT"]
path = "/tunnel"
mode = "monolith"
contract = "article""#
    ));
}

/// A provider that has to be paid, asked by routes that say nothing of it.
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
fn a_path_that_clients_resolve() {
    insta::assert_snapshot!(in_a_route(
        r#"mode = "monolith"
contract = "article"

[[route]]
name = "above"
path = "/shop/../api/{id}"
mode = "monolith"
contract = "article""#
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

/// A route with a contract of its own that is right but for `text`.
fn in_a_custom_contract(text: &str) -> String {
    in_a_route(&format!("mode = \"migrated\"\nauthorize = \"public\"\ncontract = \"custom\"\n{text}"))
}

const ANSWERS: &str = "[route.response]\nbody = '{\"image\":\"{{ images[0].url }}\"}'\nerror_body = '{\"error\":\"{{ message }}\"}'\n";

#[test]
fn a_custom_contract_of_nothing() {
    insta::assert_snapshot!(in_a_custom_contract(""));
}

#[test]
fn a_mapping_that_finds_nothing() {
    insta::assert_snapshot!(in_a_custom_contract(&format!(
        "[route.request]\nn = \"jsn:/n\"\nsize = \"size\"\nquality = \"json:quality\"\nuser = \"path:user\"\nmoderation = \"form:m\"\nprompt = \"json:/prompt\"\n{ANSWERS}"
    )));
}

#[test]
fn a_mapping_without_a_prompt() {
    insta::assert_snapshot!(in_a_custom_contract(&format!("[route.request]\nn = \"query:n\"\n{ANSWERS}")));
}

#[test]
fn answers_that_are_no_templates() {
    insta::assert_snapshot!(in_a_custom_contract(
        "[route.request]\nprompt = \"query:q\"\n[route.response]\nheaders = { x-job = \"{{ job\" }\nbody = '{\"image\":{{ images[0].url }}}'\nerror_body = '{\"error\":\"{{ mesage }}\"}'"
    ));
}

#[test]
fn an_answer_of_an_unknown_kind() {
    insta::assert_snapshot!(in_a_custom_contract(
        "[route.request]\nprompt = \"query:q\"\n[route.response]\nstatus = 404\ncontent_type = \"text/javascript\"\nbody = \"x\"\nerror_body = \"x\""
    ));
}

#[test]
fn a_mapping_for_another_contract() {
    insta::assert_snapshot!(in_a_route(
        "mode = \"monolith\"\ncontract = \"article\"\n[route.request]\nprompt = \"json:/prompt\""
    ));
}

#[test]
fn a_provider_without_a_key() {
    insta::assert_snapshot!(beside_a_monolith(
        "[generator]\nprovider = \"openai\"\n[generator.openai]\napi_key = { file = \"no-such-file\" }"
    ));
}

#[test]
fn a_provider_that_cannot_be_asked() {
    insta::assert_snapshot!(beside_a_monolith(
        r#"[generator.openai]
base_url = "https://user:pw@api.example/v1"
api_key = "sk-hunter2"
retries = 11
fetch_hosts = ["https://images.example", "[::1]:80", "127.0.0.1", "images.example:8443"]
[generator.openai.models."m"]
max_n = 0
prices = [{ size = "1024" }, { size = "64x64", usd = -1 }]"#
    ));
}
