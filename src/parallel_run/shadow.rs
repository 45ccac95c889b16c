//! One route's parallel run: its plan, its arms, and the epoch that its records belong to.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use prometheus_client::metrics::counter::Counter;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::{
    Inner, Limits,
    answer::{Answer, Asked, FetchedImage},
    candidate::{Bounds, Candidate, CapturedRequest, Control, Fetched, Images},
    capture::Capture,
    comparison::Direction,
    epoch::{Epoch, Subject},
    images::{self, Reply},
    observation::Observation,
    pair::{Role, Sampled},
    purse::Purse,
    sample::{Lot, Pseudonym},
    settings::{Plan, Reverse},
};
use crate::routing::{Arm, Live, Share};

/// What a route's parallel run is made of.
#[derive(Clone)]
pub struct Setup {
    /// The route's name.
    pub route: Arc<str>,
    /// How it is compared.
    pub plan: Plan,
    /// Where the arms tell their own version.
    pub versions: Versions,
    /// The candidate arm.
    pub candidate: Arc<dyn Candidate>,
    /// The control, where it is asked a second time.
    pub control: Arc<dyn Control>,
    /// Gets the images that answers name.
    pub images: Arc<dyn Images>,
}

/// The response headers in which the arms tell their own version: another value is another epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// The control's.
    pub control: Option<HeaderName>,
    /// The candidate's.
    pub candidate: Option<HeaderName>,
}

impl Versions {
    /// What both answers say, as text; `None` where neither is asked or says anything.
    pub(crate) fn told(&self, control: &HeaderMap, candidate: &HeaderMap) -> Option<Arc<str>> {
        let said = |arm: &str, name: &Option<HeaderName>, headers: &HeaderMap| {
            let value = headers.get(name.as_ref()?)?;
            Some(format!("{arm} {}", String::from_utf8_lossy(value.as_bytes())))
        };
        let both = [said("control", &self.control, control), said("candidate", &self.candidate, candidate)];
        let text: Vec<String> = both.into_iter().flatten().collect();
        (!text.is_empty()).then(|| text.join(", ").into())
    }
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
    /// What the gateway tells the next hop of it, over these.
    pub gained: &'a [(HeaderName, HeaderValue)],
}

/// What a route keeps when its settings are reloaded.
#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) epoch: Arc<Live<Arc<Epoch>>>,
    /// Whether its verdict is SAFE.
    pub(crate) is_safe: Arc<AtomicBool>,
    pub(crate) purse: Arc<Purse>,
    pub(crate) in_flight: Places,
    /// Those that were skipped before anything was done for them.
    pub(crate) crowded: Counter,
}

/// How many candidates may be called at once, and the places of those that are.
#[derive(Clone, Default)]
pub(crate) struct Places {
    most: usize,
    free: Option<Arc<Semaphore>>,
}

impl Kept {
    /// The same places, unless there are to be others.
    pub(crate) fn with_places(self, most: usize) -> Self {
        let free = self.in_flight.free.filter(|_| self.in_flight.most == most);
        let free = free.unwrap_or_else(|| Arc::new(Semaphore::new(most)));
        Self { in_flight: Places { most, free: Some(free) }, ..self }
    }
}

impl Places {
    /// One of them; `None` where there are none at all.
    async fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(self.free.as_ref()?).acquire_owned().await.ok()
    }
}

/// One route's parallel run, under one version of its plan. Stands at the route's place in the routing snapshot.
pub struct Shadow {
    pub(crate) run: Arc<Inner>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) kept: Kept,
    pub(crate) plan: Arc<Plan>,
    pub(crate) versions: Versions,
    pub(crate) candidate: Arc<dyn Candidate>,
    pub(crate) control: Arc<dyn Control>,
    pub(crate) images: Arc<dyn Images>,
}

impl Shadow {
    /// Whether it compares pairs of this direction.
    pub fn runs(&self, direction: Direction) -> bool {
        direction == Direction::Shadow || self.plan.reverse == Reverse::On
    }

    /// A place among those that ask at once; `None` where the gateway ends before there is one.
    pub(crate) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        tokio::select! {
            biased;
            () = self.run.lifetime.draining() => None,
            place = self.kept.in_flight.take() => place,
        }
    }

    /// Called on the data plane for each request that the control answers, or that the candidate answers while it is
    /// still compared: counts it, and draws whether it is sampled.
    pub fn observe(self: &Arc<Self>, facts: &Facts<'_>, direction: Direction) -> Option<Observation> {
        let epoch = self.kept.epoch.load();
        epoch.count_request();
        let name = &epoch.name;
        let draw = || Lot::draw(facts.request_id, &name.route, &name.id);
        let rate = self.rate();
        // Where all are taken, nothing is drawn for those that are skipped.
        let drawn = (rate != Share::ALL).then(draw);
        if drawn.is_some_and(|lot| !lot.is_within(rate)) {
            return None;
        }
        if self.is_crowded() {
            // Not even watched: what nobody can follow may cost its user nothing.
            epoch.count_skipped();
            self.kept.crowded.inc();
            return None;
        }
        let lot = drawn.unwrap_or_else(draw);
        let epoch = Arc::clone(&**epoch);
        let name = &epoch.name;
        let (subject, role) = self.role(&epoch, facts.subject);
        let at = self.run.now();
        let id = lot.id(at);
        let request = CapturedRequest {
            id,
            route: Arc::clone(&name.route),
            method: facts.method.clone(),
            target: facts.target.clone(),
            version: facts.version,
            headers: facts.headers.clone(),
            gained: facts.gained.into(),
            body: bytes::Bytes::new(),
        };
        let (shadow, started) = (Arc::clone(self), Instant::now());
        Some(Observation::new(Sampled {
            shadow,
            epoch,
            id,
            at,
            started,
            direction,
            rate,
            role,
            subject,
            request,
        }))
    }

    /// Whether there are more pairs than the plane keeps up with. While it only lacks places, some are still told one by
    /// one.
    fn is_crowded(&self) -> bool {
        let (is_full, pulse) = (self.limits.waiting.available_permits() == 0, &self.run.pulse);
        !self.keeps_up() || is_full && !pulse.may_tell() || !pulse.may_begin()
    }

    /// Whether the plane on which candidates are called is in time.
    pub(crate) fn keeps_up(&self) -> bool {
        self.run.pulse.keeps_up(self.limits.settings.max_lag)
    }

    /// Whether a call that `took` so long may have lost too much of it, all of `lost`, to a plane that was late.
    pub(crate) fn is_spoilt(&self, took: Duration, lost: Duration) -> bool {
        lost > self.limits.settings.max_lag.max(took / 10)
    }

    /// What is proved needs fewer witnesses.
    fn rate(&self) -> Share {
        let Plan { sample, after_verdict, .. } = &*self.plan;
        if self.kept.is_safe.load(Ordering::Relaxed) { *sample.min(after_verdict) } else { *sample }
    }

    /// How long either arm may take, and how much of its answer is looked at.
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds { deadline: self.plan.deadline, max_body: self.limits.settings.max_body }
    }

    /// What a request asks for, and how.
    pub(crate) fn asked(&self, request: &CapturedRequest) -> Asked {
        let Asked { method, host, target, body, .. } = request.asked();
        Asked { method, host, target, body, ..self.candidate.asked(request) }
    }

    fn role(&self, epoch: &Epoch, subject: Subject<'_>) -> (Option<Pseudonym>, Role) {
        let known = match subject {
            Subject::Known(value) => Some(self.run.archive.pseudonyms().subject(value)),
            Subject::Anonymous | Subject::Unconfigured => None,
        };
        let role = match epoch.states() {
            None => Role::Calibration,
            Some(_)
                if subject != Subject::Unconfigured
                    && !epoch.take_slot(known, self.plan.gate.per_subject) =>
            {
                Role::Duplicate
            }
            Some(states) => Role::Trial(Arc::clone(states)),
        };
        (known, role)
    }

    /// What a tee keeps of one body of a pair with this role.
    pub(crate) fn capture(&self, role: &Role) -> Capture {
        let memory = self.limits.memory.clone();
        match role {
            Role::Duplicate => Capture::counting(memory),
            Role::Calibration | Role::Trial(_) => Capture::new(self.limits.settings.max_body, memory),
        }
    }

    /// The images of one arm's answer: those at hand, the others fetched.
    pub(crate) async fn images_of(
        &self,
        arm: Arm,
        answer: &Answer,
        at_hand: &HashMap<String, Fetched>,
        request: &CapturedRequest,
    ) -> Vec<FetchedImage> {
        let reply = Reply { arm, headers: &answer.headers, body: &answer.body, at_hand };
        images::collect(reply, &self.plan.images, request, &*self.images, self.limits.settings.max_body).await
    }
}

impl std::fmt::Debug for Shadow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shadow")
            .field("epoch", &self.kept.epoch.load().name)
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}
