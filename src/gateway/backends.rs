//! The arms: which one a decision names, how it is called, and what an upstream's answer is to who asked.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, Version, header::HOST, request};
use http_body::Body;

use super::{
    RequestBody,
    access_log::Entry,
    body::{ClientBody, Content},
    counters::Answerer,
    provenance::Provenance,
    rescue::Failure,
    rules::{Arms, CandidateArm, Rules, Upstream},
    settings::Authorize,
};
use crate::{
    backend::Fault,
    forwarding::{Failed, Forward, HearInterim, ResponseBody, head::Gained},
    listener::{Incoming, Interim, InterimQueue, Tunnel},
    parallel_run::{ControlFault, Facts, Observation, Subject, comparison::Direction},
    routing::{Arm, Decision, Fallback, Head, Mode, Reason, table::SubjectValue},
};

/// What an upstream says in between, the client hears.
impl HearInterim for InterimQueue {
    fn hear(&self, status: StatusCode, headers: &HeaderMap) {
        self.send(status, headers);
    }
}

/// One request on its way to an arm.
pub(super) struct Exchange<'a> {
    pub(super) rules: &'a Arc<Rules>,
    pub(super) worker: usize,
    pub(super) provenance: &'a Provenance,
    pub(super) interim: Interim,
}

/// What a route decided, without its borrows of the request.
pub(super) struct Chosen<'a> {
    pub(super) arms: &'a Arms,
    pub(super) name: &'a Arc<str>,
    /// Who asks, where that is known.
    pub(super) subject: Vec<u8>,
    pub(super) arm: Arm,
    pub(super) fallback: Fallback,
    pub(super) observation: Option<Observation>,
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

    /// Answers a request that a route took, within the route's time. Whoever asked the generator is told of a failure as its
    /// contract does.
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
        let contract = match &chosen.arms.candidate {
            CandidateArm::Generator(contract) if chosen.arm == Arm::Candidate => Some(contract),
            _ => None,
        };
        let answer = tokio::select! {
            answer = self.call(chosen, head, body, entry) => answer,
            fault = Entry::late(timeout, began) => Err(match contract {
                Some(_) => Failure::Generating(fault),
                None => Failure::Arm { upstream: "route".to_owned(), fault },
            }),
        };
        match contract {
            Some(contract) => answer.map_err(|failure| failure.spoken(contract)),
            None => answer,
        }
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
        // A page, a preflight, an edit: the site's in every mode, however long it is, and no trial of the candidate's.
        let passes_by = route.fallback == Fallback::WhenSafe && !arms.candidate.answers(head);
        let (arm, observation) = if passes_by {
            entry.passes_by();
            (Arm::Control, None)
        } else {
            (decision.arm, self.observe(&decision, arms, head))
        };
        let matters = matches!(arms.authorize, Authorize::Ask(_))
            || match &arms.candidate {
                CandidateArm::Generator(_) => true,
                CandidateArm::Upstream(..) => self.rules.generator.has_keys(&route.name),
            };
        let subject = match decision.subject.filter(|_| matters) {
            Some(SubjectValue::Bytes(value)) => value.to_vec(),
            Some(SubjectValue::Address(client)) => client.to_string().into_bytes(),
            None => Vec::new(),
        };
        Some(Chosen { arms, name: &route.name, subject, arm, fallback: route.fallback, observation })
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
            gained: &self.provenance.gained,
        };
        shadow.observe(&facts, direction)
    }

    async fn call(
        &self,
        mut chosen: Chosen<'_>,
        head: &mut request::Parts,
        mut body: ClientBody,
        entry: &mut Entry,
    ) -> Result<Response<Content>, Failure> {
        let arm = self.arm_of(&chosen, head, &mut body).await?;
        if arm != chosen.arm {
            chosen.incomparable();
        }
        match (arm, &chosen.arms.candidate) {
            (Arm::Control, _) => {
                entry.asks(Answerer::Control);
                let gained = &self.provenance.gained;
                self.watched(&chosen.arms.control, gained, chosen.observation, head, body, entry).await
            }
            (Arm::Candidate, CandidateArm::Generator(contract)) => {
                entry.asks(Answerer::Candidate);
                self.generate(contract, chosen, head, body, entry).await
            }
            (Arm::Candidate, CandidateArm::Upstream(upstream, contract)) => {
                entry.asks(Answerer::Candidate);
                let asked = self.ask_upstream(upstream, contract.as_ref(), chosen, head, body, entry);
                Box::pin(asked).await
            }
        }
    }

    /// The arm that was chosen, or the one that the request's key was answered by before, in every mode.
    async fn arm_of(
        &self,
        chosen: &Chosen<'_>,
        head: &request::Parts,
        body: &mut ClientBody,
    ) -> Result<Arm, Failure> {
        let generator = &self.rules.generator;
        let asks = match &chosen.arms.candidate {
            // Where only the subject says whose a key is, the candidate's own claim holds it.
            CandidateArm::Generator(_) => chosen.arm == Arm::Control || chosen.names_tenant(),
            CandidateArm::Upstream(..) => generator.has_keys(chosen.name),
        };
        if !(chosen.has_owner() && asks && chosen.arms.candidate.answers(head)) {
            return Ok(chosen.arm);
        }
        let mut seen = Bytes::new();
        let is_read = chosen.arms.candidate.contract().is_some();
        if is_read && generator.has_keys_in_bodies(chosen.name) {
            let (began, most) = (Instant::now(), generator.settings().max_request);
            // Whoever has taken its key has read it whole.
            match body.look(most).await.map_err(Failure::Client)? {
                Some(whole) => seen = whole,
                None => return Ok(chosen.arm),
            }
            if let Some(observation) = &chosen.observation {
                observation.has_waited(began.elapsed());
            }
        }
        Ok(generator.arm_of(&chosen.keyed(head, seen), chosen.arm).await)
    }

    /// An upstream's answer, observed where the request was sampled.
    pub(super) async fn watched(
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

    pub(super) async fn forward(
        &self,
        upstream: &Upstream,
        head: &mut request::Parts,
        body: RequestBody,
        entry: &mut Entry,
    ) -> Result<Response<Content>, Failure> {
        let answer = self.exchange(upstream, &self.provenance.gained, head, body, entry).await;
        observed(upstream, None, answer)
    }

    pub(super) async fn exchange(
        &self,
        upstream: &Upstream,
        gained: &[Gained],
        head: &mut request::Parts,
        body: RequestBody,
        entry: &mut Entry,
    ) -> Result<Response<ResponseBody<RequestBody>>, Failed<RequestBody>> {
        let on_interim =
            (head.version >= Version::HTTP_11).then(|| self.interim.queue().clone() as Arc<dyn HearInterim>);
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

/// What an upstream answered, as the client gets it and as a parallel run sees it.
pub(super) fn observed(
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

pub(super) fn client(body: ClientBody) -> RequestBody {
    if body.is_end_stream() { RequestBody::Empty } else { RequestBody::Client(body) }
}

fn failed(upstream: &Upstream, fault: Fault) -> Failure {
    match fault {
        Fault::Client { .. } | Fault::ClientStalled | Fault::TooLarge { .. } => Failure::Client(fault),
        _ => Failure::Arm { upstream: upstream.settings().name.to_string(), fault },
    }
}
