//! The same key again: one generation, however often and wherever it is asked for. A key stays with the arm that first
//! took it, and with what was asked for then.

pub(super) mod turns;
mod key;
mod replay;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header::RETRY_AFTER};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use uuid::Uuid;

use self::{
    key::{claim_of, claim_of_route},
    replay::replayed,
    turns::Turn,
};
pub(crate) use self::{
    key::{place, subject, tenant},
    replay::made,
};
use super::{
    Generator, Outcome, Why,
    catalog::{Claim, ClaimKey, Record},
    contract::{Asked, Refusal},
    polling,
    refusals::{self, BUSY},
    saga::{Saga, failure::chain},
    settings::{Contract, KeyPlace, Running},
    settling,
    state::{Again, State},
};
use crate::routing::Arm;

/// How long a request waits to hear which arm its key has: the site is not to be slow because a new part of it is.
const ASKED: Duration = Duration::from_secs(5);
/// Between two looks at a job that another process runs.
const LOOK: Duration = Duration::from_millis(300);
/// How long a job that is only to be stored is waited for: longer, and its store is down.
const STORING: Duration = Duration::from_secs(5);

/// Who a request belongs to, as the route's `subject` says. A request extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Belonging(pub Vec<u8>);

/// The monolith may answer, if the generator has not. A request extension.
#[derive(Clone, Copy, Debug)]
pub struct MayFallBack;

/// Under which key a job is claimed.
#[derive(Debug, Default)]
pub(crate) struct Keyed {
    /// The client's; none: a fresh one.
    pub(crate) claim: Option<ClaimKey>,
    /// The job that refused, whose key it was.
    pub(crate) replaces: Option<Uuid>,
    /// The key is in hand for as long as the job runs.
    pub(crate) _turn: Option<Turn>,
}

impl Generator {
    /// The key that its client gave a request, where its route says that keys stand.
    pub fn key(&self, request: &Request<Bytes>) -> Option<String> {
        place(&self.settings(), request)?.read(request)
    }

    /// Gives a request's key to `arm` unless it has one; the arm that it has. Without an answer from the catalog, a key
    /// stays where it would go.
    pub async fn arm_of(&self, request: &Request<Bytes>, arm: Arm) -> Arm {
        let settings = self.settings();
        let Some(claim) = claim_of_route(&settings, request) else { return arm };
        let inner = self.0.clone();
        let pinned = self.0.saga.plane.spawn(async move {
            let now = (inner.saga.clock)();
            let expires = now.checked_add(settings.idempotency_ttl).unwrap_or(now);
            inner.saga.catalog.pin(claim, arm, now, expires).await
        });
        match timeout(ASKED, pinned).await {
            Ok(Ok(Ok(pinned))) => pinned,
            Ok(Ok(Err(error))) => {
                tracing::warn!(error = chain(&error), "which arm a key has is not known");
                arm
            }
            Ok(Err(_)) => arm,
            Err(_) => {
                tracing::warn!("which arm a key has is not known in time");
                arm
            }
        }
    }

    /// Whether keys stand under this route.
    pub fn has_keys(&self, route: &str) -> bool {
        self.live().settings.idempotency.contains_key(route)
    }

    /// Whether they stand in its requests' bodies.
    pub fn has_keys_in_bodies(&self, route: &str) -> bool {
        let live = self.live();
        let place = live.settings.idempotency.get(route).map(|idempotency| &idempotency.key);
        matches!(place, Some(KeyPlace::Json(_) | KeyPlace::Form(_)))
    }

    /// Leaves a request to the control, and with it its key: the next try is the control's as well. False where that
    /// cannot be written down, or something was begun under the key after all: then the control might be the second to
    /// answer it.
    pub async fn leave(&self, request: &Request<Bytes>) -> bool {
        let settings = self.settings();
        let Some(claim) = claim_of_route(&settings, request) else { return true };
        let inner = self.0.clone();
        let left = self.0.saga.plane.spawn(async move {
            let Saga { catalog, clock, .. } = &inner.saga;
            let now = clock();
            let refused = match catalog.holder(claim.clone(), now).await? {
                Some(Claim { arm: Arm::Candidate, job: Some(job), .. }) => {
                    let record = catalog.record(job).await?;
                    let again = record.map_or(Again::NewJob, |record| record.lease.standing.again());
                    match again {
                        Again::Monolith => return Ok(true),
                        Again::NewJob => Some(job),
                        Again::Running | Again::Replay | Again::SameError(_) => return Ok(false),
                    }
                }
                _ => None,
            };
            let expires = now.checked_add(settings.idempotency_ttl).unwrap_or(now);
            catalog.leave(claim, refused, now, expires).await
        });
        answered(left.await).unwrap_or(false)
    }

    /// Waits until a request's key is nobody else's, and says under what it is claimed; an error is the answer that the
    /// key has already.
    pub(super) async fn keyed(
        &self,
        contract: &Contract,
        request: &Request<Bytes>,
    ) -> Result<Keyed, Outcome> {
        let live = self.live().clone();
        let settings = &live.settings;
        let Some((claim, idempotency)) = claim_of(settings, request) else { return Ok(Keyed::default()) };
        // What is wrong with it is said where it is read for good.
        let Ok(Asked { wish, reply }) = live.read(contract, request) else {
            return Ok(Keyed::default());
        };
        let Ok(order) = live.provider.agree(wish) else { return Ok(Keyed::default()) };
        let busy = || {
            let message = "this request is being worked on; ask again for its answer";
            let refusal = Refusal::new(StatusCode::CONFLICT, "still_running", message);
            let mut response = refusal.answer(contract);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(BUSY.as_secs()));
            Outcome::Answered(response)
        };
        let deadline = settling::deadline(settings, request.extensions().get().copied());
        let turns = self.0.turns.clone();
        let turn = match idempotency.running {
            Running::Wait => timeout_at(deadline, turns.wait(claim.clone())).await.map_err(|_| busy())?,
            Running::Refuse => turns.take(claim.clone()).ok_or_else(busy)?,
        };
        let mut storing = None;
        loop {
            let (job, request_hash) = match self
                .holder(&claim)
                .await
                .map_err(|()| Outcome::Answered(refusals::undecided(contract)))?
            {
                None | Some(Claim { arm: Arm::Candidate, job: None, .. }) => {
                    return Ok(Keyed { claim: Some(claim), replaces: None, _turn: Some(turn) });
                }
                Some(Claim { arm: Arm::Control, .. }) => return Err(self.of_control(contract)),
                Some(Claim { job: Some(job), request, .. }) => (job, request),
            };
            if request_hash.is_some_and(|hash| hash != order.sha256()) {
                let message = "this key was used for another request; use a new one";
                let refusal = Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "key_reused", message);
                return Err(Outcome::Answered(refusal.answer(contract)));
            }
            let record =
                self.record(job).await.map_err(|()| Outcome::Answered(refusals::undecided(contract)))?;
            let Some(record) = record else {
                return Ok(Keyed { claim: Some(claim), replaces: Some(job), _turn: Some(turn) });
            };
            let again = record.lease.standing.again();
            let asynchronous = contract.is_polled() || polling::is_wanted(request.headers());
            if asynchronous && !matches!(again, Again::NewJob | Again::Monolith) {
                return Err(Outcome::Answered(replayed(contract.started(job, &order.prompt, settings))));
            }
            match again {
                Again::Running => {
                    let since = *storing.get_or_insert_with(Instant::now);
                    if record.lease.standing.state != State::Storing {
                        storing = None;
                    } else if since.elapsed() > STORING {
                        return Err(Outcome::Answered(refusals::stored_later(job, BUSY).answer(contract)));
                    }
                    if idempotency.running == Running::Refuse || Instant::now() >= deadline {
                        return Err(busy());
                    }
                    sleep(LOOK).await;
                }
                Again::Replay => return Err(self.replay(contract, request, &reply, &order, record).await),
                Again::SameError(reason) => {
                    let told = refusals::told_again(reason, record.receipt.cause.as_deref());
                    let response = told.answer(contract);
                    return Err(Outcome::Answered(replayed(response)));
                }
                Again::NewJob => {
                    return Ok(Keyed { claim: Some(claim), replaces: Some(job), _turn: Some(turn) });
                }
                Again::Monolith => return Err(self.of_control(contract)),
            }
        }
    }

    /// The key is the monolith's.
    fn of_control(&self, contract: &Contract) -> Outcome {
        let message = "this key was answered by the site itself";
        self.decline(contract, Why::KeyOfControl, &Refusal::unavailable("unavailable", message, BUSY))
    }

    async fn holder(&self, claim: &ClaimKey) -> Result<Option<Claim>, ()> {
        let (inner, claim) = (self.0.clone(), claim.clone());
        let found = self
            .0
            .saga
            .plane
            .spawn(async move { inner.saga.catalog.holder(claim, (inner.saga.clock)()).await });
        answered(found.await)
    }

    async fn record(&self, job: Uuid) -> Result<Option<Record>, ()> {
        let inner = self.0.clone();
        answered(self.0.saga.plane.spawn(async move { inner.saga.catalog.record(job).await }).await)
    }
}

fn answered<T, E: std::error::Error, J>(found: Result<Result<T, E>, J>) -> Result<T, ()> {
    match found {
        Ok(found) => {
            found.map_err(|error| tracing::error!(error = chain(&error), "a key could not be looked up"))
        }
        Err(_) => Err(()),
    }
}
