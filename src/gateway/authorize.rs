//! Asks the monolith, which knows its users, whether the candidate may answer a request: what nginx calls
//! `auth_request` and Traefik `ForwardAuth`. A GET without a body, with the client's credentials and what is known of the
//! generation; its answer is a permission with facts, or the client's answer.

use std::{borrow::Cow, net::IpAddr, sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{AUTHORIZATION, COOKIE, HOST, ORIGIN},
    request,
};
use http_body_util::{BodyExt as _, Limited};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, timeout_at};

use super::{
    RequestBody,
    admission::Rejection,
    backends::{Chosen, Exchange},
    body::Content,
    rescue::Failure,
    rules::Upstream,
    settings::Ask,
};
use crate::{
    backend::Fault,
    forwarding::{Forward, head::Gained},
    generator::{Grant, Wanted},
    text,
};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
const ORIGINAL_URI: HeaderName = HeaderName::from_static("x-original-uri");
const REQUEST: HeaderName = HeaderName::from_static("figueira-request");
const IMAGES: HeaderName = HeaderName::from_static("figueira-images");
const SIZE: HeaderName = HeaderName::from_static("figueira-size");
/// What our own fields begin with; nobody else may send them.
const OURS: &str = "figueira-";
/// Of a permission's body, which nobody reads: more is not worth keeping the connection for.
const PERMISSION: usize = 64 << 10;
/// What a client is told to wait when the monolith did not say in time.
const AGAIN: Duration = Duration::from_secs(2);

/// What the monolith said.
pub(super) enum Said {
    /// It may be answered.
    Granted(Grant),
    /// This is the client's answer, untouched.
    Answer(Response<Content>),
}

impl Exchange<'_> {
    /// What the monolith says of a request that the candidate would answer. `key` is what makes two tries one request. Where it
    /// does not permit that, there is no pair.
    pub(super) async fn permission(
        &self,
        ask: &Ask,
        chosen: &mut Chosen<'_>,
        head: &request::Parts,
        wanted: Option<&Wanted>,
        key: Option<&[u8]>,
    ) -> Result<Said, Failure> {
        let said = if is_forged(head, self.provenance.host()) {
            Err(Rejection::Forged.into())
        } else {
            let who = who(&chosen.subject, &head.headers, self.provenance.client);
            let stable = stable(chosen.name, &who, key, self.provenance.request_id.as_bytes());
            self.ask(ask, &chosen.arms.control, head, wanted, &stable).await
        };
        if !matches!(said, Ok(Said::Granted(_))) {
            chosen.refused();
        }
        said
    }

    /// Asks whether `head` may be answered; `stable` is what makes two tries of one request the same.
    pub(super) async fn ask(
        &self,
        ask: &Ask,
        upstream: &Arc<Upstream>,
        head: &request::Parts,
        wanted: Option<&Wanted>,
        stable: &str,
    ) -> Result<Said, Failure> {
        let failed = |fault| Failure::Arm { upstream: upstream.settings().name.to_string(), fault };
        let mut question = question(ask, head, wanted, stable);
        let forward =
            Forward { upstream, worker: self.worker, gained: &self.provenance.gained, on_interim: None };
        let until = Instant::now() + ask.timeout;
        let answer = timeout_at(until, forward.send(&mut question, RequestBody::Empty)).await;
        let answer = match answer {
            Ok(Ok(forwarded)) => forwarded.response,
            Ok(Err(unanswered)) => return Err(failed(unanswered.fault)),
            Err(_) => {
                let address = upstream.settings().name.to_string();
                return Err(failed(Fault::Unavailable { address, retry_after: AGAIN }));
            }
        };
        let status = answer.status();
        if ask.grants(status) {
            let grant = grant(ask, answer.headers(), stable);
            // Read to its end where that is near, so that its connection can be used again. What it says is in its head.
            drop(timeout_at(until, Limited::new(answer.into_body(), PERMISSION).collect()).await);
            return Ok(Said::Granted(grant));
        }
        if status.is_server_error() {
            let reason = format!("the authorisation was answered with {status}");
            return Err(failed(Fault::Protocol { reason }));
        }
        Ok(Said::Answer(answer.map(Content::Forwarded)))
    }
}

impl Ask {
    fn grants(&self, status: StatusCode) -> bool {
        if self.expect.is_empty() { status.is_success() } else { self.expect.contains(&status) }
    }
}

/// What the monolith is asked.
fn question(ask: &Ask, head: &request::Parts, wanted: Option<&Wanted>, stable: &str) -> request::Parts {
    let mut question = Request::new(()).into_parts().0;
    question.method = Method::GET;
    question.version = Version::HTTP_11;
    question.uri = ask.url.clone();
    for name in [HOST, COOKIE, AUTHORIZATION] {
        for value in head.headers.get_all(&name) {
            question.headers.append(name.clone(), value.clone());
        }
    }
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let size = wanted.and_then(|wanted| wanted.size).map(|(width, height)| format!("{width}x{height}"));
    let facts = [
        (ORIGINAL_METHOD, Some(head.method.to_string())),
        (ORIGINAL_URI, Some(target.to_owned())),
        (REQUEST, Some(stable.to_owned())),
        (IMAGES, wanted.and_then(|wanted| wanted.count).map(|count| count.to_string())),
        (SIZE, size),
    ];
    for (name, value) in facts {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            question.headers.insert(name, value);
        }
    }
    question
}

/// The facts that a permission states.
fn grant(ask: &Ask, answer: &HeaderMap, stable: &str) -> Grant {
    let text = |name: &HeaderName| answer.get(name).map(|value| text::read(value.as_bytes()).into_owned());
    let facts = ask.copy.iter().filter_map(|name| Some((name.to_string(), text(name)?))).collect();
    Grant { request: stable.to_owned(), tenant: ask.tenant.as_ref().and_then(text), facts }
}

/// The facts as fields.
pub(super) fn facts(grant: &Grant) -> impl Iterator<Item = Gained> {
    grant.facts.iter().filter_map(|(name, value)| {
        Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?))
    })
}

/// The facts, and what the monolith calls the request, as fields that an upstream candidate gets.
pub(super) fn fields(grant: &Grant) -> impl Iterator<Item = Gained> {
    facts(grant).chain(HeaderValue::try_from(&grant.request).ok().map(|request| (REQUEST, request)))
}

/// Who asks: the route's subject, else whoever has these credentials, else whoever is at this address. Two people may
/// count their orders alike.
fn who<'s>(subject: &'s [u8], headers: &HeaderMap, client: IpAddr) -> Cow<'s, [u8]> {
    if !subject.is_empty() {
        return Cow::Borrowed(subject);
    }
    let mut who = Vec::new();
    for name in [COOKIE, AUTHORIZATION] {
        for value in headers.get_all(&name) {
            who.extend_from_slice(name.as_str().as_bytes());
            who.extend((value.len() as u64).to_be_bytes());
            who.extend_from_slice(value.as_bytes());
        }
    }
    if who.is_empty() {
        who.extend_from_slice(client.to_string().as_bytes());
    }
    Cow::Owned(who)
}

/// What makes two tries of one request the same: the route, who asks, and the key that the client gave it. Without a
/// key each request is its own.
pub(super) fn stable(route: &str, subject: &[u8], key: Option<&[u8]>, request_id: &[u8]) -> String {
    let mut hash = Sha256::new();
    for part in [route.as_bytes(), subject, key.unwrap_or(request_id)] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    // Half of it is enough, and easier on logs.
    let number =
        hash.finalize().iter().take(16).fold(0_u128, |number, byte| (number << 8) | u128::from(*byte));
    format!("{number:032x}")
}

/// Takes out of a client's fields what only we may say, and what a permission is to say (`copied`).
pub(crate) fn strip(headers: &mut HeaderMap, copied: &[HeaderName]) {
    strip_all(headers, |name| copied.contains(name));
}

/// The same, and those that nobody may say `here`.
pub(super) fn strip_all(headers: &mut HeaderMap, here: impl Fn(&HeaderName) -> bool) {
    let goes = |name: &HeaderName| name.as_str().starts_with(OURS) || here(name);
    if !headers.keys().any(goes) {
        return;
    }
    let mut kept = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers.iter().filter(|(name, _)| !goes(name)) {
        kept.append(name.clone(), value.clone());
    }
    *headers = kept;
}

/// Whether a browser was made to send this by another site than `host`, with the user's cookies: the monolith's own check
/// is not on the way. A request that says neither is no browser's.
fn is_forged(head: &request::Parts, host: Option<&HeaderValue>) -> bool {
    if head.method.is_safe() || !head.headers.contains_key(COOKIE) {
        return false;
    }
    if let Some(site) = head.headers.get(SEC_FETCH_SITE) {
        return site.as_bytes().eq_ignore_ascii_case(b"cross-site");
    }
    let Some(origin) = head.headers.get(ORIGIN) else { return false };
    let host = host.map(HeaderValue::as_bytes).unwrap_or_default();
    let same = origin.to_str().ok().and_then(|origin| origin.split_once("://")).is_some_and(
        |(scheme, authority)| {
            let authority = authority.to_ascii_lowercase();
            let host = String::from_utf8_lossy(host).to_ascii_lowercase();
            let default = if scheme == "https" { ":443" } else { ":80" };
            authority.trim_end_matches(default) == host.trim_end_matches(default)
        },
    );
    !same
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, headers: &[(&'static str, &'static str)]) -> request::Parts {
        let mut builder = Request::builder().method(method).uri("/api/images?a=1");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    #[test]
    fn another_sites_forms_are_told_apart() {
        let cookie = ("cookie", "session=1");
        let host = ("host", "shop.example");
        for (forged, headers) in [
            (true, &[host, cookie, ("sec-fetch-site", "cross-site")][..]),
            (true, &[host, cookie, ("origin", "https://evil.example")]),
            (true, &[host, cookie, ("origin", "null")]),
            (true, &[host, cookie, ("origin", "https://shop.example.evil.example")]),
            (false, &[host, cookie, ("sec-fetch-site", "same-origin"), ("origin", "https://shop.example")]),
            (false, &[host, cookie, ("sec-fetch-site", "same-site")]),
            (false, &[host, cookie, ("origin", "https://shop.example")]),
            (false, &[("host", "Shop.example:443"), cookie, ("origin", "https://shop.example")]),
            (false, &[host, cookie]),
            (false, &[host, ("origin", "https://evil.example")]),
        ] {
            let head = head("POST", headers);
            assert_eq!(is_forged(&head, head.headers.get(HOST)), forged, "{headers:?}");
        }
        let get = head("GET", &[host, cookie, ("origin", "https://evil.example")]);
        assert!(!is_forged(&get, get.headers.get(HOST)));
        // A proxy in front asks for it by another name than the browser does.
        let proxied = head("POST", &[("host", "internal:8000"), cookie, ("origin", "https://shop.example")]);
        assert!(!is_forged(&proxied, Some(&HeaderValue::from_static("shop.example"))));
        assert!(is_forged(&proxied, Some(&HeaderValue::from_static("internal:8000"))));
    }

    #[test]
    fn what_only_we_may_say_is_taken_out_and_the_rest_keeps_its_order() {
        let mut parts = head(
            "POST",
            &[("a", "1"), ("figueira-tenant", "x"), ("b", "2"), ("x-user-id", "7"), ("c", "3"), ("b", "4")],
        );
        strip(&mut parts.headers, &[HeaderName::from_static("x-user-id")]);
        let left: Vec<_> =
            parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(left, [("a", &b"1"[..]), ("b", b"2"), ("b", b"4"), ("c", b"3")]);
    }

    #[test]
    fn the_question_has_credentials_and_facts_and_nothing_else() {
        let ask = Ask {
            url: "/internal/may?x=1".parse().unwrap(),
            expect: Vec::new(),
            copy: vec![HeaderName::from_static("x-hold")],
            tenant: Some(HeaderName::from_static("x-user-id")),
            timeout: Duration::from_secs(1),
        };
        let parts = head(
            "POST",
            &[
                ("host", "shop"),
                ("cookie", "a=1"),
                ("cookie", "b=2"),
                ("authorization", "t"),
                ("content-length", "9"),
                ("x-hold", "mine"),
            ],
        );
        let wanted = Wanted { size: Some((512, 256)), count: Some(2), ..Wanted::default() };
        let question = question(&ask, &parts, Some(&wanted), "key");
        let text = |name: &str| question.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(
            (question.method.as_str(), question.uri.to_string().as_str()),
            ("GET", "/internal/may?x=1")
        );
        assert_eq!(question.headers.get_all("cookie").iter().count(), 2);
        assert_eq!(
            (text("x-original-method"), text("x-original-uri")),
            (Some("POST"), Some("/api/images?a=1"))
        );
        assert_eq!(
            (text("figueira-request"), text("figueira-images"), text("figueira-size")),
            (Some("key"), Some("2"), Some("512x256"))
        );
        assert_eq!((text("content-length"), text("x-hold")), (None, None));

        let answer = HeaderMap::from_iter([
            (HeaderName::from_static("x-user-id"), HeaderValue::from_static("7")),
            (HeaderName::from_static("x-hold"), HeaderValue::from_static("h1")),
            (HeaderName::from_static("x-other"), HeaderValue::from_static("no")),
        ]);
        let grant = grant(&ask, &answer, "key");
        assert_eq!(
            (grant.tenant.as_deref(), &grant.facts[..]),
            (Some("7"), &[("x-hold".to_owned(), "h1".to_owned())][..])
        );
        assert!(ask.grants(StatusCode::NO_CONTENT) && !ask.grants(StatusCode::FOUND));
        let picky = Ask { expect: vec![StatusCode::FOUND], ..ask };
        assert!(picky.grants(StatusCode::FOUND) && !picky.grants(StatusCode::OK));
    }

    #[test]
    fn tries_of_one_request_are_one_and_others_are_not() {
        let of = |subject: &str, key: Option<&str>, id: &str| {
            stable("r", subject.as_bytes(), key.map(str::as_bytes), id.as_bytes())
        };
        assert_eq!(of("ana", Some("k"), "1"), of("ana", Some("k"), "2"));
        assert_ne!(of("ana", Some("k"), "1"), of("eva", Some("k"), "1"));
        assert_ne!(of("ana", None, "1"), of("ana", None, "2"));
        assert_ne!(of("a", Some("nak"), "1"), of("an", Some("ak"), "1"));
    }

    #[test]
    fn who_is_nobodys_subject_is_told_by_credentials() {
        let at = |client: &str, subject: &[u8], headers| {
            who(subject, &head("POST", headers).headers, client.parse().unwrap()).into_owned()
        };
        let of = |subject: &[u8], headers| at("192.0.2.1", subject, headers);
        assert_eq!(of(b"ana", &[("cookie", "a=1")]), b"ana");
        assert_eq!(of(b"", &[("cookie", "a=1")]), of(b"", &[("x", "1"), ("cookie", "a=1")]));
        assert_ne!(of(b"", &[("cookie", "a=1")]), of(b"", &[("cookie", "a=2")]));
        assert_ne!(of(b"", &[("cookie", "a")]), of(b"", &[("authorization", "a")]));
        assert_ne!(of(b"", &[]), at("192.0.2.2", b"", &[]), "who has none is known by where he is");
        assert_eq!(of(b"", &[("cookie", "a=1")]), at("192.0.2.2", b"", &[("cookie", "a=1")]));
    }
}
