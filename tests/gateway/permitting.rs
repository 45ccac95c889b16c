//! Whom a permission is asked for, what it says, and under which rules.

use serde_json::json;

use crate::{
    fallback::says,
    harness::{Gateway, Origin, Rules, Wire},
    modes::route,
};

const ASK: &str = "[route.authorize]\nurl = \"/may\"\ncopy = [\"x-user\"]\n";
const FORBIDDEN: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

fn post(client: &mut Wire, fields: &str, body: &serde_json::Value) {
    let body = body.to_string();
    client.send(&format!(
        "POST /api/images HTTP/1.1\r\nHost: shop.test\r\nContent-Type: application/json\r\n{fields}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    ));
}

/// Two people may count their orders alike. Where no `subject` tells them apart, their credentials do.
#[test]
fn equal_keys_of_two_people_are_two_requests() {
    let origin = Origin::open();
    let start = |keys: &str| {
        Gateway::start(&Rules::forwarding_to(origin.address()).tables(&format!(
            "[[route]]\nname = \"images\"\nmethods = [\"POST\"]\npath = \"/api/images\"\nmode = \"migrated\"\n\
             contract = \"article\"\n{ASK}{keys}[route.idempotency]\nkey = \"json:/pedido\"\n"
        )))
    };
    let ask = |gateway: &Gateway, fields: &str| {
        let mut client = gateway.connect();
        post(&mut client, fields, &json!({ "prompt": "mar", "size": "256x256", "pedido": 1 }));
        let (_, question) = origin.serve(FORBIDDEN);
        question.head.value("figueira-request").unwrap().to_owned()
    };
    let gateway = start("tenant = \"x-user\"\n");
    let (ana, rui) = ("Cookie: session=ana\r\n", "Authorization: Bearer rui\r\n");
    assert_eq!(ask(&gateway, ana), ask(&gateway, ana));
    assert_ne!(ask(&gateway, ana), ask(&gateway, rui));
    assert_ne!(ask(&gateway, ana), ask(&gateway, ""));
    assert_eq!(ask(&gateway, ""), ask(&gateway, ""), "from the same address");
    // Nobody says whose a key is, so that it is not honoured: each try is a request of its own.
    let gateway = start("");
    assert_ne!(ask(&gateway, ana), ask(&gateway, ana));
}

#[test]
fn facts_are_the_monoliths_and_not_the_clients() {
    let (origin, provider) = (Origin::open(), Origin::open());
    let gateway = Gateway::start(&Rules::forwarding_to(origin.address()).tables(&format!(
        "[generator]\nprovider = \"openai\"\n[generator.openai]\nbase_url = \"http://{}/v1\"\nretries = 0\n\
         [[route]]\nname = \"images\"\nmethods = [\"POST\"]\npath = \"/api/images\"\nmode = \"migrated\"\n\
         contract = \"custom\"\n{ASK}\
         [route.request]\nprompt = \"json:/prompt\"\nuser = \"header:x-user\"\n\
         [route.response]\nbody = '{{}}'\nerror_body = '{{}}'\n",
        provider.address()
    )));
    for (fact, user) in [("X-User: ana\r\n", json!("ana")), ("", json!(null))] {
        let mut client = gateway.connect();
        post(&mut client, "X-User: eva\r\n", &json!({ "prompt": "mar" }));
        origin.serve(&format!("HTTP/1.1 204 No Content\r\n{fact}Connection: close\r\n\r\n"));
        let refusal =
            json!({ "error": { "message": "", "type": "requests", "code": "rate_limit_exceeded" } });
        let (_, asked) = provider.serve(&says("429 Too Many Requests", &refusal.to_string()));
        assert_eq!(asked.json()["user"], user);
        // Whatever the monolith gets itself it gets as it came.
        let (_, request) = origin.serve("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        assert_eq!(request.head.value("x-user"), Some("eva"));
        assert_eq!(client.read_head().status(), 204);
    }
}

/// Behind a proxy that asks for the site by another name than its users do.
#[test]
fn the_sites_own_pages_are_known_by_the_name_that_their_users_know() {
    let origin = Origin::open();
    let rules = Rules::forwarding_to(origin.address()).gateway("trusted_proxies = [\"127.0.0.0/8\"]");
    let gateway = Gateway::start(&route(rules, "migrated", ASK));
    let asks = |page: &str| {
        let mut client = gateway.connect();
        let fields = format!(
            "X-Forwarded-Host: loja.test\r\nX-Forwarded-Proto: https\r\nCookie: session=ana\r\nOrigin: {page}\r\n"
        );
        post(&mut client, &fields, &json!({ "prompt": "mar", "size": "256x256" }));
        client
    };
    let mut client = asks("https://loja.test");
    origin.serve("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    assert_eq!(client.read_message().status(), 200);
    asks("https://evil.test").read_message().is_articles_error(403);
    assert!(origin.is_left_alone());
}

/// Its head came under rules that asked nobody and drew at no cost; those of now ask, and pay.
#[test]
fn a_request_is_drawn_by_the_provider_of_the_rules_that_let_it_in() {
    let (origin, provider) = (Origin::open(), Origin::open());
    let rules = || Rules::forwarding_to(origin.address());
    let gateway = Gateway::start(&route(rules(), "migrated", ""));
    let body = json!({ "prompt": "mar", "size": "256x256" }).to_string();
    let mut client = gateway.connect();
    client.send(&format!(
        "POST /api/images HTTP/1.1\r\nHost: shop.test\r\nContent-Type: application/json\r\n\
         Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    assert_eq!(client.read_head().status(), 100, "it waits for the rest");
    let paid = format!(
        "[generator]\nprovider = \"openai\"\n[generator.openai]\nbase_url = \"http://{}/v1\"",
        provider.address()
    );
    gateway.obey(&route(rules().tables(&paid), "migrated", ASK));
    client.send(&body);
    assert_eq!(client.read_message().json()["processamento"], 200);
    assert!(provider.is_left_alone() && origin.is_left_alone());
}
