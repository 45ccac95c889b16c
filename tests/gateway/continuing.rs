//! Before and beside the final answer: 1xx, `Expect`, and answers that come early (RFC 9110, 10.1.1 and 15.2).

use crate::harness::{Gateway, Origin, wire::End};

const EXPECTING: &str =
    "PUT /file HTTP/1.1\r\nHost: shop.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

/// RFC 9110, 10.1.1: the origin decides, and only then does the body flow.
#[test]
fn a_body_flows_when_the_origin_says_continue() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    client.send(EXPECTING);
    let mut upstream = origin.accept();
    let head = upstream.read_head();
    assert_eq!(head.value("expect"), Some("100-continue"));
    assert!(client.is_silent(), "told to continue before the origin was");
    upstream.send("HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.read_head().to_string(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello");
    assert_eq!(upstream.read(5), "hello");
    upstream.send("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.read_message().status(), 201);
}

/// The same: a refusal comes first and alone, so that the client can keep its body.
#[test]
fn a_refusal_comes_instead_of_a_continue() {
    for status in ["417 Expectation Failed", "413 Content Too Large", "401 Unauthorized"] {
        let origin = Origin::open();
        let gateway = Gateway::before(&origin);
        let mut client = gateway.connect();
        client.send(EXPECTING);
        let (mut upstream, head) = {
            let mut upstream = origin.accept();
            let head = upstream.read_head();
            (upstream, head)
        };
        assert_eq!(head.line(), "PUT /file HTTP/1.1");
        upstream.send(&format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno"));
        let answer = client.read_message();
        assert_eq!(answer.head.line(), format!("HTTP/1.1 {status}"));
        assert_eq!(answer.head.value("connection"), Some("close"));
        assert_eq!(answer.body, "no");
        client.finish();
        assert_eq!(client.ends(), End::Closed);
        assert_eq!(upstream.read_to_end().0, "", "a body that nobody asked for");
    }
}

/// RFC 9110, 10.1.1: nobody waits for a silent origin for ever.
#[test]
fn a_body_flows_in_time_where_the_origin_says_nothing() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    client.send(EXPECTING);
    let mut upstream = origin.accept();
    upstream.read_head();
    assert_eq!(client.read_head().status(), 100);
    client.send("hello");
    assert_eq!(upstream.read(5), "hello");
}

/// RFC 9110, 15.2, and RFC 8297.
#[test]
fn early_hints_come_before_the_answer() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.read_head();
    upstream.send("HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n");
    let hints = client.read_head();
    assert_eq!(hints.line(), "HTTP/1.1 103 Early Hints");
    assert_eq!(hints.values("link"), ["</style.css>; rel=preload"]);
    upstream.send(
        "HTTP/1.1 103 Early Hints\r\nLink: </more.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    assert_eq!(client.read_head().values("link"), ["</more.css>"]);
    assert_eq!(client.read_message().body, "ok");
}

/// RFC 9110, 15.2: a client parses any number of them; here more than are ever queued at once, and the answer after.
#[test]
fn a_flood_of_hints_does_not_drown_the_answer() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(300);
    origin.serve(&format!("{hints}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    let answer = loop {
        let head = client.read_head();
        if head.status() != 103 {
            break head;
        }
    };
    assert_eq!(answer.line(), "HTTP/1.1 200 OK");
    assert_eq!(client.read(2), "ok");
}

/// RFC 9110, 10.1.1: a body of unknown length waits just as well.
#[test]
fn a_chunked_body_flows_when_the_origin_says_continue() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut upstream = origin.accept();
    assert_eq!(upstream.read_head().value("transfer-encoding"), Some("chunked"));
    upstream.send("HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.read_head().status(), 100);
    client.send("5\r\nhello\r\n0\r\n\r\n");
    assert_eq!(upstream.read_to("0\r\n\r\n"), "5\r\nhello\r\n0\r\n\r\n");
    upstream.send("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(client.read_head().status(), 204);
}

/// RFC 9110, 15.2: a client of HTTP/1.0 knows no interim responses.
#[test]
fn old_clients_get_no_interim_response() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.0\r\nHost: shop.test\r\n\r\n");
    origin.serve(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    assert_eq!(client.read_message().status(), 200);
}

/// RFC 9112, 9.3 and 9.6: the client learns that it need not go on, while it still does.
#[test]
fn an_early_answer_is_readable_while_the_client_uploads() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    let piece = "x".repeat(32 * 1024);
    client.send("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 10000000\r\n\r\n");
    client.send(&piece);
    let mut upstream = origin.accept();
    upstream.read_head();
    upstream.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 8\r\n\r\ntoo much");
    client.send(&piece);
    client.send(&piece);
    let answer = client.read_message();
    assert_eq!((answer.status(), &*answer.body), (413, "too much"));
    assert_eq!(answer.head.value("connection"), Some("close"), "{answer:?}");
    client.finish();
    client.ends();
    let (came, _) = upstream.read_to_end();
    assert!(came.len() < 10_000_000, "an upload that nobody wanted came whole");
}

/// RFC 9112, 9.6: an origin that closes in the middle of an upload resets it, and its answer still counts.
#[test]
fn an_answer_before_a_reset_is_heard() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    for _ in 0..30 {
        let mut client = gateway.connect();
        client.send("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 10000000\r\n\r\nbegun");
        let mut upstream = origin.accept();
        upstream.read_head();
        let uploading = std::thread::spawn(move || {
            let piece = "x".repeat(64 * 1024);
            while client.send_in_vain(&piece).is_ok() && client.is_silent() {}
            client
        });
        // Much of the upload is unread when the origin leaves, so the kernel sends RST.
        upstream.read(1 << 20);
        upstream
            .send("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 8\r\n\r\ntoo much");
        drop(upstream);
        let answer = uploading.join().unwrap().read_message();
        assert_eq!((answer.status(), &*answer.body), (413, "too much"), "{answer:?}");
    }
}

/// RFC 9110, 10.1.1: only `100-continue` is an expectation; all others are the origin's to judge, the body at once.
#[test]
fn odd_expectations_are_passed_on() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    for expectation in ["200-ok", "100-continue;x", "100-continue, x", "y 100-continue", ""] {
        let mut client = gateway.connect();
        client.send(&format!(
            "PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: {expectation}\r\nContent-Length: 5\r\n\r\nhello"
        ));
        let (_, request) =
            origin.serve("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!(request.head.value("expect"), Some(expectation));
        assert_eq!(request.body, "hello");
        assert_eq!(client.read_message().status(), 200, "to {expectation:?}");
    }
}

/// RFC 9110, 10.1.1 and 15.2: HTTP/1.0 knows neither the question nor its answer.
#[test]
fn an_old_client_is_not_told_to_continue() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    client.send("PUT / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello");
    let (_, request) = origin.serve("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(request.body, "hello");
    assert_eq!(client.read_head().status(), 204);
}

/// RFC 9110, 15.2 and 7.6.1: what an interim response says of its own hop is not passed on, nor is its claim of a body.
#[test]
fn interim_responses_are_made_ours() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    origin.serve(
        "HTTP/1.1 102 Processing\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=1\r\nA: 1\r\n\r\n\
         HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\nLink: </a>\r\n\r\n\
         HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\nLink: </b>\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    for kept in ["a: 1", "link: </a>", "link: </b>"] {
        let interim = client.read_head();
        assert_eq!(interim.fields().collect::<Vec<_>>(), [kept], "{interim}");
    }
    assert_eq!(client.read_message().body, "ok");
}
