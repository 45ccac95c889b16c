//! The arms: which one a decision names, how it is called, and who steps in when it may not or cannot answer.

use std::{borrow::Cow, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Request, Response, Version, header::HOST, request};
use http_body::Body;
use http_body_util::{BodyExt, Full};

use super::{
    RequestBody,
    access_log::Entry,
    admission::Rejection,
    authorize::{self, Said},
    body::{ClientBody, Content},
    counters::{Answerer, FellBack},
    provenance::Provenance,
    rescue::Failure,
    rules::{Arms, CandidateArm, Rules, Upstream},
    settings::{Ask, Authorize},
};
use crate::{
    backend::Fault,
    forwarding::{Failed, Forward, OnInterim, ResponseBody, Sent, head::Gained},
    generator::{
        Belonging, Declined, ExternalOrigin, ImageAnswer, MayFallBack, Outcome, Poll, RouteName, Serving,
        Wanted, Why, settings::Contract,
    },
    listener::{Incoming, Interim, Tunnel},
    parallel_run::{ControlFault, Facts, Observation, Subject, comparison::Direction},
    routing::{Arm, Decision, Fallback, Head, Mode, Reason, table::SubjectValue},
};

/// The key by which a client makes two tries one request, unless the route says otherwise.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// How long the monolith may take to say whether an image may be seen.
const SEEING: Duration = Duration::from_secs(5);

/// One request on its way to an arm.
pub(super) struct Exchange<'a> {
    pub(super) rules: &'a Arc<Rules>,
    pub(super) worker: usize,
    pub(super) provenance: &'a Provenance,
    pub(super) interim: Interim,
}

/// What a route decided, without its borrows of the request.
struct Chosen<'a> {
    arms: &'a Arms,
    name: &'a Arc<str>,
    /// Who asks, where that is known.
    subject: Vec<u8>,
    arm: Arm,
    fallback: Fallback,
    observation: Option<Observation>,
}

impl<'a> Exchange<'a> {
    /// Answers the request by whoever is to answer it.
    pub(super) async fn run(
        &self,
        head: &mut request::Parts,
        incoming: Incoming,
        entry: &mut Entry,
    ) -> Result<Response<Content>, Failure> {
        // What is rare is boxed, here and below: its room would be moved about with every request's future.
        if let Some(serving) = self.rules.generator.serves(&head.method, head.uri.path(), head.uri.query())
            && let Some(image) = Box::pin(self.image(serving, head, entry)).await?
        {
            return Ok(image);
        }
        if let Some(poll) = self.rules.generator.polls(&head.method, head.uri.path())
            && let Some(answer) = Box::pin(self.polled(poll, head, entry)).await?
        {
            return Ok(answer);
        }
        let body = ClientBody::new(incoming, self.rules.settings.limits.body);
        let Some(chosen) = self.choose(head, entry) else {
            entry.asks(Answerer::Monolith);
            return self.forward(&self.rules.monolith, head, client(body), entry).await;
        };
        Box::pin(self.routed(chosen, head, body, entry)).await
    }

    /// Answers a request that a route took, within the route's time.
    async fn routed(
        &self,
        chosen: Chosen<'_>,
        head: &mut request::Parts,
        body: ClientBody,
        entry: &mut Entry,
    ) -> Result<Response<Content>, Failure> {
        let began = entry.began();
        let timeout = chosen.arms.timeout;
        if let Some(timeout) = timeout {
            entry.limit(timeout);
        }
        tokio::select! {
            answer = self.call(chosen, head, body, entry) => answer,
            fault = Entry::late(timeout, began) => {
                Err(Failure::Arm { upstream: "route".to_owned(), fault })
            }
        }
    }

    /// An image of ours, in every mode; other names are the site's.
    async fn image(
        &self,
        serving: Serving,
        head: &request::Parts,
        entry: &mut Entry,
    ) -> Result<Option<Response<Content>>, Failure> {
        if let Some(url) = serving.authorize() {
            let (expect, copy) = (Vec::new(), Vec::new());
            let ask = Ask { url: url.clone(), expect, copy, tenant: None, timeout: SEEING };
            let stable = authorize::stable("images", &[], None, self.provenance.request_id.as_bytes());
            let said = self.ask(&ask, &self.rules.monolith, head, None, &stable).await?;
            if let Said::Answer(response) = said {
                entry.asks(Answerer::Monolith);
                return Ok(Some(response));
            }
        }
        Ok(match self.rules.generator.image(serving, &head.headers).await {
            ImageAnswer::Answered(response) => {
                entry.asks(Answerer::Images);
                Some(response.map(Content::Image))
            }
            ImageAnswer::Monolith => None,
        })
    }

    /// What became of a job, for whoever may use its route; other ids are the site's.
    async fn polled(
        &self,
        poll: Poll,
        head: &request::Parts,
        entry: &mut Entry,
    ) -> Result<Option<Response<Content>>, Failure> {
        let generator = &self.rules.generator;
        let job = match generator.job(poll).await {
            Ok(Some(job)) => job,
            Ok(None) => return Ok(None),
            Err(unavailable) => return Ok(Some(unavailable.map(Content::from))),
        };
        let place = self.rules.table.routes().iter().position(|route| *route.name == *job.route());
        let Some(arms) = place.and_then(|place| self.rules.arms.get(place)) else { return Ok(None) };
        let CandidateArm::Generator(contract) = &arms.candidate else { return Ok(None) };
        entry.asks(Answerer::Candidate);
        let mut grant = None;
        if let Authorize::Ask(ask) = &arms.authorize {
            // Nothing is to be drawn, so nothing says how much: no hold is asked for.
            let stable = authorize::stable(job.route(), &[], None, self.provenance.request_id.as_bytes());
            match self.ask(ask, &arms.control, head, None, &stable).await? {
                Said::Granted(granted) => grant = Some(granted),
                Said::Answer(response) => return Ok(Some(response)),
            }
        }
        let origin = self.provenance.origin();
        Ok(Some(generator.progress(contract, &job, grant.as_ref(), &origin).await.map(Content::from)))
    }

    /// Asks the table, and whether the request is to be observed.
    fn choose(&self, head: &request::Parts, entry: &mut Entry) -> Option<Chosen<'a>> {
        let facts = Head {
            method: &head.method,
            host: head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default(),
            path: head.uri.path(),
            query: head.uri.query(),
            headers: &head.headers,
            client: self.provenance.client,
        };
        let decision = self.rules.table.decide(&facts)?;
        let route = self.rules.table.routes().get(decision.index)?;
        let arms = self.rules.arms.get(decision.index)?;
        entry.routed(&route.name, decision.mode, &arms.counters);
        if decision.reason == Reason::Subjectless {
            arms.counters.subjectless();
        }
        let observation = self.observe(&decision, arms, head);
        let matters = matches!(
            (&arms.authorize, &arms.candidate),
            (Authorize::Ask(_), _) | (_, CandidateArm::Generator(_))
        );
        let subject = match decision.subject.filter(|_| matters) {
            Some(SubjectValue::Bytes(value)) => value.to_vec(),
            Some(SubjectValue::Address(client)) => client.to_string().into_bytes(),
            None => Vec::new(),
        };
        Some(Chosen {
            arms,
            name: &route.name,
            subject,
            arm: decision.arm,
            fallback: route.fallback,
            observation,
        })
    }

    fn observe(&self, decision: &Decision<'_>, arms: &Arms, head: &request::Parts) -> Option<Observation> {
        let direction = match (decision.mode, decision.arm) {
            (Mode::Shadow | Mode::Canary, Arm::Control) => Direction::Shadow,
            (Mode::Canary | Mode::Migrated, Arm::Candidate) => Direction::Reverse,
            _ => return None,
        };
        let shadow = arms.shadow.as_ref().filter(|shadow| shadow.runs(direction))?;
        let address;
        let subject = match (decision.subject, &decision.route.subject) {
            (Some(SubjectValue::Bytes(value)), _) => Subject::Known(value),
            (Some(SubjectValue::Address(client)), _) => {
                address = client.to_string();
                Subject::Known(address.as_bytes())
            }
            (None, Some(_)) => Subject::Anonymous,
            (None, None) => Subject::Unconfigured,
        };
        let facts = Facts {
            request_id: self.provenance.request_id.to_str().unwrap_or_default(),
            subject,
            method: &head.method,
            target: &head.uri,
            version: head.version,
            headers: &head.headers,
        };
        shadow.observe(&facts, direction)
    }

    async fn call(
        &self,
        chosen: Chosen<'_>,
        head: &mut request::Parts,
        body: ClientBody,
        entry: &mut Entry,
    ) -> Result<Response<Content>, Failure> {
        match (self.arm_of(&chosen, head).await, &chosen.arms.candidate) {
            (Arm::Control, _) => {
                entry.asks(Answerer::Control);
                let gained = &self.provenance.gained;
                self.watched(&chosen.arms.control, gained, chosen.observation, head, body, entry).await
            }
            (Arm::Candidate, CandidateArm::Generator(contract)) => {
                entry.asks(Answerer::Candidate);
                self.generate(contract, chosen, head, body, entry).await
            }
            (Arm::Candidate, CandidateArm::Upstream(upstream)) => {
                entry.asks(Answerer::Candidate);
                let mut gained = Cow::Borrowed(self.provenance.gained.as_slice());
                if let Authorize::Ask(ask) = &chosen.arms.authorize {
                    match self.permission(ask, &chosen, head, None).await? {
                        Said::Answer(response) => return Ok(response),
                        Said::Granted(grant) => {
                            authorize::strip(head, &ask.copy);
                            gained.to_mut().extend(authorize::fields(&grant));
                        }
                    }
                }
                Box::pin(self.ask_candidate(upstream, chosen, &gained, head, body, entry)).await
            }
        }
    }

    /// The arm that was chosen, or the one that the request's key was answered by before, in every mode.
    async fn arm_of(&self, chosen: &Chosen<'_>, head: &request::Parts) -> Arm {
        let names_tenant = matches!(&chosen.arms.authorize, Authorize::Ask(ask) if ask.tenant.is_some());
        let whose = names_tenant || !chosen.subject.is_empty();
        // Where only the subject says whose a key is, the candidate's own claim holds it.
        let asks = whose && (chosen.arm == Arm::Control || names_tenant);
        if !asks || !matches!(chosen.arms.candidate, CandidateArm::Generator(_)) {
            return chosen.arm;
        }
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = head.uri.clone();
        *request.headers_mut() = head.headers.clone();
        request.extensions_mut().insert(RouteName(chosen.name.clone()));
        request.extensions_mut().insert(Belonging(chosen.subject.clone()));
        self.rules.generator.arm_of(&request, chosen.arm).await
    }

    /// An upstream's answer, observed where the request was sampled.
    async fn watched(
        &self,
        upstream: &Upstream,
        gained: &[Gained],
        observation: Option<Observation>,
        head: &mut request::Parts,
        body: ClientBody,
        entry: &mut Entry,
    ) -> Result<Response<Content>, Failure> {
        let Some(mut observation) = observation else {
            let answer = self.exchange(upstream, gained, head, client(body), entry).await;
            return observed(upstream, None, answer);
        };
        let body = if body.is_end_stream() {
            RequestBody::Empty
        } else {
            RequestBody::Observed(Box::new(observation.request_body(body)))
        };
        let answer = self.exchange(upstream, gained, head, body, entry).await;
        observed(upstream, Some(observation), answer)
    }

    /// The generator's answer, or the control's where the generator has done nothing.
    async fn generate(
        &self,
        contract: &Contract,
        mut chosen: Chosen<'_>,
        head: &mut request::Parts,
        body: ClientBody,
        entry: &mut Entry,
    ) -> Result<Response<Content>, Failure> {
        let generator = &self.rules.generator;
        let body = collect(body, generator.settings().max_request).await.map_err(Failure::Client)?;
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
        if let Authorize::Ask(ask) = &chosen.arms.authorize
            && let Some(wanted) = generator.agrees(contract, &request)
        {
            match self.permission(ask, &chosen, head, Some(&wanted)).await? {
                Said::Granted(grant) => drop(request.extensions_mut().insert(grant)),
                Said::Answer(response) => return Ok(response),
            }
        }
        let Declined { why, response } = match generator.answer(contract, request).await {
            Outcome::Answered(response) => {
                entry.first_byte();
                return Ok(chosen.ours(response));
            }
            Outcome::Streamed(response) => {
                entry.first_byte();
                return Ok(response.map(Content::Events));
            }
            Outcome::Declined(declined) => declined,
        };
        if why == Why::KeyOfControl {
            entry.asks(Answerer::Control);
            let body = RequestBody::Whole(Full::new(body));
            return self.forward(&chosen.arms.control, head, body, entry).await;
        }
        match self.rules.fallbacks.clone().try_acquire_owned() {
            Ok(permit) if chosen.fallback == Fallback::WhenSafe => {
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
            _ => Ok(chosen.ours(response)),
        }
    }

    /// Another upstream's answer; or the control's, where nothing was sent there, or it says that it charged nothing.
    async fn ask_candidate(
        &self,
        upstream: &Upstream,
        chosen: Chosen<'_>,
        gained: &[Gained],
        head: &mut request::Parts,
        body: ClientBody,
        entry: &mut Entry,
    ) -> Result<Response<Content>, Failure> {
        // What is observed is compared with the control's own answer, and not replaced by it.
        if chosen.fallback != Fallback::WhenSafe || chosen.observation.is_some() {
            return self.watched(upstream, gained, chosen.observation, head, body, entry).await;
        }
        let most = self.rules.generator.settings().max_request;
        let (body, kept) = kept(body, most).await.map_err(Failure::Client)?;
        let extensions = head.extensions.clone();
        let (why, body, answer) = match self.exchange(upstream, gained, head, body, entry).await {
            Ok(response) => match kept.filter(|_| is_uncharged(&response)) {
                None => return Ok(response.map(Content::Forwarded)),
                Some(body) => {
                    (FellBack::Uncharged(response.status()), RequestBody::whole(body), Ok(response))
                }
            },
            Err(Failed { fault, sent: Sent::Nothing(back) }) => {
                let body = kept.map(RequestBody::whole).or(back);
                let Some(body) = body else { return Err(failed(upstream, fault)) };
                (FellBack::Unsent, body, Err(fault))
            }
            Err(Failed { fault, sent: Sent::Perhaps }) => return Err(failed(upstream, fault)),
        };
        let Ok(permit) = self.rules.fallbacks.clone().try_acquire_owned() else {
            let answer = answer.map(|response| response.map(Content::Forwarded));
            return answer.map_err(|fault| failed(upstream, fault));
        };
        if let Err(fault) = &answer {
            tracing::debug!(upstream = &*upstream.settings().name, error = %fault, "left to the control");
        }
        entry.fell_back(why, permit);
        entry.asks(Answerer::Control);
        head.extensions = extensions;
        self.forward(&chosen.arms.control, head, body, entry).await
    }

    /// What the monolith says of a request that the candidate would answer.
    async fn permission(
        &self,
        ask: &Ask,
        chosen: &Chosen<'_>,
        head: &request::Parts,
        wanted: Option<&Wanted>,
    ) -> Result<Said, Failure> {
        if authorize::is_forged(head) {
            return Err(Rejection::Forged.into());
        }
        let key = head.headers.get(IDEMPOTENCY_KEY).map(HeaderValue::as_bytes);
        let stable =
            authorize::stable(chosen.name, &chosen.subject, key, self.provenance.request_id.as_bytes());
        self.ask(ask, &chosen.arms.control, head, wanted, &stable).await
    }

    async fn forward(
        &self,
        upstream: &Upstream,
        head: &mut request::Parts,
        body: RequestBody,
        entry: &mut Entry,
    ) -> Result<Response<Content>, Failure> {
        let answer = self.exchange(upstream, &self.provenance.gained, head, body, entry).await;
        observed(upstream, None, answer)
    }

    async fn exchange(
        &self,
        upstream: &Upstream,
        gained: &[Gained],
        head: &mut request::Parts,
        body: RequestBody,
        entry: &mut Entry,
    ) -> Result<Response<ResponseBody<RequestBody>>, Failed<RequestBody>> {
        let on_interim = (head.version >= Version::HTTP_11).then(|| {
            let interim = self.interim.clone();
            Arc::new(move |status, headers: &_| interim.send(status, headers)) as OnInterim
        });
        let forward = Forward { upstream, worker: self.worker, gained, on_interim: on_interim.as_ref() };
        let forwarded = forward.send(head, body).await?;
        entry.first_byte();
        let mut response = forwarded.response;
        if let Some((socket, early)) = forwarded.upgraded {
            response.extensions_mut().insert(Tunnel::new(socket, early));
        }
        Ok(response)
    }
}

impl Chosen<'_> {
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

/// What an upstream answered, as the client gets it and as a parallel run sees it.
fn observed(
    upstream: &Upstream,
    observation: Option<Observation>,
    answer: Result<Response<ResponseBody<RequestBody>>, Failed<RequestBody>>,
) -> Result<Response<Content>, Failure> {
    match (answer, observation) {
        (Ok(response), None) => Ok(response.map(Content::Forwarded)),
        (Ok(response), Some(observation)) => {
            Ok(observation.response(response).map(|body| Content::Observed(Box::new(body))))
        }
        (Err(Failed { fault, .. }), observation) => {
            if let Some(observation) = observation {
                observation.control_failed(match fault {
                    Fault::ConnectTimeout { .. } | Fault::FirstByteTimeout { .. } => ControlFault::Timeout,
                    _ => ControlFault::Transport,
                });
            }
            Err(failed(upstream, fault))
        }
    }
}

fn client(body: ClientBody) -> RequestBody {
    if body.is_end_stream() { RequestBody::Empty } else { RequestBody::Client(body) }
}

fn failed(upstream: &Upstream, fault: Fault) -> Failure {
    match fault {
        Fault::Client { .. } | Fault::TooLarge { .. } => Failure::Client(fault),
        _ => Failure::Arm { upstream: upstream.settings().name.to_string(), fault },
    }
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
    let bytes = collect(body, most).await?;
    Ok((RequestBody::whole(bytes.clone()), Some(bytes)))
}

/// The whole body, or just enough of it to see that it is more than `most`.
async fn collect(mut body: ClientBody, most: usize) -> Result<Bytes, Fault> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            whole.extend_from_slice(data);
        }
        if whole.len() > most {
            break;
        }
    }
    Ok(whole.freeze())
}
