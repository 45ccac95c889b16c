//! The head, both ways: hop-by-hop fields go, the rest keeps its names, values and order.
//!
//! A `HeaderMap` swaps its last field into the hole that a removal leaves, so heads are never edited here but built
//! anew, in order.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, FORWARDED, HOST, TE, TRANSFER_ENCODING, UPGRADE,
        VIA,
    },
    request, response,
};
use thiserror::Error;

/// A field that a request gains on its way, in place of what it carried under that name.
pub type Gained = (HeaderName, HeaderValue);

/// Fields of one connection only, whether or not `Connection` names them (RFC 9110, 7.6.1).
fn is_hop_by_hop(name: &HeaderName) -> bool {
    // As text: an array of names would be made anew for every field.
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
    )
}

/// Fields that a message means by themselves: a `Connection` that names one does not make it vanish, because a client
/// could thereby hide what the next hop decides on.
fn is_end_to_end(name: &HeaderName) -> bool {
    use http::header as h;
    [
        HOST,
        COOKIE,
        FORWARDED,
        VIA,
        CONTENT_LENGTH,
        CONTENT_TYPE,
        h::CONTENT_ENCODING,
        h::CONTENT_RANGE,
        h::AUTHORIZATION,
        h::SET_COOKIE,
        h::CACHE_CONTROL,
        h::ORIGIN,
        h::REFERER,
        h::RANGE,
        h::LOCATION,
        h::ETAG,
        h::EXPECT,
        h::TRAILER,
    ]
    .contains(name)
        || name.as_str().starts_with("x-forwarded-")
        || matches!(name.as_str(), "x-real-ip" | "x-request-id")
}

/// The members of a list (RFC 9110, 5.6.1).
fn members<'v>(values: impl IntoIterator<Item = &'v HeaderValue>) -> impl Iterator<Item = &'v [u8]> {
    values
        .into_iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

/// The options that `Connection` names.
fn options(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    members(headers.get_all(CONNECTION))
}

/// The fields that `Connection` makes hop-by-hop in this message; most often none.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    options(headers)
        // Looked up as text first: most options name no field, and a name is an allocation.
        .filter(|option| std::str::from_utf8(option).is_ok_and(|name| headers.contains_key(name)))
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .filter(|name| !is_hop_by_hop(name) && !is_end_to_end(name))
        .collect()
}

fn has_option(headers: &HeaderMap, wanted: &[u8]) -> bool {
    options(headers).any(|option| option.eq_ignore_ascii_case(wanted))
}

/// The protocols that a request asks to upgrade to, where they cross a hop: `h2c` does not (RFC 9113, 3.1), and HTTP/1.0
/// upgrades nothing (RFC 9110, 7.8).
pub fn upgrade(client: &request::Parts) -> Option<HeaderValue> {
    let asked = client.headers.get_all(UPGRADE);
    let mut fields = asked.iter();
    let first = fields.next()?;
    if client.version < Version::HTTP_11 || !has_option(&client.headers, b"upgrade") {
        return None;
    }
    let crosses = |name: &&[u8]| !name.eq_ignore_ascii_case(b"h2c");
    if fields.next().is_none() && members([first]).all(|name| crosses(&name)) {
        return Some(first.clone());
    }
    let protocols: Vec<&[u8]> = members(asked).filter(crosses).collect();
    HeaderValue::from_bytes(&protocols.join(&b", "[..])).ok().filter(|protocols| !protocols.is_empty())
}

/// The fields that go to the upstream: those of `client` less the hop-by-hop ones, with all that it `gains` at the end.
/// What is gained last holds.
pub fn request(client: &request::Parts, gains: &[&[Gained]]) -> HeaderMap {
    let headers = &client.headers;
    // A head without any needs no second look for what they mean.
    let has_hops = headers.keys().any(is_hop_by_hop);
    let nominated = if has_hops { nominated(headers) } else { Vec::new() };
    let count: usize = gains.iter().map(|gained| gained.len()).sum();
    let gains_it =
        |gains: &[&[Gained]], name| gains.iter().any(|gained| gained.iter().any(|(gains, _)| gains == name));
    let mut next = HeaderMap::with_capacity(headers.len() + count + 2);
    for (name, value) in headers {
        let goes = has_hops && (is_hop_by_hop(name) || nominated.contains(name));
        if !goes && !gains_it(gains, name) {
            next.append(name, value.clone());
        }
    }
    for (at, gained) in gains.iter().enumerate() {
        let later = gains.get(at + 1..).unwrap_or_default();
        for (name, value) in gained.iter().filter(|(name, _)| !gains_it(later, name)) {
            next.append(name, value.clone());
        }
    }
    if !has_hops {
        return next;
    }
    let trailers = wants_trailers(headers);
    if trailers {
        next.append(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(protocols) = upgrade(client) {
        let options = if trailers { "Upgrade, TE" } else { "Upgrade" };
        next.append(CONNECTION, HeaderValue::from_static(options));
        next.append(UPGRADE, protocols);
    } else if trailers {
        next.append(CONNECTION, HeaderValue::from_static("TE"));
    }
    if headers.contains_key(TRANSFER_ENCODING) {
        // Without it hyper's client would send no body at all.
        next.append(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    next
}

/// Whether a request announces a body of so many bytes, and not of none.
pub fn has_length(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_LENGTH).iter().any(|length| length.as_bytes().iter().any(|digit| *digit != b'0'))
}

/// `TE: trailers` is the one member of `TE` that we can keep (RFC 9110, 10.1.4).
fn wants_trailers(headers: &HeaderMap) -> bool {
    members(headers.get_all(TE)).any(|member| member.eq_ignore_ascii_case(b"trailers"))
}

/// Why an upstream's response cannot be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unfit {
    /// It switched to a protocol that nobody had asked for, or did not say to which (RFC 9110, 7.8 and 15.2.2).
    #[error("it switched to a protocol that was not asked for")]
    UnaskedUpgrade,
    /// Its body's length cannot be known for sure (RFC 9112, 6.3).
    #[error("its Transfer-Encoding is not one `chunked`")]
    TransferEncoding,
    /// The same, of the other field.
    #[error("its Content-Length is not one number")]
    ContentLength,
}

/// Makes an upstream's response head ours: hop-by-hop fields go, framing becomes unambiguous. `asked` is what it may
/// upgrade to.
pub fn response(
    parts: &mut response::Parts,
    method: &Method,
    asked: Option<&HeaderValue>,
) -> Result<(), Unfit> {
    let upgraded = parts.status == StatusCode::SWITCHING_PROTOCOLS;
    if upgraded && !asked.is_some_and(|asked| is_of(&parts.headers, asked)) {
        return Err(Unfit::UnaskedUpgrade);
    }
    parts.version = Version::HTTP_11;
    // RFC 9110, 8.6: it has no body, and nothing is said of one.
    let bare = upgraded || parts.status == StatusCode::NO_CONTENT;
    if !upgraded && is_ours(&parts.headers) && !(bare && parts.headers.contains_key(CONTENT_LENGTH)) {
        return Ok(());
    }
    let chunked = is_chunked(&parts.headers)?;
    let given = std::mem::take(&mut parts.headers);
    let nominated = nominated(&given);
    let protocol = upgraded.then(|| given.get(UPGRADE).cloned()).flatten();
    let mut ours = HeaderMap::with_capacity(given.len());
    let mut current = None;
    for (name, value) in given {
        // Only the first of several values comes with its name.
        current = name.or(current);
        let Some(name) = &current else { continue };
        if is_hop_by_hop(name) || nominated.contains(name) {
            continue;
        }
        if name != CONTENT_LENGTH {
            ours.append(name, value);
        } else if !chunked {
            // RFC 9112, 6.3: chunks override a length, and two equal lengths are one.
            let length = one_length(value)?;
            if bare {
                continue;
            }
            if ours.insert(name, length.clone()).is_some_and(|before| before != length) {
                return Err(Unfit::ContentLength);
            }
        }
    }
    if upgraded {
        ours.append(CONNECTION, HeaderValue::from_static("upgrade"));
        ours.extend(protocol.map(|protocol| (UPGRADE, protocol)));
    }
    if chunked && !bare && method == Method::HEAD {
        // What a GET would have said; hyper's server would say `Content-Length: 0`.
        ours.append(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    parts.headers = ours;
    Ok(())
}

/// Whether a 101 says to what it switches, and that is `asked` for.
fn is_of(given: &HeaderMap, asked: &HeaderValue) -> bool {
    let mut protocols = members(given.get_all(UPGRADE)).peekable();
    protocols.peek().is_some()
        && protocols.all(|protocol| members([asked]).any(|asked| asked.eq_ignore_ascii_case(protocol)))
}

/// Whether nothing of a head has to go or to change. Most are so, and to take one field from a map without disturbing the
/// order of the others is to make it anew.
fn is_ours(headers: &HeaderMap) -> bool {
    let mut lengths = 0;
    headers.iter().all(|(name, value)| {
        let is_length = name == CONTENT_LENGTH;
        lengths += usize::from(is_length);
        !is_hop_by_hop(name) && lengths < 2 && (!is_length || is_one_number(value.as_bytes()))
    })
}

/// The fields of an interim response (RFC 9110, 15.2): it has no body, so nothing is said of one.
pub fn interim(given: &HeaderMap) -> HeaderMap {
    let nominated = nominated(given);
    let goes = |name| is_hop_by_hop(name) || name == CONTENT_LENGTH || nominated.contains(name);
    let kept = given.iter().filter(|(name, _)| !goes(name));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Trailer fields that may cross (RFC 9110, 6.5.1): what frames a message, routes it, says who asks or on what condition is
/// of its head alone, and a recipient that merges trailers into it would believe a stranger.
pub fn trailers(given: &HeaderMap) -> HeaderMap {
    let kept = given.iter().filter(|(name, _)| !is_of_the_head_alone(name));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn is_of_the_head_alone(name: &HeaderName) -> bool {
    use http::header as h;
    is_hop_by_hop(name)
        // A validator of what was sent is known when it was sent (RFC 9110, 8.8.3).
        || (is_end_to_end(name) && name != h::ETAG)
        || [
            h::MAX_FORWARDS,
            h::PRAGMA,
            h::IF_MATCH,
            h::IF_NONE_MATCH,
            h::IF_MODIFIED_SINCE,
            h::IF_UNMODIFIED_SINCE,
            h::IF_RANGE,
            h::PROXY_AUTHORIZATION,
            h::PROXY_AUTHENTICATE,
            h::WWW_AUTHENTICATE,
            h::AGE,
            h::DATE,
            h::EXPIRES,
            h::RETRY_AFTER,
            h::VARY,
        ]
        .contains(name)
}

/// The one length that all members of a list are (RFC 9112, 6.3). hyper does not look where there is no body.
fn one_length(value: HeaderValue) -> Result<HeaderValue, Unfit> {
    let mut members = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let first = members.next().unwrap_or_default();
    if !is_one_number(first) || members.any(|member| member != first) {
        return Err(Unfit::ContentLength);
    }
    if first.len() == value.len() {
        return Ok(value);
    }
    HeaderValue::from_bytes(first).map_err(|_| Unfit::ContentLength)
}

fn is_one_number(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_digit)
        && std::str::from_utf8(text).is_ok_and(|digits| digits.parse::<u64>().is_ok())
}

fn is_chunked(headers: &HeaderMap) -> Result<bool, Unfit> {
    let mut fields = headers.get_all(TRANSFER_ENCODING).iter();
    match (fields.next(), fields.next()) {
        (None, _) => Ok(false),
        (Some(one), None) if one.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(true),
        _ => Err(Unfit::TransferEncoding),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn client(fields: &[(&str, &str)]) -> request::Parts {
        let mut request = Request::builder().uri("/");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn names(headers: &HeaderMap) -> Vec<String> {
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn hop_by_hop_fields_go_and_order_stays() {
        let parts = client(&[
            ("z", "1"),
            ("connection", "close, X-Hop ,, x-other"),
            ("x-hop", "h"),
            ("a", "2"),
            ("keep-alive", "timeout=5"),
            ("z", "3"),
            ("x-other", "o"),
            ("m", "4"),
        ]);
        assert_eq!(names(&request(&parts, &[])), ["z: 1", "z: 3", "a: 2", "m: 4"]);
    }

    #[test]
    fn connection_cannot_hide_what_the_next_hop_decides_on() {
        let parts = client(&[
            ("connection", "host, cookie, authorization, x-forwarded-for, content-length"),
            ("host", "a"),
            ("cookie", "c"),
            ("authorization", "s"),
            ("x-forwarded-for", "1.2.3.4"),
            ("content-length", "0"),
        ]);
        assert_eq!(request(&parts, &[]).len(), 5);
    }

    #[test]
    fn what_is_gained_replaces_what_a_client_claimed() {
        let parts = client(&[("x-forwarded-for", "spoofed"), ("a", "1")]);
        let gained = [(HeaderName::from_static("x-forwarded-for"), HeaderValue::from_static("10.0.0.1"))];
        assert_eq!(names(&request(&parts, &[&gained])), ["a: 1", "x-forwarded-for: 10.0.0.1"]);
    }

    #[test]
    fn upgrades_cross_but_h2c_does_not() {
        let parts = client(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        assert_eq!(names(&request(&parts, &[])), ["connection: Upgrade", "upgrade: websocket"]);
        let parts = client(&[
            ("connection", "Upgrade, HTTP2-Settings"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMA"),
        ]);
        assert!(request(&parts, &[]).is_empty());
        assert!(request(&client(&[("upgrade", "websocket")]), &[]).is_empty(), "not named by Connection");
        let mut old = client(&[("connection", "Upgrade"), ("upgrade", "websocket")]);
        old.version = Version::HTTP_10;
        assert!(request(&old, &[]).is_empty(), "HTTP/1.0 upgrades nothing");
    }

    #[test]
    fn an_unknown_length_stays_chunked_and_trailers_stay_possible() {
        let parts =
            client(&[("transfer-encoding", "chunked"), ("te", "gzip;q=1, trailers"), ("trailer", "x-t")]);
        assert_eq!(
            names(&request(&parts, &[])),
            ["trailer: x-t", "te: trailers", "connection: TE", "transfer-encoding: chunked"]
        );
    }

    fn answer(status: u16, fields: &[(&str, &str)], asked: Option<&str>) -> Result<Vec<String>, Unfit> {
        let mut response = http::Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        let mut parts = response.body(()).unwrap().into_parts().0;
        let asked = asked.map(|asked| HeaderValue::from_str(asked).unwrap());
        super::response(&mut parts, &Method::GET, asked.as_ref())?;
        Ok(names(&parts.headers))
    }

    #[test]
    fn responses_lose_their_hop_by_hop_fields_too() {
        let fields = [
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("set-cookie", "a"),
            ("keep-alive", "x"),
            ("b", "2"),
        ];
        assert_eq!(answer(200, &fields, None).unwrap(), ["set-cookie: a", "b: 2"]);
    }

    #[test]
    fn responses_have_one_framing() {
        assert_eq!(answer(200, &[("content-length", "2"), ("content-length", "2")], None).unwrap().len(), 1);
        assert!(
            answer(200, &[("transfer-encoding", "chunked"), ("content-length", "9")], None)
                .unwrap()
                .is_empty()
        );
        assert!(answer(204, &[("content-length", "9")], None).unwrap().is_empty());
        assert_eq!(answer(200, &[("transfer-encoding", "xchunked")], None), Err(Unfit::TransferEncoding));
    }

    #[test]
    fn only_an_asked_upgrade_is_one() {
        assert_eq!(answer(101, &[("upgrade", "websocket")], None), Err(Unfit::UnaskedUpgrade));
        let asked = Some("chat/2, WebSocket");
        for fields in [&[][..], &[("upgrade", "")], &[("upgrade", "chat")], &[("upgrade", "websocket, irc")]]
        {
            assert_eq!(answer(101, fields, asked), Err(Unfit::UnaskedUpgrade), "{fields:?}");
        }
        assert!(answer(101, &[("upgrade", "CHAT/2, websocket")], asked).is_ok());
        assert_eq!(
            answer(
                101,
                &[("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-accept", "x")],
                Some("websocket")
            )
            .unwrap(),
            ["sec-websocket-accept: x", "connection: upgrade", "upgrade: websocket"]
        );
    }
}
