//! What a request has to be before it is routed. The listener's guard has judged its bytes; this judges what they mean.

use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header::HOST, header::VIA, request};
use thiserror::Error;

use super::settings::Settings;
use crate::listener::{Refusal, guard};

pub(super) mod http2;

pub(super) const MAX_FORWARDS: HeaderName = HeaderName::from_static("max-forwards");

/// Our name in `Via` (RFC 9110, 7.6.3).
pub(super) const PSEUDONYM: &str = "figueira";

/// Why a request is not let in.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Rejection {
    /// What the guard refuses of an HTTP/1.1 head, in an HTTP/2 one.
    #[error(transparent)]
    Head(#[from] Refusal),
    /// Only a forward proxy is asked to CONNECT.
    #[error("this site is no proxy: CONNECT is not answered")]
    Connect,
    /// Neither a path nor `*` nor an absolute `http` URL (RFC 9112, 3.2).
    #[error("the request target is neither a path nor an http URL of this site")]
    Target,
    /// Its body is announced as larger than may be.
    #[error("the request body is larger than {0} bytes")]
    BodyTooLarge(u64),
    /// It has passed here before.
    #[error("the request has passed through this gateway before")]
    Loop,
    /// Between the gateway and the monolith only.
    #[error("there is nothing here")]
    Internal,
    /// Sent by a browser on behalf of another site, with the user's cookies.
    #[error("a request from another site may not be answered with the user's permission")]
    Forged,
    /// TRACE or OPTIONS that may go no further (RFC 9110, 7.6.2).
    #[error("the request may be forwarded no further")]
    LastHop(Method),
}

impl Rejection {
    /// The status that says it.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Head(refusal) => refusal.status,
            Self::Target => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Internal => StatusCode::NOT_FOUND,
            Self::Forged => StatusCode::FORBIDDEN,
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::LastHop(method) if method == Method::OPTIONS => StatusCode::OK,
            Self::LastHop(_) | Self::Connect => StatusCode::METHOD_NOT_ALLOWED,
        }
    }
}

/// Lets a request in, its target made origin-form and its `Host` the authority that it is for.
pub(super) fn admit(
    head: &mut request::Parts,
    announced: Option<u64>,
    settings: &Settings,
) -> Result<(), Rejection> {
    if head.method == Method::CONNECT {
        return Err(Rejection::Connect);
    }
    origin_form(head)?;
    if let (Some(limit), Some(length)) = (settings.limits.body, announced)
        && length > limit
    {
        return Err(Rejection::BodyTooLarge(limit));
    }
    if settings.via && passed_here(head) {
        return Err(Rejection::Loop);
    }
    if hops_left(head) == Some(0) {
        return Err(Rejection::LastHop(head.method.clone()));
    }
    Ok(())
}

/// An absolute target's authority replaces `Host` (RFC 9112, 3.2.2).
fn origin_form(head: &mut request::Parts) -> Result<(), Rejection> {
    let path = head.uri.path();
    let Some(authority) = head.uri.authority() else {
        let asterisk = path == "*" && head.method == Method::OPTIONS;
        return if path.starts_with('/') || asterisk { Ok(()) } else { Err(Rejection::Target) };
    };
    let web = matches!(head.uri.scheme_str(), Some("http" | "https"));
    if !web || authority.host().is_empty() || !guard::is_authority(authority.as_str().as_bytes()) {
        return Err(Rejection::Target);
    }
    let host = HeaderValue::try_from(authority.as_str()).map_err(|_| Rejection::Target)?;
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    // A path may be empty before the query of a URL, and in no other target (RFC 3986, 3.3; RFC 9112, 3.2.1).
    let slash = if target.starts_with('?') { "/" } else { "" };
    let target = Uri::try_from(format!("{slash}{target}")).map_err(|_| Rejection::Target)?;
    head.headers.insert(HOST, host);
    head.uri = target;
    Ok(())
}

/// How often a request may still be forwarded, where it says so (RFC 9110, 7.6.2). What is no number, and two of them, say
/// nothing.
pub(super) fn hops_left(head: &request::Parts) -> Option<u64> {
    if head.method != Method::TRACE && head.method != Method::OPTIONS {
        return None;
    }
    let mut said = head.headers.get_all(MAX_FORWARDS).iter();
    let (Some(hops), None) = (said.next(), said.next()) else { return None };
    let digits = hops.to_str().ok().filter(|hops| hops.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok()
}

fn passed_here(head: &request::Parts) -> bool {
    let hops =
        head.headers.get_all(VIA).into_iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    hops.filter_map(received_by).any(|by| by == PSEUDONYM.as_bytes())
}

/// The second word of a member of `Via`, behind white space of any kind and length (RFC 9110, 5.6.3 and 7.6.3).
fn received_by(hop: &[u8]) -> Option<&[u8]> {
    hop.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).nth(1)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::gateway::{settings::Limits, testing};

    fn settings() -> Settings {
        let settings = testing::settings();
        Settings { limits: Limits { body: Some(10), ..settings.limits }, ..settings }
    }

    fn admitted(method: &str, target: &str, fields: &[(&str, &str)]) -> Result<(String, String), Rejection> {
        let mut request = Request::builder().method(method).uri(target).header("host", "site.test");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut head = request.body(()).unwrap().into_parts().0;
        admit(&mut head, None, &settings())?;
        Ok((head.headers[HOST].to_str().unwrap().to_owned(), head.uri.to_string()))
    }

    #[test]
    fn absolute_targets_decide_the_host() {
        let wanted = Ok(("other.test:81".to_owned(), "/x?q=1".to_owned()));
        assert_eq!(admitted("GET", "http://other.test:81/x?q=1", &[]), wanted);
        for (target, wanted) in [("http://other.test", "/"), ("http://other.test?q=1", "/?q=1")] {
            let wanted = Ok(("other.test".to_owned(), wanted.to_owned()));
            assert_eq!(admitted("GET", target, &[]), wanted, "{target}");
        }
        assert_eq!(admitted("GET", "http://u:p@site.test/", &[]), Err(Rejection::Target));
        assert_eq!(admitted("GET", "ftp://site.test/", &[]), Err(Rejection::Target));
        assert_eq!(admitted("GET", "http://site.test:99999/", &[]), Err(Rejection::Target));
        assert_eq!(admitted("GET", "http://site.test:8x/", &[]), Err(Rejection::Target));
    }

    #[test]
    fn targets_are_paths() {
        assert!(admitted("OPTIONS", "*", &[]).is_ok());
        assert_eq!(admitted("GET", "*", &[]), Err(Rejection::Target));
        assert_eq!(admitted("GET", "site.test:80", &[]), Err(Rejection::Target));
        assert_eq!(admitted("CONNECT", "site.test:80", &[]), Err(Rejection::Connect));
    }

    #[test]
    fn a_request_that_comes_back_is_a_loop() {
        for via in ["1.1 front, 1.1 figueira", "1.1\tfigueira", "1.1  figueira (a comment)"] {
            assert_eq!(admitted("GET", "/", &[("via", via)]), Err(Rejection::Loop), "{via}");
        }
        assert!(admitted("GET", "/", &[("via", "1.1 front (figueira)")]).is_ok());
    }

    #[test]
    fn the_last_hop_answers_itself() {
        assert_eq!(admitted("OPTIONS", "/", &[("max-forwards", "0")]).unwrap_err().status(), 200);
        assert_eq!(admitted("TRACE", "/", &[("max-forwards", "0")]).unwrap_err().status(), 405);
        assert_eq!(admitted("TRACE", "/", &[("max-forwards", "00")]).unwrap_err().status(), 405);
        assert!(admitted("GET", "/", &[("max-forwards", "0")]).is_ok());
        for nothing in [&[("max-forwards", "-0")][..], &[("max-forwards", "0"), ("max-forwards", "0")]] {
            assert!(admitted("TRACE", "/", nothing).is_ok(), "{nothing:?}");
        }
    }

    #[test]
    fn announced_bodies_are_limited() {
        let mut head = Request::post("/").header("host", "a").body(()).unwrap().into_parts().0;
        assert_eq!(admit(&mut head, Some(11), &settings()), Err(Rejection::BodyTooLarge(10)));
        assert_eq!(admit(&mut head, Some(10), &settings()), Ok(()));
    }
}
