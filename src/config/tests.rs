//! What a file becomes, and what is said of a file that is wrong.

mod mistakes;
mod routes;
mod secrets;
mod upstreams;

use std::{fmt::Write as _, time::Duration};

use super::*;
use crate::routing::Mode;

const SMALLEST: &str = "[monolith]\nurl = \"http://127.0.0.1:8000\"\n";

fn read(text: &str) -> Config {
    parse(text, Path::new("/site/routes.toml")).unwrap_or_else(|errors| panic!("{errors}"))
}

fn errors(text: &str) -> Vec<String> {
    match parse(text, Path::new("routes.toml")) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(|(message, _)| message.to_owned()).collect(),
    }
}

#[test]
fn the_smallest_file_forwards_everything_by_the_defaults() {
    let config = read(SMALLEST);
    assert_eq!(config.start.listen, ["127.0.0.1:8080".parse().unwrap()]);
    assert_eq!(config.start.admin, Some("127.0.0.1:9901".parse().unwrap()));
    assert_eq!(config.start.data, Path::new("/site/figueira-data"));
    assert_eq!(config.gateway.limits.head, 65536);
    assert_eq!(config.gateway.limits.body, None);
    assert_eq!(config.gateway.drain, Duration::from_secs(30));
    assert!(config.upstreams.is_empty());
    assert_eq!((&*config.monolith.host, config.monolith.port), ("127.0.0.1", 8000));
    assert!(config.routes.routes().is_empty() && config.warnings.is_empty());

    let without_a_file = forward_everything("http://127.0.0.1:8000").unwrap();
    assert_eq!(without_a_file.monolith, config.monolith);
    assert_eq!(without_a_file.start.data, Path::new("figueira-data"));
}

#[test]
fn our_own_first_file_passes_without_a_warning() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("routes.toml");
    let config = load(&path).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(config.warnings.to_string(), "");
    assert_eq!(config.routes.routes()[0].mode, Mode::Monolith);
    assert_eq!(config.generator.serve[0].path, "/img/{name}");
}

#[test]
fn the_schema_for_editors_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("routes.schema.json");
    let kept = std::fs::read_to_string(path).unwrap();
    let now = format!("{:#}\n", schema());
    assert!(kept == now, "a key has changed: figueira check --schema > routes.schema.json");
}

#[test]
fn the_schema_knows_what_the_file_may_hold() {
    let schema = schema();
    let at = |pointer: &str| schema.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {schema:#}"));
    assert_eq!(at("/required"), &serde_json::json!(["monolith"]));
    assert_eq!(at("/properties/monolith/required"), &serde_json::json!(["url"]));
    let route = "/properties/route/items";
    assert_eq!(at(&format!("{route}/required")), &serde_json::json!(["name", "path", "mode"]));
    assert_eq!(at(&format!("{route}/additionalProperties")), false);
    assert_eq!(at(&format!("{route}/properties/mode/enum/1")), "shadow");
    assert_eq!(at(&format!("{route}/properties/canary/properties/percent/maximum")), 100.0);
    assert_eq!(at(&format!("{route}/properties/compare/properties/rule/items/required/2")), "reason");
    assert_eq!(at("/properties/gateway/properties/drain/default"), "30s");
    assert_eq!(at("/properties/gateway/properties/listen/default"), &serde_json::json!(["127.0.0.1:8080"]));
    assert_eq!(at("/properties/upstreams/additionalProperties/properties/retries/default"), 1);
    // Ahead of this version: at its default, or not at all.
    assert_eq!(at("/properties/log/properties/otlp/const"), "off");
    assert_eq!(at("/properties/generator/properties/openai/properties/retries/default"), 2);
}

#[test]
fn names_of_images_begin_with_what_names_may_hold() {
    let store = |prefix: &str| format!("{SMALLEST}[generator.store]\nname_prefix = \"{prefix}\"\n");
    assert_eq!(read(&store("minha-loja2-")).generator.name_prefix, "minha-loja2-");
    for wrong in ["minha_loja-", "Loja-", "loja/", "loja."] {
        let errors = errors(&store(wrong));
        assert!(matches!(&errors[..], [error] if error.contains("name_prefix")), "{wrong}: {errors:?}");
    }
}

/// Every key that this version does not do, at its default and absent otherwise.
#[test]
fn what_is_at_its_default_is_always_accepted() {
    let config = read(
        r#"
        [gateway]
        proxy_protocol = false
        [log]
        otlp = "off"
        access_format = "event"
        [monolith]
        url = "http://127.0.0.1:8000"
        h2 = "auto"
        [upstreams.lambda]
        url = "http://127.0.0.1:8001"
        sign = "off"
        pass = []
        [generator]
        provider = "local"
        tenant_max_in_flight = "off"
        lease = "60s"
        daily_budget_usd = "off"
        idempotency_ttl = "24h"
        keep_images = "forever"
        keep_paid = "7d"
        spool_grace = "24h"
        jobs_url = "/figueira/jobs"
        [generator.openai]
        base_url = "https://api.openai.com/v1"
        api_key = { env = "OPENAI_API_KEY" }
        model = "gpt-image-2"
        retries = 2
        fetch_hosts = []
        [generator.store]
        kind = "filesystem"
        url_ttl = "15m"
        [[generator.serve]]
        path = "/img/{name}"
        authorize = "off"
        [generator.catalog]
        kind = "sqlite"
        [parallel_run]
        export = "off"
        [[route]]
        name = "r"
        host = "*"
        path = "/r"
        mode = "shadow"
        contract = "article"
        authorize = "public"
        [route.idempotency]
        key = "header:idempotency-key"
        running = "wait"
        [route.shadow]
        after_verdict = 0.01
        max_per_minute = "off"
        budget_usd_per_day = "off"
        control_repeatable = false
        repeat_control = 0
        reverse = false
        [route.gate]
        max_cost_ratio = "off"
        [route.guard]
        window = "2m"
        min_requests = 20
        max_error_rate = 0.05
        max_latency_ratio = 2
        max_fallback_rate = 0.05
        "#,
    );
    assert_eq!(config.routes.routes().len(), 1);
}

#[test]
fn what_is_ahead_of_this_version_is_refused_by_name() {
    let found = errors(
        r#"
        [log]
        otlp = "http://127.0.0.1:4317"
        [monolith]
        url = "http://127.0.0.1:8000"
        [[route]]
        name = "r"
        path = "/r"
        mode = "learn"
        contract = "article"
        "#,
    );
    let others: Vec<_> =
        found.iter().filter(|message| !message.ends_with("is not in this version")).collect();
    assert!(others.is_empty(), "{others:#?}");
    assert_eq!(found.len(), 2, "{found:#?}");
}

#[test]
fn a_target_is_no_longer_than_can_be_read() {
    let target = |size: &str| errors(&format!("gateway.limits.target = \"{size}\"\n{SMALLEST}"));
    assert!(target("65534B").is_empty());
    assert_eq!(target("64KiB"), ["`target` is at most 65534 bytes"]);
}

#[test]
fn introductions_are_only_believed_of_somebody() {
    let found = errors(&format!("gateway.proxy_protocol = true\n{SMALLEST}"));
    assert_eq!(found, ["`proxy_protocol` is on and no proxy is trusted: every connection would be closed"]);
    let trusted = "gateway = { proxy_protocol = true, trusted_proxies = [\"10.0.0.0/8\"] }";
    let config = parse(&format!("{trusted}\n{SMALLEST}"), Path::new("routes.toml")).unwrap();
    assert_eq!(config.start.proxy_protocol, crate::listener::ProxyProtocol::Required);
}

#[test]
fn start_keys_are_told_apart() {
    let with = |gateway: &str| read(&format!("[gateway]\n{gateway}\n{SMALLEST}")).start;
    let running = with("");
    assert_eq!(running.changed_keys(&with("drain = '1s'")), [""; 0]);
    assert_eq!(
        running.changed_keys(&with("listen = '127.0.0.1:1'\nadmin_token = { env = 'CARGO_PKG_NAME' }")),
        ["listen", "admin_token"]
    );
}

#[test]
fn what_cannot_be_a_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let said = |path: &Path| load(path).unwrap_err().to_string();
    assert!(
        said(&folder.path().join("none.toml")).contains("none.toml: error: cannot be read: No such file")
    );
    assert!(said(folder.path()).contains("not a file"));
    let huge = folder.path().join("huge.toml");
    std::fs::File::create(&huge).unwrap().set_len(17 << 20).unwrap();
    assert!(said(&huge).contains("larger than 16 MiB"));
    let odd = folder.path().join("routes.toml");
    std::fs::write(&odd, b"[monolith]\nurl = \"\xff\"").unwrap();
    assert!(said(&odd).contains("routes.toml:2:8: error: the file is not UTF-8"));
}

#[test]
fn a_thousand_mistakes_make_a_bounded_message() {
    let mut text = SMALLEST.to_owned();
    for n in 0..1000 {
        writeln!(text, "key{n} = \"{}\"", "x".repeat(1000)).unwrap();
    }
    let errors = parse(&text, Path::new("routes.toml")).unwrap_err();
    assert_eq!(errors.len(), 1000);
    assert!(errors.to_string().len() < 20_000);
    assert!(errors.to_string().ends_with("and 950 more\n"));
}

proptest::proptest! {
    #[test]
    fn no_text_is_too_odd(text in "[\\[\\]\"'={}.,#\n a-e0-9_]{0,80}") {
        if let Err(errors) = parse(&text, Path::new("routes.toml")) {
            proptest::prop_assert!(!errors.to_string().is_empty());
        }
    }
}

#[test]
fn a_warning_that_was_there_already_is_no_news() {
    let before = format!("[gateway]\ntrusted_proxies = [\"0.0.0.0/0\"]\n{SMALLEST}");
    let after = format!("# moved\n{before}[[tell]]\nurl = \"http://hooks.example/\"\n");
    let (before, after) = (read(&before).warnings, read(&after).warnings);
    assert_eq!((before.len(), after.len()), (1, 2));
    let news: Vec<_> = after.beyond(&before).iter().map(|(message, _)| message.to_owned()).collect();
    assert!(news.len() == 1 && !news[0].contains("everybody is trusted"), "{news:?}");
    assert!(before.beyond(&after).is_empty());
}
