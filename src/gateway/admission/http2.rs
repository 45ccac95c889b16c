//! A head that came over HTTP/2, said as HTTP/1.1 would say it: what routes, arms and upstreams know.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode, Uri,
    header::{
        CONNECTION, CONTENT_LENGTH, COOKIE, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
    },
    request,
};
use sha1::{Digest as _, Sha1};

use super::Rejection;
use crate::{
    gateway::settings::Limits,
    listener::{
        ExtendedConnect, Refusal,
        guard::{
            HEAD_TOO_LARGE, TOO_MANY_FIELDS, TWO_LENGTHS, is_name, is_trimmed, judge_host, judge_length,
            judge_target,
        },
    },
};

/// Whether a body follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum Follows {
    /// Its stream is over.
    Nothing,
    /// DATA.
    Body,
}

/// An upgrade that stands for an extended CONNECT, and the answer that proves it was understood.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::gateway) struct Upgrade {
    /// `Sec-WebSocket-Accept`.
    accept: String,
}

/// Makes `head` one of HTTP/1.1: `Host` from `:authority`, one `Cookie`, chunks where the length is unknown, and an
/// upgrade of an extended CONNECT, which has no content (RFC 9113, 8.2.3 and 8.3.1; RFC 8441; RFC 9110, 9.3.6). `nonce` is what its key is made of.
pub(in crate::gateway) fn translate(
    head: &mut request::Parts,
    follows: Follows,
    limits: &Limits,
    nonce: impl FnOnce() -> [u8; 16],
) -> Result<Option<Upgrade>, Rejection> {
    let extended = head.extensions.remove::<ExtendedConnect>();
    if head.method == Method::CONNECT && extended.is_none() {
        return Err(Rejection::Connect);
    }
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    judge_target(target.as_bytes(), limits.target)?;
    within(head, target, limits)?;
    let length = length(&head.headers)?;
    if extended.is_some() && length.is_some() {
        // What follows is a tunnel's, and a next hop that was promised a body would take other requests for it.
        return Err(Refusal::bad("a CONNECT request has no content, and no Content-Length field").into());
    }
    let host = host(head)?;
    let target = Uri::try_from(target).map_err(|_| Rejection::Target)?;

    let mut fields = HeaderMap::with_capacity(head.headers.len() + 4);
    fields.append(HOST, host);
    let cookies = joined_cookies(&head.headers);
    for (name, value) in &head.headers {
        if !is_name(name) {
            return Err(Refusal::bad("a header field's name is not a token").into());
        }
        if !is_trimmed(value) {
            return Err(Refusal::bad("a header field's value begins or ends with a space").into());
        }
        if name == HOST || (name == COOKIE && fields.contains_key(COOKIE)) {
            continue;
        }
        match &cookies {
            Some(cookies) if name == COOKIE => fields.append(COOKIE, cookies.clone()),
            _ => fields.append(name, value.clone()),
        };
    }
    let upgrade = extended.map(|connect| upgrade(&connect, &mut fields, nonce)).transpose()?;
    if upgrade.is_some() {
        head.method = Method::GET;
    } else if follows == Follows::Body && length.is_none() {
        fields.append(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    head.headers = fields;
    head.uri = target;
    Ok(upgrade)
}

/// The limits of HTTP/1.1 heads, counted as if it were one.
fn within(head: &request::Parts, target: &str, limits: &Limits) -> Result<(), Refusal> {
    /// What a cookie in a field of its own takes more than behind another one.
    const SPARED: usize = "cookie: \r\n".len() - "; ".len();
    let crumbs = head.headers.get_all(COOKIE).iter().skip(1).count();
    if head.headers.len() - crumbs > limits.headers {
        return Err(TOO_MANY_FIELDS);
    }
    let line =
        head.method.as_str().len() + target.len() + head.uri.authority().map_or(0, |a| a.as_str().len());
    let fields: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if line + fields - crumbs * SPARED > limits.head { Err(HEAD_TOO_LARGE) } else { Ok(()) }
}

/// The length of the body, where it is said: once and as one number, as in HTTP/1.1 (RFC 9112, 6.3).
fn length(fields: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let mut lengths = fields.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next().map(|length| judge_length(length.as_bytes())).transpose()?;
    if lengths.next().is_some() { Err(Refusal::bad(TWO_LENGTHS)) } else { Ok(length) }
}

/// The authority, which `Host` may repeat and not contradict (RFC 9113, 8.3.1).
fn host(head: &request::Parts) -> Result<HeaderValue, Rejection> {
    if head.uri.scheme_str().is_some_and(|scheme| !matches!(scheme, "http" | "https")) {
        return Err(Rejection::Target);
    }
    let mut given = head.headers.get_all(HOST).iter();
    let (named, more) = (given.next(), given.next());
    if more.is_some() {
        return Err(Refusal::bad("the request has more than one Host field").into());
    }
    let host = match (head.uri.authority(), named) {
        (Some(authority), Some(host))
            if !authority.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes()) =>
        {
            return Err(Refusal::bad("the request's Host field is not its :authority").into());
        }
        (Some(authority), _) => HeaderValue::from_str(authority.as_str()).map_err(|_| Rejection::Target)?,
        (None, Some(host)) => host.clone(),
        (None, None) => return Err(Refusal::bad("the request has neither :authority nor Host").into()),
    };
    judge_host(host.as_bytes())?;
    Ok(host)
}

/// Several `Cookie` fields as one (RFC 9113, 8.2.3).
fn joined_cookies(fields: &HeaderMap) -> Option<HeaderValue> {
    let mut crumbs = fields.get_all(COOKIE).iter();
    let mut joined = crumbs.next()?.as_bytes().to_vec();
    for crumb in crumbs {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(crumb.as_bytes());
    }
    // Behind an empty one there would be a space, which HTTP/1.1 takes off and HTTP/2 does not allow.
    if joined.ends_with(b" ") {
        joined.pop();
    }
    HeaderValue::try_from(joined).ok()
}

/// Adds the fields of a WebSocket handshake, which HTTP/2 does without (RFC 8441, 5).
fn upgrade(
    ExtendedConnect(protocol): &ExtendedConnect,
    fields: &mut HeaderMap,
    nonce: impl FnOnce() -> [u8; 16],
) -> Result<Upgrade, Refusal> {
    if !protocol.eq_ignore_ascii_case("websocket") {
        return Err(Refusal {
            status: StatusCode::NOT_IMPLEMENTED,
            detail: "this site tunnels no protocol but websocket",
        });
    }
    let key = BASE64.encode(nonce());
    let value = HeaderValue::from_str(&key).map_err(|_| Refusal::bad("the request cannot be upgraded"))?;
    fields.insert(SEC_WEBSOCKET_KEY, value);
    if !fields.contains_key(SEC_WEBSOCKET_VERSION) {
        fields.append(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    fields.append(CONNECTION, HeaderValue::from_static("Upgrade"));
    fields.append(UPGRADE, HeaderValue::from_static("websocket"));
    Ok(Upgrade { accept: accept(&key) })
}

/// What answers a `Sec-WebSocket-Key` (RFC 6455, 4.2.2).
fn accept(key: &str) -> String {
    const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    BASE64.encode(Sha1::digest(format!("{key}{GUID}")))
}

impl Upgrade {
    /// Makes the upstream's 101 the 200 that opens a stream; false where it is no answer to what was asked. One that
    /// switches nothing is the client's as it is, but for a success that the client would take for a tunnel.
    pub(in crate::gateway) fn answer<B>(&self, response: &mut Response<B>) -> Result<(), &'static str> {
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let success = response.status().is_success();
            return if success { Err("it answered an upgrade without switching protocols") } else { Ok(()) };
        }
        let accepted = response.headers().get(SEC_WEBSOCKET_ACCEPT);
        if accepted.is_none_or(|accepted| accepted.as_bytes() != self.accept.as_bytes()) {
            return Err("its Sec-WebSocket-Accept does not answer the key");
        }
        *response.status_mut() = StatusCode::OK;
        let fields = std::mem::take(response.headers_mut());
        let mut kept = HeaderMap::with_capacity(fields.len());
        for (name, value) in &fields {
            if ![SEC_WEBSOCKET_ACCEPT, CONNECTION, UPGRADE].contains(name) {
                kept.append(name, value.clone());
            }
        }
        *response.headers_mut() = kept;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
