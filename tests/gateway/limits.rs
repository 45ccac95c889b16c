//! What takes too long or grows too large on its way is ended, and never as if it were whole.

use std::{sync::Arc, thread, time::Duration};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::harness::{
    Gateway, Origin, Rules, Wire,
    gateway::eventually,
    secure::{Authority, leaf},
    wire::End,
};

fn limited(origin: &Origin, limits: &str) -> Gateway {
    Gateway::start(&Rules::forwarding_to(origin.address()).gateway(&format!("limits = {{ {limits} }}")))
}

/// One that is `shop.test`.
fn secure(origin: &Origin, authority: &Authority, limits: &str) -> Gateway {
    authority.sign(leaf("shop.test"));
    let tls = format!(
        "tls = {{ certificate = \"{}\", key = \"{}\" }}",
        authority.path("shop.test.pem").display(),
        authority.path("shop.test.key").display()
    );
    let rules = Rules::forwarding_to(origin.address());
    Gateway::start(&rules.gateway(&format!("{tls}\nlimits = {{ {limits} }}")))
}

/// The client's part of a handshake with it.
fn shake_hands(client: &mut Wire, authority: &Authority) {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.path("ca.pem")).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut session = ClientConnection::new(Arc::new(config), "shop.test".try_into().unwrap()).unwrap();
    while session.is_handshaking() || session.wants_write() {
        if session.wants_write() {
            let mut said = Vec::new();
            session.write_tls(&mut said).unwrap();
            client.send_bytes(&said).unwrap();
        } else {
            let heard = client.read_exactly(1).expect("more of its handshake");
            session.read_tls(&mut &heard[..]).unwrap();
            session.process_new_packets().unwrap();
        }
    }
}

/// RFC 9110, 15.5.9.
#[test]
fn a_head_that_trickles_is_408() {
    let origin = Origin::open();
    let gateway = limited(&origin, "head_timeout = \"150ms\"");
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHos");
    client.read_message().is_problem(408);
    assert_eq!(client.ends(), End::Closed);
    assert!(origin.is_left_alone());
}

/// Where hyper would refuse it without a word, too.
#[test]
fn the_largest_limits_are_refused_in_words() {
    let origin = Origin::open();
    let gateway = limited(&origin, "head = \"300KiB\", target = \"65534B\"");
    let ask = |target: &str, name: &str| {
        let mut client = gateway.connect();
        client.send(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n{name}: x\r\n\r\n"));
        client
    };
    let (target, name) = (format!("/{}", "t".repeat(65_533)), "n".repeat(65_535));
    let mut client = ask(&target, &name);
    let (_upstream, request) = origin.serve("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(client.read_head().status(), 204);
    assert_eq!((request.head.line().len(), request.head.value(&name)), (65_547, Some("x")));
    ask(&format!("{target}t"), "n").read_message().is_problem(414);
    ask("/", &format!("{name}n")).read_message().is_problem(431);
}

/// RFC 9110, 15.5.9; the origin's request is cut.
#[test]
fn a_body_that_stalls_is_408() {
    let origin = Origin::open();
    let gateway = limited(&origin, "body_timeout = \"150ms\"");
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nonly a part");
    let mut upstream = origin.accept();
    upstream.read_head();
    assert_eq!(upstream.read_to_end().0, "only a part");
    client.read_message().is_problem(408);
    assert_eq!(client.ends(), End::Closed);
}

/// An answer that stalls is cut on both sides.
#[test]
fn an_answer_that_stalls_is_cut() {
    let origin = Origin::open();
    let gateway = limited(&origin, "body_timeout = \"150ms\"");
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let (mut upstream, _) = origin.serve("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly a part");
    client.read_head();
    assert_eq!(client.read_to_end().0, "only a part");
    upstream.ends();
}

/// RFC 9110, 15.5.14, where the length was not announced.
#[test]
fn a_chunked_body_beyond_its_limit_is_413() {
    let origin = Origin::open();
    let gateway = limited(&origin, "body = \"10B\"");
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    let mut upstream = origin.accept();
    upstream.read_to("hello\r\n");
    client.send("6\r\n world\r\n0\r\n\r\n");
    client.read_message().is_problem(413);
    assert_eq!(client.ends(), End::Closed);
    let (rest, _) = upstream.read_to_end();
    assert!(!rest.contains("0\r\n\r\n"), "ended as if whole: {rest:?}");
}

/// A body of just its limit is let through.
#[test]
fn a_body_within_its_limit_passes() {
    let origin = Origin::open();
    let gateway = limited(&origin, "body = \"10B\"");
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789");
    let (_, request) = origin.serve("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(request.body, "0123456789");
    assert_eq!(client.read_head().status(), 204);
}

/// `limits.response_head`: an origin that says too much is no answer.
#[test]
fn an_answers_head_beyond_its_limit_is_502() {
    let origin = Origin::open();
    let gateway = limited(&origin, "response_head = \"16KiB\"");
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let large = "a".repeat(20 << 10);
    let (_upstream, _) =
        origin.serve(&format!("HTTP/1.1 200 OK\r\nX-Large: {large}\r\nContent-Length: 2\r\n\r\nok"));
    client.read_message().is_problem(502);
}

/// A worker that reads interim responses for as long as they come does nothing else, and no timeout ends it.
#[test]
fn interim_responses_without_end_are_502() {
    let origin = Origin::open();
    let gateway = limited(&origin, "response_head = \"16KiB\"");
    let mut client = gateway.connect();
    // It is told of none of them.
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    let (_upstream, _) = origin.serve(&"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(1000));
    client.read_message().is_problem(502);
}

/// `head_timeout` of a TLS handshake, where there is nobody yet to be told.
#[test]
fn a_handshake_that_never_comes_is_not_waited_for() {
    let (origin, authority) = (Origin::open(), Authority::new());
    let gateway = secure(&origin, &authority, "head_timeout = \"200ms\"");
    for begun in ["", "\x16\x03\x01\x02\0\x01"] {
        let mut client = gateway.connect();
        client.send(begun);
        assert_eq!(client.ends(), End::Closed, "after {begun:?}");
    }
    let mut plain = gateway.connect();
    plain.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    plain.read_message().is_problem(400);
}

/// `idle_timeout`: of a request nothing has come before its record is whole.
#[test]
fn a_record_that_trickles_keeps_no_connection() {
    let (origin, authority) = (Origin::open(), Authority::new());
    let gateway = secure(&origin, &authority, "idle_timeout = \"300ms\"");
    let mut client = gateway.connect();
    shake_hands(&mut client, &authority);
    // Application data, of the largest size.
    client.send("\x17\x03\x03\x40\0");
    eventually("its end", || {
        thread::sleep(Duration::from_millis(20));
        client.send_in_vain("x").err().ok_or("it is kept")
    });
    assert!(origin.is_left_alone());
}

/// `limits.connections`: beyond it nobody is accepted until somebody has left.
#[test]
fn connections_beyond_their_limit_wait() {
    let origin = Origin::open();
    let gateway = limited(&origin, "connections = 1");
    let mut first = gateway.connect();
    first.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n");
    let (mut upstream, _) = origin.serve("HTTP/1.1 204 No Content\r\n\r\n");
    first.read_head();
    let mut second = gateway.connect();
    second.send("GET /second HTTP/1.1\r\nHost: a\r\n\r\n");
    first.send("GET /third HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(upstream.read_head().line(), "GET /third HTTP/1.1");
    upstream.send("HTTP/1.1 204 No Content\r\n\r\n");
    first.read_head();
    drop(first);
    assert_eq!(upstream.read_head().line(), "GET /second HTTP/1.1");
    upstream.send("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(second.read_head().status(), 204);
}

/// `limits.connections` is for connections: a worker that waits for one leaves the places to the others.
#[test]
fn one_place_is_enough_for_one_connection_whichever_worker_it_comes_to() {
    let origin = Origin::open();
    let rules = Rules::forwarding_to(origin.address()).gateway("limits = { connections = 1 }").to_string();
    let gateway = Gateway::start_with(&rules.replace("workers = 1", "workers = 4"));
    for _ in 0..20 {
        let mut client = gateway.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        origin.serve("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        assert_eq!(client.read_head().status(), 204);
    }
}
