//! The monolith is asked before the candidate answers, and nobody else gets to where it is asked.

use serde_json::json;

use crate::{
    harness::{
        Gateway, Origin, Rules, Wire,
        gateway::eventually,
        wire::{Head, Message},
    },
    modes::{reported, route},
};

const AUTHORIZE: &str = "[route.authorize]\nurl = \"/internal/may-generate?v=1\"\ncopy = [\"x-user-id\", \"x-hold\"]\ntenant = \"x-user-id\"\n";
const BROWSER: &str = "Cookie: session=ana\r\nAuthorization: Bearer t\r\n";

fn rules(origin: &Origin, keys: &str) -> Rules {
    route(Rules::forwarding_to(origin.address()), "migrated", &format!("{AUTHORIZE}{keys}"))
}

/// A client that has asked for an image, and what the monolith was asked.
fn asked(origin: &Origin, gateway: &Gateway, fields: &str) -> (Wire, Wire, Head) {
    let mut client = gateway.connect();
    send(&mut client, fields);
    let mut upstream = origin.accept();
    let question = upstream.read_head();
    (client, upstream, question)
}

fn send(client: &mut Wire, fields: &str) {
    let body = json!({ "prompt": "mar", "n": 2, "size": "256x256" }).to_string();
    client.send(&format!(
        "POST /api/images?a=1 HTTP/1.1\r\nHost: shop.test\r\nContent-Type: application/json\r\n{fields}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    ));
}

#[test]
fn the_monolith_is_asked_with_the_clients_credentials_and_permits() {
    let origin = Origin::open();
    let gateway = Gateway::start(&rules(&origin, ""));
    let spoofed = "X-User-Id: eva\r\nFigueira-Images: 0\r\n";
    let (mut client, mut upstream, question) = asked(&origin, &gateway, &format!("{BROWSER}{spoofed}"));
    assert_eq!(question.line(), "GET /internal/may-generate?v=1 HTTP/1.1");
    for (name, value) in [
        ("host", "shop.test"),
        ("cookie", "session=ana"),
        ("authorization", "Bearer t"),
        ("x-original-method", "POST"),
        ("x-original-uri", "/api/images?a=1"),
        ("figueira-images", "2"),
        ("figueira-size", "256x256"),
    ] {
        assert_eq!(question.values(name), [value], "{name}");
    }
    assert_eq!(question.value("figueira-request").map(str::len), Some(32));
    for name in ["x-user-id", "content-type", "content-length", "transfer-encoding"] {
        assert_eq!(question.value(name), None, "{name}");
    }
    upstream.send("HTTP/1.1 204 No Content\r\nX-User-Id: ana\r\nX-Hold: h1\r\n\r\n");
    let answer = client.read_message();
    assert_eq!((answer.status(), &answer.json()["processamento"]), (200, &json!(200)));
}

#[test]
fn two_tries_with_one_key_are_one_request_to_the_monolith() {
    let origin = Origin::open();
    let gateway = Gateway::start(&rules(&origin, ""));
    let ask = |key: &str| {
        let (_client, mut upstream, question) = asked(&origin, &gateway, &format!("{BROWSER}{key}"));
        upstream.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        question.value("figueira-request").unwrap().to_owned()
    };
    let key = "Idempotency-Key: k1\r\n";
    assert_eq!(ask(key), ask(key));
    assert_ne!(ask(key), ask("Idempotency-Key: k2\r\n"));
    assert_ne!(ask(""), ask(""));
}

#[test]
fn two_tries_are_one_also_where_the_sites_own_key_stands_in_the_body() {
    let origin = Origin::open();
    let gateway = Gateway::start(&rules(&origin, "[route.idempotency]\nkey = \"json:/pedido\"\n"));
    let ask = |pedido: u32| {
        let mut client = gateway.connect();
        let body = json!({ "prompt": "mar", "size": "256x256", "pedido": pedido }).to_string();
        client.send(&format!(
            "POST /api/images HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        let mut upstream = origin.accept();
        let question = upstream.read_head();
        upstream.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        question.value("figueira-request").unwrap().to_owned()
    };
    assert_eq!(ask(17), ask(17));
    assert_ne!(ask(17), ask(18));
}

#[test]
fn what_is_no_permission_is_the_clients_answer_untouched() {
    let origin = Origin::open();
    let gateway = Gateway::start(&rules(&origin, ""));
    for (answer, status) in [
        (
            "HTTP/1.1 402 Payment Required\r\nX-Odd: 1\r\nx-odd: 2\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnope",
            402,
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: /login\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            302,
        ),
    ] {
        let (mut client, mut upstream, _) = asked(&origin, &gateway, BROWSER);
        upstream.send(answer);
        let told = client.read_head();
        assert_eq!(told.status(), status);
        if status == 402 {
            assert_eq!(told.values("x-odd"), ["1", "2"]);
            assert_eq!(client.read(4), "nope");
        } else {
            assert_eq!((told.value("location"), told.value("set-cookie")), (Some("/login"), Some("a=1")));
        }
    }
}

#[test]
fn a_monolith_that_fails_or_keeps_silent_permits_nothing() {
    let origin = Origin::open();
    let gateway = Gateway::start(&rules(&origin, "timeout = \"200ms\"\n"));
    let (mut client, mut upstream, _) = asked(&origin, &gateway, BROWSER);
    upstream.send("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    client.read_message().is_articles_error(502);
    let (mut client, _upstream, _) = asked(&origin, &gateway, BROWSER);
    let late = client.read_message();
    late.is_articles_error(503);
    assert!(late.head.value("retry-after").is_some());
}

/// What it says is in the head of its answer.
#[test]
fn a_permission_whose_body_never_comes_is_one_all_the_same() {
    let origin = Origin::open();
    let gateway = Gateway::start(&rules(&origin, "timeout = \"200ms\"\n"));
    let (mut client, mut upstream, _) = asked(&origin, &gateway, BROWSER);
    upstream.send("HTTP/1.1 200 OK\r\nX-User-Id: ana\r\nContent-Length: 10\r\n\r\n");
    assert_eq!(client.read_message().status(), 200);
    upstream.ends();
}

#[test]
fn an_expected_status_permits_and_no_other() {
    let origin = Origin::open();
    let gateway = Gateway::start(&rules(&origin, "expect = [302]\n"));
    let (mut client, mut upstream, _) = asked(&origin, &gateway, BROWSER);
    upstream.send("HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert_eq!(client.read_message().status(), 200);
    let (mut client, mut upstream, _) = asked(&origin, &gateway, BROWSER);
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlogin");
    assert_eq!(client.read_message().body, "login");
}

/// In a reverse run: there is no pair of what the candidate may not answer, and nobody has left.
#[test]
fn who_is_refused_makes_no_pair() {
    let origin = Origin::open();
    let reverse =
        "[route.shadow]\ncontrol_repeatable = true\nreverse = true\n[route.gate]\ncalibration = 0\n";
    let gateway = Gateway::start(&rules(&origin, reverse));
    let (mut client, mut upstream, _) = asked(&origin, &gateway, BROWSER);
    upstream.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert_eq!(client.read_message().status(), 403);
    let report = eventually("the record", || {
        let report = reported(&gateway);
        if report.routes[0].counts.sampled == 1 { Ok(report) } else { Err(report) }
    });
    let counts = &report.routes[0].counts;
    assert_eq!((counts.skipped["control"], counts.trials), (1, 0), "{counts:?}");
    assert!(origin.is_left_alone(), "it was not asked for an answer besides");
}

#[test]
fn another_sites_forms_get_no_permission() {
    let origin = Origin::open();
    let gateway = Gateway::start(&rules(&origin, ""));
    for forged in ["Origin: https://evil.example\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
        let mut client = gateway.connect();
        send(&mut client, &format!("{BROWSER}{forged}"));
        client.read_message().is_articles_error(403);
    }
    assert!(origin.is_left_alone());
}

#[test]
fn the_paths_in_between_are_closed_from_outside_and_our_fields_are_ours() {
    let origin = Origin::open();
    let gateway = Gateway::start(&rules(&origin, ""));
    for path in [
        "/internal/may-generate",
        "/internal/may-generate?v=1",
        "//internal/%6Day-generate/",
        "/INTERNAL/may-generate",
    ] {
        let mut client = gateway.connect();
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: shop.test\r\n\r\n"));
        client.read_message().is_problem(404);
    }
    assert!(origin.is_left_alone());
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: shop.test\r\nA: 1\r\nFigueira-Tenant: eva\r\nB: 2\r\n\r\n");
    let (_upstream, request): (Wire, Message) = origin.serve("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(request.head.value("figueira-tenant"), None);
    assert_eq!((request.head.value("a"), request.head.value("b")), (Some("1"), Some("2")));
    assert_eq!(client.read_message().status(), 200);
}

/// Only who answers asks; what a shadow draws is nobody's.
#[test]
fn a_shadow_asks_nobody() {
    let origin = Origin::open();
    let keys = format!("[route.gate]\ncalibration = 0\n{AUTHORIZE}");
    let gateway = Gateway::start(&route(Rules::forwarding_to(origin.address()), "shadow", &keys));
    let mut client = gateway.connect();
    send(&mut client, BROWSER);
    let answer = "{\"processamento\":503,\"msg\":\"busy\"}";
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length:";
    let (_, request) = origin.serve(&format!("{head} {}\r\n\r\n{answer}", answer.len()));
    assert_eq!(request.head.line(), "POST /api/images?a=1 HTTP/1.1");
    assert_eq!(client.read_message().body, answer);
    let counts = eventually("its record", || {
        let counts = Box::new(reported(&gateway).routes.remove(0).counts);
        if counts.sampled == 1 { Ok(counts) } else { Err(counts) }
    });
    assert_eq!(counts.trials, 1, "it was drawn: {counts:?}");
    assert!(origin.is_left_alone(), "the monolith was asked for a shadow");
}

#[test]
fn what_is_malformed_is_refused_without_asking() {
    let origin = Origin::open();
    let gateway = Gateway::start(&rules(&origin, ""));
    let mut client = gateway.connect();
    client.send("POST /api/images HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
    assert_eq!(client.read_message().json()["processamento"], 400);
    assert!(origin.is_left_alone());
}

/// `[[generator.serve]] authorize`: who may see an image is the monolith's to say, each time.
/// An answer waits for its news only so long; they are told all the same, and not only by the next process.
#[test]
fn news_that_an_answer_waited_for_in_vain_are_told_again() {
    let origin = Origin::open();
    let gateway =
        Gateway::start(&rules(&origin, "[route.notify]\nurl = \"/internal/told\"\nwait = \"300ms\"\n"));
    let (mut client, mut upstream, _) = asked(&origin, &gateway, BROWSER);
    upstream.send("HTTP/1.1 204 No Content\r\nX-User-Id: ana\r\nConnection: close\r\n\r\n");
    let mut silent = origin.accept();
    let first = silent.read_message();
    assert_eq!(first.head.line(), "POST /internal/told HTTP/1.1");
    assert_eq!(client.read_message().status(), 200, "it has waited long enough");
    let (_, second) = origin.serve("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    assert_eq!(second.head.value("figueira-delivery"), first.head.value("figueira-delivery"));
    let catalog = rusqlite::Connection::open(gateway.data().join("catalog.sqlite")).unwrap();
    eventually("the end of the news", || {
        let left: u32 = catalog
            .query_row("SELECT count(*) FROM jobs WHERE news IS NOT NULL", [], |row| row.get(0))
            .unwrap();
        (left == 0).then_some(()).ok_or(left)
    });
}

#[test]
fn an_image_is_shown_to_whom_the_monolith_lets_see_it() {
    let origin = Origin::open();
    let rules = Rules::forwarding_to(origin.address()).tables(
        "[[generator.serve]]\npath = \"/img/{name}\"\nauthorize = \"/internal/may-see\"\n\
         [[route]]\nname = \"generate-image\"\nmethods = [\"POST\"]\npath = \"/api/images\"\nmode = \"migrated\"\n\
         contract = \"article\"\n",
    );
    let gateway = Gateway::start(&rules);
    let mut client = gateway.connect();
    send(&mut client, BROWSER);
    let name = client.read_message().json()["imagem"].as_str().unwrap().to_owned();
    let looks = |says: &str| {
        let mut client = gateway.connect();
        client.send(&format!("GET /img/{name} HTTP/1.1\r\nHost: shop.test\r\n{BROWSER}\r\n"));
        let (_, question) = origin.serve(says);
        (client.read_head(), question.head)
    };
    let (shown, question) = looks("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    assert_eq!((shown.status(), shown.value("content-type")), (200, Some("image/png")));
    assert_eq!(question.line(), "GET /internal/may-see HTTP/1.1");
    assert_eq!(question.values("cookie"), ["session=ana"]);
    assert_eq!(question.values("x-original-uri"), [format!("/img/{name}")]);
    let (refused, _) =
        looks("HTTP/1.1 403 Forbidden\r\nX-Odd: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert_eq!((refused.status(), refused.value("x-odd")), (403, Some("1")));
    let (failed, _) =
        looks("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert_eq!(failed.status(), 502);
    // And nobody asks the monolith from outside.
    let mut client = gateway.connect();
    client.send("GET /internal/may-see HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    client.read_message().is_problem(404);
    assert!(origin.is_left_alone());
}
