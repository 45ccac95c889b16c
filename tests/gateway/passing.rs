//! Requests on the path of a generator's route that are for no images: they are the site's, whole, and no concern of the
//! generator's. And requests that are longer than it takes: nobody's.

use std::thread;

use serde_json::json;

use crate::{
    harness::{
        Gateway, Origin, Rules,
        gateway::{ask_admin, eventually},
    },
    modes::reported,
};

const SITES: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nsite";
/// Far beyond `max_request`.
const LONG: usize = 256 << 10;

fn migrated(monolith: &Origin, route: &str) -> Gateway {
    Gateway::start(&Rules::forwarding_to(monolith.address()).tables(&format!(
        "[generator]\nmax_request = \"1KiB\"\nfallback_max_in_flight = 1\n\
         [[route]]\nname = \"images\"\nmode = \"migrated\"\n{route}"
    )))
}

const OPENAI: &str = "path = \"/v1/images/{*rest}\"\ncontract = \"openai\"\n";

#[test]
fn what_is_for_no_images_reaches_the_site_whole_however_long_it_is() {
    let monolith = Origin::open();
    let gateway = migrated(&monolith, OPENAI);
    let body = "x".repeat(LONG);
    for (line, framed) in [
        ("POST /v1/images/edits", format!("Content-Length: {LONG}\r\n\r\n{body}")),
        (
            "POST /v1/images/edits",
            format!("Transfer-Encoding: chunked\r\n\r\n{LONG:x}\r\n{body}\r\n0\r\n\r\n"),
        ),
        ("PUT /v1/images/generations", format!("Content-Length: {LONG}\r\n\r\n{body}")),
    ] {
        let mut client = gateway.connect();
        let mut sending = client.twin();
        let sent =
            thread::spawn(move || sending.send(&format!("{line} HTTP/1.1\r\nHost: shop.test\r\n{framed}")));
        let (_, request) = monolith.serve(SITES);
        assert_eq!((request.head.line(), request.body.len()), (&*format!("{line} HTTP/1.1"), LONG));
        assert_eq!(client.read_message().body, "site");
        sent.join().unwrap();
    }
}

/// Nothing was left to the site that the generator should have answered: neither its share nor the guard's counts it.
#[test]
fn what_is_for_no_images_is_no_fallback() {
    let monolith = Origin::open();
    let gateway = migrated(&monolith, OPENAI);
    let asks = |line: &str| {
        let mut client = gateway.connect();
        client.send(&format!("{line} HTTP/1.1\r\nHost: shop.test\r\n\r\n"));
        client
    };
    let mut first = asks("GET /v1/images/generations");
    let mut held = monolith.accept();
    held.read_message();
    for line in ["OPTIONS /v1/images/generations", "GET /v1/images/edits"] {
        let mut client = asks(line);
        monolith.serve(SITES);
        assert_eq!(client.read_message().body, "site", "{line}");
    }
    held.send(SITES);
    assert_eq!(first.read_message().body, "site");
    let metrics = ask_admin(gateway.admin(), "/metrics").body;
    assert!(metrics.contains("figueira_route_fallbacks_total{route=\"images\"} 0"), "{metrics}");
}

/// Neither a shadow nor the share of a canary that the site still answers holds it against the generator.
#[test]
fn what_is_for_no_images_is_no_trial() {
    for mode in ["shadow", "canary"] {
        let monolith = Origin::open();
        let gateway = Gateway::start(&Rules::forwarding_to(monolith.address()).tables(&format!(
            "[[route]]\nname = \"images\"\nmode = \"{mode}\"\nsubject = \"header:x-user\"\n{OPENAI}\
             [route.gate]\ncalibration = 0\n"
        )));
        let asks = |user: &str, line: &str| {
            let mut client = gateway.connect();
            client
                .send(&format!("{line} HTTP/1.1\r\nHost: a\r\nX-User: {user}\r\nContent-Length: 0\r\n\r\n"));
            monolith.serve(SITES);
            assert_eq!(client.read_message().body, "site", "{line}");
        };
        for (user, line) in [
            ("ana", "GET /v1/images/generations"),
            ("bea", "OPTIONS /v1/images/generations"),
            ("cid", "POST /v1/images/edits"),
            ("dan", "POST /v1/images/generations"),
        ] {
            asks(user, line);
        }
        let counts = eventually("the one record", || {
            let counts = reported(&gateway).routes.remove(0).counts;
            let is_counted = counts.sampled > 0 && counts.requests > Some(0);
            if is_counted { Ok((counts.requests, counts.sampled)) } else { Err(counts.sampled) }
        });
        assert_eq!(counts, (Some(1), 1), "{mode}");
    }
}

#[test]
fn where_the_site_may_not_answer_it_is_refused_without_being_read() {
    let monolith = Origin::open();
    let gateway = migrated(&monolith, &format!("{OPENAI}fallback = \"never\"\n"));
    for (head, status) in [
        ("POST /v1/images/edits HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n", 404),
        ("DELETE /v1/images/generations HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ] {
        let mut client = gateway.connect();
        client.send(head);
        assert_eq!(client.read_message().status(), status);
    }
    assert!(monolith.is_left_alone());
}

/// What was read of it is the beginning of a request, and none itself: neither is it drawn nor does the site get it.
#[test]
fn what_is_longer_than_a_request_may_be_is_nobodys() {
    let monolith = Origin::open();
    let custom = "path = \"/desenhar\"\ncontract = \"custom\"\n[route.request]\nprompt = \"query:q\"\n\
                  [route.response]\nbody = '{\"imagem\": \"{{ images[0].name }}\"}'\n\
                  error_body = '{\"erro\": {{ status }}}'\n";
    let gateway = migrated(&monolith, custom);
    for framing in [
        format!("Content-Length: 2048\r\n\r\n{}", "x".repeat(2048)),
        format!("Transfer-Encoding: chunked\r\n\r\n800\r\n{}\r\n0\r\n\r\n", "x".repeat(2048)),
    ] {
        let mut client = gateway.connect();
        client.send(&format!("POST /desenhar?q=mar HTTP/1.1\r\nHost: a\r\n{framing}"));
        let answer = client.read_message();
        assert_eq!((answer.status(), answer.json()), (413, json!({ "erro": 413 })));
    }
    let gateway = migrated(&monolith, OPENAI);
    let mut client = gateway.connect();
    let body = json!({ "prompt": "m".repeat(2000) }).to_string();
    client.send(&format!(
        "POST /v1/images/generations HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    let answer = client.read_message();
    let told = &answer.json()["error"]["message"];
    assert_eq!(
        (answer.status(), told),
        (413, &json!("the request has more than the 1024 bytes that are allowed"))
    );
    assert!(monolith.is_left_alone());
}
