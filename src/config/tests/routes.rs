//! What a route becomes, and what its comparison asks for.

use super::*;
use crate::{
    generator::settings::Contract,
    routing::{Candidate, Host, Share, Subject},
};

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

#[test]
fn another_template_or_mapping_is_another_contract() {
    let version = |prompt: &str, body: &str| {
        let config = read(&format!(
            r#"
            [monolith]
            url = "http://shop"
            [[route]]
            name = "r"
            path = "/r"
            mode = "shadow"
            subject = "cookie:session"
            contract = "custom"
            [route.request]
            prompt = "{prompt}"
            [route.response]
            body = '{{"image":"{{{{ {body} }}}}"}}'
            error_body = '{{"error":"{{{{ message }}}}"}}'
            "#
        ));
        config.contracts[0].as_ref().unwrap().version()
    };
    let first = version("json:/prompt", "images[0].url");
    assert!(first.starts_with("custom/"), "{first}");
    assert_eq!(first, version("json:/prompt", "images[0].url"));
    assert_ne!(first, version("json:/prompt", "images[0].name"));
    assert_ne!(first, version("json:/text", "images[0].url"));
}
