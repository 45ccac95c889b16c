//! Heads between the two versions: what HTTP/1.1 says in fields of the connection, HTTP/2 says in pseudo-fields, or not
//! at all (RFC 9113, 8.2.2 and 8.3; RFC 8441, 5).

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use h2::ext::Protocol;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri,
    header::{
        CONNECTION, CONTENT_LENGTH, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, TE, TRANSFER_ENCODING,
        UPGRADE,
    },
    request, response,
    uri::{Authority, Scheme},
};
use sha1::{Digest as _, Sha1};
use thiserror::Error;

use crate::forwarding::head::has_length;

const WEBSOCKET: &str = "websocket";

/// A request as HTTP/2 says it.
pub(super) struct Head {
    pub(super) request: Request<()>,
    /// What proves that a WebSocket was understood, where one is asked for.
    pub(super) accept: Option<HeaderValue>,
}

/// Why a request cannot be said in HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("its Host is no authority that HTTP/2 can name")]
pub(super) struct Unsayable;

/// `head`, which has the fields of HTTP/1.1, for an upstream that is spoken to by `scheme`. An authority is not empty: a
/// `Host` that is becomes the upstream's `own` (RFC 9113, 8.3.1). An upgrade that HTTP/2 has no words for is left out, as
/// one may be ignored (RFC 9110, 7.8).
pub(super) fn request(
    head: &request::Parts,
    scheme: Scheme,
    own: impl FnOnce() -> String,
) -> Result<Head, Unsayable> {
    let host = head.headers.get(HOST).ok_or(Unsayable)?;
    let authority =
        if host.is_empty() { Authority::try_from(own()) } else { Authority::try_from(host.as_bytes()) };
    let mut uri = head.uri.clone().into_parts();
    uri.scheme = Some(scheme);
    uri.authority = Some(authority.map_err(|_| Unsayable)?);
    let uri = Uri::from_parts(uri).map_err(|_| Unsayable)?;

    let accept = accept(head);
    let mut request = Request::new(());
    *request.method_mut() = head.method.clone();
    if accept.is_some() {
        *request.method_mut() = Method::CONNECT;
        request.extensions_mut().insert(Protocol::from_static(WEBSOCKET));
    }
    *request.uri_mut() = uri;
    *request.version_mut() = http::Version::HTTP_2;
    let fields = request.headers_mut();
    fields.reserve(head.headers.len());
    for (name, value) in &head.headers {
        // Of a length there is at most none.
        let of_upgrade = accept.is_some() && (name == SEC_WEBSOCKET_KEY || name == CONTENT_LENGTH);
        if !of_upgrade && !is_of_connection(name) {
            fields.append(name, value.clone());
        }
    }
    // The one member that `forwarding::head` lets through.
    if let Some(te) = head.headers.get(TE) {
        fields.append(TE, te.clone());
    }
    Ok(Head { request, accept })
}

fn is_of_connection(name: &HeaderName) -> bool {
    [HOST, CONNECTION, TE, TRANSFER_ENCODING, UPGRADE].contains(name)
}

/// Whether a request upgrades to what HTTP/2 has words for: a WebSocket, which begins with a GET, a key and no body
/// (RFC 8441, 5; RFC 6455, 4.1).
pub(in crate::forwarding) fn is_websocket(head: &request::Parts) -> bool {
    let fields = &head.headers;
    let protocol = fields.get(UPGRADE).map(HeaderValue::as_bytes).unwrap_or_default();
    protocol.eq_ignore_ascii_case(WEBSOCKET.as_bytes())
        && head.method == Method::GET
        && fields.contains_key(SEC_WEBSOCKET_KEY)
        && !fields.contains_key(TRANSFER_ENCODING)
        && !has_length(fields)
}

/// What answers the key of a WebSocket (RFC 6455, 4.2.2).
fn accept(head: &request::Parts) -> Option<HeaderValue> {
    const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let key = head.headers.get(SEC_WEBSOCKET_KEY).filter(|_| is_websocket(head))?;
    let mut digest = Sha1::new();
    digest.update(key.as_bytes());
    digest.update(GUID);
    HeaderValue::try_from(BASE64.encode(digest.finalize())).ok()
}

/// Whether HTTP/1.1 knows all names of fields, too: our libraries take a quote in those of HTTP/2 (RFC 9110, 5.1).
pub(super) fn are_names(fields: &HeaderMap) -> bool {
    fields.keys().all(|name| !name.as_str().contains('"'))
}

/// Takes away what stands around values: it is no part of them (RFC 9110, 5.5), and malformed in HTTP/2 (RFC 9113, 8.2.1).
pub(super) fn trim(fields: &mut HeaderMap) {
    for value in fields.values_mut() {
        let bare = value.as_bytes().trim_ascii();
        if bare.len() < value.len()
            && let Ok(bare) = HeaderValue::from_bytes(bare)
        {
            *value = bare;
        }
    }
}

/// Makes an answer one that HTTP/1.1 could have brought; `accept` where it may open a WebSocket.
pub(super) fn response(head: &mut response::Parts, method: &Method, accept: Option<&HeaderValue>) {
    if let Some(accept) = accept
        && head.status.is_success()
    {
        head.status = StatusCode::SWITCHING_PROTOCOLS;
        head.headers.append(UPGRADE, HeaderValue::from_static(WEBSOCKET));
        head.headers.append(SEC_WEBSOCKET_ACCEPT, accept.clone());
    } else if method == Method::HEAD && !head.headers.contains_key(CONTENT_LENGTH) {
        // A length that is not said is not known, and must not become none.
        head.headers.append(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(target: &str, method: Method, fields: &[(&str, &str)]) -> Result<Head, Unsayable> {
        let mut head = Request::builder().method(method).uri(target);
        for (name, value) in fields {
            head = head.header(*name, *value);
        }
        let head = head.body(()).unwrap().into_parts().0;
        request(&head, Scheme::HTTP, || "origin.test".to_owned())
    }

    fn names(fields: &HeaderMap) -> Vec<String> {
        fields.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn host_becomes_the_authority_and_the_connections_fields_go() {
        let fields = [
            ("host", "site.test:81"),
            ("b", "1"),
            ("te", "trailers"),
            ("connection", "TE"),
            ("transfer-encoding", "chunked"),
            ("a", "2"),
            ("b", "3"),
        ];
        let Head { request, accept } = said("/x//y?%zz", Method::POST, &fields).unwrap();
        assert_eq!(request.uri().to_string(), "http://site.test:81/x//y?%zz");
        assert_eq!(names(request.headers()), ["b: 1", "b: 3", "a: 2", "te: trailers"]);
        assert!(accept.is_none());
        assert_eq!(said("*", Method::OPTIONS, &[("host", "a")]).unwrap().request.uri().path(), "*");
    }

    #[test]
    fn a_websocket_is_an_extended_connect() {
        let fields = [
            ("host", "a"),
            ("connection", "Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-version", "13"),
        ];
        let Head { request, accept } = said("/chat", Method::GET, &fields).unwrap();
        assert_eq!(request.method(), Method::CONNECT);
        assert_eq!(request.extensions().get::<Protocol>().unwrap().as_str(), "websocket");
        assert_eq!(names(request.headers()), ["sec-websocket-version: 13"]);
        assert_eq!(accept.unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn an_upgrade_without_words_is_left_out() {
        let websocket = [("host", "a"), ("upgrade", "websocket"), ("sec-websocket-key", "x")];
        for (method, fields) in [
            (Method::GET, &[("host", "a"), ("upgrade", "chat"), ("sec-websocket-key", "x")][..]),
            (Method::GET, &websocket[..2]),
            (Method::POST, &websocket),
            (Method::GET, &[&websocket[..], &[("content-length", "5")]].concat()),
            (Method::GET, &[&websocket[..], &[("transfer-encoding", "chunked")]].concat()),
        ] {
            let Head { request, accept } = said("/", method.clone(), fields).unwrap();
            assert_eq!((request.method(), accept), (&method, None), "{fields:?}");
            assert!(!request.headers().contains_key(UPGRADE));
        }
        let empty = [&websocket[..], &[("content-length", "0")]].concat();
        let Head { request, accept } = said("/", Method::GET, &empty).unwrap();
        assert!(accept.is_some() && request.headers().is_empty(), "{request:?}");
    }

    #[test]
    fn what_cannot_be_an_authority_is_not_sent() {
        assert_eq!(said("/", Method::GET, &[]).err(), Some(Unsayable));
        assert_eq!(said("/", Method::GET, &[("host", "a%20b")]).err(), Some(Unsayable));
    }

    #[test]
    fn a_value_is_what_stands_between_spaces() {
        let mut fields = HeaderMap::new();
        for value in [&b" a\tb\t "[..], b"\xe9", b" ", b""] {
            fields.append("x", HeaderValue::from_bytes(value).unwrap());
        }
        trim(&mut fields);
        let values: Vec<_> = fields.values().map(HeaderValue::as_bytes).collect();
        assert_eq!(values, [&b"a\tb"[..], b"\xe9", b"", b""]);
    }

    #[test]
    fn an_empty_host_is_the_upstreams_own() {
        let Head { request, .. } = said("/", Method::GET, &[("host", "")]).unwrap();
        assert_eq!(request.uri().to_string(), "http://origin.test/");
    }
}
