//! An upstream that fails in any phase: the client is told in time, and nothing is asked for twice that must not be.

use std::{
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::harness::{Gateway, Origin, Rules, Wire, wire::End};

const GET: &str = "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n";
const POST: &str = "POST /pay HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 2\r\n\r\nhi";

/// A socket with an address that takes `waiting` connections, or none at all.
fn socket(waiting: Option<i32>) -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
    if let Some(waiting) = waiting {
        socket.listen(waiting).unwrap();
    }
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// RFC 9110, 15.6.3; the client's connection goes on.
#[test]
fn a_refused_connection_is_502() {
    let (_bound, address) = socket(None);
    let gateway = Gateway::start(&Rules::forwarding_to(address));
    let mut client = gateway.connect();
    for _ in 0..2 {
        client.send(GET);
        let answer = client.read_message();
        answer.is_problem(502);
        assert!(!answer.body.contains(&address.port().to_string()), "tells strangers too much: {answer:?}");
    }
}

/// RFC 9110, 9.3.2: our own answers have no body either where none may be.
#[test]
fn our_own_answer_to_head_has_no_body() {
    let (_bound, address) = socket(None);
    let gateway = Gateway::start(&Rules::forwarding_to(address));
    let mut client = gateway.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    let head = client.read_head();
    assert_eq!((head.status(), head.value("content-type")), (502, Some("application/problem+json")));
    client.send(GET);
    client.read_message().is_problem(502);
}

/// CVE-2025-4366 of another proxy: the body of a request that was answered here is never read as a request.
#[test]
fn the_body_of_a_request_answered_here_is_no_request() {
    let (_bound, address) = socket(None);
    let gateway = Gateway::start(&Rules::forwarding_to(address));
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n";
    let head = format!("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: {}\r\n\r\n", smuggled.len());
    // At once with its head, and after the answer.
    for (at_once, later) in [(head.clone() + smuggled, ""), (head, smuggled)] {
        let mut client = gateway.connect();
        client.send(&at_once);
        client.read_message().is_problem(502);
        client.send(later);
        client.finish();
        assert_eq!(client.ends(), End::Closed);
    }
}

/// RFC 9110, 15.6.5.
#[test]
fn a_connection_that_never_stands_is_504() {
    let (listening, address) = socket(Some(0));
    // Filled until the kernel answers no more.
    let waiting: Vec<_> =
        std::iter::from_fn(|| TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok())
            .collect();
    let rules = Rules::forwarding_to(address).monolith("connect_timeout = \"200ms\"");
    let gateway = Gateway::start(&rules);
    let mut client = gateway.connect();
    client.send(GET);
    client.read_message().is_problem(504);
    drop((waiting, listening));
}

/// RFC 9110, 15.6.5: `first_byte_timeout` from the request's last byte; the exchange is abandoned.
#[test]
fn an_origin_that_hangs_is_504() {
    let origin = Origin::open();
    let rules = Rules::forwarding_to(origin.address()).monolith("first_byte_timeout = \"200ms\"");
    let gateway = Gateway::start(&rules);
    for request in [GET, POST] {
        let mut client = gateway.connect();
        let began = Instant::now();
        client.send(request);
        let mut upstream = origin.accept();
        upstream.read_message();
        client.read_message().is_problem(504);
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(3), "took {took:?}");
        upstream.ends();
    }
    assert!(origin.is_left_alone(), "asked again");
}

/// `timeout` of a route: the whole exchange, from its head to its last byte.
#[test]
fn an_exchange_that_takes_longer_than_its_route_allows_is_ended() {
    let (monolith, candidate) = (Origin::open(), Origin::open());
    let rules = Rules::forwarding_to(monolith.address()).tables(&format!(
        "[upstreams.new]\nurl = \"http://{}\"\n\
         [[route]]\nname = \"new\"\npath = \"/new\"\nmode = \"migrated\"\ncandidate = \"new\"\ntimeout = \"200ms\"\n",
        candidate.address()
    ));
    let gateway = Gateway::start(&rules);
    let mut client = gateway.connect();
    client.send("GET /new HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = candidate.accept();
    upstream.read_head();
    client.read_message().is_problem(504);
    upstream.ends();

    client.send("GET /new HTTP/1.1\r\nHost: a\r\n\r\n");
    let (mut upstream, _) = candidate.serve("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly a part");
    client.read_head();
    assert_eq!(client.read_to_end().0, "only a part");
    upstream.ends();
    assert!(monolith.is_left_alone(), "no fallback to the monolith where the candidate is an upstream");
}

/// An upload that moves is no origin that hangs, however long it takes.
#[test]
fn a_long_upload_is_not_cut_off() {
    let origin = Origin::open();
    let rules = Rules::forwarding_to(origin.address()).monolith("first_byte_timeout = \"500ms\"");
    let gateway = Gateway::start(&rules);
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.read_head();
    let began = Instant::now();
    for _ in 0..8 {
        // The pace of the upload is what is tested here.
        std::thread::sleep(Duration::from_millis(100));
        client.send("x");
        upstream.read(1);
    }
    assert!(began.elapsed() > Duration::from_millis(500));
    upstream.send("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(client.read_head().status(), 204);
}

/// RFC 9110, 15.6.3.
#[test]
fn garbage_is_502() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    for garbage in [
        "\u{16}\u{3}\u{1}garbage\r\n\r\n",
        "HTTP/1.1 2xx OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "",
    ] {
        let mut client = gateway.connect();
        client.send(GET);
        drop(origin.serve(garbage));
        client.read_message().is_problem(502);
    }
    assert!(origin.is_left_alone(), "asked again on a fresh connection");
}

/// A client of a kept connection, both ends of which were used once and are idle.
fn kept(gateway: &Gateway, origin: &Origin) -> (Wire, Wire) {
    let mut client = gateway.connect();
    client.send(GET);
    let (upstream, _) = origin.serve("HTTP/1.1 204 No Content\r\n\r\n");
    client.read_head();
    (client, upstream)
}

/// RFC 9110, 9.2.2: asking twice means the same as once, so a kept connection that broke is made up for.
#[test]
fn a_get_on_a_stale_connection_is_asked_again_once() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let (mut client, mut stale) = kept(&gateway, &origin);
    client.send("GET /again HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    let lost = stale.read_message();
    drop(stale);
    let (_, again) = origin.serve("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nagain");
    assert_eq!(again, lost);
    assert_eq!(client.read_message().body, "again");
    assert!(origin.is_left_alone());
}

/// The same: once, and not for ever.
#[test]
fn a_get_that_breaks_twice_is_502() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let (mut client, mut stale) = kept(&gateway, &origin);
    client.send(GET);
    stale.read_message();
    drop(stale);
    drop(origin.serve(""));
    client.read_message().is_problem(502);
    assert!(origin.is_left_alone(), "asked a third time");
}

/// RFC 9110, 9.2.2: what may have been done is not done again.
#[test]
fn a_post_that_may_have_been_seen_is_never_sent_twice() {
    for post in [POST, "POST /pay HTTP/1.1\r\nHost: shop.test\r\n\r\n"] {
        let origin = Origin::open();
        let gateway = Gateway::before(&origin);
        let (mut client, mut stale) = kept(&gateway, &origin);
        client.send(post);
        assert_eq!(stale.read_message().head.line(), "POST /pay HTTP/1.1");
        drop(stale);
        client.read_message().is_problem(502);
        assert!(origin.is_left_alone(), "{post:?} was sent twice");
    }
}

/// A connection that the origin closed while it was idle costs nobody anything: no byte went there.
#[test]
fn a_post_takes_a_fresh_connection_where_the_kept_one_is_closed() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let (mut client, upstream) = kept(&gateway, &origin);
    drop(upstream);
    client.send(POST);
    let (_, request) = origin.serve("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(request.body, "hi");
    assert_eq!(client.read_head().status(), 204);
    assert!(origin.is_left_alone());
}
