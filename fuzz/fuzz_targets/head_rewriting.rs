//! Whatever head comes, of a request or of a response: what goes on has one framing, nothing of the last hop's, and the
//! rest in its order (RFC 9110, 7.6.1; RFC 9112, 6).
#![no_main]

use figueira::{
    forwarding::head,
    listener::guard::{HeadLimits, inspect},
};
use figueira_fuzz::{LIMITS, assert_in_order, fields_of, parsed, written};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use libfuzzer_sys::fuzz_target;

const OF_A_HOP: [&str; 3] = ["keep-alive", "proxy-connection", "http2-settings"];
/// They stand for the next hop, where they stand.
const OF_OURS: [&str; 4] = ["connection", "te", "transfer-encoding", "upgrade"];

/// `fields` without those of `names`, in their order.
fn without(fields: &HeaderMap, names: &[&str]) -> HeaderMap {
    let kept = fields.iter().filter(|(name, _)| !names.contains(&name.as_str()));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn request(bytes: &[u8]) {
    let Ok(Some(judged)) = inspect(bytes, 0, LIMITS) else { return };
    let (asked, _) = parsed(bytes).expect("another parser refuses what the guard lets through");
    let gained = [(HeaderName::from_static("x-forwarded-for"), HeaderValue::from_static("192.0.2.1"))];
    let next = head::request(&asked, &[&gained[..]]);
    for name in OF_A_HOP {
        assert!(!next.contains_key(name), "{name} crossed");
    }
    assert_eq!(next.get_all("x-forwarded-for").iter().count(), 1);
    assert_in_order(&asked.headers, &without(&next, &[&OF_OURS[..], &["x-forwarded-for"]].concat()));
    for name in ["host", "content-length", "authorization", "cookie"] {
        assert!(next.get_all(name).iter().eq(asked.headers.get_all(name).iter()), "{name} is another");
    }
    if next.contains_key("host") {
        let again = written(&asked.method, &asked.uri, &next);
        let limits = HeadLimits { head: 2 * LIMITS.head, fields: LIMITS.fields + 8, ..LIMITS };
        let again = inspect(&again, 0, limits);
        assert!(matches!(again, Ok(Some(next)) if next.framing == judged.framing), "{again:?}");
    }
}

fn response(bytes: &[u8]) {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut line = httparse::Response::new(&mut fields);
    let mut lenient = httparse::ParserConfig::default();
    lenient
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true);
    if !matches!(lenient.parse_response(&mut line, bytes), Ok(httparse::Status::Complete(_))) {
        return;
    }
    let (Some(Ok(status)), Some(given)) = (line.code.map(StatusCode::from_u16), fields_of(line.headers))
    else {
        return;
    };
    let websocket = HeaderValue::from_static("websocket");
    for (method, asked) in [(Method::GET, None), (Method::HEAD, None), (Method::GET, Some(&websocket))] {
        let mut parts = Response::new(()).into_parts().0;
        (parts.status, parts.headers) = (status, given.clone());
        if head::response(&mut parts, &method, asked).is_err() {
            continue;
        }
        assert!(asked.is_some() || parts.status != StatusCode::SWITCHING_PROTOCOLS);
        for name in OF_A_HOP {
            assert!(!parts.headers.contains_key(name), "{name} crossed");
        }
        let lengths: Vec<_> = parts.headers.get_all("content-length").iter().collect();
        assert!(lengths.len() <= 1, "{lengths:?}");
        assert!(lengths.iter().all(|length| length.as_bytes().iter().all(u8::is_ascii_digit)), "{lengths:?}");
        assert!(lengths.is_empty() || !parts.headers.contains_key("transfer-encoding"), "two framings");
        assert_in_order(&given, &without(&parts.headers, &[&OF_OURS[..], &["content-length"]].concat()));
    }
    let interim = head::interim(&given);
    assert_in_order(&given, &interim);
    assert!(
        !["connection", "transfer-encoding", "content-length"].iter().any(|name| interim.contains_key(*name))
    );
}

fuzz_target!(|bytes: &[u8]| {
    request(bytes);
    response(bytes);
});
