//! What forwarding promises holds for a route's arms too: watched by a parallel run, answered by the generator, or left
//! to the control after all.

use serde_json::json;

use crate::{
    harness::{Gateway, Origin, Rules, Wire, wire::Head},
    modes::route,
};

/// A client of the image route in this mode that has sent `request`, before an origin of its own.
fn asked(mode: &str, keys: &str, request: &str) -> (Gateway, Origin, Wire) {
    let origin = Origin::open();
    let gateway = Gateway::start(&route(Rules::forwarding_to(origin.address()), mode, keys));
    let mut client = gateway.connect();
    client.send(request);
    (gateway, origin, client)
}

/// The same in shadow, where the origin has got the head.
fn watched(request: &str) -> (Gateway, Origin, Wire, Wire, Head) {
    let (gateway, origin, client) = asked("shadow", "", request);
    let mut upstream = origin.accept();
    let head = upstream.read_head();
    (gateway, origin, client, upstream, head)
}

const WATCHED: &str = "POST /api/images HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";

/// RFC 9112, 8, watched: cut is cut, either way.
#[test]
fn what_is_cut_in_a_shadow_is_never_ended_as_if_whole() {
    let (_gateway, _origin, mut client, mut upstream, _) =
        watched(&format!("{WATCHED}Content-Length: 2\r\n\r\n{{}}"));
    upstream.read(2);
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    drop(upstream);
    client.read_head();
    let (body, _) = client.read_to_end();
    assert_eq!(body, "5\r\nhello\r\n");

    let chunked = format!("{WATCHED}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    let (_gateway, _origin, client, mut upstream, _) = watched(&chunked);
    upstream.read_to("hello\r\n");
    client.reset();
    let (rest, _) = upstream.read_to_end();
    assert!(!rest.contains("0\r\n\r\n"), "ended as if whole: {rest:?}");
}

/// RFC 9110, 10.1.1 and 15.2, watched.
#[test]
fn interim_responses_pass_in_a_shadow() {
    let expecting = format!("{WATCHED}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    let (_gateway, _origin, mut client, mut upstream, head) = watched(&expecting);
    assert_eq!(head.value("expect"), Some("100-continue"));
    upstream.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    assert_eq!(client.read_head().status(), 103);
    upstream.send("HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.read_head().status(), 100);
    client.send("{}");
    assert_eq!(upstream.read(2), "{}");
    upstream.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.read_message().status(), 403);
}

/// RFC 6455: a route in shadow opens tunnels as any other.
#[test]
fn tunnels_open_in_a_shadow() {
    let upgrade = format!("{WATCHED}Connection: upgrade\r\nUpgrade: chat\r\n\r\n");
    let (_gateway, _origin, mut client, mut upstream, _) = watched(&upgrade);
    upstream.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n");
    assert_eq!(client.read_head().status(), 101);
    client.send("ping");
    assert_eq!(upstream.read(4), "ping");
    upstream.send("pong");
    assert_eq!(client.read(4), "pong");
}

/// RFC 9110, 10.1.1: where the generator answers, it is the one who says continue.
#[test]
fn the_generator_says_continue() {
    let body = json!({ "prompt": "a boat", "size": "256x256" }).to_string();
    let head = format!("{WATCHED}Expect: 100-continue\r\nContent-Length: {}\r\n\r\n", body.len());
    let (_gateway, origin, mut client) = asked("migrated", "", &head);
    assert_eq!(client.read_head().status(), 100);
    client.send(&body);
    let answer = client.read_message();
    assert_eq!(answer.json()["processamento"], 200, "{answer:?}");
    assert!(origin.is_left_alone());
}

/// `generator.max_request`, in the contract's shape; what is left of the body is never read as a request.
#[test]
fn a_generators_request_beyond_its_limit_is_413() {
    let body = "x".repeat(2 << 20);
    let request = format!("{WATCHED}Content-Length: {}\r\n\r\n", body.len());
    let (_gateway, origin, mut client) = asked("migrated", "", &request);
    // It may have had enough before all of it is sent.
    drop(client.send_in_vain(&body[..1_100_000]));
    let answer = client.read_message();
    assert_eq!(answer.status(), 413, "{answer:?}");
    assert_eq!(answer.json()["processamento"], 413, "{answer:?}");
    assert_eq!(answer.head.value("connection"), Some("close"), "{answer:?}");
    client.read_to_end();
    assert!(origin.is_left_alone());
}

/// A request that falls back reaches the control as it came, though it was collected before.
#[test]
fn a_fallback_is_the_same_request() {
    let body = json!({ "prompt": "a boat", "size": "333x333" }).to_string();
    let (first, rest) = body.split_at(10);
    for (framing, sent) in [
        (format!("Content-Length: {}", body.len()), body.clone()),
        (
            "Transfer-Encoding: chunked".to_owned(),
            format!("{:x}\r\n{first}\r\n{:x}\r\n{rest}\r\n0\r\n\r\n", first.len(), rest.len()),
        ),
    ] {
        let request = format!("{WATCHED}X-Odd: caf\u{e9}\r\nCOOKIE: session=1\r\n{framing}\r\n\r\n{sent}");
        let (_gateway, origin, mut client) = asked("migrated", "", &request);
        let (_, came) = origin.serve("HTTP/1.1 200 Fine\r\nX-By: The Control\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!(came.head.line(), "POST /api/images HTTP/1.1");
        assert!(came.head.fields().any(|field| field == "COOKIE: session=1"), "{came:?}");
        assert_eq!(came.head.value("x-odd"), Some("caf\u{e9}"));
        assert_eq!(came.body, body, "{framing}");
        let answer = client.read_message();
        assert_eq!(
            answer.head.to_string(),
            "HTTP/1.1 200 Fine\r\nX-By: The Control\r\nContent-Length: 2\r\n\r\n"
        );
        assert_eq!(answer.body, "ok");
    }
}
