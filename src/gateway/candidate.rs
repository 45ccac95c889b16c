//! The candidate's answer, and the control's in its place: only where the candidate has done nothing that is paid for.

mod upstream;

use bytes::{Bytes, BytesMut};
use http::{Request, Response, request};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use tokio::{sync::OwnedSemaphorePermit, task::JoinHandle};

use super::{
    RequestBody,
    access_log::Entry,
    authorize::{self, Said},
    backends::{Chosen, Exchange, observed},
    body::{ClientBody, Content},
    counters::{Answerer, FellBack},
    rescue::Failure,
    settings::Authorize,
};
use crate::{
    backend::Fault,
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
        let mut request = chosen.keyed(head, body.clone());
        request.extensions_mut().insert(ExternalOrigin(self.provenance.origin()));
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
                let body = RequestBody::whole(body);
                self.instead(chosen, (FellBack::Declined(why), permit), head, body, entry).await
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

    /// The control's answer in place of the candidate's, who has done nothing that is paid for.
    async fn instead(
        &self,
        chosen: Chosen<'_>,
        (why, permit): (FellBack, OwnedSemaphorePermit),
        head: &mut request::Parts,
        body: RequestBody,
        entry: &mut Entry,
    ) -> Result<Response<Content>, Failure> {
        let Chosen { arms, mut observation, .. } = chosen;
        entry.fell_back(why, permit);
        entry.asks(Answerer::Control);
        if let Some(observation) = &mut observation {
            observation.declined();
        }
        let answer = self.exchange(&arms.control, &self.provenance.gained, head, body, entry).await;
        observed(&arms.control, observation, answer)
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
        *request.method_mut() = head.method.clone();
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
