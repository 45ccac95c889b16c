//! A route's walk from the sample monolith to the generator and back, one edit at a time.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use figueira::{
    config,
    demo::monolith::counts::Kind,
    evidence::read::Evidence,
    report::{self, Report},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::harness::{
    Gateway, Origin, Rules, Shop, Wire,
    gateway::{ask_admin, eventually},
    wire::{Message, bytes},
};

/// The image route in this mode, `keys` among its own; the shop's image path serves ours too.
pub(crate) fn route(rules: Rules, mode: &str, keys: &str) -> Rules {
    rules.tables(&format!(
        "[[generator.serve]]\npath = \"/img/{{name}}\"\n\
         [[route]]\nname = \"generate-image\"\nmethods = [\"POST\"]\npath = \"/api/images\"\nmode = \"{mode}\"\n\
         contract = \"article\"\nsubject = \"cookie:session\"\n{keys}"
    ))
}

pub(crate) fn shop_route(shop: &Shop, mode: &str, keys: &str) -> Rules {
    route(Rules::forwarding_to(shop.address()), mode, keys)
}

/// Posts a JSON body, with these field lines.
fn post(client: &mut Wire, path: &str, fields: &str, body: &Value) -> Message {
    let body = body.to_string();
    client.send(&format!(
        "POST {path} HTTP/1.1\r\nHost: shop.test\r\nContent-Type: application/json\r\n{fields}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    client.read_message()
}

fn get(client: &mut Wire, path: &str) -> Message {
    client.send(&format!("GET {path} HTTP/1.1\r\nHost: shop.test\r\n\r\n"));
    client.read_message()
}

pub(crate) fn order(client: &mut Wire, session: &str, body: &Value) -> Message {
    post(client, "/api/images", &format!("Cookie: session={session}\r\n"), body)
}

/// An order that both arms refuse by themselves, at once.
fn order_nothing(client: &mut Wire, session: &str) -> Message {
    let refusal = order(client, session, &json!({ "prompt": "" }));
    assert!(refusal.status() == 400 || refusal.status() == 403, "{refusal:?}");
    refusal
}

pub(crate) fn small(prompt: &str) -> Value {
    json!({ "prompt": prompt, "n": 1, "size": "256x256" })
}

/// Opens an account, and returns the session.
pub(crate) fn sign_in(client: &mut Wire, name: &str) -> String {
    let form = format!("name={name}&password=p");
    client.send(&format!(
        "POST /login HTTP/1.1\r\nHost: shop.test\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{form}",
        form.len()
    ));
    let answer = client.read_message();
    let session =
        answer.head.values("set-cookie").into_iter().find_map(|cookie| cookie.strip_prefix("session="));
    session.unwrap().split(';').next().unwrap().to_owned()
}

/// The shop signs everything that it answers.
fn is_of_the_shop(answer: &Message) -> bool {
    answer.head.value("x-powered-by").is_some()
}

/// The name of the image in an answer of the `article` contract.
#[track_caller]
pub(crate) fn image_of(answer: &Message) -> String {
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert_eq!(answer.json()["processamento"], 200, "{answer:?}");
    answer.json()["imagem"].as_str().unwrap().to_owned()
}

#[track_caller]
fn is_png(answer: &Message) {
    assert_eq!(answer.status(), 200, "{}", answer.head);
    assert_eq!(answer.head.value("content-type"), Some("image/png"));
    assert!(answer.body.starts_with("\u{89}PNG\r\n"), "no PNG");
}

/// Monolith, migrated and back: who answers changes with one line, and every image that was sold stays to be seen.
#[test]
fn a_route_walks_to_the_generator_and_back() {
    let shop = Shop::open();
    let gateway = Gateway::start(&shop_route(&shop, "monolith", ""));
    let mut client = gateway.connect();
    let session = sign_in(&mut client, "ana");
    let bought = order(&mut client, &session, &small("a boat"));
    let theirs = image_of(&bought);
    assert!(is_of_the_shop(&bought) && !theirs.starts_with("fg-"), "{bought:?}");

    gateway.obey(&shop_route(&shop, "migrated", ""));
    let bought = order(&mut client, &session, &small("a boat"));
    let ours = image_of(&bought);
    assert!(!is_of_the_shop(&bought) && ours.starts_with("fg-"), "{bought:?}");
    assert_eq!(shop.saw(Kind::Order), 1, "the shop was asked too");

    for mode in ["migrated", "canary", "shadow", "monolith"] {
        if mode != "migrated" {
            gateway.obey(&shop_route(&shop, mode, ""));
        }
        for path in [format!("/img/{ours}"), format!("/figueira/images/{ours}")] {
            let image = get(&mut client, &path);
            is_png(&image);
            assert!(!is_of_the_shop(&image), "{path}");
        }
        let image = get(&mut client, &format!("/img/{theirs}"));
        is_png(&image);
        assert!(is_of_the_shop(&image));
    }
    assert!(is_of_the_shop(&order_nothing(&mut client, &session)));
}

/// `[[generator.serve]]`: names that are not ours are the site's to answer for.
#[test]
fn foreign_names_fall_through() {
    let shop = Shop::open();
    let gateway = Gateway::start(&shop_route(&shop, "migrated", ""));
    let mut client = gateway.connect();
    for name in ["nobody.png", "fg-0123456789abcdef.png", "fg-", "..%2Fcatalog.sqlite", "fg-..%2f..%2fx.png"]
    {
        let answer = get(&mut client, &format!("/img/{name}"));
        assert_eq!(answer.status(), 404, "{name}");
        assert!(is_of_the_shop(&answer), "{name}: {answer:?}");
    }
    let answer = get(&mut client, "/figueira/images/fg-0123456789abcdef.png");
    assert_eq!(answer.status(), 404, "{answer:?}");
}

/// The control's exchange is the same to the byte, whether or not somebody watches.
#[test]
fn a_shadow_changes_nothing_for_the_user() {
    let exchanged = |mode: &str| {
        let origin = Origin::open();
        let gateway = Gateway::start(&route(Rules::forwarding_to(origin.address()), mode, ""));
        let mut client = gateway.connect();
        client.send(
            "POST /api/images?a=%2F HTTP/1.1\r\nHost: shop.test\r\ncookie: session=s1\r\nX-Odd:  caf\u{e9}\r\n\
             Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
             6\r\n{\"prom\r\nd\r\npt\": \"a cat\"}\r\n0\r\n\r\n",
        );
        let (mut upstream, request) = origin.serve(
            "HTTP/1.1 200 Fine\r\nX-Powered-BY: Atelier\r\nset-COOKIE: a=1\r\nSet-Cookie: b=2\r\n\
             Content-Type: application/json\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        for chunk in ["9\r\n{\"proces\"", "\r\n", "6\r\n: 200}\r\n", "0\r\n\r\n"] {
            upstream.send(chunk);
        }
        let answer = client.read_message();
        let fields: Vec<_> = request
            .head
            .fields()
            .filter(|line| !line.starts_with("x-request-id"))
            .map(ToOwned::to_owned)
            .collect();
        (request.head.line().to_owned(), fields, request.body, answer)
    };
    let watched = exchanged("shadow");
    assert_eq!(watched, exchanged("monolith"));
    assert_eq!(watched.3.body, "{\"proces\": 200}");
}

/// What the evidence in the gateway's data folder proves now.
pub(crate) fn reported(gateway: &Gateway) -> Report {
    let config = config::load(&gateway.file()).unwrap();
    let evidence = Evidence::open(&gateway.data(), Timestamp::now()).unwrap();
    let routes = config.routes.routes().iter().zip(&config.plans);
    report::build(Some(&evidence), routes, Timestamp::now()).unwrap()
}

/// Every sampled request leaves a record, whatever came of it, and all of them add up.
#[test]
fn a_shadow_accounts_for_every_request() {
    let shop = Shop::open();
    let gate = "[route.gate]\ncalibration = 4\n[route.compare]\nheaders = [\"content-type\"]\n";
    let gateway = Gateway::start(&shop_route(&shop, "shadow", gate));
    let mut client = gateway.connect();
    let mut requests = 0;
    for name in ["ana", "bea", "cid", "dan"] {
        let session = sign_in(&mut client, name);
        for prompt in ["a boat", "a tree"] {
            let bought = order(&mut client, &session, &small(prompt));
            assert!(is_of_the_shop(&bought) && !image_of(&bought).starts_with("fg-"), "{bought:?}");
            requests += 1;
        }
        assert!(is_of_the_shop(&order_nothing(&mut client, &session)));
        requests += 1;
    }
    assert_eq!(post(&mut client, "/api/images", "", &small("a thief")).status(), 403);
    requests += 1;
    assert_eq!(shop.saw(Kind::Order), requests, "the candidate's are not the shop's to answer");

    let report = eventually("the last record", || {
        let report = reported(&gateway);
        if report.routes[0].counts.sampled == requests { Ok(report) } else { Err(report) }
    });
    let counts = &report.routes[0].counts;
    let classes = counts.trials
        + counts.control_failed
        + counts.incomparable
        + counts.duplicate_subject
        + counts.calibration
        + counts.skipped.values().sum::<u64>();
    assert_eq!(classes, requests, "{counts:?}");
    assert!(counts.calibration > 0, "{counts:?}");
}

/// A subject's arm is its own: from request to request, and as the share grows.
#[test]
fn a_canary_keeps_its_subjects() {
    let shop = Shop::open();
    // Nothing is compared: what the evidence says of the candidate is another story.
    let keys = |percent: &str| format!("[route.canary]\n{percent}\n[route.shadow]\nsample = 0.0\n");
    let canary = |percent: &str| shop_route(&shop, "canary", &keys(percent));
    let gateway = Gateway::start(&canary("percent = 0"));
    let mut client = gateway.connect();
    let mut arms = |wanted: &str| -> BTreeMap<String, bool> {
        let subjects = (0..40).map(|number| format!("subject-{number}"));
        let mut candidate = |session: &str| !is_of_the_shop(&order_nothing(&mut client, session));
        let arms =
            subjects.map(|subject| (candidate(&subject), subject)).map(|(arm, subject)| (subject, arm));
        let arms: BTreeMap<_, _> = arms.collect();
        for (subject, arm) in &arms {
            assert_eq!(candidate(subject), *arm, "{subject} changed sides at {wanted}");
        }
        arms
    };
    let moved = |arms: &BTreeMap<String, bool>| arms.values().filter(|candidate| **candidate).count();

    assert_eq!(moved(&arms("0 %")), 0);
    gateway.obey(&canary("percent = 30"));
    let some = arms("30 %");
    assert!((4..=20).contains(&moved(&some)), "{some:?}");
    gateway.obey(&canary("percent = 70"));
    let more = arms("70 %");
    assert!((20..=36).contains(&moved(&more)), "{more:?}");
    let back: Vec<_> = some.iter().filter(|(subject, candidate)| **candidate && !more[*subject]).collect();
    assert!(back.is_empty(), "moved back: {back:?}");
    gateway.obey(&canary("percent = 100"));
    assert_eq!(moved(&arms("100 %")), 40);
    assert!(
        is_of_the_shop(&post(&mut client, "/api/images", "", &json!({ "prompt": "" }))),
        "no subject, no canary"
    );

    gateway.obey(&canary(
        "percent = 50\nallow = [\"subject-1\", \"subject-2\"]\ndeny = [\"subject-2\", \"subject-3\"]",
    ));
    assert!(!is_of_the_shop(&order_nothing(&mut client, "subject-1")));
    assert!(is_of_the_shop(&order_nothing(&mut client, "subject-2")));
    assert!(is_of_the_shop(&order_nothing(&mut client, "subject-3")));
}

/// `fallback`: what is beyond the generator's tables is the monolith's, where that is safe and wanted.
#[test]
fn what_is_beyond_the_tables_falls_back() {
    let shop = Shop::open();
    let gateway = Gateway::start(&shop_route(&shop, "migrated", "fallback = \"when-safe\""));
    let mut client = gateway.connect();
    let session = sign_in(&mut client, "ana");
    let odd = json!({ "prompt": "a boat", "size": "333x333" });
    let answer = order(&mut client, &session, &odd);
    assert!(is_of_the_shop(&answer), "{answer:?}");
    assert_eq!(answer.status(), 400);
    assert_eq!(shop.saw(Kind::Order), 1);
    let metrics = ask_admin(gateway.admin(), "/metrics").body;
    let counted = "figueira_route_fallbacks_total{route=\"generate-image\"} 1\n";
    assert!(metrics.contains(counted), "{metrics}");

    gateway.obey(&shop_route(&shop, "migrated", "fallback = \"never\""));
    let answer = order(&mut client, &session, &odd);
    assert!(!is_of_the_shop(&answer), "{answer:?}");
    assert!((400..500).contains(&answer.status()), "{answer:?}");
    assert_eq!(answer.json()["processamento"], answer.status(), "{answer:?}");
    assert!(answer.json()["msg"].as_str().unwrap().contains("size"), "{answer:?}");
    assert_eq!(shop.saw(Kind::Order), 1, "the shop was asked");
}

/// `contract = "openai"`: OpenAI's Images API, as its clients speak it.
#[test]
fn the_openai_contract_is_spoken() {
    const PATH: &str = "/v1/images/generations";
    let origin = Origin::open();
    let route = "[[route]]\nname = \"images\"\nmethods = [\"POST\"]\npath = \"/v1/images/generations\"\n\
        mode = \"migrated\"\ncontract = \"openai\"\n";
    let gateway = Gateway::start(&Rules::forwarding_to(origin.address()).tables(route));
    let mut client = gateway.connect();
    let asked = json!({ "prompt": "a boat", "n": 2, "size": "256x256", "response_format": "url" });
    let answer = post(&mut client, PATH, "Authorization: Bearer sk-test\r\n", &asked);
    assert_eq!(answer.status(), 200, "{answer:?}");
    let made = answer.json();
    assert!(made["created"].as_u64().is_some(), "{made}");
    let urls: Vec<_> =
        made["data"].as_array().unwrap().iter().map(|image| image["url"].as_str().unwrap()).collect();
    assert_eq!(urls.len(), 2);
    for url in urls {
        let path =
            url.strip_prefix("http://shop.test").unwrap_or_else(|| panic!("{url} is not of this site"));
        is_png(&get(&mut client, path));
    }

    let asked = json!({ "prompt": "a boat", "size": "256x256", "response_format": "b64_json" });
    let made = post(&mut client, PATH, "", &asked).json();
    let image = BASE64_STANDARD.decode(made["data"][0]["b64_json"].as_str().unwrap()).unwrap();
    assert!(image.starts_with(&bytes("\u{89}PNG\r\n")));

    let refused = post(&mut client, PATH, "", &json!({ "n": 1 }));
    assert_eq!(refused.status(), 400);
    assert_eq!(refused.json()["error"]["type"], "invalid_request_error");
    assert_eq!(refused.json()["error"]["param"], "prompt");
    assert!(origin.is_left_alone(), "the monolith was asked");
}

/// A try whose answer was lost is tried again with its key, while the operator turns the route over and back: whoever
/// answered it first answers it again, and nobody draws it twice.
#[test]
fn a_key_stays_with_the_arm_that_answered_it() {
    let shop = Shop::open();
    let gateway = Gateway::start(&shop_route(&shop, "monolith", ""));
    let mut client = gateway.connect();
    let session = sign_in(&mut client, "ana");
    let order = |key: &str, client: &mut Wire| {
        let fields = format!("Cookie: session={session}\r\nIdempotency-Key: {key}\r\n");
        post(client, "/api/images", &fields, &small("a boat"))
    };
    assert!(is_of_the_shop(&order("1", &mut client)));

    gateway.obey(&shop_route(&shop, "migrated", ""));
    assert!(is_of_the_shop(&order("1", &mut client)), "the first key is the monolith's");
    let first = order("2", &mut client);
    let name = image_of(&first);
    assert!(name.starts_with("fg-") && first.head.value("idempotent-replayed").is_none());

    gateway.obey(&shop_route(&shop, "monolith", ""));
    let again = order("2", &mut client);
    assert_eq!(image_of(&again), name);
    assert_eq!(again.head.value("idempotent-replayed"), Some("true"));
    assert!(is_of_the_shop(&order("3", &mut client)));
}

/// What the other arm answered before, to the same key, is nobody's pair: a candidate that is held against itself agrees.
#[test]
fn what_a_key_brings_from_the_other_arm_is_not_compared() {
    let shop = Shop::open();
    let at_once = "[route.gate]\ncalibration = 0\nper_subject = 9\n";
    let reverse = format!("{at_once}[route.shadow]\ncontrol_repeatable = true\nreverse = true\n");
    let gateway = Gateway::start(&shop_route(&shop, "migrated", at_once));
    let mut client = gateway.connect();
    let session = sign_in(&mut client, "ana");
    let order = |key: &str, client: &mut Wire| {
        let fields = format!("Cookie: session={session}\r\nIdempotency-Key: {key}\r\n");
        post(client, "/api/images", &fields, &small("a boat"))
    };
    let name = image_of(&order("1", &mut client));
    assert!(name.starts_with("fg-"));

    let counted = |wanted: u64| {
        let report = eventually("the record", || {
            let report = reported(&gateway);
            if report.routes[0].counts.sampled == wanted { Ok(report) } else { Err(report) }
        });
        report.routes[0].counts.clone()
    };
    gateway.obey(&shop_route(&shop, "shadow", at_once));
    assert_eq!(
        image_of(&order("1", &mut client)),
        name,
        "the candidate's key, though the control answers now"
    );
    let counts = counted(1);
    assert_eq!((counts.trials, counts.incomparable), (0, 1), "{counts:?}");
    assert!(is_of_the_shop(&order("2", &mut client)));
    assert_eq!(counted(2).trials, 1, "what is the control's to answer is a pair");

    gateway.obey(&shop_route(&shop, "migrated", &reverse));
    assert!(is_of_the_shop(&order("2", &mut client)), "and the control's, though the candidate does");
    let counts = counted(3);
    assert_eq!((counts.trials, counts.incomparable, counts.skipped["client-gone"]), (1, 2, 0), "{counts:?}");
}

/// One tenant's crowd leaves room for others.
#[test]
fn a_tenant_has_its_share_and_no_more() {
    let shop = Shop::open();
    let generator = "[generator]\ntenant_max_in_flight = 1\nmax_in_flight = 4\n";
    let rules =
        |fallback: &str| route(Rules::forwarding_to(shop.address()).tables(generator), "migrated", fallback);
    let gateway = Gateway::start(&rules("fallback = \"never\"\n"));
    let mut client = gateway.connect();
    let session = sign_in(&mut client, "ana");
    let large = json!({ "prompt": "city", "n": 4, "size": "1024x1024" }).to_string();
    let mut crowd = [gateway.connect(), gateway.connect(), gateway.connect()];
    // Large images are drawn, on threads that run when no other wants to.
    client.is_patient();
    for one in &mut crowd {
        one.is_patient();
        one.send(&format!(
            "POST /api/images HTTP/1.1\r\nHost: shop.test\r\nContent-Type: application/json\r\n\
             Cookie: session={session}\r\nContent-Length: {}\r\n\r\n{large}",
            large.len()
        ));
    }
    let other = order(&mut client, "somebody-else", &small("a boat"));
    assert_ne!(other.status(), 503, "others have theirs");
    // Which of them came first is theirs to find out.
    let answers = crowd.map(|mut one| one.read_message());
    assert!(answers.iter().any(|answer| answer.status() == 200), "one is served: {answers:?}");
    let refused = answers.iter().find(|answer| answer.status() == 503).expect("another is turned away");
    assert!(refused.head.value("retry-after").unwrap().parse::<u64>().unwrap() >= 2);
}
