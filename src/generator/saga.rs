//! One generation from intent to commit.
//!
//! ```text
//! (accepted) -> drawing -> storing -> done
//!                  |          +-> undoing -> failed(paid-lost)
//!                  +-> failed(refused | unknown | paid-invalid)
//!                  +-> handed-over
//! ```
//!
//! Names and hashes are recorded, and the bytes lie fsynced in the spool, before the first object is stored; the commit
//! makes the names visible. A transition that is refused or fails is read back: the record is what happened.

mod claiming;
pub(crate) mod doubts;
pub(crate) mod drawing;
pub(crate) mod failure;
pub(crate) mod jobs;
pub(crate) mod janitor;
mod recording;
mod recovery;

use std::{
    error::Error,
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::{Mutex, Notify};
use uuid::Uuid;

use self::{
    doubts::Doubts,
    drawing::Drawn,
    failure::{Failure, chain},
    jobs::Jobs,
};
use super::{
    admission::Place,
    arrival::Arrival,
    boots::Boots,
    catalog::{Catalog, Lease, Owner, Transition},
    digest::Digest,
    keyed::{Keyed, MayFallBack},
    metrics::{Ended, Metrics},
    order::Order,
    plane::Plane,
    provider::{Provider, Receipt},
    settings::Settings,
    settling::Until,
    shadow::Shadows,
    spool::{Kept, Spool},
    state::State,
    store::{Store, StoreError},
};
use crate::shutdown::Shutdown;

/// What every job works with.
#[derive(Clone, Debug)]
pub(crate) struct Saga {
    /// Where its tasks run.
    pub(crate) plane: Plane,
    /// Where records live.
    pub(crate) catalog: Catalog,
    /// Where bytes live.
    pub(crate) store: Store,
    /// Where bytes wait.
    pub(crate) spool: Spool,
    /// Where the images of shadows are.
    pub(crate) shadows: Shadows,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// This boot of this gateway.
    pub(crate) owner: Owner,
    /// The other boots that work in the same data folder.
    pub(crate) boots: Boots,
    /// The wall clock, for what is written down.
    pub(crate) clock: fn() -> SystemTime,
    /// Jobs of ours that stand still until the next sweep.
    pub(crate) parked: Jobs,
    /// Jobs of ours that have a place in the spool and no record yet.
    pub(crate) claiming: Jobs,
    /// The file that says when store and catalog were compared last.
    pub(crate) reconciled: PathBuf,
    /// Held by who comes back to those that stand still.
    pub(crate) sweeping: Arc<Mutex<()>>,
    /// Jobs of ours that were accepted by a boot of before, and that nobody has begun.
    pub(crate) promised: Jobs,
    /// Drains as soon as nothing more of what was accepted is begun here, which is before all that was begun is finished.
    pub(crate) promising: Shutdown,
    /// Claims of ours that may be written or not, of jobs that nobody begins.
    pub(crate) doubts: Doubts,
}

/// A job before its claim.
#[derive(Debug)]
pub(crate) struct Intent {
    /// A `UUIDv7` of its own.
    pub(crate) id: Uuid,
    /// Under which key it is claimed.
    pub(crate) keyed: Keyed,
    /// Whether the monolith may do it, where the provider has not.
    pub(crate) may_hand_over: Option<MayFallBack>,
    /// The route's name, or empty.
    pub(crate) scope: Arc<str>,
    /// Whose it is: the hash of the tenant.
    pub(crate) tenant: Option<Digest>,
    /// Whose it is where there is no tenant: the hash of the route's subject.
    pub(crate) subject: Option<Digest>,
    /// What the monolith is to be told with.
    pub(crate) notify: Option<String>,
    /// What is to be drawn.
    pub(crate) order: Order,
    /// The order as it is written down, where it is accepted before anybody begins.
    pub(crate) accepted: Option<String>,
    /// Who draws it.
    pub(crate) provider: Provider,
    /// Hears when the claim is written.
    pub(crate) claimed: Arc<Notify>,
    /// How what the provider answers is taken in.
    pub(crate) arrival: Arrival,
    /// The settings that it keeps to its end.
    pub(crate) settings: Arc<Settings>,
    /// How long it waits for its place.
    pub(crate) queues_until: tokio::time::Instant,
    /// When the provider must have answered, where the time that it has from its place on ends later.
    pub(crate) until: Option<Until>,
}

impl Intent {
    /// Nobody waits for it: it is told of before it is begun. Who was promised images gets none of the monolith's.
    pub(crate) fn accept(&mut self) {
        self.accepted = Some(self.order.written());
        self.may_hand_over = None;
    }

    /// How much memory it takes before the provider is asked.
    pub(crate) fn working_bytes(&self) -> u64 {
        match self.arrival {
            Arrival::Awaited | Arrival::Shown(_) => self.provider.working_bytes(&self.order),
            Arrival::Landing(_) => 0,
        }
    }
}

impl Saga {
    /// Runs a job to its end. Not to be dropped half-way: it belongs in a task of its own.
    pub(crate) async fn run(
        &self,
        intent: &Intent,
        place: &mut Place,
    ) -> Result<(Vec<Drawn>, Receipt), Failure> {
        let started = Instant::now();
        let result = self.attempt(intent, place).await;
        self.note(intent, started, result.as_ref().err());
        result
    }

    /// Runs a job that was accepted by a boot of before.
    pub(crate) async fn resume(
        &self,
        intent: &Intent,
        lease: Lease,
        place: &mut Place,
    ) -> Result<(Vec<Drawn>, Receipt), Failure> {
        let started = Instant::now();
        self.discard(intent.id).await;
        let expected = intent.provider.expected_bytes(&intent.order);
        let result = match self.spool.reserve(intent.id, intent.order.count, expected).await {
            Ok(()) => self.carry_out(intent, lease, place).await,
            Err(full) => Err(self.fail(intent, lease, Failure::NotBegun(full.into())).await),
        };
        self.note(intent, started, result.as_ref().err());
        result
    }

    fn note(&self, intent: &Intent, started: Instant, failure: Option<&Failure>) {
        if let Some(Failure::Left) = failure {
            // It has not come to rest, and nothing is wrong with it.
            return tracing::info!(job = %intent.id, route = %intent.scope, "an accepted job is left to the next process");
        }
        if failure.is_some_and(Failure::stands_still) {
            self.parked.add(intent.id);
        }
        let (state, reason) = failure.map_or(("done", ""), Failure::rest);
        self.metrics.jobs.get_or_create(&Ended { state, reason }).inc();
        log(intent, state, reason, started.elapsed(), failure);
    }

    async fn attempt(&self, intent: &Intent, place: &mut Place) -> Result<(Vec<Drawn>, Receipt), Failure> {
        let lease = self.claim_with_room(intent).await?;
        intent.claimed.notify_one();
        self.carry_out(intent, lease, place).await
    }

    /// From the claim to the commit.
    async fn carry_out(
        &self,
        intent: &Intent,
        mut lease: Lease,
        place: &mut Place,
    ) -> Result<(Vec<Drawn>, Receipt), Failure> {
        let id = intent.id;
        if lease.standing.state == State::Accepted {
            lease = self.start(intent, lease, place).await?;
        }
        let (drawn, receipt) = match self.draw(intent, place).await {
            Ok(drawn) => drawn,
            Err(failure) => return Err(self.fail(intent, lease, failure).await),
        };
        let kept = Kept {
            objects: drawn.iter().map(|drawn| drawn.object.clone()).collect(),
            receipt: receipt.clone(),
        };
        let images = drawn.iter().map(|drawn| drawn.bytes.clone()).collect();
        let unspooled = self.spool.keep(id, &kept, images).await.err();
        if let Some(error) = &unspooled {
            tracing::error!(job = %id, %error, "what was paid for cannot be spooled; it is stored without that");
            // What was reserved there is room in a store on the same disk.
            self.discard(id).await;
        }
        let lease = match self.owned(lease, Transition::Store(kept.objects.clone(), kept.receipt)).await {
            Err(Failure::Catalog(error)) => return Err(unless_lost(unspooled, error, Failure::Catalog)),
            storing => storing?,
        };
        for Drawn { object, bytes } in drawn.iter().cloned() {
            let store = self.store.clone();
            let put = self.plane.moving(async move { store.put(&object, bytes).await });
            if let Err(error) = Box::pin(put).await.unwrap_or_else(|crashed| Err(crashed.into())) {
                if let StoreError::Taken { .. } = error {
                    self.give_up(lease, &kept.objects).await?;
                    return Err(Failure::Taken(error));
                }
                if let StoreError::Crashed(_) = error {
                    self.metrics.crashed("store");
                }
                return Err(unless_lost(unspooled, error, Failure::Store));
            }
        }
        match self.step(lease, Transition::Commit).await {
            // Who took it over has found the same images, and made the same commit.
            Ok(_) | Err(Failure::Elsewhere(Some(State::Done))) => self.discard(id).await,
            Err(failure) => return Err(failure),
        }
        Ok((drawn, receipt))
    }

    /// Begins what was accepted, once it has its place. In a drain that is left to the next process: it is on record, and
    /// what is cut may have been paid for.
    async fn start(&self, intent: &Intent, lease: Lease, place: &mut Place) -> Result<Lease, Failure> {
        let taken = tokio::select! {
            biased;
            () = self.promising.draining() => {
                self.discard(intent.id).await;
                return Err(Failure::Left);
            }
            taken = place.take(intent.working_bytes(), intent.queues_until) => taken,
        };
        if let Err(full) = taken {
            return Err(self.fail(intent, lease, Failure::NotBegun(full.into())).await);
        }
        self.step(lease, Transition::Start).await.map_err(|failure| match failure {
            // It is begun later.
            Failure::Catalog(catalog) => {
                let why = Failure::NotBegun("it waits for its record".into());
                Failure::Unrecorded { why: why.into(), catalog }
            }
            failure => failure,
        })
    }

    /// Frees a spool that nothing needs any more; one that stays is swept at the next start.
    async fn discard(&self, job: Uuid) {
        if let Err(error) = self.spool.discard(job).await {
            tracing::warn!(%job, %error, "the spool of a job that came to rest could not be removed");
        }
    }
}

/// What it means that store or catalog have failed: the images are kept, where the spool has taken them.
fn unless_lost<E>(unspooled: Option<io::Error>, error: E, kept: fn(E) -> Failure) -> Failure
where
    E: Error + Send + Sync + 'static,
{
    match unspooled {
        None => kept(error),
        Some(spool) => Failure::Lost { spool, why: error.into() },
    }
}

/// One event a job: what was drawn and what became of it, never the prompt's text.
fn log(intent: &Intent, state: &str, reason: &str, took: Duration, failure: Option<&Failure>) {
    let (job, route, images) = (intent.id, &intent.scope, intent.order.count);
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let (prompt_sha256, prompt_chars) = (intent.order.prompt.sha256(), intent.order.prompt.chars());
    if let Some(failure) = failure {
        let error = chain(failure);
        tracing::warn!(%job, %route, state, reason, duration_ms, images, %prompt_sha256, prompt_chars, error, "job without images");
    } else {
        tracing::info!(%job, %route, state, duration_ms, images, %prompt_sha256, prompt_chars, "job done");
    }
}
