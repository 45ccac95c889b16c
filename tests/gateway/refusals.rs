//! What is ambiguous is refused before it is routed, in words, and its connection is closed (RFC 9112, 3, 5, 6 and 11).

use crate::harness::{Gateway, Origin, Rules, gateway::ask_admin, wire::End};

/// A sound request that shows that nothing before it reached the origin.
const CANARY: &str = "GET /canary HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n";

/// That each of these is answered by its status and a close, and that the origin hears of none.
#[track_caller]
fn are_refused(rules: impl FnOnce(Rules) -> Rules, requests: &[(u16, &str)]) {
    let origin = Origin::open();
    let gateway = Gateway::start(&rules(Rules::forwarding_to(origin.address())));
    for (status, request) in requests {
        let mut client = gateway.connect();
        client.send(request);
        let head = client.read_head();
        assert_eq!(head.status(), *status, "to {request:.200?}");
        assert_eq!(head.value("content-type"), Some("application/problem+json"), "to {request:.200?}");
        assert_eq!(head.value("connection"), Some("close"), "to {request:.200?}");
        let (body, end) = client.read_to_end();
        let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["status"], *status, "to {request:.200?}");
        assert_eq!(head.value("content-length"), Some(&*body.len().to_string()), "one answer and no more");
        assert_eq!(end, End::Closed, "to {request:.200?}");
    }
    let mut client = gateway.connect();
    client.send(CANARY);
    let (_, first) = origin.serve("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(first.head.line(), "GET /canary HTTP/1.1");
    assert!(origin.is_left_alone());
}

/// RFC 9112, 3.
#[test]
fn request_lines() {
    are_refused(
        |rules| rules,
        &[
            (400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
            (400, " GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET /\r\nHost: a\r\n\r\n"),
            (400, "GET /\r\n\r\n"),
            (400, "GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET / HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET / HTTP/1\r\nHost: a\r\n\r\n"),
            (400, "GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
            (400, "GET / HTTP1.1\r\nHost: a\r\n\r\n"),
            (400, "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"),
            (505, "GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
            (400, "G(T / HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET / http/1.1\r\nHost: a\r\n\r\n"),
            (505, "GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
            (505, "PRI * HTTP/2.0\r\nHost: a\r\n\r\nSM\r\n\r\n"),
            (400, "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\r\n\r\n"),
        ],
    );
}

/// RFC 9112, 3.2; what hyper cannot carry is refused in words rather than cut off.
#[test]
fn targets() {
    are_refused(
        |rules| rules,
        &[
            (400, "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET /<b> HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET /\"b HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET /`b HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET /caf\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET /\u{7f} HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET shop.test:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET ftp://shop.test/ HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET http://user@shop.test/ HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET http://@shop.test/ HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET http:/shop.test/x HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET http://shop.test:8x/ HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET http://shop.test:99999/ HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET http://shop.test/ HTTP/1.1\r\n\r\n"),
            (400, "GET http://shop.test\\@evil.test/ HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET ?x HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET ../x HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "OPTIONS *?x HTTP/1.1\r\nHost: a\r\n\r\n"),
            (405, "CONNECT shop.test:80 HTTP/1.1\r\nHost: shop.test:80\r\n\r\n"),
        ],
    );
}

/// RFC 9112, 3.2, and RFC 9110, 7.2.
#[test]
fn hosts() {
    are_refused(
        |rules| rules,
        &[
            (400, "GET / HTTP/1.1\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a:+80\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: http://a\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: \"a\"\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n"),
            (400, "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
        ],
    );
}

/// RFC 9112, 5 and 2.2.
#[test]
fn field_lines() {
    are_refused(
        |rules| rules,
        &[
            (400, "GET / HTTP/1.1\nHost: a\n\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nX: y\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\rB: c\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nX(Y): z\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nX: \u{7}\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nX: y\u{c}\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost:\u{c}a\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\n X: first and folded\r\nHost: a\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nX\t: y\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nX\0: y\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nX\u{e9}: y\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nX: y\n\rZ: 1\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"),
        ],
    );
}

/// RFC 9112, 6: the smuggler's kit.
#[test]
fn ambiguous_lengths() {
    let post = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let ambiguous: Vec<String> = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 5,\r\n",
        "Content-Length: 5.0\r\n",
        "Content-Length: 5_0\r\n",
        "Content-Length: \"5\"\r\n",
        "Content-Length: 18446744073709551615\r\n",
        "Content-Length: 000000000000000000000000000005\r\n",
        "Content-Length : 5\r\nContent-Length: 0\r\n",
        "Content-Length: 5\r\ncontent-LENGTH: 6\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked,\r\n",
        "Transfer-Encoding: ,chunked\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: chunked\u{a0}\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "X: y\r\n Transfer-Encoding: chunked\r\n",
        "X: y\rTransfer-Encoding: chunked\r\n",
        "X: y\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: \u{b}chunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding:\r\n",
    ]
    .map(post)
    .into();
    let old = "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let cases: Vec<_> =
        ambiguous.iter().map(String::as_str).chain([old]).map(|request| (400, request)).collect();
    are_refused(|rules| rules, &cases);
}

/// RFC 9110, 7.6.2 and 7.6.3.
#[test]
fn loops_and_last_hops() {
    are_refused(
        |rules| rules.gateway("via = true"),
        &[
            (508, "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 edge, 1.1 figueira\r\n\r\n"),
            (405, "TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n"),
            (405, "TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 00\r\n\r\n"),
        ],
    );
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    client.send("OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n");
    assert_eq!(client.read_head().status(), 200);
    client.send("OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 3\r\n\r\n");
    let (mut upstream, request) = origin.serve("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(request.head.value("max-forwards"), Some("2"));
    assert_eq!(client.read_head().status(), 204);
    // What is no number is nobody's business here, and neither is that of another method.
    for (method, hops) in [("OPTIONS", "-1"), ("OPTIONS", "+1"), ("OPTIONS", "many"), ("GET", "0")] {
        client.send(&format!("{method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {hops}\r\n\r\n"));
        assert_eq!(upstream.read_head().value("max-forwards"), Some(hops));
        upstream.send("HTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(client.read_head().status(), 204);
    }
    // Nor are two, of which nobody knows which holds.
    client.send("OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 5\r\nMax-Forwards: 0\r\n\r\n");
    assert_eq!(upstream.read_head().values("max-forwards"), ["5", "0"]);
    upstream.send("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(client.read_head().status(), 204);
}

/// `[gateway.limits]`: RFC 9110, 15.5.14 and 15.5.15, RFC 6585, 5.
#[test]
fn what_is_too_large() {
    let long = "a".repeat(300);
    let cases = [
        (414, format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n")),
        (414, format!("GET /{long}")),
        (431, format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", long.repeat(4))),
        (431, format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", long.repeat(4))),
        (431, format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(20))),
        (413, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n".to_owned()),
        (413, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n".to_owned()),
    ];
    let cases: Vec<_> = cases.iter().map(|(status, request)| (*status, &**request)).collect();
    are_refused(
        |rules| {
            rules.gateway("limits = { head = \"1KiB\", target = \"256B\", headers = 20, body = \"10B\" }")
        },
        &cases,
    );
}

/// RFC 9112, 9.3: what is left of a request that is answered here is never read as a request (CVE-2025-4366 of another
/// proxy), however it is framed and whenever it comes.
#[test]
fn what_is_left_of_a_request_answered_here_is_no_request() {
    const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let origin = Origin::open();
    let gateway =
        Gateway::start(&Rules::forwarding_to(origin.address()).gateway("limits = { body = \"64B\" }"));
    let length = SMUGGLED.len();
    let bodies = [
        format!("Content-Length: {length}\r\n\r\n{SMUGGLED}"),
        format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n"),
        format!("Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"),
        format!("Content-Length: 1000\r\n\r\n{SMUGGLED}"),
    ];
    for line in ["OPTIONS / HTTP/1.1\r\nMax-Forwards: 0", "TRACE / HTTP/1.1\r\nMax-Forwards: 0"] {
        for body in &bodies {
            let mut whole = gateway.connect();
            whole.send(&format!("{line}\r\nHost: a\r\n{body}"));
            let mut later = gateway.connect();
            let (head, rest) = body.split_once("\r\n\r\n").unwrap();
            later.send(&format!("{line}\r\nHost: a\r\n{head}\r\n\r\n"));
            for client in [&mut whole, &mut later] {
                assert!(matches!(client.read_head().status(), 200 | 405 | 413), "{line} {body}");
            }
            // It may be closed by now.
            drop(later.send_in_vain(rest));
            for mut client in [whole, later] {
                drop(client.finish_in_vain());
                let (rest, _) = client.read_to_end();
                assert!(!rest.contains("HTTP/1.1"), "a second answer: {rest:?}");
            }
        }
    }
    let mut client = gateway.connect();
    client.send(CANARY);
    let (_, first) = origin.serve("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(first.head.line(), "GET /canary HTTP/1.1");
    assert!(origin.is_left_alone());
}

/// What is refused is counted, whoever refuses it.
#[test]
fn refusals_are_counted() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let counted = || {
        let metrics = ask_admin(gateway.admin(), "/metrics").body;
        let lines =
            metrics.lines().filter(|line| line.starts_with("figueira_failures_total{kind=\"rejected\"}"));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum::<u64>()
    };
    for (number, target) in ["/<b>", "/caf\u{e9}", "/\"", "/`", "/#a"].iter().enumerate() {
        let mut client = gateway.connect();
        client.send(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        client.read_message().is_problem(400);
        client.ends();
        assert_eq!(counted(), number as u64 + 1);
    }
}

/// RFC 9110, 9.3.2: an answer to HEAD has no content, a refusal neither.
#[test]
fn a_refusal_of_head_has_no_content() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    client.send("HEAD / HTTP/1.1\r\n\r\n");
    assert_eq!(client.read_head().status(), 400);
    assert_eq!(client.ends(), End::Closed);
}

/// RFC 9112, 9.3.2: what was sound before is answered, whole, and then the refusal comes.
#[test]
fn a_refusal_waits_for_the_answers_before_it() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    client.send("GET /sound HTTP/1.1\r\nHost: a\r\n\r\nGET /unsound HTTP/1.1\r\n\r\nGET /after HTTP/1.1\r\nHost: a\r\n\r\n");
    let (mut upstream, request) = origin.serve("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsound");
    assert_eq!(request.head.line(), "GET /sound HTTP/1.1");
    assert_eq!(client.read_message().body, "sound");
    client.read_message().is_problem(400);
    client.ends();
    drop((client, gateway));
    assert_eq!(upstream.read_to_end().0, "");
}
