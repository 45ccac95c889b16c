//! Heads of HTTP/2 as HTTP/1.1 would say them.

use http::{HeaderName, Request};
use proptest::prelude::*;

use super::*;
use crate::gateway::testing;

fn translated(
    method: &str,
    uri: &str,
    fields: &[(&str, &[u8])],
    follows: Follows,
) -> Result<(String, Vec<String>), u16> {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in fields {
        request = request.header(*name, HeaderValue::from_bytes(value).unwrap());
    }
    let mut head = request.body(()).unwrap().into_parts().0;
    let limits = Limits { head: 1000, target: 100, headers: 10, ..testing::settings().limits };
    translate(&mut head, follows, &limits, || [7; 16]).map_err(|rejection| rejection.status().as_u16())?;
    let fields = head.headers.iter();
    let fields = fields.map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
    Ok((format!("{} {}", head.method, head.uri), fields.collect()))
}

fn get(fields: &[(&str, &[u8])]) -> Result<(String, Vec<String>), u16> {
    translated("GET", "https://shop.test/a?b", fields, Follows::Nothing)
}

#[test]
fn the_authority_is_the_host_and_cookies_are_one() {
    let fields: &[(&str, &[u8])] =
        &[("b", b"2"), ("cookie", b"x=1"), ("a", b"1"), ("cookie", b"y=2"), ("cookie", b"z=\xff")];
    let (line, fields) = get(fields).unwrap();
    assert_eq!(line, "GET /a?b");
    assert_eq!(fields, ["host: shop.test", "b: 2", "cookie: x=1; y=2; z=\u{fffd}", "a: 1"]);
}

#[test]
fn the_host_may_repeat_the_authority_and_not_contradict_it() {
    assert_eq!(get(&[("host", b"SHOP.test")]).unwrap().1, ["host: shop.test"]);
    assert_eq!(get(&[("host", b"other.test")]), Err(400));
    assert_eq!(get(&[("host", b"shop.test"), ("host", b"shop.test")]), Err(400));
    let alone = translated("GET", "/a", &[("host", b"shop.test")], Follows::Nothing);
    assert_eq!(alone.unwrap().1, ["host: shop.test"]);
    assert_eq!(translated("GET", "/a", &[], Follows::Nothing), Err(400));
    assert_eq!(translated("GET", "https://u@shop.test/", &[], Follows::Nothing), Err(400));
    assert_eq!(translated("GET", "ftp://shop.test/", &[], Follows::Nothing), Err(400));
}

#[test]
fn an_unknown_length_is_chunked() {
    let post = |fields| translated("POST", "http://a/", fields, Follows::Body).unwrap().1;
    assert_eq!(post(&[]), ["host: a", "transfer-encoding: chunked"]);
    assert_eq!(post(&[("content-length", b"3")]), ["host: a", "content-length: 3"]);
}

#[test]
fn a_length_is_said_once_and_as_a_number() {
    let lengths = |lengths: &[&'static [u8]]| {
        let fields: Vec<_> = lengths.iter().map(|length| ("content-length", *length)).collect();
        translated("POST", "http://a/", &fields, Follows::Body).map(|(_, fields)| fields.len())
    };
    assert_eq!(lengths(&[b"3"]), Ok(2));
    for odd in
        [&[&b"3"[..], b"3"][..], &[b"0", b"0"], &[b"3, 3"], &[b"+3"], &[b""], &[b"99999999999999999999"]]
    {
        assert_eq!(lengths(odd), Err(400), "{odd:?}");
    }
}

#[test]
fn limits_are_those_of_http1() {
    let long = format!("https://a/{}", "u".repeat(100));
    assert_eq!(translated("GET", &long, &[], Follows::Nothing), Err(414));
    assert_eq!(get(&[("x", &[b'v'; 1000])]), Err(431));
    assert_eq!(get(&vec![("x", &b"v"[..]); 11]), Err(431));
    assert!(get(&vec![("x", &b"v"[..]); 10]).is_ok());
}

#[test]
fn joined_cookies_are_a_sound_value() {
    let joined = |crumbs: &[&'static [u8]]| {
        let fields: Vec<(&str, &[u8])> = crumbs.iter().map(|crumb| ("cookie", *crumb)).collect();
        get(&fields).map(|(_, fields)| fields.get(1).cloned().unwrap_or_default())
    };
    assert_eq!(joined(&[b"a=1", b""]).as_deref(), Ok("cookie: a=1;"));
    assert_eq!(joined(&[b"", b"a=1"]).as_deref(), Ok("cookie: ; a=1"));
    assert_eq!(joined(&[b"", b""]).as_deref(), Ok("cookie: ;"));
    assert_eq!(joined(&[b"a=1", b"b=2 "]), Err(400));
    assert_eq!(joined(&[b"a=1", b" b=2"]), Err(400));
}

#[test]
fn cookies_are_one_field_however_many_they_come_in() {
    let crumbs = |count: usize| vec![("cookie", &b"v=1"[..]); count];
    assert!(get(&crumbs(60)).is_ok());
    assert_eq!(get(&crumbs(300)), Err(431), "larger than a head may be");
    let beside = |others: usize| [crumbs(60), vec![("x", &b"v"[..]); others]].concat();
    assert!(get(&beside(9)).is_ok());
    assert_eq!(get(&beside(10)), Err(431));
}

#[test]
fn what_could_mean_two_things_is_refused() {
    assert_eq!(get(&[("x", b" v")]), Err(400));
    assert_eq!(get(&[("x", b"v\t")]), Err(400));
    assert!(get(&[("x", b"")]).is_ok());
    assert_eq!(translated("CONNECT", "a:80", &[], Follows::Nothing), Err(405));
}

fn connect(protocol: &str) -> Result<(request::Parts, Upgrade), u16> {
    connect_with(protocol, &[])
}

fn connect_with(protocol: &str, more: &[(&str, &str)]) -> Result<(request::Parts, Upgrade), u16> {
    let request = Request::builder().method("CONNECT").uri("https://shop.test/chat");
    let request = request.header("sec-websocket-version", "13").header("sec-websocket-protocol", "chat");
    let request = more.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let mut head = request.body(()).unwrap().into_parts().0;
    head.extensions.insert(ExtendedConnect(protocol.into()));
    let limits = testing::settings().limits;
    // The key of RFC 6455, 1.3.
    let upgrade = translate(&mut head, Follows::Body, &limits, || *b"the sample nonce");
    upgrade.map(|upgrade| (head, upgrade.unwrap())).map_err(|rejection| rejection.status().as_u16())
}

#[test]
fn an_extended_connect_is_an_upgrade() {
    let (head, upgrade) = connect("websocket").unwrap();
    assert_eq!((head.method.as_str(), head.uri.path()), ("GET", "/chat"));
    let field = |name: &str| head.headers[name].to_str().unwrap();
    assert_eq!(field("upgrade"), "websocket");
    assert_eq!(field("connection"), "Upgrade");
    assert_eq!(field("sec-websocket-key"), "dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(field("sec-websocket-protocol"), "chat");
    assert!(!head.headers.contains_key("transfer-encoding"));
    assert_eq!(upgrade.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(connect("connect-udp").unwrap_err(), 501);
    for length in ["12", "0"] {
        assert_eq!(connect_with("websocket", &[("content-length", length)]).unwrap_err(), 400);
    }
}

#[test]
fn only_an_answer_to_the_key_opens_a_stream() {
    let answered = |status: u16, accept: &str| {
        let mut response = Response::builder()
            .status(status)
            .header("upgrade", "websocket")
            .header("sec-websocket-accept", accept)
            .header("sec-websocket-protocol", "chat")
            .body(())
            .unwrap();
        connect("websocket").unwrap().1.answer(&mut response).map(|()| response)
    };
    let opened = answered(101, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=").unwrap();
    assert_eq!(opened.status(), 200);
    assert_eq!(
        opened.headers().keys().map(HeaderName::as_str).collect::<Vec<_>>(),
        ["sec-websocket-protocol"]
    );
    assert!(answered(101, "another").is_err());
    assert!(answered(200, "").is_err(), "the client would take it for a tunnel");
    assert_eq!(answered(403, "").unwrap().status(), 403);
}

proptest! {
    /// RFC 9113, 8.2.1: whatever comes, nothing that ends a line or a field crosses.
    #[test]
    fn nothing_is_injected(
        path in "/[!-~]{0,30}", value in prop::collection::vec(any::<u8>(), 0..30), host in "[ -~]{0,12}",
    ) {
        let Ok(uri) = Uri::builder().scheme("https").authority("a.test").path_and_query(&*path).build() else {
            return Ok(());
        };
        let mut head = Request::builder().uri(uri).body(()).unwrap().into_parts().0;
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            head.headers.append("x", value.clone());
            head.headers.append(COOKIE, value);
        }
        if let Ok(host) = HeaderValue::from_str(&host) {
            head.headers.append(HOST, host);
        }
        let limits = testing::settings().limits;
        if translate(&mut head, Follows::Body, &limits, || [0; 16]).is_ok() {
            prop_assert_eq!(&head.headers[HOST], "a.test");
            prop_assert!(head.uri.to_string().starts_with('/') && !head.uri.to_string().contains([' ', '#', '\r', '\n']));
            for value in head.headers.values() {
                prop_assert!(!value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
            }
        }
    }
}
