//! One route's parallel run: its plan, its arms, and the epoch that its records belong to.

use std::sync::Arc;

use http::{HeaderMap, Method, Uri, Version};
use tokio::{sync::Semaphore, time::Instant};

use super::{
    Inner, Limits,
    answer::{Answer, FetchedImage},
    candidate::{Candidate, CapturedRequest, Images},
    capture::{Capture, Memory},
    epoch::{Epoch, Subject},
    images::{self, Reply},
    observation::Observation,
    pair::{Role, Sampled},
    sample::Lot,
    settings::Plan,
};
use crate::routing::Arm;

/// What a route's parallel run is made of.
#[derive(Clone)]
pub struct Setup {
    /// The route's name.
    pub route: Arc<str>,
    /// How it is compared.
    pub plan: Plan,
    /// What the candidate's answers depend on, as `generator/1/local`: another one is another epoch.
    pub behaviour: String,
    /// The contract's name; empty where there is none.
    pub contract: String,
    /// The candidate arm.
    pub candidate: Arc<dyn Candidate>,
    /// Gets the images that answers name.
    pub images: Arc<dyn Images>,
}

/// What a worker knows of a request when it asks whether it is to be observed.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The gateway's own id of the request.
    pub request_id: &'a str,
    /// Who it belongs to.
    pub subject: Subject<'a>,
    /// The method.
    pub method: &'a Method,
    /// The target, as it came.
    pub target: &'a Uri,
    /// The client's version.
    pub version: Version,
    /// The fields, as they came.
    pub headers: &'a HeaderMap,
}

/// One route's parallel run, under one version of its plan. Stands at the route's place in the routing snapshot.
pub struct Shadow {
    pub(crate) run: Arc<Inner>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) epoch: Arc<Epoch>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) in_flight: Arc<Semaphore>,
    pub(crate) candidate: Arc<dyn Candidate>,
    pub(crate) images: Arc<dyn Images>,
}

impl Shadow {
    /// Called on the data plane for each request that the control answers: counts it, and draws whether it is sampled.
    pub fn observe(self: &Arc<Self>, facts: &Facts<'_>) -> Option<Observation> {
        self.epoch.count_request();
        let name = &self.epoch.name;
        let lot = Lot::draw(facts.request_id, &name.route, &name.id);
        if !lot.is_within(self.plan.sample) {
            return None;
        }
        let (subject, role) = self.role(facts.subject);
        let at = self.run.now();
        let id = lot.id(at);
        let request = CapturedRequest {
            id,
            route: Arc::clone(&name.route),
            method: facts.method.clone(),
            target: facts.target.clone(),
            version: facts.version,
            headers: facts.headers.clone(),
            body: bytes::Bytes::new(),
        };
        let shadow = Arc::clone(self);
        Some(Observation::new(Sampled { shadow, id, at, started: Instant::now(), role, subject, request }))
    }

    fn role(&self, subject: Subject<'_>) -> (Option<super::sample::Pseudonym>, Role) {
        let known = match subject {
            Subject::Known(value) => Some(self.run.archive.pseudonyms().subject(value)),
            Subject::Anonymous | Subject::Unconfigured => None,
        };
        let role = match self.epoch.states() {
            None => Role::Calibration,
            Some(_) if subject != Subject::Unconfigured && !self.epoch.take_slot(known, self.plan.gate.per_subject) => {
                Role::Duplicate
            }
            Some(states) => Role::Trial(Arc::clone(states)),
        };
        (known, role)
    }

    /// What a tee keeps of one body of a pair with this role.
    pub(crate) fn capture(&self, role: &Role) -> Capture {
        let memory: Memory = self.limits.memory.clone();
        match role {
            Role::Duplicate => Capture::counting(memory),
            Role::Calibration | Role::Trial(_) => Capture::new(self.limits.settings.max_body, memory),
        }
    }

    /// The images of one arm's answer.
    pub(crate) async fn images_of(&self, arm: Arm, answer: &Answer, request: &CapturedRequest) -> Vec<FetchedImage> {
        let reply = Reply { arm, headers: &answer.headers, body: &answer.body };
        images::collect(reply, &self.plan.images, request, &*self.images, self.limits.settings.max_body).await
    }
}

impl std::fmt::Debug for Shadow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shadow").field("epoch", &self.epoch.name).field("plan", &self.plan).finish_non_exhaustive()
    }
}
