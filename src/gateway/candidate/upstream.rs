//! A candidate that is another upstream: asked once the control has permitted it. The control answers where nothing was
//! sent there, or it says that it charged nothing.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderName, Request, Response, request};
use http_body::Body as _;
use tokio::sync::OwnedSemaphorePermit;

use super::{collect, has_time, told};
use crate::{
    backend::Fault,
    forwarding::{Failed, ResponseBody, Sent, head::Gained},
    gateway::{
        RequestBody,
        access_log::Entry,
        authorize::{self, Said},
        backends::{Chosen, Exchange, client, observed},
        body::{ClientBody, Content},
        counters::FellBack,
        rescue::Failure,
        rules::Upstream,
        settings::{Ask, Authorize},
    },
    generator::{Declined, Instead, Outcome, settings::Contract, too_long},
    routing::Fallback,
    text,
};

/// The key by which a client makes two tries one request, where the route cannot say otherwise.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A request that the control has permitted, and may hold something for.
struct Permitted<'c> {
    contract: &'c Contract,
    request: Request<Bytes>,
    key: Option<String>,
}

/// What the control says before an upstream is asked.
enum Asked<'c> {
    /// With these fields; and what is held, where the control knows how much is asked for.
    Permitted(Vec<Gained>, Option<Permitted<'c>>),
    Answered(Response<Content>),
    /// It was not asked: nobody can say what for.
    NotUnderstood(Box<Outcome>),
}

type Answer = Result<Response<ResponseBody<RequestBody>>, Failed<RequestBody>>;

impl Exchange<'_> {
    /// Another upstream's answer; `contract` is what its clients speak, where the control has to know how much is asked for.
    pub(in crate::gateway) async fn ask_upstream(
        &self,
        upstream: &Upstream,
        contract: Option<&Contract>,
        mut chosen: Chosen<'_>,
        head: &mut request::Parts,
        body: ClientBody,
        entry: &mut Entry,
    ) -> Result<Response<Content>, Failure> {
        let generator = &self.rules.generator;
        let most = generator.settings().max_request;
        let contract = contract.filter(|contract| contract.is_for_images(&head.method, head.uri.path()));
        let (body, kept) = match contract {
            Some(contract) => {
                let Some(whole) = collect(body, most).await.map_err(Failure::Client)? else {
                    chosen.incomparable();
                    return Ok(chosen.ours(too_long(contract, most)));
                };
                (RequestBody::whole(whole.clone()), Some(whole))
            }
            None if chosen.fallback == Fallback::WhenSafe => {
                kept(body, most).await.map_err(Failure::Client)?
            }
            None => (client(body), None),
        };
        if let (Some(observation), RequestBody::Whole(_), Some(kept)) =
            (&mut chosen.observation, &body, &kept)
        {
            observation.request_whole(kept);
        }
        let seen = kept.clone().unwrap_or_default();

        let (gained, permitted) = match &chosen.arms.authorize {
            Authorize::Ask(ask) => match self.permitted(ask, contract, &mut chosen, head, &seen).await? {
                Asked::Permitted(gained, permitted) => (Cow::Owned(gained), permitted),
                Asked::Answered(response) => return Ok(response),
                Asked::NotUnderstood(outcome) => {
                    return self.not_understood(*outcome, chosen, head, seen, entry).await;
                }
            },
            _ => (Cow::Borrowed(self.provenance.gained.as_slice()), None),
        };

        let mut observation = chosen.observation.take();
        let body = match (&mut observation, body) {
            (Some(observation), RequestBody::Client(body)) => {
                RequestBody::Observed(Box::new(observation.request_body(body)))
            }
            (_, body) => body,
        };
        let extensions = head.extensions.clone();
        let answer = self.exchange(upstream, &gained, head, body, entry).await;
        let (answer, left) = left_over(answer, kept);
        let Some((why, body)) = left else {
            return observed(upstream, observation, answer);
        };
        // Who has charged nothing has given back by itself what is held.
        let permitted = permitted.filter(|_| answer.is_err());
        let release = |instead| {
            let Permitted { contract, request, .. } = permitted.as_ref()?;
            generator.release(contract, request, instead)
        };
        let Some(permit) = self.room(&chosen, entry) else {
            // Under a key the next try finds the same hold.
            if permitted.as_ref().is_some_and(|permitted| permitted.key.is_none()) {
                drop(release(Instead::Nobody));
            }
            return observed(upstream, observation, answer);
        };
        if !self.left(&chosen, head, seen).await {
            return observed(upstream, observation, answer);
        }
        if let Err(Failed { fault, .. }) = &answer {
            tracing::debug!(upstream = &*upstream.settings().name, error = %fault, "left to the control");
        }
        told(release(Instead::Control)).await;
        head.extensions = extensions;
        chosen.observation = observation;
        self.instead(chosen, (why, permit), head, body, entry).await
    }

    /// Asks the control whether the candidate may answer; what it permits is told to the candidate, and what a client has
    /// said of it is not.
    async fn permitted<'c>(
        &self,
        ask: &Ask,
        contract: Option<&'c Contract>,
        chosen: &mut Chosen<'_>,
        head: &mut request::Parts,
        body: &Bytes,
    ) -> Result<Asked<'c>, Failure> {
        let generator = &self.rules.generator;
        let mut request = chosen.keyed(head, body.clone());
        authorize::strip(request.headers_mut(), &ask.copy);
        let wanted = match contract.map(|contract| generator.understands(contract, &request)).transpose() {
            Ok(wanted) => wanted,
            Err(outcome) => return Ok(Asked::NotUnderstood(outcome)),
        };
        let key = self.key_of(chosen, &request);
        let stable = key.as_deref().map(str::as_bytes);
        Ok(match self.permission(ask, chosen, head, wanted.as_ref(), stable).await? {
            Said::Granted(grant) => {
                authorize::strip(&mut head.headers, &ask.copy);
                let mut gained = self.provenance.gained.clone();
                gained.extend(authorize::fields(&grant));
                request.extensions_mut().insert(grant);
                Asked::Permitted(gained, contract.map(|contract| Permitted { contract, request, key }))
            }
            Said::Answer(response) => Asked::Answered(response),
        })
    }

    /// What becomes of a request that `contract` cannot read: nobody could say what is to be held for it.
    async fn not_understood(
        &self,
        outcome: Outcome,
        chosen: Chosen<'_>,
        head: &mut request::Parts,
        body: Bytes,
        entry: &mut Entry,
    ) -> Result<Response<Content>, Failure> {
        let Declined { why, response } = match outcome {
            Outcome::Answered(response) => return Ok(chosen.ours(response)),
            Outcome::Streamed(response) => return Ok(response.map(Content::Events)),
            Outcome::Declined(declined) => declined,
        };
        match self.room(&chosen, entry) {
            Some(permit) if self.left(&chosen, head, body.clone()).await => {
                let body = RequestBody::whole(body);
                self.instead(chosen, (FellBack::Declined(why), permit), head, body, entry).await
            }
            _ => Ok(chosen.ours(response)),
        }
    }

    /// Room for one more answer of the control's in a candidate's place, where the route lets it and has the time.
    fn room(&self, chosen: &Chosen<'_>, entry: &Entry) -> Option<OwnedSemaphorePermit> {
        let may_fall_back = chosen.fallback == Fallback::WhenSafe && has_time(chosen, entry);
        self.rules.fallbacks.clone().try_acquire_owned().ok().filter(|_| may_fall_back)
    }

    /// The key of a request, where somebody says whose it is: at the route's own place, else where candidates look.
    fn key_of(&self, chosen: &Chosen<'_>, request: &Request<Bytes>) -> Option<String> {
        let generator = &self.rules.generator;
        let key = if generator.has_keys(chosen.name) {
            generator.key(request)
        } else {
            request.headers().get(IDEMPOTENCY_KEY).map(|key| text::read(key.as_bytes()).into_owned())
        };
        key.filter(|_| chosen.has_owner())
    }
}

/// A candidate's answer that is none, and has cost nothing: whoever else is asked charges no second time.
fn is_uncharged<B>(response: &Response<B>) -> bool {
    const CHARGED: HeaderName = HeaderName::from_static("figueira-charged");
    let says_no = response.headers().get(CHARGED).is_some_and(|value| value.as_bytes() == b"no");
    says_no && (response.status().is_client_error() || response.status().is_server_error())
}

/// An upstream's answer; and where it leaves the request to the control, why, and the body to ask with. `kept` is the whole
/// of what the upstream was sent.
fn left_over(answer: Answer, kept: Option<Bytes>) -> (Answer, Option<(FellBack, RequestBody)>) {
    match answer {
        Ok(response) => {
            let body = kept.filter(|_| is_uncharged(&response)).map(RequestBody::whole);
            let why = FellBack::Uncharged(response.status());
            (Ok(response), body.map(|body| (why, body)))
        }
        Err(Failed { fault, sent: Sent::Nothing(back) }) => {
            let body = kept.map(RequestBody::whole).or(back);
            (Err(Failed { fault, sent: Sent::Perhaps }), body.map(|body| (FellBack::Unsent, body)))
        }
        unanswered => (unanswered, None),
    }
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
