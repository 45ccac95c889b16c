//! Tunnels (RFC 9110, 7.8, and RFC 6455): opened by an answer to an upgrade that was asked for, and by nothing else.

use crate::harness::{Gateway, Origin, Rules, Wire, gateway::eventually, wire::End};

const ASKING: &str = "GET /chat HTTP/1.1\r\nHost: shop.test\r\nConnection: keep-alive, Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// RFC 9110, 7.8: bytes both ways, each in its time; no byte of the client's before the 101.
#[test]
fn a_tunnel_carries_bytes_both_ways() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    client.send(ASKING);
    client.send("early");
    let mut upstream = origin.accept();
    let head = upstream.read_head();
    assert_eq!(head.value("connection"), Some("Upgrade"), "{head}");
    assert_eq!(head.value("upgrade"), Some("websocket"), "{head}");
    assert_eq!(head.value("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    assert!(upstream.is_silent(), "bytes came before the 101");
    upstream.send(SWITCHING);
    upstream.send("first");
    let answer = client.read_head();
    assert_eq!(answer.line(), "HTTP/1.1 101 Switching Protocols");
    assert_eq!(answer.value("upgrade"), Some("websocket"));
    assert!(answer.value("connection").unwrap().eq_ignore_ascii_case("upgrade"), "{answer}");
    assert_eq!(answer.value("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(client.read(5), "first");
    assert_eq!(upstream.read(5), "early");
    client.send("\0\u{ff}ping");
    assert_eq!(upstream.read(6), "\0\u{ff}ping");
    upstream.send("pong\u{80}");
    assert_eq!(client.read(5), "pong\u{80}");

    client.finish();
    assert_eq!(upstream.ends(), End::Closed);
    upstream.send("goodbye");
    drop(upstream);
    assert_eq!(client.read_to_end(), ("goodbye".to_owned(), End::Closed));
}

/// An open tunnel: its client's end and the upstream's.
fn tunnel(gateway: &Gateway, origin: &Origin) -> (Wire, Wire) {
    let mut client = gateway.connect();
    client.send(ASKING);
    let mut upstream = origin.accept();
    upstream.read_head();
    upstream.send(SWITCHING);
    assert_eq!(client.read_head().status(), 101);
    (client, upstream)
}

/// RFC 8441, 5, between two versions, and so between two sockets: who breaks off has not said goodbye.
#[test]
fn a_tunnel_that_breaks_on_one_side_breaks_on_the_other() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let (mut client, mut upstream) = tunnel(&gateway, &origin);
    client.send("last");
    assert_eq!(upstream.read(4), "last");
    client.reset();
    assert_eq!(upstream.ends(), End::Reset);
    let (mut client, upstream) = tunnel(&gateway, &origin);
    upstream.reset();
    assert_eq!(client.ends(), End::Reset);
}

/// A tunnel may be silent for ever, and one of its ends be gone for as long without anybody's being told.
#[test]
fn the_ends_of_a_tunnel_are_asked_for() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let (client, upstream) = tunnel(&gateway, &origin);
    for end in [&client, &upstream] {
        // Another timer runs until what was sent last is acknowledged.
        eventually("an end is asked for", || if end.is_asked_for() { Ok(()) } else { Err("it is not") });
    }
    let plain = gateway.connect();
    assert!(!plain.is_asked_for(), "whose silence has a limit");
}

/// CVE-2024-23326 of another proxy: an answer that switches nothing is an answer, and what the client sent behind its
/// request is not tunnelled.
#[test]
fn an_answer_that_switches_nothing_opens_no_tunnel() {
    for (status, wanted) in [("200 OK", 200), ("426 Upgrade Required", 426)] {
        let origin = Origin::open();
        let gateway = Gateway::before(&origin);
        let mut client = gateway.connect();
        client.send(ASKING);
        client.send("tunnelled\r\n\r\n");
        let mut upstream = origin.accept();
        upstream.read_head();
        upstream.send(&format!(
            "HTTP/1.1 {status}\r\nUpgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 2\r\n\r\nno"
        ));
        let answer = client.read_message();
        assert_eq!((answer.status(), &*answer.body), (wanted, "no"));
        client.read_message().is_problem(400);
        client.ends();
        drop(client);
        drop(gateway);
        assert_eq!(upstream.read_to_end().0, "");
    }
}

/// RFC 9110, 15.2.2: nobody had asked.
#[test]
fn an_unasked_switch_is_502() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    for request in [
        "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: shop.test\r\nUpgrade: websocket\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\n\r\n",
    ] {
        let mut client = gateway.connect();
        client.send(request);
        let (_, request) = origin.serve(&format!("{SWITCHING}TUNNELLED"));
        assert_eq!(request.head.value("upgrade"), None, "{request:?}");
        client.read_message().is_problem(502);
    }
}

/// RFC 9110, 7.8: to what was asked for, and to nothing else.
#[test]
fn a_switch_to_what_was_not_asked_for_is_502() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let answered = |protocols: &str| {
        let mut client = gateway.connect();
        client.send(
            "GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: chat/2, WebSocket\r\n\r\n",
        );
        let answer = format!("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n{protocols}\r\n");
        let (upstream, _) = origin.serve(&answer);
        (client, upstream)
    };
    for other in ["", "Upgrade:\r\n", "Upgrade: chat\r\n", "Upgrade: irc\r\n", "Upgrade: websocket, irc\r\n"]
    {
        let (mut client, _upstream) = answered(other);
        client.read_message().is_problem(502);
    }
    for asked in ["Upgrade: websocket\r\n", "upgrade: CHAT/2\r\nContent-Length: 9\r\n"] {
        let (mut client, mut upstream) = answered(asked);
        let head = client.read_head();
        assert_eq!((head.status(), head.value("content-length")), (101, None), "{head}");
        client.send("ping");
        assert_eq!(upstream.read(4), "ping");
    }
}

/// RFC 9110, 7.8 and 15.2: HTTP/1.0 knows neither upgrades nor interim responses.
#[test]
fn an_old_client_upgrades_nothing() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.0\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    let (_, request) = origin.serve(SWITCHING);
    assert_eq!(request.head.value("upgrade"), None, "{request:?}");
    client.read_message().is_problem(502);
}

/// RFC 9110, 7.8: the request comes first, to its last byte; an origin that does not wait for it leaves nobody hanging.
#[test]
fn a_switch_before_the_request_has_ended_is_502() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    for (expects, body) in
        [("", "bo"), ("Expect: 100-continue\r\n", ""), ("Expect: 100-continue\r\n", "body")]
    {
        let mut client = gateway.connect();
        client.send(&format!(
            "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 4\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\n{expects}\r\n{body}"
        ));
        let mut upstream = origin.accept();
        upstream.read_head();
        upstream.send(SWITCHING);
        client.read_message().is_problem(502);
        upstream.read_to_end();
    }
}

/// RFC 9113, 3.1: an upgrade of this connection, which the next hop must not answer.
#[test]
fn h2c_is_not_asked_for() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    client.send(
        "GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    );
    let (_, request) = origin.serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    for name in ["connection", "upgrade", "http2-settings"] {
        assert_eq!(request.head.value(name), None, "{request:?}");
    }
    assert_eq!(client.read_message().status(), 200);
}

/// A reload of the rules closes no tunnel.
#[test]
fn a_tunnel_survives_other_rules() {
    let origin = Origin::open();
    let rules = Rules::forwarding_to(origin.address());
    let gateway = Gateway::start(&rules);
    let mut client = gateway.connect();
    client.send(ASKING);
    let (mut upstream, _) = origin.serve(SWITCHING);
    client.read_head();
    let elsewhere = Origin::open();
    for rules in [rules.gateway("via = true"), Rules::forwarding_to(elsewhere.address())] {
        gateway.obey(&rules);
        client.send("ping");
        assert_eq!(upstream.read(4), "ping");
        upstream.send("pong");
        assert_eq!(client.read(4), "pong");
    }
}
