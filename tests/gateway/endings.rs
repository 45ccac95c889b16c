//! How a connection ends (RFC 9112, 9.6): its client reads all that it was told, and takes no part for the whole.

use std::time::Duration;

use figueira::app::Outcome;

use crate::harness::{
    Gateway, Origin, Rules, Wire,
    gateway::{ask_admin, eventually},
    wire::End,
};

/// More than a client that does not read has taken, and less than the kernel holds for it.
const LARGE: usize = 256 << 10;

/// A client that reads nothing yet, and whose request has reached the origin.
fn asked(gateway: &Gateway, origin: &Origin, request: &str) -> (Wire, Wire) {
    let mut client = gateway.connect();
    client.hold_little();
    client.send(request);
    let mut upstream = origin.accept();
    upstream.read_message();
    (client, upstream)
}

/// Answers, waits until the gateway has done with so many requests, and then has the client read.
fn reads_all_of_it(gateway: &Gateway, client: &mut Wire, upstream: &mut Wire, requests: usize) {
    let body = "a".repeat(LARGE);
    upstream.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n{body}"));
    let answered = format!("figueira_requests_total{{answered_by=\"monolith\",class=\"2xx\"}} {requests}\n");
    eventually("the end of the answer", || {
        let metrics = ask_admin(gateway.admin(), "/metrics").body;
        metrics.contains(&answered).then_some(()).ok_or(metrics)
    });
    client.read_head();
    let (came, end) = client.read_to_end();
    assert!(came == body, "{} of {LARGE} bytes", came.len());
    assert_eq!(end, End::Closed);
}

#[test]
fn what_is_sent_behind_the_last_request_costs_its_answer_nothing() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let next = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
    let close = "HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
    for (requests, (request, late)) in (1..).zip([
        (format!("GET / {close}\r\n"), next),
        (format!("GET / {close}\r\n"), "\r\n"),
        (format!("GET / {close}\r\n{next}"), ""),
        ("GET / HTTP/1.0\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned(), "\r\n"),
        (format!("POST / {close}Content-Length: 2\r\n\r\nhi"), "\r\n"),
    ]) {
        let (mut client, mut upstream) = asked(&gateway, &origin, &request);
        client.send(late);
        reads_all_of_it(&gateway, &mut client, &mut upstream, requests);
        assert!(origin.is_left_alone(), "what followed was taken for a request");
    }
}

/// P10: a client cannot know yet that its request is the last one.
#[test]
fn a_request_that_meets_the_drain_costs_the_answer_before_it_nothing() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let (mut client, mut upstream) = asked(&gateway, &origin, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    gateway.begin_to_drain();
    client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    reads_all_of_it(&gateway, &mut client, &mut upstream, 1);
    assert_eq!(gateway.ended(), Outcome::Drained);
}

/// Which may keep sending, and never closes: it is not waited for longer than a drain has time.
#[test]
fn a_client_that_stays_does_not_hold_the_drain_up() {
    let origin = Origin::open();
    let gateway = Gateway::start(&Rules::forwarding_to(origin.address()).gateway("drain = \"1s\""));
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.read_head();
    gateway.begin_to_drain();
    upstream.send("HTTP/1.1 204 No Content\r\n\r\n");
    client.read_head();
    assert_eq!(gateway.ended(), Outcome::Drained);
    assert_eq!(client.ends(), End::Closed);
}

/// RFC 9112, 9.3: who asks to be kept is not told so where the end of the answer is the connection's.
#[test]
fn an_old_client_is_told_that_its_answer_ends_with_the_connection() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    for answer in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
    ] {
        let mut client = gateway.connect();
        client.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
        drop(origin.serve(answer));
        assert_eq!(client.read_head().value("connection"), Some("close"), "of {answer:?}");
        assert_eq!(client.read_to_end(), ("hello".to_owned(), End::Closed));
    }
}

/// RFC 9112, 8: of an answer that ends with its connection, a close in order would say that it is whole.
#[test]
fn what_breaks_off_is_reset_where_a_close_would_end_it() {
    type Leave = fn(Wire) -> Option<Wire>;
    let origin = Origin::open();
    let rules = Rules::forwarding_to(origin.address()).gateway("limits.body_timeout = \"200ms\"");
    let gateway = Gateway::start(&rules);
    let by_closing: Leave = |_| None;
    let by_reset: Leave = |upstream| {
        upstream.reset();
        None
    };
    let by_silence: Leave = Some;
    for leave in [by_closing, by_reset, by_silence] {
        let mut client = gateway.connect();
        client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
        let (upstream, _) =
            origin.serve("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        client.read_to("hello");
        let _silent = leave(upstream);
        assert_eq!(client.ends(), End::Reset);
    }
}

/// RFC 9112, 9.6: most clients send all of a request before they read what it was refused with.
#[test]
fn a_large_upload_that_is_answered_early_is_taken_to_its_end() {
    const LARGE: usize = 32 << 20;
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    client.send(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n"));
    let mut upstream = origin.accept();
    upstream.read_head();
    upstream.send("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno");
    drop(upstream);
    client.send_bytes(&vec![b'u'; LARGE]).unwrap();
    let answer = client.read_message();
    assert_eq!((answer.status(), &*answer.body), (413, "no"));
    assert_eq!(client.ends(), End::Closed);
}

/// An early answer that its client reads slowly is not cut for what the client does not send meanwhile.
#[test]
fn an_early_answer_has_as_long_as_any() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    client.hold_little();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    let mut upstream = origin.accept();
    upstream.read_to("hello");
    let body = "a".repeat(16 * LARGE);
    let answering = std::thread::spawn(move || {
        upstream.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        body
    });
    client.read_head();
    // Longer than what is left of the upload is waited for: the pace is what is tested.
    std::thread::sleep(Duration::from_millis(2500));
    let (came, end) = client.read_to_end();
    assert!(came == answering.join().unwrap(), "{} bytes came, then {end:?}", came.len());
    assert_eq!(end, End::Closed);
}

/// RFC 9112, 8: an origin that is content with what it gets would take a close for the end of an upload.
#[test]
fn an_upload_that_breaks_off_is_reset_at_the_origin() {
    type Break = fn(Wire) -> Option<Wire>;
    let origin = Origin::open();
    let rules = Rules::forwarding_to(origin.address()).gateway("limits.body_timeout = \"200ms\"");
    let gateway = Gateway::start(&rules);
    let by_its_end: Break = |mut client| {
        client.finish();
        Some(client)
    };
    let by_reset: Break = |client| {
        client.reset();
        None
    };
    let by_garbage: Break = |mut client| {
        client.send("zz\r\n");
        Some(client)
    };
    let by_silence: Break = Some;
    let announced = "Content-Length: 10\r\n\r\nhello";
    let chunked = "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    for (framing, breaks_off) in [
        (announced, by_its_end),
        (announced, by_reset),
        (announced, by_silence),
        (chunked, by_its_end),
        (chunked, by_reset),
        (chunked, by_garbage),
        (chunked, by_silence),
    ] {
        for is_answered in [false, true] {
            let mut client = gateway.connect();
            client.send(&format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}"));
            let mut upstream = origin.accept();
            upstream.read_to("hello");
            if is_answered {
                upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nho\r\n");
                client.read_to("ho");
            }
            let _silent = breaks_off(client);
            let (rest, end) = upstream.read_to_end();
            assert_eq!((rest.trim_end(), end), ("", End::Reset), "of {framing:?}");
        }
    }
}
