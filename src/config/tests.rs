//! What a file becomes, and what is said of a file that is wrong.

mod mistakes;

use std::{fmt::Write as _, time::Duration};

use super::*;
use crate::{
    forwarding::Http2,
    generator::settings::Contract,
    routing::{Candidate, Host, Mode, Share, Subject},
    tell::Topic,
};

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
fn every_key_of_a_route_arrives() {
    let config = read(
        r#"
        [gateway]
        listen = ["127.0.0.1:0", "[::1]:0"]
        admin = "off"
        trusted_proxies = ["10.0.0.0/8", "192.0.2.1"]
        [gateway.limits]
        body = "10MiB"
        [monolith]
        url = "http://[::1]/"
        [upstreams.other]
        url = "http://other.example:81"
        retries = 0
        health = { path = "/up?deep=1", fall = 5 }
        eject = { for = "1m" }
        [[route]]
        name = "r"
        methods = ["POST", "PUT"]
        host = "WWW.Example.com"
        path = "/r/{id}"
        headers = { X-Beta = { present = true } }
        cookies = { tier = "gold", theme = { prefix = "d" } }
        query.v = { regex = '^[12]$' }
        mode = "canary"
        candidate = "other"
        subject = "header:x-user"
        fallback = "never"
        timeout = "5s"
        [route.canary]
        percent = 12.5
        allow = ["ana"]
        deny = ["eva"]
        [route.shadow]
        sample = 0.25
        [[route.compare.rule]]
        path = "/created"
        rule = "shape"
        reason = "time"
        [route.gate]
        max_latency_ratio = "off"
        calibration = 2
        [[route]]
        name = "g"
        path = "/g"
        mode = "shadow"
        contract = "openai"
        "#,
    );
    assert_eq!(config.start.admin, None);
    assert_eq!(config.start.listen.len(), 2);
    assert_eq!(config.gateway.trusted_proxies[1], "192.0.2.1/32".parse().unwrap());
    assert_eq!(config.gateway.limits.body, Some(10 << 20));
    assert_eq!((&*config.monolith.host, config.monolith.port), ("::1", 80));
    assert_eq!((&*config.upstreams[0].name, config.upstreams[0].retries), ("other", 0));
    let health = config.upstreams[0].health.clone().unwrap();
    assert_eq!((health.path.to_string(), health.fall, health.rise), ("/up?deep=1".to_owned(), 5, 2));
    let eject = config.upstreams[0].eject.unwrap();
    assert_eq!((eject.consecutive_errors, eject.rest), (10, Duration::from_mins(1)));
    assert_eq!((&config.monolith.health, config.monolith.eject), (&None, None));

    let route = &config.routes.routes()[0];
    assert_eq!((&*route.name, route.line, route.mode), ("r", 15, Mode::Canary));
    assert_eq!(route.methods, [http::Method::POST, http::Method::PUT]);
    assert_eq!(route.host, Host::Exact("www.example.com".into()));
    let conditions: Vec<_> = route.conditions.iter().map(ToString::to_string).collect();
    assert_eq!(
        conditions,
        [
            "headers.x-beta = { present = true }",
            "cookies.theme = { prefix = \"d\" }",
            "cookies.tier = \"gold\"",
            "query.v = { regex = '^[12]$' }",
        ]
    );
    assert_eq!(route.candidate, Candidate::Upstream("other".into()));
    assert_eq!(route.subject, Some(Subject::Header(http::HeaderName::from_static("x-user"))));
    assert_eq!(route.canary.share, Share::from_fraction(0.125).unwrap());
    assert_eq!((&*route.canary.allow[0], &*route.canary.deny[0]), ("ana", "eva"));
    assert_eq!(route.timeout, Some(Duration::from_secs(5)));
    assert_eq!(config.contracts, [None, Some(Contract::OpenAi)]);
    assert_eq!(config.plans[0].sample, Share::from_fraction(0.25).unwrap());
    assert_eq!((config.plans[0].gate.max_latency_ratio, config.plans[0].gate.calibration), (None, 2));
    assert_eq!(config.plans[0].rules[0].path, "/created");
    assert_eq!(config.plans[1].gate.calibration, 20);
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
        access_format = "combined"
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
    assert_eq!(found.len(), 3, "{found:#?}");
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
fn an_upstream_is_reached_as_its_tables_say() {
    let config = read(
        r#"
        [monolith]
        url = "https://origin.example"
        h2 = "off"
        tls = { ca = "origin-ca.pem", certificate = "client.pem", key = "client.key", server_name = "origin.internal" }
        [upstreams.lambda]
        url = "https://abc.lambda-url.eu-west-1.on.aws"
        headers = { x-tenant = "shop", Host = "images.internal" }
        sign = "sigv4"
        pass = ["cookie", "authorization"]
        version_header = "X-Version"
        [upstreams.grpc]
        url = "http://[::1]"
        h2 = "prior-knowledge"
        "#,
    );
    let monolith = &config.monolith;
    assert_eq!((&*monolith.host, monolith.port, monolith.h2), ("origin.example", 443, Http2::Off));
    let tls = monolith.tls.clone().unwrap();
    assert!(tls.ca.unwrap().ends_with("origin-ca.pem"));
    assert!(tls.identity.unwrap().key.ends_with("client.key"));
    assert_eq!(tls.server_name.unwrap().to_str(), "origin.internal");
    let named = |name: &str| config.upstreams.iter().find(|upstream| &*upstream.name == name).unwrap();
    let lambda = named("lambda");
    let mut headers: Vec<_> =
        lambda.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    headers.sort_unstable();
    assert_eq!(headers, ["host: images.internal", "x-tenant: shop"]);
    assert_eq!(lambda.sign.as_ref().map(|sign| &*sign.service), Some("lambda"));
    assert_eq!(lambda.pass, ["cookie", "authorization"]);
    assert_eq!(lambda.version_header.as_ref().unwrap(), "x-version");
    assert_eq!((lambda.tls.is_some(), lambda.h2), (true, Http2::Auto));
    let grpc = named("grpc");
    assert_eq!((&*grpc.host, grpc.port, grpc.tls.is_some()), ("::1", 80, false));
    assert_eq!(grpc.h2, Http2::PriorKnowledge);
}

#[test]
fn an_upstream_that_cannot_be_reached_so_is_refused() {
    let found = errors(
        r#"
        [monolith]
        url = "http://127.0.0.1:8000"
        tls = { certificate = "client.pem", server_name = "a b" }
        [upstreams.lambda]
        url = "https://a..b"
        h2 = "always"
        headers = { x-api-token = "abc", connection = "close", "b d" = "1" }
        pass = ["referer"]
        "#,
    );
    let said = |part: &str| assert!(found.iter().any(|message| message.contains(part)), "{part}: {found:#?}");
    said("nothing is encrypted to an http:// URL");
    said("`tls.key` is missing");
    said("`server_name` cannot be \"a b\"");
    said("no certificate is for such a host");
    said("`h2` cannot be \"always\"");
    said("a secret, and those are never written here");
    said("cannot set \"connection\"");
    said("which is no header's name");
    said("`pass` cannot be \"referer\"");
    assert!(!found.iter().any(|message| message.contains("abc")), "{found:#?}");
}

#[test]
fn a_secret_comes_from_a_file_or_a_variable_and_shows_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "hunter2\n").unwrap();
    let at = |token: &str| {
        parse(&format!("gateway.admin_token = {token}\n{SMALLEST}"), &folder.path().join("routes.toml"))
    };
    let config = at("{ file = \"token\" }").unwrap();
    assert_eq!(config.start.admin_token.as_ref().unwrap().expose_secret(), "hunter2");
    assert!(!format!("{config:?}").contains("hunter2"));
    // Set by cargo for every test.
    let config = at("{ env = \"CARGO_PKG_NAME\" }").unwrap();
    assert_eq!(config.start.admin_token.as_ref().unwrap().expose_secret(), "figueira");

    let misspelt =
        parse(&format!("gateway.admin_tokn = \"hunter2\"\n{SMALLEST}"), Path::new("x")).unwrap_err();
    assert!(misspelt.to_string().contains("gateway.admin_tokn = *********"), "{misspelt}");

    for literal in [
        "\"hunter2\"",
        "{ env = \"hunter2\" }",
        "{ value = \"hunter2\" }",
        "hunter2",
        "\"hunter2",
        "[\"hunter2\"]",
    ] {
        let errors = at(literal).unwrap_err();
        assert!(!errors.to_string().contains("hunter2"), "{errors}");
        assert!(!format!("{errors:?}").contains("hunter2"), "{errors:?}");
    }
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
fn hooks_and_guards_arrive() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "s3cret\n").unwrap();
    let config = read(&format!(
        r#"
        [[tell]]
        url = "http://127.0.0.1:9000/figueira"
        on = ["brake", "dead-letter"]
        secret = {{ file = {secret:?} }}
        [[tell]]
        url = "https://hooks.example/T000/B000"
        [monolith]
        url = "http://127.0.0.1:8000"
        [[route]]
        name = "r"
        path = "/r"
        mode = "monolith"
        contract = "article"
        [route.guard]
        window = "30s"
        max_latency_ratio = "off"
        "#
    ));
    let [first, second] = &config.hooks[..] else { panic!("{:?}", config.hooks) };
    assert_eq!(first.on, [Topic::Brake, Topic::DeadLetter].into());
    assert_eq!(
        first.secret.as_ref().map(|secret| secret.expose_secret().to_owned()),
        Some("s3cret".to_owned())
    );
    assert_eq!((second.on.len(), second.secret.is_some()), (5, false));
    let guard = &config.guards[0];
    assert_eq!((guard.window.as_secs(), guard.min_requests, guard.max_latency_ratio), (30, 20, None));
    assert_eq!((guard.max_error_rate, guard.max_fallback_rate), (Some(0.05), Some(0.05)));
}

#[test]
fn what_is_wrong_with_a_hook_never_repeats_its_address() {
    for url in ["ftp://hooks.example/s3cret", "http://user@hooks.example/s3cret", "http:///s3cret", "s3cret"]
    {
        let found = errors(&format!("{SMALLEST}[[tell]]\nurl = \"{url}\"\n")).concat();
        assert!(found.contains("`url`") && !found.contains("s3cret"), "{found}");
    }
    for said in [
        parse(&format!("{SMALLEST}[[tell]]\nurl = \"ftp://hooks.example/s3cret\"\n"), Path::new("x"))
            .unwrap_err(),
        read(&format!("{SMALLEST}[[tell]]\nurl = \"http://hooks.example/s3cret\"\n")).warnings,
    ] {
        assert!(said.to_string().contains("url = **") && !said.to_string().contains("s3cret"), "{said}");
    }
    let found = errors(&format!("{SMALLEST}[[tell]]\nurl = \"http://a\"\non = [\"brakes\"]\n")).concat();
    assert_eq!(found, "`on` cannot be \"brakes\"");
}

#[test]
fn what_a_rule_needs_is_asked_for_and_what_it_does_not_is_refused() {
    let route = |keys: &str| {
        format!(
            "{SMALLEST}[[route]]\nname = \"r\"\npath = \"/r\"\nmode = \"monolith\"\ncontract = \"article\"\n{keys}"
        )
    };
    let rule = |keys: &str| route(&format!("[[route.compare.rule]]\npath = \"/a\"\nreason = \"x\"\n{keys}"));
    for (keys, complaint) in [
        ("rule = 'regex'", "this rule needs `pattern`"),
        ("rule = 'regex'\npattern = '('", "`pattern` is no regular expression"),
        ("rule = 'tolerance'", "this rule needs `abs`, `rel` or both"),
        ("rule = 'list-by'", "this rule needs `key`, the member that tells elements apart"),
        ("rule = 'expected'", "this rule needs `until`"),
        ("rule = 'shape'\nkey = 'id'", "`key` is only for rule = \"list-by\""),
        ("rule = 'set'\nabs = 1", "`abs` is only for rule = \"tolerance\""),
    ] {
        let found = errors(&rule(keys));
        assert!(found.iter().any(|message| message.starts_with(complaint)), "{keys}: {found:?}");
    }
    for keys in [
        "rule = 'regex'\npattern = '^A-[0-9]+$'",
        "rule = 'tolerance'\nrel = 0.01",
        "rule = 'list-by'\nkey = 'id'",
        "rule = 'expected'\nuntil = 2999-12-31\nowner = 'ana'",
        "rule = 'presence'",
        "rule = 'set'",
    ] {
        assert_eq!(errors(&rule(keys)), [""; 0], "{keys}");
    }
    let expired = read(&rule("rule = 'ignore'\nuntil = 2020-01-01"));
    assert_eq!((expired.plans[0].rules.len(), expired.plans[0].expired.len()), (0, 1));

    for keys in ["reverse = true", "repeat_control = 0.5"] {
        let found = errors(&route(&format!("[route.shadow]\n{keys}\n")));
        assert!(found.len() == 1 && found[0].contains("the control"), "{found:?}");
        assert_eq!(errors(&route(&format!("[route.shadow]\ncontrol_repeatable = true\n{keys}\n"))), [""; 0]);
    }
    let spending =
        read(&route("[route.shadow]\nbudget_usd_per_day = 5\nmax_per_minute = 10\nafter_verdict = 0.5\n"));
    let plan = &spending.plans[0];
    assert_eq!((plan.budget_usd_per_day, plan.max_per_minute), (Some(5.0), Some(10)));
    assert_eq!(plan.after_verdict, Share::from_fraction(0.5).unwrap());
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

#[test]
fn a_candidate_that_is_paid_needs_a_budget_and_waits_for_the_control() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "sk-test\n").unwrap();
    let found = |shadow: &str| {
        errors(&format!(
            "{SMALLEST}[generator]\nprovider = \"openai\"\n[generator.openai]\napi_key = {{ file = {key:?} }}\n\
             [[route]]\nname = \"r\"\npath = \"/r\"\nmode = \"shadow\"\ncontract = \"openai\"\n[route.shadow]\n{shadow}\n"
        ))
    };
    assert_eq!(found("budget_usd_per_day = 5.0"), [""; 0]);
    assert_eq!(found("sample = 0.0"), [""; 0]);
    assert!(found("").concat().contains("compares at a price"));
    assert!(
        found("budget_usd_per_day = 5.0\nstart = \"together\"").concat().contains("the candidate is paid")
    );
}
