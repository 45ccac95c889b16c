//! The candidate's answer, and the control's in its place: only where the candidate has done nothing that is paid for.

use bytes::{Bytes, BytesMut};
use http::{HeaderName, Request, Response, request};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tokio::task::JoinHandle;

use super::{
    RequestBody,
    access_log::Entry,
    authorize::{self, Said},
    backends::{Chosen, Exchange, observed},
    body::{ClientBody, Content},
    counters::{Answerer, FellBack},
    rescue::Failure,
    rules::Upstream,
    settings::Authorize,
};
use crate::{
    backend::Fault,
    forwarding::{Failed, Sent, head::Gained},
    generator::{
        Belonging, Declined, ExternalOrigin, Grant, Instead, MayFallBack, Outcome, RouteName, Why,
        settings::Contract, too_long, undecided,
    },
    routing::Fallback,
};

impl Exchange<'_> {
    /// The generator's answer, or the control's where the generator has done nothing.
    pub(super) async fn generate(
        &self,
        contract: &Contract,
        mut chosen: Chosen<'_>,
        head: &mut request::Parts,
        body: ClientBody,
        entry: &mut Entry,
    ) -> Result<Response<Content>, Failure> {
        let generator = &self.rules.generator;
        if let Some(response) = contract.answer_of_head(&head.method, head.uri.path()) {
            chosen.incomparable();
            return Ok(chosen.ours(response));
        }
        let most = generator.settings().max_request;
        let Some(body) = collect(body, most).await.map_err(Failure::Client)? else {
            // Its beginning is not to be taken for the whole, by anybody.
            chosen.incomparable();
            return Ok(chosen.ours(too_long(contract, most)));
        };
        if let Some(observation) = &mut chosen.observation {
            observation.request_whole(&body);
        }
        let mut request = Request::new(body.clone());
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = head.uri.clone();
        *request.headers_mut() = head.headers.clone();
        request.extensions_mut().insert(ExternalOrigin(self.provenance.origin()));
        request.extensions_mut().insert(RouteName(chosen.name.clone()));
        request.extensions_mut().insert(Belonging(chosen.subject.clone()));
        if chosen.fallback == Fallback::WhenSafe {
            request.extensions_mut().insert(MayFallBack);
        }
        if let Some(response) = self.refused(contract, &mut chosen, head, &mut request).await? {
            return Ok(response);
        }
        let is_keyed = generator.key(&request).is_some();
        // What its key is known by and what is held for it, should the control answer.
        let asked = (is_keyed || request.extensions().get::<Grant>().is_some()).then(|| request.clone());
        let release = |instead| generator.release(contract, asked.as_ref()?, instead);
        let Declined { why, response } = match generator.answer(contract, request).await {
            Outcome::Answered(response) => {
                entry.first_byte();
                return Ok(chosen.ours(response));
            }
            Outcome::Streamed(response) => {
                entry.first_byte();
                chosen.incomparable();
                return Ok(response.map(Content::Events));
            }
            Outcome::Declined(declined) => declined,
        };
        if why == Why::KeyOfControl {
            entry.asks(Answerer::Control);
            chosen.incomparable();
            told(release(Instead::Control)).await;
            let body = RequestBody::Whole(Full::new(body));
            return self.forward(&chosen.arms.control, head, body, entry).await;
        }
        let may_fall_back = why.is_for_others() && chosen.fallback == Fallback::WhenSafe;
        // What was begun is told of by its own record.
        let is_begun = why == Why::HandedOver;
        match self.rules.fallbacks.clone().try_acquire_owned() {
            Ok(permit) if may_fall_back && has_time(&chosen, entry) => {
                // By whom the monolith has named, and by what chooses the arm, which does not know that.
                if is_keyed
                    && let Some(asked) = &asked
                    && !(generator.leave(asked).await && self.left(&chosen, head, body.clone()).await)
                {
                    return Ok(chosen.ours(undecided(contract)));
                }
                if !is_begun {
                    told(release(Instead::Control)).await;
                }
                entry.fell_back(FellBack::Declined(why), permit);
                entry.asks(Answerer::Control);
                let body = RequestBody::whole(body);
                if let Some(observation) = &mut chosen.observation {
                    observation.declined();
                }
                let answer =
                    self.exchange(&chosen.arms.control, &self.provenance.gained, head, body, entry).await;
                observed(&chosen.arms.control, chosen.observation, answer)
            }
            _ => {
                // Under a key the next try finds the same hold, and so may one that is under way.
                let is_shared = is_keyed && chosen.has_owner();
                if !is_begun && !is_shared {
                    drop(release(Instead::Nobody));
                }
                Ok(chosen.ours(response))
            }
        }
    }

    /// The monolith's answer where it is asked and does not permit that `request` is answered; else its facts are the
    /// request's, and no client's.
    async fn refused(
        &self,
        contract: &Contract,
        chosen: &mut Chosen<'_>,
        head: &request::Parts,
        request: &mut Request<Bytes>,
    ) -> Result<Option<Response<Content>>, Failure> {
        let generator = &self.rules.generator;
        let Authorize::Ask(ask) = &chosen.arms.authorize else { return Ok(None) };
        authorize::strip(request.headers_mut(), &ask.copy);
        let Some(wanted) = generator.agrees(contract, request) else { return Ok(None) };
        let key = generator.key(request).filter(|_| chosen.has_owner());
        let key = key.as_deref().map(str::as_bytes);
        match self.permission(ask, chosen, head, Some(&wanted), key).await? {
            Said::Granted(grant) => {
                request.headers_mut().extend(authorize::facts(&grant));
                request.extensions_mut().insert(grant);
                Ok(None)
            }
            Said::Answer(response) => Ok(Some(response)),
        }
    }

    /// Another upstream's answer; or the control's, where nothing was sent there, or it says that it charged nothing.
    pub(super) async fn ask_candidate(
        &self,
        upstream: &Upstream,
        mut chosen: Chosen<'_>,
        gained: &[Gained],
        head: &mut request::Parts,
        body: ClientBody,
        entry: &mut Entry,
    ) -> Result<Response<Content>, Failure> {
        if chosen.fallback != Fallback::WhenSafe {
            return self.watched(upstream, gained, chosen.observation, head, body, entry).await;
        }
        let most = self.rules.generator.settings().max_request;
        let (body, kept) = kept(body, most).await.map_err(Failure::Client)?;
        let mut observation = chosen.observation.take();
        let body = match (&mut observation, body, &kept) {
            (Some(observation), RequestBody::Client(body), _) => {
                RequestBody::Observed(Box::new(observation.request_body(body)))
            }
            (Some(observation), body @ RequestBody::Whole(_), Some(kept)) => {
                observation.request_whole(kept);
                body
            }
            (_, body, _) => body,
        };
        let extensions = head.extensions.clone();
        let (why, body, answer) = match self.exchange(upstream, gained, head, body, entry).await {
            Ok(response) => match kept.filter(|_| is_uncharged(&response)) {
                None => return observed(upstream, observation, Ok(response)),
                Some(body) => {
                    (FellBack::Uncharged(response.status()), RequestBody::whole(body), Ok(response))
                }
            },
            Err(Failed { fault, sent: Sent::Nothing(back) }) => {
                let fault = Err(Failed { fault, sent: Sent::Perhaps });
                match kept.map(RequestBody::whole).or(back) {
                    Some(body) => (FellBack::Unsent, body, fault),
                    None => return observed(upstream, observation, fault),
                }
            }
            unanswered => return observed(upstream, observation, unanswered),
        };
        let permit = self.rules.fallbacks.clone().try_acquire_owned().ok();
        let permit = permit.filter(|_| has_time(&chosen, entry));
        let Some(permit) = permit else { return observed(upstream, observation, answer) };
        if !self.left(&chosen, head, Bytes::new()).await {
            return observed(upstream, observation, answer);
        }
        if let Err(Failed { fault, .. }) = &answer {
            tracing::debug!(upstream = &*upstream.settings().name, error = %fault, "left to the control");
        }
        entry.fell_back(why, permit);
        entry.asks(Answerer::Control);
        head.extensions = extensions;
        if let Some(observation) = &mut observation {
            observation.declined();
        }
        let answer = self.exchange(&chosen.arms.control, &self.provenance.gained, head, body, entry).await;
        observed(&chosen.arms.control, observation, answer)
    }

    /// Leaves the key of a request to the control, if it has one; whether the control may answer.
    async fn left(&self, chosen: &Chosen<'_>, head: &request::Parts, body: Bytes) -> bool {
        let generator = &self.rules.generator;
        !generator.has_keys(chosen.name) || generator.leave(&chosen.keyed(head, body)).await
    }
}

impl Chosen<'_> {
    /// Whether somebody says whose a key is: without that it is not honoured.
    pub(super) fn has_owner(&self) -> bool {
        self.names_tenant() || !self.subject.is_empty()
    }

    /// Whether the monolith does.
    pub(super) fn names_tenant(&self) -> bool {
        matches!(&self.arms.authorize, Authorize::Ask(ask) if ask.tenant.is_some())
    }

    /// What the key of a request is known by, before anybody is asked whose it is.
    pub(super) fn keyed(&self, head: &request::Parts, body: Bytes) -> Request<Bytes> {
        let mut request = Request::new(body);
        *request.uri_mut() = head.uri.clone();
        *request.headers_mut() = head.headers.clone();
        request.extensions_mut().insert(RouteName(self.name.clone()));
        request.extensions_mut().insert(Belonging(self.subject.clone()));
        request
    }

    /// The control did not permit that the candidate answers: there is no pair.
    pub(super) fn refused(&mut self) {
        if let Some(observation) = self.observation.take() {
            observation.refused();
        }
    }

    /// What the client gets is not what a pair is made of.
    pub(super) fn incomparable(&mut self) {
        if let Some(observation) = self.observation.take() {
            observation.incomparable();
        }
    }

    /// The generator's own answer, observed where the request was sampled.
    fn ours(self, response: Response<Bytes>) -> Response<Content> {
        match self.observation {
            None => response.map(Content::from),
            Some(observation) => observation
                .response(response.map(Full::new))
                .map(|body| Content::ObservedWhole(Box::new(body))),
        }
    }
}

/// Whether the control has at least as much of the route's time as the candidate has had: one that is cut off may have
/// charged for what nobody gets.
fn has_time(chosen: &Chosen<'_>, entry: &Entry) -> bool {
    chosen.arms.timeout.is_none_or(|timeout| entry.began().elapsed() <= timeout / 2)
}

/// A candidate's answer that is none, and has cost nothing: whoever else is asked charges no second time.
fn is_uncharged<B>(response: &Response<B>) -> bool {
    const CHARGED: HeaderName = HeaderName::from_static("figueira-charged");
    let says_no = response.headers().get(CHARGED).is_some_and(|value| value.as_bytes() == b"no");
    says_no && (response.status().is_client_error() || response.status().is_server_error())
}

/// The body as it is to be sent; and all of it once more, where it is announced to be small enough to be kept.
async fn kept(body: ClientBody, most: usize) -> Result<(RequestBody, Option<Bytes>), Fault> {
    if body.is_end_stream() {
        return Ok((RequestBody::Empty, Some(Bytes::new())));
    }
    if body.size_hint().exact().is_none_or(|length| length > most as u64) {
        return Ok((RequestBody::Client(body), None));
    }
    let bytes = collect(body, most).await?.ok_or(Fault::TooLarge { limit: most as u64 })?;
    Ok((RequestBody::whole(bytes.clone()), Some(bytes)))
}

/// The whole body, unless it has more than `most` bytes.
async fn collect(mut body: ClientBody, most: usize) -> Result<Option<Bytes>, Fault> {
    if body.size_hint().exact().is_some_and(|length| length > most as u64) {
        return Ok(None);
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            whole.extend_from_slice(data);
        }
        if whole.len() > most {
            return Ok(None);
        }
    }
    Ok(Some(whole.freeze()))
}

/// Waits until it is told.
async fn told(telling: Option<JoinHandle<()>>) {
    if let Some(telling) = telling {
        telling.await.ok();
    }
}
