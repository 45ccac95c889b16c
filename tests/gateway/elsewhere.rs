//! What the monolith is asked and told where another upstream draws: the same as where we do.

use serde_json::{Value, json};

use crate::{
    fallback::{HELD, OURS, PERMITTED},
    harness::{Gateway, Origin, Rules, Wire},
};

const DRAWN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\ndrawn";
const FORBIDDEN: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const HEARD: &str = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";

/// The image route of a site, beside an upstream at this address.
fn rules(monolith: &Origin, images: &str, mode: &str, keys: &str) -> Rules {
    Rules::forwarding_to(monolith.address()).tables(&format!(
        "[generator]\nmax_request = \"1KiB\"\n[upstreams.images]\nurl = \"http://{images}\"\n\
         [[route]]\nname = \"generate-image\"\nmethods = [\"POST\"]\npath = \"/api/images\"\nmode = \"{mode}\"\n{keys}"
    ))
}

/// Of an upstream that draws, where this contract is spoken.
fn drawn_elsewhere(contract: &str, keys: &str) -> String {
    format!("candidate = \"images\"\ncontract = \"{contract}\"\n{keys}")
}

fn start(contract: &str, keys: &str) -> (Gateway, Origin, Origin) {
    let (monolith, candidate) = (Origin::open(), Origin::open());
    let keys = drawn_elsewhere(contract, keys);
    let rules = rules(&monolith, &candidate.address().to_string(), "migrated", &keys);
    (Gateway::start(&rules), monolith, candidate)
}

fn asks(gateway: &Gateway, target: &str, fields: &str, body: &Value) -> Wire {
    let mut client = gateway.connect();
    let body = body.to_string();
    client.send(&format!(
        "POST {target} HTTP/1.1\r\nHost: shop.test\r\nContent-Type: application/json\r\n{fields}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    client
}

fn order() -> Value {
    json!({ "prompt": "mar", "n": 2, "size": "256x256" })
}

#[test]
fn the_monolith_hears_how_much_another_upstream_is_to_draw() {
    let (gateway, monolith, candidate) = start("article", HELD);
    let body = order().to_string();
    let length = body.len();
    for framing in [
        format!("Content-Length: {length}\r\n\r\n{body}"),
        format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"),
    ] {
        let mut client = gateway.connect();
        client.send(&format!(
            "POST /api/images HTTP/1.1\r\nHost: shop.test\r\nContent-Type: application/json\r\nX-Hold: mine\r\n{framing}"
        ));
        let (_, question) = monolith.serve(PERMITTED);
        assert_eq!(question.head.line(), "GET /may HTTP/1.1");
        assert_eq!(
            (question.head.value("figueira-images"), question.head.value("figueira-size")),
            (Some("2"), Some("256x256"))
        );
        let (_, request) = candidate.serve(DRAWN);
        assert_eq!(request.body, body);
        assert_eq!(request.head.value("figueira-request"), question.head.value("figueira-request"));
        assert_eq!(
            (request.head.values("x-user-id"), request.head.values("x-hold")),
            (vec!["ana"], vec!["h1"])
        );
        assert_eq!(client.read_message().body, "drawn");
    }
}

/// Nobody could say what is to be held for it, and the candidate might draw it all the same.
#[test]
fn what_the_contract_cannot_read_is_never_the_candidates() {
    let (gateway, monolith, candidate) = start("article", HELD);
    asks(&gateway, "/api/images", "", &json!({ "prompt": "" })).read_message().is_articles_error(400);
    let long = json!({ "prompt": "x".repeat(1024) });
    asks(&gateway, "/api/images", "", &long).read_message().is_articles_error(413);
    assert!(monolith.is_left_alone() && candidate.is_left_alone());

    let strange = json!({ "prompt": "mar", "seed": 7 });
    for (fallback, status) in [("when-safe", 200), ("never", 400)] {
        let (gateway, monolith, candidate) = start("openai", &format!("fallback = \"{fallback}\"\n{HELD}"));
        let mut client = asks(&gateway, "/api/images", "", &strange);
        if status == 200 {
            let (_, request) = monolith.serve(OURS);
            assert_eq!(request.json(), strange);
        }
        assert_eq!(client.read_message().status(), status);
        assert!(monolith.is_left_alone() && candidate.is_left_alone());
    }
}

/// Else the monolith would hold twice what is taken once.
#[test]
fn two_tries_are_one_wherever_the_routes_key_stands() {
    for key in ["query:pedido", "header:x-pedido", "json:/pedido"] {
        let (gateway, monolith, _candidate) =
            start("article", &format!("{HELD}[route.idempotency]\nkey = \"{key}\"\n"));
        let ask = |pedido: u32| {
            let (mut target, mut fields, mut body) = ("/api/images".to_owned(), String::new(), order());
            match key {
                "query:pedido" => target = format!("{target}?pedido={pedido}"),
                "header:x-pedido" => fields = format!("X-Pedido: {pedido}\r\n"),
                _ => body["pedido"] = pedido.into(),
            }
            let _client = asks(&gateway, &target, &fields, &body);
            let (_, question) = monolith.serve(FORBIDDEN);
            question.head.value("figueira-request").unwrap().to_owned()
        };
        assert_eq!(ask(1), ask(1), "{key}");
        assert_ne!(ask(1), ask(2), "{key}");
    }
}

/// As one in a header does.
#[test]
fn a_key_in_the_body_stays_with_the_upstream_that_had_it_first() {
    let (monolith, candidate) = (Origin::open(), Origin::open());
    let keys = drawn_elsewhere("article", &format!("{HELD}[route.idempotency]\nkey = \"json:/pedido\"\n"));
    let rules = |mode: &str| rules(&monolith, &candidate.address().to_string(), mode, &keys);
    let gateway = Gateway::start(&rules("migrated"));
    let ask = |pedido: u32| {
        let body = json!({ "prompt": "mar", "pedido": pedido });
        asks(&gateway, "/api/images", "", &body)
    };
    let drawn = |mut client: Wire| {
        monolith.serve(PERMITTED);
        candidate.serve(DRAWN);
        assert_eq!(client.read_message().body, "drawn");
    };
    drawn(ask(1));
    gateway.obey(&rules("monolith"));
    drawn(ask(1));
    let mut client = ask(2);
    monolith.serve(OURS);
    assert_eq!(client.read_message().body, "site");
}

/// The monolith takes its own credit: what it holds for us is not to be held as well.
#[test]
fn what_is_held_for_a_candidate_that_is_not_reached_is_given_back_first() {
    let monolith = Origin::open();
    // Bound, and not listening.
    let refusing = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    refusing.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    let address = refusing.local_addr().unwrap().as_socket().unwrap().to_string();
    let told = || {
        let (_, told) = monolith.serve(HEARD);
        assert_eq!(told.head.line(), "POST /told HTTP/1.1");
        told.json()
    };

    let start = |keys: &str| {
        Gateway::start(&rules(&monolith, &address, "migrated", &drawn_elsewhere("article", keys)))
    };
    let gateway = start(HELD);
    let mut client = asks(&gateway, "/api/images", "", &order());
    monolith.serve(PERMITTED);
    let news = told();
    assert_eq!((&news["event"], &news["reason"]), (&json!("failed"), &json!("handed-over")));
    assert_eq!((&news["facts"]["x-hold"], &news["n"]), (&json!("h1"), &json!(2)));
    assert_eq!((&news["tenant"], &news["size"]), (&json!("ana"), &json!("256x256")));
    let (_, request) = monolith.serve(OURS);
    assert_eq!((request.head.line(), request.json()), ("POST /api/images HTTP/1.1", order()));
    assert_eq!(client.read_message().body, "site");

    let gateway = start(&format!("fallback = \"never\"\n{HELD}"));
    let mut client = asks(&gateway, "/api/images", "", &order());
    monolith.serve(PERMITTED);
    assert_eq!(told()["reason"], "refused");
    assert_eq!(client.read_message().status(), 502);
    // Its hold is the next try's as well.
    let mut client = asks(&gateway, "/api/images", "Idempotency-Key: 1\r\n", &order());
    monolith.serve(PERMITTED);
    assert_eq!(client.read_message().status(), 502);
    assert!(monolith.is_left_alone());
}

#[test]
fn a_job_is_asked_for_where_its_route_has_it_drawn() {
    let (monolith, candidate) = (Origin::open(), Origin::open());
    let rules = |keys: &str| rules(&monolith, &candidate.address().to_string(), "migrated", keys);
    // Its record is what a function leaves in the catalog that it shares with the gateway.
    let gateway = Gateway::start(&rules(&format!("contract = \"article\"\n{HELD}")));
    let mut client = asks(&gateway, "/api/images", "Prefer: respond-async\r\n", &order());
    monolith.serve(PERMITTED);
    let place = client.read_message().head.value("location").unwrap().to_owned();
    let (_, told) = monolith.serve(HEARD);
    assert_eq!(told.json()["event"], "done");
    gateway.obey(&rules(&format!("candidate = \"images\"\n{HELD}")));
    let looks = || {
        let mut client = gateway.connect();
        client.send(&format!("GET {place} HTTP/1.1\r\nHost: shop.test\r\nX-Hold: mine\r\n\r\n"));
        client
    };
    let mut client = looks();
    let (_, question) = monolith.serve(PERMITTED);
    assert_eq!(question.head.value("figueira-images"), None, "nothing is to be drawn");
    let (_, request) = candidate.serve(DRAWN);
    assert_eq!(request.head.line(), format!("GET {place} HTTP/1.1"));
    assert_eq!(request.head.value("figueira-request"), question.head.value("figueira-request"));
    assert_eq!(request.head.values("x-hold"), ["h1"]);
    assert_eq!(client.read_message().body, "drawn");
    let mut client = looks();
    monolith.serve(FORBIDDEN);
    assert_eq!(client.read_message().status(), 403);
    assert!(candidate.is_left_alone());
}
