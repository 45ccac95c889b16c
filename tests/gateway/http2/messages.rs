//! Requests as HTTP/2 says them: what is malformed is never passed on (RFC 9113, 8).

use super::{
    Case, Outcome,
    Outcome::{Answered, Malformed},
    case, try_all,
};
use crate::harness::{
    Gateway, Rules,
    frames::{END_STREAM, H2, data, get, headers, post},
    recorder::{Event, Recorder, echo},
};

/// One request, whole.
fn asks(section: &'static str, what: &'static str, fields: &[(&str, &str)], outcome: Outcome) -> Case {
    case(section, what, &[headers(1, END_STREAM, fields)], outcome)
}

/// A GET with this more.
fn with<'f>(more: &[(&'f str, &'f str)]) -> Vec<(&'f str, &'f str)> {
    [&get("/message")[..], more].concat()
}

/// A GET without that.
fn without(name: &str) -> Vec<(&'static str, &'static str)> {
    get("/message").into_iter().filter(|(given, _)| *given != name).collect()
}

/// A POST of this length with this body, in pieces.
fn posts(what: &'static str, length: &str, pieces: &[&str], outcome: Outcome) -> Case {
    let fields = [&post("/message")[..], &[("content-length", length)]].concat();
    let mut frames = vec![headers(1, 0, &fields)];
    frames.extend(pieces.iter().map(|piece| data(1, 0, piece.as_bytes())));
    if let Some(last) = frames.last_mut() {
        last.flags |= END_STREAM;
    }
    case("9113, 8.1.1", what, &frames, outcome)
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn requests_are_well_formed_or_refused() {
    let trailers = |fields: &[(&str, &str)], flags| [headers(1, 0, &post("/t")), headers(1, flags, fields)];
    let cases: Vec<Case> = vec![
        asks("9113, 8.2.1", "a name in capitals", &with(&[("X-Capital", "1")]), Malformed),
        asks("9113, 8.2.1", "a name with a space", &with(&[("x a", "1")]), Malformed),
        asks("9113, 8.2.1", "a name with a colon", &with(&[("x:a", "1")]), Malformed),
        asks("9113, 8.2.1", "a name with CR and LF", &with(&[("x\r\na", "1")]), Malformed),
        asks("9113, 8.2.1", "a name beyond ASCII", &with(&[("x\u{e9}", "1")]), Malformed),
        asks("9113, 8.2.1", "no name", &with(&[("", "1")]), Malformed),
        asks("9113, 8.2.1", "a value with CR", &with(&[("x-a", "1\r2")]), Malformed),
        asks("9113, 8.2.1", "a value with LF", &with(&[("x-a", "1\nx: 2")]), Malformed),
        asks("9113, 8.2.1", "a value with NUL", &with(&[("x-a", "1\0")]), Malformed),
        asks("9113, 8.2.1", "a value that begins with a space", &with(&[("x-a", " 1")]), Malformed),
        asks("9113, 8.2.1", "a value that ends with a tab", &with(&[("x-a", "1\t")]), Malformed),
        asks("9113, 8.2.2", "Connection", &with(&[("connection", "keep-alive")]), Malformed),
        asks("9113, 8.2.2", "Transfer-Encoding", &with(&[("transfer-encoding", "chunked")]), Malformed),
        asks("9113, 8.2.2", "Upgrade", &with(&[("upgrade", "websocket")]), Malformed),
        asks("9113, 8.2.2", "Keep-Alive", &with(&[("keep-alive", "5")]), Malformed),
        asks("9113, 8.2.2", "Proxy-Connection", &with(&[("proxy-connection", "keep-alive")]), Malformed),
        asks("9113, 8.2.2", "TE of another kind than trailers", &with(&[("te", "gzip")]), Malformed),
        asks("9113, 8.2.2", "TE of trailers", &with(&[("te", "trailers")]), Answered(1)),
        asks("9113, 8.3", "an unknown pseudo-field", &with(&[(":unknown", "1")]), Malformed),
        asks("9113, 8.3", "a pseudo-field of responses", &with(&[(":status", "200")]), Malformed),
        asks(
            "9113, 8.3",
            "a pseudo-field after the others",
            &[&[("x-a", "1")], &get("/")[..]].concat(),
            Malformed,
        ),
        asks("9113, 8.3.1", "no method", &without(":method"), Malformed),
        asks("9113, 8.3.1", "no scheme", &without(":scheme"), Malformed),
        asks("9113, 8.3.1", "no path", &without(":path"), Malformed),
        asks("9113, 8.3.1", "neither authority nor Host", &without(":authority"), Malformed),
        asks("9113, 8.3.1", "an empty path", &[&without(":path")[..], &[(":path", "")]].concat(), Malformed),
        asks(
            "9113, 8.3.1",
            "a path that is none",
            &[&without(":path")[..], &[(":path", "images")]].concat(),
            Malformed,
        ),
        asks("9113, 8.3.1", "two methods", &with(&[(":method", "GET")]), Malformed),
        asks("9113, 8.3.1", "two schemes", &with(&[(":scheme", "http")]), Malformed),
        asks("9113, 8.3.1", "two paths", &with(&[(":path", "/")]), Malformed),
        asks("9113, 8.3.1", "two authorities", &with(&[(":authority", "evil.test")]), Malformed),
        asks("9113, 8.3.1", "Host that is not the authority", &with(&[("host", "evil.test")]), Malformed),
        asks("9113, 8.3.1", "two Hosts", &with(&[("host", "shop.test"), ("host", "shop.test")]), Malformed),
        asks(
            "9113, 8.3.1",
            "a user in the authority",
            &[&without(":authority")[..], &[(":authority", "me@shop.test")]].concat(),
            Malformed,
        ),
        asks("9113, 8.3.1", "Host that repeats the authority", &with(&[("host", "shop.test")]), Answered(1)),
        asks(
            "9113, 8.3.1",
            "a scheme that this site does not speak",
            &[&without(":scheme")[..], &[(":scheme", "ftp")]].concat(),
            Malformed,
        ),
        asks(
            "9113, 8.3.1",
            "a path with a space",
            &[&without(":path")[..], &[(":path", "/a b")]].concat(),
            Malformed,
        ),
        asks(
            "9113, 8.3.1",
            "a path with CR and LF",
            &[&without(":path")[..], &[(":path", "/a HTTP/1.1\r\nx: y")]].concat(),
            Malformed,
        ),
        asks(
            "9113, 8.3.1",
            "a method that is no token",
            &[&without(":method")[..], &[(":method", "G ET")]].concat(),
            Malformed,
        ),
        asks("9113, 8.5", "CONNECT", &[(":method", "CONNECT"), (":authority", "shop.test:80")], Malformed),
        case("9113, 8.1", "trailers that end nothing", &trailers(&[("x-t", "1")], 0), Malformed),
        case(
            "9113, 8.2.1",
            "trailers with a name of no token",
            &trailers(&[("x\"t", "1")], END_STREAM),
            Malformed,
        ),
        case(
            "9113, 8.2.1",
            "trailers with a value that begins with a space",
            &trailers(&[("x-t", " 1")], END_STREAM),
            Malformed,
        ),
        case("9113, 8.1", "trailers", &trailers(&[("x-t", "1")], END_STREAM), Answered(1)),
        posts("a body shorter than announced", "6", &["hello"], Malformed),
        posts("a body longer than announced", "4", &["hello"], Malformed),
        posts("the same in pieces", "9", &["hello", "hello"], Malformed),
        posts("none at all", "5", &[], Malformed),
        posts("a length that is no number", "five", &["hello"], Malformed),
        posts("a body as announced", "10", &["hello", "", "hello"], Answered(1)),
        case(
            "9113, 8.1.1",
            "two lengths",
            &[
                headers(
                    1,
                    0,
                    &[&post("/")[..], &[("content-length", "5"), ("content-length", "6")]].concat(),
                ),
                data(1, END_STREAM, b"hello"),
            ],
            Malformed,
        ),
        case(
            "9112, 6.3",
            "two lengths that are equal",
            &[
                headers(
                    1,
                    0,
                    &[&post("/")[..], &[("content-length", "5"), ("content-length", "05")]].concat(),
                ),
                data(1, END_STREAM, b"hello"),
            ],
            Malformed,
        ),
        asks(
            "9112, 6.3",
            "the same of none",
            &with(&[("content-length", "0"), ("content-length", "0")]),
            Malformed,
        ),
        websocket("a WebSocket that announces a body", "12"),
        websocket("a WebSocket that announces none", "0"),
    ];
    try_all(&cases);
}

/// An extended CONNECT has no content, so what follows is no body (RFC 9110, 9.3.6; RFC 8441): an upstream of HTTP/1.1
/// that was promised one would take the next request for it.
fn websocket(what: &'static str, length: &str) -> Case {
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", "shop.test"),
        (":path", "/chat"),
        ("content-length", length),
    ];
    case("9110, 9.3.6", what, &[headers(1, 0, &fields)], Malformed)
}

/// RFC 9113, 8.2.3 and 8.3.1: what is said apart in HTTP/2 is one in HTTP/1.1.
#[test]
fn a_request_is_said_as_http_1_would_say_it() {
    let origin = crate::harness::Origin::open();
    let gateway = Gateway::start(&Rules::forwarding_to(origin.address()).gateway("forwarded = \"off\""));
    let mut client = H2::connect(&gateway);
    let more = [("cookie", "a=1"), ("x-a", "1"), ("cookie", "b=2"), ("x-a", "2")];
    client.send(&headers(1, END_STREAM, &with(&more)));
    let (_upstream, request) = origin.serve("HTTP/1.1 204 No Content\r\n\r\n");
    let fields: Vec<&str> =
        request.head.fields().filter(|field| !field.starts_with("x-request-id")).collect();
    assert_eq!(request.head.line(), "GET /message HTTP/1.1");
    assert_eq!(fields, ["host: shop.test", "cookie: a=1; b=2", "x-a: 1", "x-a: 2"]);
    assert_eq!(client.answer(1), Some(204));
}

/// RFC 9113, 8.1 and 8.3.1: h2 drops what it does not know to be malformed, so that it goes no further.
#[test]
fn fragments_and_pseudo_fields_of_trailers_go_no_further() {
    let origin = crate::harness::Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = H2::connect(&gateway);
    let fields =
        [&without(":path")[..], &[(":path", "/a#b"), ("te", "trailers"), ("trailer", "x-t")]].concat();
    client.send(&headers(1, 0, &fields));
    client.send(&data(1, 0, b"hello"));
    client.send(&headers(1, END_STREAM, &[(":path", "/elsewhere"), ("x-t", "1")]));
    let (_upstream, request) = origin.serve("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(request.head.line(), "GET /a HTTP/1.1");
    assert_eq!((&*request.body, &*request.trailers), ("hello", "x-t: 1\r\n"));
    assert_eq!(client.answer(1), Some(204));
}

/// Whatever a client puts into fields, what reaches the upstream is one request or none.
#[test]
fn nothing_is_injected() {
    let origin = Recorder::open(echo);
    let gateway = Gateway::start(&Rules::forwarding_to(origin.address()));
    let bytes: Vec<String> = (0..=255_u8).map(|byte| char::from(byte).to_string()).collect();
    let smuggled = "x\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n";
    for (number, byte) in
        bytes.iter().map(|byte| format!("a{byte}b")).chain([smuggled.to_owned()]).enumerate()
    {
        let stream = |place: usize| u32::try_from(1 + 2 * place).unwrap();
        let path = format!("/{byte}");
        for (place, fields) in [
            with(&[("x-value", &byte)]),
            with(&[(&byte, "1")]),
            [&without(":path")[..], &[(":path", &path)]].concat(),
            [&without(":authority")[..], &[(":authority", &byte)]].concat(),
            [&without(":method")[..], &[(":method", &byte)]].concat(),
        ]
        .into_iter()
        .enumerate()
        {
            // A connection each: an error of one ends the others.
            let mut client = H2::connect(&gateway);
            client.send(&headers(stream(place), END_STREAM, &fields));
            client.answer(stream(place));
        }
        for event in origin.take() {
            match event {
                Event::Request(request) => {
                    assert!(!request.target.contains("smuggled"), "{number}: {request:?}");
                }
                Event::Malformed(why) => panic!("byte {number}: {why}"),
            }
        }
    }
}
