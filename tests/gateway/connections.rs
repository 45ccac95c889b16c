//! Connections, the client's and ours (RFC 9112, 9): kept, reused, parked while idle, and closed in time.

use std::{thread, time::Duration};

use crate::harness::{Gateway, Origin, Rules, Wire, gateway::eventually, wire::End};

/// One exchange on a kept connection, each way.
fn exchange(client: &mut Wire, upstream: &mut Wire, path: &str) {
    client.send(&format!("GET {path} HTTP/1.1\r\nHost: shop.test\r\n\r\n"));
    assert_eq!(upstream.read_head().line(), format!("GET {path} HTTP/1.1"));
    upstream.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len()));
    assert_eq!(client.read_message().body, path);
}

/// Longer than a connection waits for its next request before it is parked: idleness itself is what is tested.
fn idle() {
    thread::sleep(Duration::from_millis(100));
}

/// The only worker turns to another client and back, so that it has done with all that was there before.
fn another_client_passes_by(gateway: &Gateway, upstream: &mut Wire) {
    exchange(&mut gateway.connect(), upstream, "/passing");
}

/// RFC 9112, 9.3: requests in turn share one connection on each side.
#[test]
fn kept_connections_are_reused() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    client.send("GET /first HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    let (mut upstream, _) = origin.serve("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    client.read_message();
    for number in 0..5 {
        exchange(&mut client, &mut upstream, &format!("/{number}"));
    }
    for number in 0..5 {
        exchange(&mut gateway.connect(), &mut upstream, &format!("/new/{number}"));
    }
    assert!(origin.is_left_alone(), "a second connection was opened");
}

/// RFC 9112, 9.3.2: answered in the order in which they came, one after the other.
#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    client.send(
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\ntwo\
         PUT /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nthree\r\n0\r\n\r\n\
         \r\nGET /4 HTTP/1.1\r\nHost: a\r\n\r\nGET /5 HTTP/1.1\r\nHo",
    );
    let mut upstream = origin.accept();
    for (line, body) in [("GET /1", ""), ("POST /2", "two"), ("PUT /3", "three"), ("GET /4", "")] {
        let request = upstream.read_message();
        assert_eq!((request.head.line(), &*request.body), (&*format!("{line} HTTP/1.1"), body));
        assert!(upstream.is_silent(), "the next request came before this one was answered");
        upstream.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{line}", line.len()));
        assert_eq!(client.read_message().body, line);
    }
    client.send("st: a\r\n\r\n");
    assert_eq!(upstream.read_head().line(), "GET /5 HTTP/1.1");
    upstream.send("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(client.read_head().status(), 204);
}

/// RFC 9112, 9.6: `close` is obeyed, and is the default of HTTP/1.0.
#[test]
fn a_connection_is_closed_when_its_client_says_so() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    for request in
        ["GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "GET / HTTP/1.0\r\nHost: a\r\n\r\n"]
    {
        let mut client = gateway.connect();
        client.send(request);
        drop(origin.serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"));
        assert_eq!(client.read_message().body, "ok");
        assert_eq!(client.ends(), End::Closed);
    }
}

/// RFC 9112, 9.3: HTTP/1.0 may ask to be kept, and is told that it is.
#[test]
fn an_old_client_is_kept_when_it_asks() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    let mut upstream = None;
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
        let upstream = upstream.get_or_insert_with(|| origin.accept());
        let head = upstream.read_head();
        assert_eq!(head.value("connection"), None, "{head}");
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        let answer = client.read_message();
        assert_eq!(
            (answer.head.value("connection"), &*answer.body),
            (Some("keep-alive"), "ok"),
            "{answer:?}"
        );
    }
}

/// RFC 9112, 9.6: nothing behind a request that closes is a request.
#[test]
fn what_follows_a_closing_request_is_no_request() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    for closing in ["1.1\r\nConnection: close", "1.1\r\nConnection: x, CLOSE", "1.0"] {
        let mut client = gateway.connect();
        client.send(&format!(
            "GET / HTTP/{closing}\r\nHost: a\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        ));
        let (mut upstream, _) = origin.serve("HTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(client.read_head().status(), 204);
        client.finish();
        assert_eq!(client.read_to_end().0, "");
        assert!(upstream.is_silent() && origin.is_left_alone(), "after {closing:?}");
        drop(upstream);
    }
}

/// RFC 9112, 9.6: that an upstream's connection ends says nothing of the client's.
#[test]
fn an_upstreams_close_is_its_own() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let (mut upstream, _) =
            origin.serve("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        let answer = client.read_message();
        assert_eq!((answer.head.value("connection"), &*answer.body), (None, "ok"));
        upstream.ends();
    }
}

/// `idle_connection_timeout`: kept below the upstream's own, so that ours is the side that closes.
#[test]
fn an_idle_connection_to_an_upstream_is_closed_in_time() {
    let origin = Origin::open();
    let rules = Rules::forwarding_to(origin.address()).monolith("idle_connection_timeout = \"50ms\"");
    let gateway = Gateway::start(&rules);
    let mut upstream = origin_of_another(&gateway, &origin);
    assert_eq!(upstream.ends(), End::Closed);
}

/// `idle_connections`: those that are too many when their exchange is over are closed.
#[test]
fn no_more_idle_connections_are_kept_than_asked_for() {
    let origin = Origin::open();
    let gateway = Gateway::start(&Rules::forwarding_to(origin.address()).monolith("idle_connections = 2"));
    let begin = |number: usize| {
        let mut client = gateway.connect();
        client.send(&format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let mut upstream = origin.accept();
        upstream.read_head();
        (client, upstream)
    };
    let mut together: Vec<_> = (0..5).map(begin).collect();
    for (client, upstream) in &mut together {
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!(client.read_message().body, "ok");
    }
    let (kept, closed) = together.split_at_mut(2);
    for (_, upstream) in closed {
        assert_eq!(upstream.ends(), End::Closed);
    }
    assert!(kept.iter_mut().all(|(_, upstream)| upstream.is_silent()), "fewer are kept");
}

/// Of a connection that has been idle for a while the socket is kept and nothing else: it is used again all the same, and
/// not where the upstream has closed it.
#[test]
fn a_connection_to_an_upstream_that_was_idle_for_long_is_used_again() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut upstream = origin_of_another(&gateway, &origin);
    let calm = Duration::from_millis(2100);
    thread::sleep(calm);
    exchange(&mut gateway.connect(), &mut upstream, "/again");
    assert!(origin.is_left_alone(), "a second connection was opened");
    thread::sleep(calm);
    drop(upstream);
    idle();
    let mut client = gateway.connect();
    client.send("POST /once HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(origin.serve("HTTP/1.1 204 No Content\r\n\r\n").1.body, "hi");
    assert_eq!(client.read_head().status(), 204);
}

/// An upstream may answer while it reads, and a client read once it has sent: neither waits for the other.
#[test]
fn an_upload_goes_on_while_its_answer_is_not_read() {
    const LARGE: usize = 16 << 20;
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    client.hold_little();
    client.send(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n"));
    let mut upstream = origin.accept();
    // Its answer is taken once the whole upload is through, however long that takes.
    upstream.is_patient();
    upstream.read_head();
    upstream.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n"));
    let mut answering = upstream.twin();
    thread::scope(|scope| {
        scope.spawn(move || answering.send_bytes(&vec![b'a'; LARGE]).unwrap());
        scope.spawn(|| assert!(upstream.read_exactly(LARGE).is_some(), "the upload is cut"));
        client.send_bytes(&vec![b'u'; LARGE]).unwrap();
        assert_eq!(client.read_head().status(), 200);
        assert!(client.read_exactly(LARGE).is_some(), "the answer is cut");
    });
}

/// RFC 9112, 9.5: a client that has said all it will say still listens.
#[test]
fn a_client_that_has_finished_sending_gets_its_answer() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    client.finish();
    let mut upstream = origin.accept();
    upstream.read_message();
    another_client_passes_by(&gateway, &mut origin_of_another(&gateway, &origin));
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(client.read_message().body, "ok");
    assert_eq!(client.ends(), End::Closed);
}

/// An upstream connection that is free, while others are not.
fn origin_of_another(gateway: &Gateway, origin: &Origin) -> Wire {
    let mut client = gateway.connect();
    client.send("GET /other HTTP/1.1\r\nHost: a\r\n\r\n");
    let (upstream, _) = origin.serve("HTTP/1.1 204 No Content\r\n\r\n");
    client.read_head();
    upstream
}

/// A client that is gone needs no more of its answer, and the origin hears of it.
#[test]
fn a_client_that_resets_cancels_its_answer() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    client.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n");
    let (mut upstream, _) =
        origin.serve("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    client.read_to("hello");
    client.reset();
    let piece = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    eventually("the end of the exchange", || upstream.send_in_vain(&piece).err().ok_or("it goes on"));
}

/// An idle connection is parked without its buffers, and taken up again at its next byte, however it comes.
#[test]
fn a_parked_connection_works_as_before() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    let mut upstream = origin_of_another(&gateway, &origin);
    for number in 0..2 {
        exchange(&mut client, &mut upstream, &format!("/{number}"));
        idle();
    }
    for piece in ["G", "ET /slowly HTTP", "/1.1\r\nHost: a\r", "\n\r"] {
        client.send(piece);
        another_client_passes_by(&gateway, &mut upstream);
    }
    client.send("\n");
    assert_eq!(upstream.read_head().line(), "GET /slowly HTTP/1.1");
    upstream.send("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(client.read_head().status(), 204);
}

/// A connection is parked only when all of its answer is on its way: a slow reader loses nothing.
#[test]
fn a_slow_reader_gets_every_byte() {
    const LENGTH: usize = 8 << 20;
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    client.hold_little();
    client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.read_head();
    let line: String = (0..128).map(|letter| char::from(b' ' + letter % 95)).collect();
    let body = line.repeat(LENGTH / line.len());
    let sending = thread::spawn({
        let answer =
            format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {LENGTH}\r\n\r\n{body}");
        move || {
            upstream.send(&answer);
            upstream
        }
    });
    client.read_head();
    let mut other = origin_of_another(&gateway, &origin);
    idle();
    let mut came = String::new();
    for _ in 0..8 {
        came += &client.read(LENGTH / 8);
        another_client_passes_by(&gateway, &mut other);
    }
    assert!(came == body, "the body is another");
    drop(sending.join().unwrap());
    exchange(&mut client, &mut other, "/next");
}

/// RFC 9112, 2.2: an empty line behind a request, which some clients send, is no beginning of another.
#[test]
fn an_empty_line_is_no_request_that_is_late() {
    let origin = Origin::open();
    let rules = Rules::forwarding_to(origin.address())
        .gateway("limits = { head_timeout = \"100ms\", idle_timeout = \"3s\" }");
    let gateway = Gateway::start(&rules);
    let mut client = gateway.connect();
    let mut upstream = None;
    for lines in ["", "\r\n", "\r\n\r\n"] {
        client.send(&format!("{lines}POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"));
        let upstream = upstream.get_or_insert_with(|| origin.accept());
        assert_eq!(upstream.read_message().body, "hi");
        upstream.send("HTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(client.read_head().status(), 204);
        client.send("\r\n");
        // Longer than a head may take, and parked or not.
        thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(client.ends(), End::Closed);
}

/// RFC 9112, 2.2: nor is it a reason to wait any longer for one.
#[test]
fn empty_lines_keep_no_connection() {
    let origin = Origin::open();
    let rules = Rules::forwarding_to(origin.address()).gateway("limits.idle_timeout = \"300ms\"");
    let gateway = Gateway::start(&rules);
    for has_asked in [false, true] {
        let mut client = gateway.connect();
        if has_asked {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            drop(origin.serve("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"));
            assert_eq!(client.read_head().status(), 204);
        }
        eventually("its end", || {
            thread::sleep(Duration::from_millis(50));
            client.send_in_vain("\r\n").err().ok_or("it is kept")
        });
    }
}

/// `limits.idle_timeout`: in silence, since nothing was asked.
#[test]
fn an_idle_connection_is_closed_in_time() {
    let origin = Origin::open();
    let rules = Rules::forwarding_to(origin.address()).gateway("limits.idle_timeout = \"100ms\"");
    let gateway = Gateway::start(&rules);
    assert_eq!(gateway.connect().ends(), End::Closed);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    drop(origin.serve("HTTP/1.1 204 No Content\r\n\r\n"));
    assert_eq!(client.read_head().status(), 204);
    assert_eq!(client.ends(), End::Closed);
}
