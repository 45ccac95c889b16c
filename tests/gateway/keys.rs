//! Keys that stand in a request's body, across the walk of a route: the arm that a key had first it keeps, in every mode.

use serde_json::{Value, json};

use crate::{
    harness::{Gateway, Origin, Rules, Wire},
    modes::route,
};

const KEY: &str = "[route.idempotency]\nkey = \"json:/pedido\"\n";
const ASK: &str = "[route.authorize]\nurl = \"/may\"\ncopy = [\"x-user\"]\ntenant = \"x-user\"\n";
const SITES: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nsite";
const PERMITTED: &str = "HTTP/1.1 204 No Content\r\nX-User: ana\r\nConnection: close\r\n\r\n";

fn asks(gateway: &Gateway, order: &Value) -> Wire {
    let mut client = gateway.connect();
    let body = order.to_string();
    client.send(&format!(
        "POST /api/images HTTP/1.1\r\nHost: shop.test\r\nCookie: session=ana\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    client
}

fn order(number: u32) -> Value {
    json!({ "prompt": "mar", "size": "256x256", "pedido": number })
}

/// The site answers, to the very request.
#[track_caller]
fn answered_by_the_site(site: &Origin, mut client: Wire, order: &Value) {
    let (_, request) = site.serve(SITES);
    assert_eq!((request.head.line(), &request.json()), ("POST /api/images HTTP/1.1", order));
    assert_eq!(client.read_message().body, "site");
}

#[test]
fn a_key_in_the_body_stays_with_the_arm_that_had_it_first() {
    let site = Origin::open();
    for ask in ["", ASK] {
        let rules = |mode: &str| route(Rules::forwarding_to(site.address()), mode, &format!("{ask}{KEY}"));
        let permit = || {
            if !ask.is_empty() {
                site.serve(PERMITTED);
            }
        };
        let gateway = Gateway::start(&rules("migrated"));
        let mut client = asks(&gateway, &order(1));
        permit();
        let drawn = client.read_message();
        assert_eq!(drawn.status(), 200);

        gateway.obey(&rules("monolith"));
        let mut client = asks(&gateway, &order(1));
        permit();
        let again = client.read_message();
        assert_eq!(again.head.value("idempotent-replayed"), Some("true"), "{again:?}");
        assert_eq!(again.json(), drawn.json());
        answered_by_the_site(&site, asks(&gateway, &order(2)), &order(2));

        gateway.obey(&rules("migrated"));
        // And nobody is asked whether the site may answer.
        answered_by_the_site(&site, asks(&gateway, &order(2)), &order(2));
        let mut client = asks(&gateway, &order(3));
        permit();
        assert_eq!(client.read_message().status(), 200);
        assert!(site.is_left_alone());
    }
}

/// The generator has not answered it, so that nothing is looked up: it passes as it comes.
#[test]
fn what_is_longer_than_the_generator_takes_is_not_held_back_for_its_key() {
    let site = Origin::open();
    let rules = Rules::forwarding_to(site.address()).tables("[generator]\nmax_request = \"1KiB\"");
    let gateway = Gateway::start(&route(rules, "monolith", KEY));
    let mut client = gateway.connect();
    client
        .send("POST /api/images HTTP/1.1\r\nHost: a\r\nCookie: session=ana\r\nContent-Length: 2048\r\n\r\n");
    client.send(&"x".repeat(1024));
    let mut upstream = site.accept();
    assert_eq!(upstream.read_head().value("content-length"), Some("2048"));
    upstream.read(1024);
    client.send(&"y".repeat(1024));
    upstream.read(1024);
    upstream.send(SITES);
    assert_eq!(client.read_message().body, "site");
}

/// The record need not have the prompt: the request has it again.
#[test]
fn an_answer_that_is_told_again_is_the_same_to_the_letter() {
    let site = Origin::open();
    let rules = Rules::forwarding_to(site.address()).tables(&format!(
        "[[route]]\nname = \"pedidos\"\npath = \"/api/images\"\nmode = \"migrated\"\ncontract = \"custom\"\n\
         subject = \"cookie:session\"\n{KEY}\
         [route.request]\nprompt = \"json:/prompt\"\nsize = \"json:/size\"\n\
         [route.response]\nbody = '{{\"texto\":\"{{{{ prompt }}}}\",\"imagem\":\"{{{{ images[0].name }}}}\"}}'\nerror_body = '{{}}'\n"
    ));
    let gateway = Gateway::start(&rules);
    let [first, second] = [(); 2].map(|()| asks(&gateway, &order(1)).read_message());
    assert_eq!(first.json()["texto"], "mar");
    assert_eq!((second.json(), second.head.value("idempotent-replayed")), (first.json(), Some("true")));
}
