//! Turns a prompt into stored images, or into nothing at all.
//!
//! A request comes in through its [`Contract`](settings::Contract), becomes an order that the provider agrees to,
//! waits for a place, and runs as a job in a task of its own: a client that goes away does not stop it. The job's
//! record moves through the states of a saga; only its commit makes the images visible, and a GET of an image is
//! answered from committed records alone.

pub mod settings;
mod plane;
mod digest;
mod credential;
mod order;
mod name;
mod contract;
mod events;
mod links;
mod refusals;
mod releasing;
mod keyed;
mod intake;
mod admission;
mod answering;
mod writing;
mod rehearsing;
mod resuming;
mod promising;
mod shadow;
mod money;
mod budget;
mod state;
mod saga;
mod provider;
mod arrival;
mod fetch;
mod image;
mod spool;
mod store;
mod catalog;
mod reconcile;
mod notify;
mod settling;
mod polling;
mod listing;
mod serving;
mod metrics;
mod data;
mod erase;
mod boots;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::{
    ops::Deref,
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::{ArcSwap, Guard};
use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use tokio_util::task::TaskTracker;
use uuid::{NoContext, Timestamp, Uuid};

use self::{
    admission::Admission,
    boots::AtWork,
    budget::Day,
    catalog::Owner,
    data::Data,
    keyed::turns::Turns,
    notify::{Envelope, Post},
    plane::Plane,
    provider::Provider,
    saga::{Saga, doubts::Doubts, failure::chain, jobs::Jobs},
    serving::Paths,
    settings::Settings,
};
pub use self::{
    budget::SpentToday,
    catalog::catalog_table,
    contract::{ExternalOrigin, SHOULD_RETRY},
    data::OpenError,
    erase::{EraseError, Erased, erase},
    events::EventBody,
    intake::Wanted,
    keyed::{Belonging, MayFallBack},
    listing::Listed,
    metrics::{Metrics, Why},
    notify::{Carrying, Courier},
    polling::{Job as PolledJob, Poll, Unseen},
    promising::{Beginner, Beginning},
    refusals::{too_large, too_long, unanswered, undecided, unpermitted},
    rehearsing::{Rehearsal, RehearsedImage},
    releasing::Instead,
    serving::{ImageAnswer, Serving, body::ImageBody},
    settling::{Chores, Until},
};
use crate::{compute::Compute, shutdown::Shutdown, tell::Teller};

/// What its answers depend on beside the request: raised whenever the same order would be answered otherwise.
pub const BEHAVIOUR: u32 = 4;

/// The embedded image generator. Cheap to clone; all clones are one, but for the settings that they go by.
#[derive(Clone, Debug)]
pub struct Generator(Arc<Inner>, Option<Arc<Live>>);

#[derive(Debug)]
struct Inner {
    /// What was opened, and stays in use.
    opened: Opened,
    live: ArcSwap<Live>,
    saga: Saga,
    /// Every job that runs, for who waits for all of them.
    jobs: TaskTracker,
    post: OnceLock<Post>,
    /// Who begins what nobody waits for, where that is not this process.
    beginner: OnceLock<Arc<dyn Beginner>>,
    /// Keys of requests that are being answered.
    turns: Turns,
    /// The last day whose budget had no room for a job.
    refused_on: AtomicI64,
    /// Says that this process works in the data folder.
    _at_work: AtWork,
}

/// Which store and catalog, and where.
#[derive(Debug, PartialEq, Eq)]
struct Opened {
    store: settings::Images,
    catalog: settings::Records,
    aws: settings::Aws,
}

/// One set of settings, and what follows from it.
#[derive(Debug)]
struct Live {
    settings: Arc<Settings>,
    provider: Provider,
    admission: Arc<Admission>,
    paths: Paths,
    polls: polling::Paths,
}

/// The settings that somebody goes by.
enum InForce<'g> {
    /// Those of the moment when it was [kept](Generator::keeping_settings).
    Kept(&'g Arc<Live>),
    /// Those of now.
    Now(Guard<Arc<Live>>),
}

impl Deref for InForce<'_> {
    type Target = Arc<Live>;

    fn deref(&self) -> &Arc<Live> {
        match self {
            Self::Kept(live) => live,
            Self::Now(live) => live,
        }
    }
}

/// The route under which a request came: the scope of its claim, and a field of its log event. A request extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteName(pub Arc<str>);

/// What the monolith said of a request when it permitted it. A request extension.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// What the monolith calls this request; the same for two tries with one key.
    pub request: String,
    /// Whose images they will be.
    pub tenant: Option<String>,
    /// Headers of its answer that are kept, such as the hold that it has placed; names in lower case.
    pub facts: Vec<(String, String)>,
}

/// What became of a request.
#[derive(Debug)]
pub enum Outcome {
    /// Ours, be it images or an error.
    Answered(Response<Bytes>),
    /// Ours, while it is drawn.
    Streamed(Response<EventBody>),
    /// Not taken: nothing was called, claimed or stored.
    Declined(Declined),
}

/// A request that was not taken.
#[derive(Debug)]
pub struct Declined {
    /// Why.
    pub why: Why,
    /// The answer, if nobody else gives one.
    pub response: Response<Bytes>,
}

impl Generator {
    /// Opens the data folder, and finishes what boots have left that work there no more; others may. To be called on
    /// the work plane, where all of the generator's tasks will run; pictures are drawn and examined on the threads of
    /// `compute`. `clock` is the wall clock, for what is written down.
    pub async fn open(
        settings: Settings,
        data: &Path,
        shutdown: Shutdown,
        metrics: Metrics,
        compute: Compute,
        clock: fn() -> SystemTime,
    ) -> Result<Self, OpenError> {
        let promising = shutdown.child();
        let plane = Plane::current(shutdown).computing_on(compute);
        let boot = new_id(clock());
        let Data { boots, at_work, gateway, catalog, store, spool, shadows } =
            data::open(data, &settings, boot, || Uuid::from_u128(rand::random()), &plane).await?;
        let saga = Saga {
            plane,
            catalog,
            store,
            spool,
            shadows,
            metrics,
            owner: Owner { gateway, boot },
            boots,
            clock,
            parked: Jobs::default(),
            claiming: Jobs::default(),
            reconciled: data.join("reconciled"),
            sweeping: Arc::default(),
            promised: Jobs::default(),
            promising,
            doubts: Doubts::default(),
        };
        let living = match saga.recover(settings.keep_paid).await {
            // Others may forward while a catalog elsewhere is down; what was left is taken over as soon as it is up.
            Err(error) if saga.catalog.is_shared() => {
                tracing::error!(
                    error = chain(&*error),
                    "the catalog cannot be asked for unfinished jobs now"
                );
                None
            }
            living => Some(living.map_err(OpenError::Recovery)?),
        };
        if let Some(others) =
            living.as_ref().map(|living| living.len().saturating_sub(1)).filter(|others| *others > 0)
        {
            tracing::info!(others, "other processes work in this data folder");
        }
        let live = ArcSwap::from_pointee(Live::new(settings, &saga, None));
        let jobs = TaskTracker::new();
        // It is waited for whether more will come or not.
        jobs.close();
        let generator = Self::of(Arc::new(Inner {
            opened: Opened::by(&live.load().settings),
            live,
            saga,
            jobs,
            post: OnceLock::new(),
            beginner: OnceLock::new(),
            turns: Turns::default(),
            refused_on: AtomicI64::new(-1),
            _at_work: at_work,
        }));
        let (saga, inner) = (generator.0.saga.clone(), Arc::downgrade(&generator.0));
        let settings = move || inner.upgrade().map(|inner| inner.live.load().settings.clone());
        // It ends when the process drains, and is tracked by its plane.
        let jobs = generator.0.jobs.clone();
        drop(generator.0.saga.plane.spawn(saga.keep_house(living, settings, jobs)));
        Ok(generator)
    }

    /// Takes new settings; running jobs keep theirs. Where a limit changes, those who wait under the old one keep their
    /// places, so that for a moment both are used.
    pub fn reconfigure(&self, settings: Settings) {
        let before = self.0.live.load();
        if Opened::by(&settings) != self.0.opened {
            tracing::warn!("another store or catalog is used from the next start on");
        }
        self.0.live.store(Arc::new(Live::new(settings, &self.0.saga, Some(&before))));
    }

    fn of(inner: Arc<Inner>) -> Self {
        Self(inner, None)
    }

    /// The same, which goes on by the settings of now whatever comes later: who asks for permission by one generation of
    /// rules is not to be drawn for by another.
    #[must_use]
    pub fn keeping_settings(&self) -> Self {
        Self(self.0.clone(), Some(self.0.live.load_full()))
    }

    fn live(&self) -> InForce<'_> {
        match &self.1 {
            Some(live) => InForce::Kept(live),
            None => InForce::Now(self.0.live.load()),
        }
    }

    /// The settings that it goes by: those of now, unless it [keeps](Self::keeping_settings) others.
    pub fn settings(&self) -> Arc<Settings> {
        self.live().settings.clone()
    }

    /// What today has cost, where there is a budget; else the reason why nobody knows.
    pub async fn spent_today(&self) -> Result<Option<SpentToday>, String> {
        let Some(limit) = self.settings().daily_budget else { return Ok(None) };
        let today = Day::of((self.0.saga.clock)());
        let spent = self.0.saga.catalog.spent(today).await.map_err(|error| chain(&error))?;
        let is_used_up = self.0.refused_on.load(Ordering::Relaxed) == today.number();
        Ok(Some(SpentToday { spent, limit, is_used_up }))
    }

    /// Tells upstreams through `courier` what became of their generations, from now on, and `teller` of what they
    /// refuse to hear.
    pub fn tell_by(&self, courier: Arc<dyn Courier>, teller: Teller) {
        let post = Post::new(self.0.saga.clone(), courier, teller);
        if self.0.post.set(post.clone()).is_ok() {
            let inner = Arc::downgrade(&self.0);
            let notify_of = move |route: &str, letter: &Envelope| inner.upgrade()?.notify_of(route, letter);
            drop(self.0.saga.plane.spawn(post.deliver_all(notify_of)));
        }
    }

    /// Who draws, with the model that does.
    pub fn model(&self) -> String {
        self.settings().draws.model()
    }

    /// Whether a request may be for an image of ours: at `public_url` or a `[[generator.serve]]`, under a name of ours
    /// (or at a path whose every name is ours). Pure and cheap; `None` is for the monolith.
    pub fn serves(&self, method: &Method, path: &str, query: Option<&str>) -> Option<Serving> {
        self.live().paths.find(method, path, query)
    }

    /// Answers such a request from the committed records.
    pub async fn image(&self, serving: Serving, headers: &HeaderMap) -> ImageAnswer {
        let (inner, headers) = (self.0.clone(), headers.clone());
        let saga = &self.0.saga;
        let answered = saga.plane.spawn(async move {
            let Saga { catalog, store, plane, .. } = &inner.saga;
            serving.answer(headers, catalog, store, plane).await
        });
        answered.await.unwrap_or_else(|_| ImageAnswer::Answered(serving::unavailable()))
    }

    /// Where the store itself shows such an image, to whoever has this URL, for so long. `None` where no image of ours
    /// has that name, or the store cannot.
    pub async fn image_elsewhere(&self, serving: &Serving, ttl: Duration) -> Option<String> {
        let Saga { catalog, store, .. } = &self.0.saga;
        let name = serving.name()?;
        let object = match catalog.visible(name.to_owned()).await {
            Ok(object) => object?,
            Err(error) => {
                tracing::error!(name, error = chain(&error), "an image's record could not be read");
                return None;
            }
        };
        match store.presigned(&object.name, ttl).await {
            Ok(url) => url,
            Err(error) => {
                tracing::error!(name, error = chain(&error), "an image's URL could not be signed");
                None
            }
        }
    }
}

impl Inner {
    /// How a route's generations are told of; where it tells nobody any more, how others tell the same place.
    fn notify_of(&self, route: &str, letter: &Envelope) -> Option<settings::Notify> {
        let notify = &self.live.load().settings.notify;
        notify.get(route).or_else(|| notify.values().find(|notify| letter.is_for(notify))).cloned()
    }
}

impl Opened {
    fn by(settings: &Settings) -> Self {
        Self { store: settings.store.clone(), catalog: settings.catalog.clone(), aws: settings.aws.clone() }
    }
}

impl Live {
    /// Keeps the places of `before` where the limits are the same, so that a reload of something else forgets nobody.
    fn new(settings: Settings, saga: &Saga, before: Option<&Self>) -> Self {
        let limits = |settings: &Settings| {
            (settings.max_in_flight, settings.queue, settings.memory, settings.tenant_max_in_flight)
        };
        let admission = before
            .filter(|before| limits(&before.settings) == limits(&settings))
            .map_or_else(|| Arc::new(Admission::new(&settings)), |before| before.admission.clone());
        let provider =
            Provider::new(&settings, &saga.plane, &saga.metrics, before.map(|before| &before.provider));
        let (paths, polls) = (Paths::new(&settings), polling::Paths::new(&settings));
        Self { admission, provider, paths, polls, settings: Arc::new(settings) }
    }
}

fn new_id(at: SystemTime) -> Uuid {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Uuid::new_v7(Timestamp::from_unix(NoContext, since.as_secs(), since.subsec_nanos()))
}
