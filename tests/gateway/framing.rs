//! Where messages end (RFC 9112, 6 and 7): every body arrives whole, and one that was cut is never taken for whole.

use std::thread;

use crate::harness::{
    Gateway, Origin, Wire,
    gateway::ask_admin,
    wire::{End, Head, Message},
};

/// A client that has sent `request`, and the origin's end of its exchange after the head.
fn begun(request: &str) -> (Gateway, Origin, Wire, Wire, Head) {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    client.send(request);
    let mut upstream = origin.accept();
    let head = upstream.read_head();
    (gateway, origin, client, upstream, head)
}

/// What reaches the client of `request` when the origin answers `response` and keeps its connection.
fn answered(request: &str, response: &str) -> Message {
    let (_gateway, _origin, mut client, mut upstream, _) = begun(request);
    upstream.send(response);
    client.read_message()
}

const GET: &str = "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n";
const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: shop.test\r\n\r\n";

/// RFC 9112, 6.1: whatever the method, chunks stay chunks, and trailers (6.5) come behind them.
#[test]
fn a_chunked_request_stays_chunked_on_any_method() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    for method in ["POST", "PUT", "PATCH", "DELETE", "GET", "OPTIONS", "PROPFIND"] {
        let mut client = gateway.connect();
        client.send(&format!(
            "{method} / HTTP/1.1\r\nHost: shop.test\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
             5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 11\r\n\r\n"
        ));
        let (_, request) = origin.serve("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        assert_eq!(request.head.value("transfer-encoding"), Some("chunked"), "{request:?}");
        assert_eq!(request.head.value("content-length"), None, "{request:?}");
        assert_eq!(request.body, "hello world", "{method}");
        assert_eq!(request.trailers.to_ascii_lowercase(), "x-sum: 11\r\n", "{method}");
        assert_eq!(client.read_message().status(), 200);
    }
}

/// RFC 9110, 8.6: a length stays a length, zero included; no body stays none.
#[test]
fn a_request_of_known_length_keeps_it() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    let mut upstream = None;
    for (length, body) in [("Content-Length: 5\r\n", "hello"), ("Content-Length: 0\r\n", ""), ("", "")] {
        client.send(&format!("POST / HTTP/1.1\r\nHost: shop.test\r\n{length}\r\n{body}"));
        let upstream = upstream.get_or_insert_with(|| origin.accept());
        let request = upstream.read_message();
        let given = length.trim_end().split_once(": ").map(|(_, value)| value);
        assert_eq!(request.head.value("content-length"), given, "{request:?}");
        assert_eq!(request.head.value("transfer-encoding"), None, "{request:?}");
        assert_eq!(request.body, body);
        upstream.send("HTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(client.read_head().status(), 204);
    }
}

/// RFC 9110, 6.5.1: a client that takes trailers gets them, and the origin hears that it does.
#[test]
fn trailers_of_a_response_pass() {
    let (_gateway, _origin, mut client, mut upstream, head) =
        begun("GET / HTTP/1.1\r\nHost: shop.test\r\nTE: trailers, deflate\r\nConnection: TE\r\n\r\n");
    assert_eq!(head.value("te"), Some("trailers"), "{head}");
    assert_eq!(head.value("connection"), Some("TE"), "{head}");
    upstream.send(
        "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 2\r\n\r\n",
    );
    let answer = client.read_message();
    assert_eq!((&*answer.body, &*answer.trailers.to_ascii_lowercase()), ("hi", "x-sum: 2\r\n"), "{answer:?}");
    assert_eq!(answer.head.value("trailer"), Some("X-Sum"));
}

/// RFC 9112, 6.3: chunks override a length, and the length goes.
#[test]
fn chunks_beside_a_length_are_chunks() {
    let answer = answered(
        GET,
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    );
    assert_eq!(answer.body, "hi");
    assert_eq!(answer.head.value("content-length"), None, "{answer:?}");
}

/// RFC 9110, 8.6: of two equal lengths one is sent on; unequal ones are no answer.
#[test]
fn doubled_lengths_are_one_or_none() {
    let answer = answered(GET, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!((answer.head.value("content-length"), &*answer.body), (Some("2"), "hi"));
    let answer = answered(GET, "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi");
    assert_eq!((answer.head.value("content-length"), &*answer.body), (Some("2"), "hi"));
    for lengths in ["2\r\nContent-Length: 3", "2, 3", "2,", "-2", "+2", "0x2", "99999999999999999999999"] {
        answered(GET, &format!("HTTP/1.1 200 OK\r\nContent-Length: {lengths}\r\n\r\nabc")).is_problem(502);
        let (_gateway, _origin, mut client, mut upstream, _) = begun(HEAD);
        upstream.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {lengths}\r\n\r\n"));
        assert_eq!(client.read_head().status(), 502, "to HEAD, of {lengths}");
    }
}

/// RFC 9112, 6.3: a body whose end cannot be known for sure is not passed on.
#[test]
fn odd_transfer_encodings_of_a_response_are_502() {
    for coding in ["xchunked", "gzip, chunked", "chunked, chunked", "identity"] {
        let response = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n2\r\nhi\r\n0\r\n\r\n");
        answered(GET, &response).is_problem(502);
    }
}

/// RFC 9112, 6.3: no length and no chunks; the origin's close is the end, and the client hears of it by chunks.
#[test]
fn a_response_that_ends_by_closing_is_whole() {
    let (_gateway, _origin, mut client, mut upstream, _) = begun(GET);
    upstream.send("HTTP/1.1 200 OK\r\n\r\nas much as there is");
    drop(upstream);
    assert_eq!(client.read_message().body, "as much as there is");
}

/// RFC 9112, 6.1: a client of HTTP/1.0 knows no chunks; its connection's close is the end.
#[test]
fn old_clients_get_no_chunks() {
    let (_gateway, _origin, mut client, mut upstream, _) = begun("GET / HTTP/1.0\r\nHost: shop.test\r\n\r\n");
    upstream
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
    let head = client.read_head();
    assert_eq!((head.value("transfer-encoding"), head.value("content-length")), (None, None), "{head}");
    assert_eq!(client.read_to_end(), ("hello world".to_owned(), End::Closed));
}

/// RFC 9110, 9.3.2, 15.3.5 and 15.4.5: these have no body, whatever their fields say, and the connection goes on.
#[test]
fn answers_without_a_body_keep_what_they_say_of_it() {
    for (request, response) in [
        (HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nA: 1\r\n\r\n"),
        (GET, "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n"),
        (GET, "HTTP/1.1 304 Not Modified\r\ncontent-LENGTH: 99\r\nETag: \"x\"\r\n\r\n"),
        (HEAD, "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nA: 1\r\n\r\n"),
        (GET, "HTTP/1.1 204 No Content\r\nA: 1\r\n\r\n"),
    ] {
        let (_gateway, _origin, mut client, mut upstream, _) = begun(request);
        upstream.send(response);
        let head = client.read_head().to_string();
        assert_eq!(head, response, "to {request:?}");
        client.send(GET);
        upstream.read_head();
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext");
        assert_eq!(client.read_message().body, "next", "after {response:?}");
    }
}

/// RFC 9110, 8.6: a 204 has no length, whatever an origin says.
#[test]
fn an_answer_without_content_says_no_length() {
    for (request, length) in [(GET, "0"), (GET, "5"), (HEAD, "5")] {
        let (_gateway, _origin, mut client, mut upstream, _) = begun(request);
        upstream.send(&format!("HTTP/1.1 204 No Content\r\nContent-Length: {length}\r\nA: 1\r\n\r\n"));
        assert_eq!(client.read_head().to_string(), "HTTP/1.1 204 No Content\r\nA: 1\r\n\r\n");
        client.send(GET);
        upstream.read_head();
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext");
        assert_eq!(client.read_message().body, "next");
    }
}

/// RFC 9110, 9.3.2: what is known of a body only while it is made need not be said, and is not said wrongly.
#[test]
fn chunks_that_a_head_request_spares_are_no_empty_body() {
    let (_gateway, _origin, mut client, mut upstream, _) = begun(HEAD);
    upstream.send("HTTP/1.1 200 OK\r\nA: 1\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(client.read_head().to_string(), "HTTP/1.1 200 OK\r\nA: 1\r\n\r\n");
}

/// RFC 9112, 8: a body that was cut upstream is cut here.
#[test]
fn a_cut_response_is_never_ended_as_if_whole() {
    let (_gateway, _origin, mut client, mut upstream, _) = begun(GET);
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly a part");
    drop(upstream);
    assert_eq!(client.read_head().value("content-length"), Some("100"));
    assert_eq!(client.read_to_end().0, "only a part");

    for broken in ["", "5\r\nhel", "zz\r\nhello\r\n"] {
        let (_gateway, _origin, mut client, mut upstream, _) = begun(GET);
        upstream
            .send(&format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n{broken}"));
        drop(upstream);
        client.read_head();
        let (body, _) = client.read_to_end();
        assert!(body.starts_with("5\r\nhello\r\n"), "{body:?}");
        assert!(!body.contains("0\r\n\r\n"), "ended as if whole: {body:?}");
    }
}

/// RFC 9112, 8: what the client did not send to its end never becomes a whole request.
#[test]
fn a_cut_request_is_never_ended_as_if_whole() {
    type Leave = fn(Wire);
    let by_reset: Leave = Wire::reset;
    let by_closing: Leave = drop;
    let by_finishing: Leave = |mut client| {
        client.finish();
        client.read_message().is_problem(400);
    };
    for leave in [by_reset, by_closing, by_finishing] {
        let (_gateway, _origin, client, mut upstream, _) =
            begun("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 100\r\n\r\nonly a part");
        assert_eq!(upstream.read(11), "only a part");
        leave(client);
        upstream.ends();

        let (_gateway, _origin, client, mut upstream, _) = begun(
            "POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nwor",
        );
        upstream.read_to("hello\r\n");
        leave(client);
        let (rest, _) = upstream.read_to_end();
        assert!(!rest.contains("0\r\n\r\n"), "ended as if whole: {rest:?}");
    }
}

/// RFC 9112, 7.1: what two parsers of chunks could read differently is refused, and what came of it never becomes a
/// whole request.
#[test]
fn a_malformed_chunk_ends_the_exchange() {
    for malformed in [
        "5 \r\nworld\r\n",
        " 5\r\nworld\r\n",
        "5\nworld\r\n",
        "5\r\r\nworld\r\n",
        "5\r\nworld\n",
        "5\r\nworldly\r\n",
        "5\r\nworl\r\n",
        "0x5\r\nworld\r\n",
        "+5\r\nworld\r\n",
        "-0\r\n",
        "5_0\r\nworld\r\n",
        "5,5\r\nworld\r\n",
        ";5\r\nworld\r\n",
        "\r\nworld\r\n",
        "10000000000000005\r\nworld\r\n",
        "5;a\nb\r\nworld\r\n",
        "5;a\rb\r\nworld\r\n",
        "5;a\0\r\nworld\r\n",
        "0\n\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\n: y\r\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\nX: a\r\n folded\r\n\r\n",
        "0\r\nX: \u{1}\r\n\r\n",
        "0\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let (_gateway, _origin, mut client, mut upstream, _) =
            begun("POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        upstream.read_to("hello\r\n");
        client.send(malformed);
        client.send("0\r\n\r\n");
        let answer = client.read_message();
        assert_eq!(answer.status(), 400, "to {malformed:?}");
        assert_eq!(client.ends(), End::Closed, "after {malformed:?}");
        let (rest, _) = upstream.read_to_end();
        assert!(!rest.contains("0\r\n\r\n"), "{malformed:?} ended as if whole: {rest:?}");
    }
}

/// Wherever it stands in what came: with its head, or with a chunk that is sound, it is answered as well.
#[test]
fn a_malformed_chunk_that_comes_with_its_head_is_answered() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    for chunks in ["ZZ\r\n", "2\r\nhi\r\nZZ\r\n", "0\n\n"] {
        let mut client = gateway.connect();
        client.send(&format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"));
        client.read_message().is_problem(400);
        assert_eq!(client.ends(), End::Closed, "after {chunks:?}");
    }
    let metrics = ask_admin(gateway.admin(), "/metrics").body;
    assert!(metrics.contains("figueira_failures_total{kind=\"client\"} 3\n"), "{metrics}");
}

/// RFC 9112, 7.1.2: trailers may be as large as a head, and no larger.
#[test]
fn trailers_are_limited_as_heads_are() {
    for (length, is_within) in [(60 << 10, true), (70 << 10, false)] {
        let (_gateway, _origin, mut client, mut upstream, _) = begun(&format!(
            "POST / HTTP/1.1\r\nHost: shop.test\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\nhi\r\n0\r\nX-Sum: {}\r\n\r\n",
            "s".repeat(length)
        ));
        assert_eq!(upstream.read(7), "2\r\nhi\r\n");
        if is_within {
            assert_eq!(upstream.read_to("\r\n\r\n").len(), "0\r\nX-Sum: \r\n\r\n".len() + length);
        } else {
            client.read_message().is_problem(400);
        }
    }
}

/// RFC 9110, 6.5.1: framing, routing and credentials are of the head; a trailer that claims them goes no further.
#[test]
fn trailers_cannot_say_what_only_a_head_may() {
    let (_gateway, _origin, mut client, mut upstream, _) = begun(
        "POST / HTTP/1.1\r\nHost: shop.test\r\nTrailer: Content-Length, Transfer-Encoding, Host, X-Sum\r\n\
         Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\n\
         Host: evil.test\r\nAuthorization: Basic eA==\r\nX-Sum: 2\r\n\r\n",
    );
    assert_eq!(upstream.read_to("0\r\n"), "2\r\nhi\r\n0\r\n");
    assert_eq!(upstream.read_to("\r\n\r\n").to_ascii_lowercase(), "x-sum: 2\r\n\r\n");
    upstream.send(
        "HTTP/1.1 200 OK\r\nTrailer: Set-Cookie, X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\
         Content-Length: 9\r\nSet-Cookie: a=1\r\nX-Sum: 2\r\n\r\n",
    );
    let answer = client.read_message();
    assert_eq!(answer.body, "hi");
    assert!(!answer.trailers.to_ascii_lowercase().contains("content-length"), "{answer:?}");
}

/// RFC 9110, 6.5.1: the same of whom a request is from, of what it depends on, and of the hop; what is left crosses.
#[test]
fn trailers_cannot_claim_what_the_next_hop_decides_on() {
    const CLAIMED: [&str; 20] = [
        "Cookie",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Real-IP",
        "X-Request-Id",
        "Forwarded",
        "Via",
        "Connection",
        "Keep-Alive",
        "Proxy-Connection",
        "Upgrade",
        "Expect",
        "Range",
        "If-Match",
        "If-None-Match",
        "Proxy-Authorization",
        "WWW-Authenticate",
        "Location",
        "Vary",
    ];
    let section = CLAIMED.map(|name| format!("{name}: 1\r\n")).concat();
    let names = CLAIMED.join(", ");
    let chunked = format!(
        "Trailer: {names}, ETag, grpc-status\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\
         {section}ETag: \"e\"\r\ngrpc-status: 0\r\n\r\n"
    );
    let (_gateway, _origin, mut client, mut upstream, _) =
        begun(&format!("POST / HTTP/1.1\r\nHost: shop.test\r\nConnection: TE\r\nTE: trailers\r\n{chunked}"));
    assert_eq!(upstream.read_to("0\r\n"), "2\r\nhi\r\n0\r\n");
    assert_eq!(upstream.read_to("\r\n\r\n"), "etag: \"e\"\r\ngrpc-status: 0\r\n\r\n");
    upstream.send(&format!("HTTP/1.1 200 OK\r\n{chunked}"));
    let answer = client.read_message();
    assert_eq!((&*answer.body, &*answer.trailers), ("hi", "etag: \"e\"\r\ngrpc-status: 0\r\n"));
}

/// RFC 9112, 7.1: what the grammar of chunks allows is allowed, and gone on the other side.
#[test]
fn chunks_however_they_are_cut_are_the_same_body() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let one_by_one =
        ["h", "e", "l", "l", "o"].map(|letter| format!("1;x=\"{letter}\"\r\n{letter}\r\n")).concat();
    for body in [
        "5\r\nhello\r\n0\r\n\r\n",
        "0005\r\nhello\r\n000\r\n\r\n",
        "5;a;b=c;d=\"e;f\"\r\nhello\r\n0;last\r\n\r\n",
        "5; a = \u{e9}\r\nhello\r\n0\r\nX-Undeclared: 1\r\n\r\n",
        &format!("{one_by_one}0\r\n\r\n"),
    ] {
        let mut client = gateway.connect();
        client.send(&format!("POST / HTTP/1.1\r\nHost: a\r\ntransfer-ENCODING:\tCHUNKED \r\n\r\n{body}"));
        let (_, request) =
            origin.serve("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!((&*request.body, &*request.trailers), ("hello", ""), "of {body:?}");
        assert_eq!(client.read_message().body, "ok");
    }
}

/// RFC 9112, 9.3: bytes behind an answer are nobody's answer.
#[test]
fn what_follows_an_answer_is_never_taken_for_the_next() {
    for first in ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", "HTTP/1.1 204 No Content\r\n\r\n"] {
        let poison = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned";
        let (_gateway, origin, mut client, mut upstream, _) = begun(GET);
        upstream.send(&format!("{first}{poison}"));
        client.read_to(first);
        client.send(GET);
        let (_, _) = origin.serve("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nclean");
        assert_eq!(client.read_message().body, "clean", "after {first:?}");
        upstream.ends();
    }
}

/// Wherever a request is cut into packets, it is the same request.
#[test]
fn a_request_that_comes_byte_by_byte_is_the_same() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    let request = "POST /slow HTTP/1.1\r\nHost: a\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n\
        5;a=\"b\"\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nX-T: 1\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n";
    for byte in request.chars() {
        client.send(&byte.to_string());
    }
    let (mut upstream, came) = origin.serve("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!((came.head.line(), &*came.body), ("POST /slow HTTP/1.1", "hello world"));
    assert_eq!(came.trailers.to_ascii_lowercase(), "x-t: 1\r\n");
    assert_eq!(client.read_head().status(), 204);
    assert_eq!(upstream.read_head().line(), "GET /next HTTP/1.1");
    upstream.send("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(client.read_head().status(), 204);
}

/// Back-pressure: an origin that reads slowly gets every byte.
#[test]
fn a_slow_origin_gets_every_byte() {
    const LENGTH: usize = 4 << 20;
    let (_gateway, _origin, mut client, mut upstream, _) =
        begun(&format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {LENGTH}\r\n\r\n"));
    let body: String = (0..LENGTH).map(|at| char::from(b'a' + u8::try_from(at % 23).unwrap())).collect();
    let sending = thread::spawn({
        let body = body.clone();
        move || {
            client.send(&body);
            client
        }
    });
    let mut came = String::new();
    while came.len() < LENGTH {
        came += &upstream.read((LENGTH - came.len()).min(100_000));
    }
    assert!(came == body, "the body is another");
    upstream.send("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(sending.join().unwrap().read_message().status(), 201);
}

/// Nothing waits for a body's end: a piece that has come is passed on, both ways.
#[test]
fn bodies_flow_as_they_come() {
    let (_gateway, _origin, mut client, mut upstream, _) =
        begun("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    assert_eq!(upstream.read_to("one\r\n"), "3\r\none\r\n");
    client.send("3\r\ntwo\r\n");
    assert_eq!(upstream.read_to("two\r\n"), "3\r\ntwo\r\n");
    client.send("0\r\n\r\n");
    upstream.read_to("0\r\n\r\n");
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none");
    client.read_head();
    assert_eq!(client.read(3), "one");
    upstream.send("two");
    assert_eq!(client.read(3), "two");
}

/// Back-pressure: a client is not read for an origin that does not read, beyond what sockets and buffers hold.
#[test]
fn an_origin_that_does_not_read_holds_its_client_back() {
    const MOST: usize = 64 << 20;
    let (_gateway, _origin, mut client, upstream, _) =
        begun(&format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {MOST}\r\n\r\n"));
    upstream.hold_little();
    let taken = client.send_while_taken(MOST);
    assert!(taken < MOST / 2, "{taken} bytes were taken for an origin that reads none");
}

/// Back-pressure: an origin is not read for a client that does not read, beyond what sockets and buffers hold.
#[test]
fn a_client_that_does_not_read_holds_its_origin_back() {
    const MOST: usize = 64 << 20;
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    client.hold_little();
    client.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n");
    let (mut upstream, _) = origin.serve(&format!("HTTP/1.1 200 OK\r\nContent-Length: {MOST}\r\n\r\n"));
    client.read_head();
    let taken = upstream.send_while_taken(MOST);
    assert!(taken < MOST / 2, "{taken} bytes were taken for a client that reads none");
}
