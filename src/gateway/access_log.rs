//! One event a request, written when its answer is over: who answered, under which rules, how long it took.

use std::{
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::Context,
    time::{Duration, Instant},
};

use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, Version,
    header::{CONTENT_LENGTH, HOST, REFERER, USER_AGENT},
    request,
};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Sleep, sleep_until},
};

use super::{
    Rules,
    address::Address,
    counters::{Answerer, Counters, FailureKind, FellBack, RouteCounters, protocol},
    coverage::{Sighting, Signs},
    provenance::Provenance,
    rescue::Failure,
};
use crate::{
    backend::Fault,
    listener::{Peer, Transport},
    routing::{Arm, Mode},
    telemetry::log::{Access, AccessFormat, access},
};

/// What is known of a request so far. Dropping it writes the event.
#[derive(Debug)]
pub(super) struct Entry {
    began: Instant,
    access: Access,
    generation: u64,
    counters: Arc<Counters>,
    request_id: HeaderValue,
    client: IpAddr,
    method: Method,
    target: Uri,
    version: Version,
    transport: Transport,
    host: Option<HeaderValue>,
    /// Where lines are `combined`.
    visitor: Option<Box<Visitor>>,
    answerer: Answerer,
    route: Option<Taken>,
    fallback: Option<&'static str>,
    first_byte: Option<Duration>,
    status: Option<StatusCode>,
    bytes: u64,
    signs: Signs,
    error: Option<String>,
    end: End,
    /// Held until the answer is over.
    permit: Option<OwnedSemaphorePermit>,
    deadline: Option<(Pin<Box<Sleep>>, Duration)>,
    /// It is a 304 that says how long what it spares is.
    sized: bool,
    /// It asked for nothing that the candidate does: how long it took is no measure of either arm.
    passed_by: bool,
}

/// What only a line of the combined format tells.
#[derive(Debug)]
struct Visitor {
    referer: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
}

impl Visitor {
    fn of(headers: &HeaderMap) -> Self {
        Self { referer: headers.get(REFERER).cloned(), user_agent: headers.get(USER_AGENT).cloned() }
    }

    fn said(&self) -> access::Visitor<'_> {
        access::Visitor {
            referer: self.referer.as_ref().map(HeaderValue::as_bytes),
            user_agent: self.user_agent.as_ref().map(HeaderValue::as_bytes),
        }
    }
}

/// The route that took a request.
#[derive(Debug)]
struct Taken {
    name: Arc<str>,
    mode: Mode,
    counters: Arc<RouteCounters>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The answer was not sent to its end: the client left, or the arm broke.
    Cut,
    /// It was.
    Complete,
}

impl Entry {
    pub(super) fn begin(rules: &Rules, head: &request::Parts, peer: Peer, counters: Arc<Counters>) -> Self {
        Self {
            began: Instant::now(),
            access: rules.access,
            generation: rules.generation,
            counters,
            request_id: HeaderValue::from_static(""),
            client: peer.address.ip(),
            method: head.method.clone(),
            target: target(head),
            version: head.version,
            transport: peer.transport,
            host: None,
            visitor: (rules.access_format == AccessFormat::Combined)
                .then(|| Box::new(Visitor::of(&head.headers))),
            answerer: Answerer::Gateway,
            route: None,
            fallback: None,
            first_byte: None,
            status: None,
            bytes: 0,
            signs: Signs::of_request(&head.method, &head.headers),
            error: None,
            end: End::Cut,
            permit: None,
            deadline: None,
            sized: false,
            passed_by: false,
        }
    }

    /// It was let in, from there.
    pub(super) fn came(&mut self, provenance: &Provenance, head: &request::Parts) {
        self.request_id.clone_from(&provenance.request_id);
        self.client = provenance.client;
        self.host = head.headers.get(HOST).cloned();
    }

    /// A route took it.
    pub(super) fn routed(&mut self, name: &Arc<str>, mode: Mode, counters: &Arc<RouteCounters>) {
        self.route = Some(Taken { name: name.clone(), mode, counters: counters.clone() });
    }

    /// It is the control's by what it is, and not because the candidate has left it.
    pub(super) fn passes_by(&mut self) {
        self.passed_by = true;
    }

    /// Who is asked for the answer.
    pub(super) fn asks(&mut self, answerer: Answerer) {
        self.answerer = answerer;
    }

    /// The candidate left it to the control.
    pub(super) fn fell_back(&mut self, why: FellBack, permit: OwnedSemaphorePermit) {
        self.fallback = Some(why.name());
        self.permit = Some(permit);
        if let Some(route) = &self.route {
            route.counters.fell_back(why);
        }
    }

    /// The whole exchange has to be over `after` its beginning.
    pub(super) fn limit(&mut self, after: Duration) {
        self.deadline = Some((Box::pin(sleep_until((self.began + after).into())), after));
    }

    /// The arm's head has come.
    pub(super) fn first_byte(&mut self) {
        self.first_byte = Some(self.began.elapsed());
    }

    pub(super) fn failed(&mut self, failure: &Failure) {
        self.counters.failed(failure.kind());
        self.error = Some(failure.to_string());
        // What tells the client of it is ours, and at hand.
        self.deadline = None;
    }

    pub(super) fn answered<B>(&mut self, response: &Response<B>) {
        self.status = Some(response.status());
        self.sized = response.status() == StatusCode::NOT_MODIFIED
            && self.version != Version::HTTP_2
            && response.headers().contains_key(CONTENT_LENGTH);
        if self.route.is_none() {
            self.signs = self.signs.with_answer(response.headers());
        }
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// The answer's body failed on its way.
    pub(super) fn broke(&mut self, kind: FailureKind, error: String) {
        self.counters.failed(kind);
        self.error = Some(error);
        if let (Answerer::Candidate, Some(route)) = (self.answerer, &self.route) {
            route.counters.broke();
        }
    }

    pub(super) fn complete(&mut self) {
        self.end = End::Complete;
    }

    /// Whoever took it whole did not send it so.
    pub(super) fn cut(&mut self) {
        self.end = End::Cut;
    }

    pub(super) fn request_id(&self) -> &str {
        self.request_id.to_str().unwrap_or_default()
    }

    /// Answers that end with their head (RFC 9112, 6.3).
    pub(super) fn has_no_body(&self) -> bool {
        self.method == Method::HEAD
            || self.status.is_some_and(|status| {
                status.is_informational()
                    || status == StatusCode::NO_CONTENT
                    || status == StatusCode::NOT_MODIFIED
            })
    }

    /// A 304 keeps the length of what it spares (RFC 9110, 15.4.5), which hyper drops with a body that it knows to be over.
    pub(super) fn is_sized_304(&self) -> bool {
        self.sized
    }

    /// Fails once the whole exchange has taken too long.
    pub(super) fn check_deadline(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        let Some((timer, after)) = &mut self.deadline else { return Ok(()) };
        if timer.as_mut().poll(cx).is_pending() {
            return Ok(());
        }
        let fault = Fault::Deadline { after: *after };
        self.broke(FailureKind::Timeout, fault.to_string());
        Err(fault)
    }

    /// Resolves once the whole exchange has taken too long.
    pub(super) async fn late(deadline: Option<Duration>, began: Instant) -> Fault {
        match deadline {
            Some(after) => {
                sleep_until((began + after).into()).await;
                Fault::Deadline { after }
            }
            None => std::future::pending().await,
        }
    }

    pub(super) fn began(&self) -> Instant {
        self.began
    }

    fn sighting(&self, total: Duration) -> Sighting<'_> {
        Sighting {
            method: &self.method,
            path: self.target.path(),
            mode: self.route.as_ref().map(|route| route.mode),
            answerer: self.answerer,
            status: self.status.map_or(0, |status| status.as_u16()),
            total,
            signs: self.signs,
        }
    }

    fn is_wanted(&self) -> bool {
        match self.access {
            Access::All => true,
            Access::Errors => {
                self.end == End::Cut || self.status.is_none_or(|s| s.is_client_error() || s.is_server_error())
            }
            Access::Off => self.error.is_some(),
        }
    }

    fn write(&self, total: Duration) {
        let whole;
        let target =
            if let (None, Some(origin_form)) = (self.target.authority(), self.target.path_and_query()) {
                origin_form.as_str()
            } else {
                whole = self.target.to_string();
                &whole
            };
        access::Request {
            request_id: self.request_id(),
            client: Address::of(self.client).as_str(),
            method: self.method.as_str(),
            host: self.host.as_ref().and_then(|host| host.to_str().ok()),
            target,
            version: Some(protocol(self.version)),
            tls: self.transport.tls(),
            status: self.status.map(|status| status.as_u16()),
            bytes: self.bytes,
            duration: total,
            upstream: self.first_byte,
            answered_by: self.answerer.name(),
            route: self.route.as_ref().map(|route| &*route.name),
            mode: self.route.as_ref().map(|route| route.mode.as_str()),
            fallback: self.fallback,
            generation: Some(self.generation),
            invocation: None,
            cut: self.end == End::Cut,
            error: self.error.as_deref(),
            visitor: self.visitor.as_deref().map(Visitor::said),
        }
        .say();
    }
}

/// The target as it was sent; over HTTP/2 that is its `:path`.
fn target(head: &request::Parts) -> Uri {
    match head.uri.path_and_query() {
        Some(path) if head.version == Version::HTTP_2 => Uri::from(path.clone()),
        _ => head.uri.clone(),
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let total = self.began.elapsed();
        self.counters.answered(self.answerer, self.status, total);
        self.counters.spoke(self.version);
        if let Some(route) = &self.route {
            let arm = self.answerer.arm();
            route.counters.answered(arm, self.status);
            // A fallback's time is of both arms.
            let is_of_one = self.fallback.is_none() && !self.passed_by;
            if matches!(route.mode, Mode::Canary | Mode::Migrated) && is_of_one {
                route.counters.took(arm, self.first_byte.unwrap_or(total));
            }
        }
        self.counters.saw(&self.sighting(total));
        if self.is_wanted() {
            self.write(total);
        }
    }
}

impl Answerer {
    fn arm(self) -> Arm {
        if self == Self::Candidate { Arm::Candidate } else { Arm::Control }
    }
}
