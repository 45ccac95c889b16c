//! The answers that the shop has: pages, files, JSON, redirects, and what goes with each.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::{Channel, Either, Full};
use maud::Markup;

use super::pages;

/// A whole body, or one that is still being written.
pub(super) type Body = Either<Full<Bytes>, Channel<Bytes>>;

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// A page that is written while it is read.
pub(super) fn streamed(paper: Channel<Bytes>) -> Response<Body> {
    let mut response = Response::new(Either::Right(paper));
    response.headers_mut().insert(header::CONTENT_TYPE, HTML);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A file, or 304 where the client has it (RFC 9110, 13.1.2).
pub(super) fn file(
    asked: &HeaderMap,
    content: Bytes,
    media_type: &'static str,
    etag: &str,
    cache: &'static str,
) -> Response<Body> {
    let known = asked
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| tag.trim() == etag || tag.trim() == "*");
    let mut response = if known {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        let mut whole = Response::new(Either::Left(Full::new(content)));
        whole.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        whole
    };
    if let Ok(etag) = HeaderValue::from_str(etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}

pub(super) fn page(status: StatusCode, markup: Markup) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(markup.into_string().into())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HTML);
    // Said twice, by two layers of the shop that never met.
    response.headers_mut().append(header::CACHE_CONTROL, HeaderValue::from_static("private"));
    response.headers_mut().append(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

pub(super) fn json(status: StatusCode, value: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(value.to_string().into())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An error in the shape of the `article` contract.
pub(super) fn refusal(status: StatusCode, why: &str) -> Response<Body> {
    json(status, &serde_json::json!({ "processamento": status.as_u16(), "msg": why }))
}

/// The shop's own failure, which is a page even where JSON was asked for.
pub(super) fn breakdown(number: u64) -> Response<Body> {
    let text = format!("The painter dropped order {number}. You were not charged.");
    page(StatusCode::INTERNAL_SERVER_ERROR, pages::trouble("Atelier breakdown", &text))
}

pub(super) fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(Bytes::from_static(text.as_bytes()))));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::default()));
    *response.status_mut() = status;
    response
}

pub(super) fn moved(status: StatusCode, to: &'static str) -> Response<Body> {
    let mut response = empty(status);
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static(to));
    response
}

pub(super) fn wrong_method(allowed: &'static str) -> Response<Body> {
    let mut response =
        page(StatusCode::METHOD_NOT_ALLOWED, pages::trouble("Not like this", "Try another way."));
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

pub(super) fn not_found() -> Response<Body> {
    page(StatusCode::NOT_FOUND, pages::trouble("Nothing here", "It may have been sold."))
}

pub(super) fn too_large() -> Response<Body> {
    page(StatusCode::PAYLOAD_TOO_LARGE, pages::trouble("Too much", "That does not fit through our door."))
}

pub(super) fn set_cookie(response: &mut Response<Body>, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}
