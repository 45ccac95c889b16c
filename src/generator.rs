//! Turns a prompt into stored images, or into nothing at all.
//!
//! A request comes in through its [`Contract`], becomes an order that the provider agrees to,
//! waits for a place, and runs as a job in a task of its own: a client that goes away does not stop it. The job's
//! record moves through the states of a saga; only its commit makes the images visible, and a GET of an image is
//! answered from committed records alone.

pub mod settings;
mod plane;
mod digest;
mod order;
mod name;
mod contract;
mod admission;
pub mod money;
mod budget;
#[cfg_attr(not(test), expect(dead_code, reason = "budgets, news and janitors of a fleet come to use it"))]
mod state;
mod saga;
mod provider;
mod image;
mod spool;
mod store;
#[cfg_attr(not(test), expect(dead_code, reason = "budgets, news and janitors of a fleet come to use it"))]
mod catalog;
mod shadow;
mod serving;
mod metrics;
mod data;
mod boots;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::{
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::time::Instant;
use uuid::{NoContext, Timestamp, Uuid};

use self::{
    admission::{Admission, Permit, RETRY_AFTER},
    boots::AtWork,
    catalog::{Object, Owner},
    contract::{Asked, Image, Made, Refusal, Rejection, Reply},
    data::Data,
    metrics::Because,
    order::{AskedSize, Order, Size},
    plane::{Crashed, Plane},
    provider::{Provider, Unable, local::Local},
    saga::{Drawn, Intent, Saga, failure::Failure, parked::Parked},
    serving::Paths,
    settings::{Contract, Settings},
    shadow::Shadows,
};
pub use self::{
    contract::ExternalOrigin,
    data::OpenError,
    metrics::{Metrics, Why},
    serving::{ImageAnswer, Serving, body::ImageBody},
};
use crate::shutdown::Shutdown;

/// What its answers depend on beside the request: raised whenever the same order would be answered otherwise.
pub const BEHAVIOUR: u32 = 1;

/// What a request asks for, as its contract reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Width and height, where the request says them.
    pub size: Option<(u32, u32)>,
    /// How many images.
    pub count: Option<u32>,
    /// `png`, `jpeg` or `webp`.
    pub format: Option<&'static str>,
}

/// The embedded image generator. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Generator(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    live: ArcSwap<Live>,
    saga: Saga,
    shadows: Shadows,
    /// Says that this process works in the data folder.
    _at_work: AtWork,
}

/// One set of settings, and what follows from it.
#[derive(Debug)]
struct Live {
    settings: Arc<Settings>,
    admission: Arc<Admission>,
    paths: Paths,
}

/// The route under which a request came: the scope of its claim, and a field of its log event. A request extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteName(pub Arc<str>);

/// What became of a request.
#[derive(Debug)]
pub enum Outcome {
    /// Ours, be it images or an error.
    Answered(Response<Bytes>),
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

/// What a candidate would have answered, and the images behind it.
#[derive(Debug)]
pub struct Rehearsal {
    /// As [`Generator::answer`] would have said.
    pub outcome: Outcome,
    /// The images in order; none where there was an error.
    pub images: Vec<RehearsedImage>,
}

/// An image that nobody sees.
#[derive(Clone, Debug)]
pub struct RehearsedImage {
    /// Its name in an `article` answer.
    pub name: String,
    /// Its URL in an `openai` answer.
    pub url: String,
    /// What its bytes are.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Bytes,
}

impl Generator {
    /// Opens the data folder, and finishes what boots have left that work there no more; others may. To be called on
    /// the work plane, where all of the generator's tasks will run. `clock` is the wall clock, for what is written down.
    pub async fn open(
        settings: Settings,
        data: &Path,
        shutdown: Shutdown,
        metrics: Metrics,
        clock: fn() -> SystemTime,
    ) -> Result<Self, OpenError> {
        let plane = Plane::current(shutdown);
        let boot = new_id(clock());
        let Data { boots, at_work, gateway, catalog, store, spool, shadows } =
            data::open(data, boot, || Uuid::from_u128(rand::random()), &plane).await?;
        let saga = Saga {
            provider: Provider::Local(Local::new(plane.clone())),
            plane,
            catalog,
            store,
            spool,
            metrics,
            owner: Owner { gateway, boot },
            boots,
            clock,
            parked: Parked::default(),
        };
        let living = saga.recover().await.map_err(OpenError::Recovery)?;
        if living.len() > 1 {
            tracing::info!(others = living.len() - 1, "other processes work in this data folder");
        }
        let janitor = saga.plane.spawn(saga.clone().keep_house(living));
        // It ends when the process drains, and is tracked by its plane.
        drop(janitor);
        let live = ArcSwap::from_pointee(Live::new(settings, None));
        Ok(Self(Arc::new(Inner { live, saga, shadows, _at_work: at_work })))
    }

    /// Takes new settings; running jobs keep theirs. Where a limit changes, those who wait under the old one keep their
    /// places, so that for a moment both are used.
    pub fn reconfigure(&self, settings: Settings) {
        let before = self.0.live.load();
        self.0.live.store(Arc::new(Live::new(settings, Some(&before))));
    }

    /// The settings of now.
    pub fn settings(&self) -> Arc<Settings> {
        self.0.live.load().settings.clone()
    }

    /// Answers a route's request. Once the request has its place, the job runs to its end in a task of its own, and
    /// dropping this future only loses the answer.
    pub async fn answer(&self, contract: Contract, request: Request<Bytes>) -> Outcome {
        let (intent, permit, reply) = match self.admit(contract, &request).await {
            Ok(admitted) => admitted,
            Err(outcome) => return outcome,
        };
        let links = Links::of(&request, &intent.settings);
        let (id, inner) = (intent.id, self.0.clone());
        let job = self.0.saga.plane.spawn(async move {
            let drawn = inner.saga.run(&intent).await?;
            let response = reply.answer(&links.made(&intent.order, drawn, (inner.saga.clock)()));
            drop(permit);
            Ok(response)
        });
        match job.await {
            Ok(Ok(response)) => Outcome::Answered(response),
            Ok(Err(Failure::Unclaimed(unclaimed))) => {
                let message = format!("images cannot be generated now: {unclaimed}");
                self.decline(
                    contract,
                    Why::BeforeClaim,
                    &Refusal::unavailable("unavailable", message, RETRY_AFTER),
                )
            }
            Ok(Err(failure)) => Outcome::Answered(told(&failure).answer(contract)),
            Err(_) => {
                self.0.saga.parked.add(id);
                Outcome::Answered(told(&Failure::Crashed(Crashed)).answer(contract))
            }
        }
    }

    /// Does the same work for a shadow: nothing is claimed, and nobody will see the images.
    pub async fn rehearse(&self, contract: Contract, request: Request<Bytes>) -> Rehearsal {
        let without = |outcome| Rehearsal { outcome, images: Vec::new() };
        let (intent, permit, reply) = match self.admit(contract, &request).await {
            Ok(admitted) => admitted,
            Err(outcome) => return without(outcome),
        };
        let Inner { saga, shadows, .. } = &*self.0;
        let drawn = match saga.draw(&intent).await {
            Ok(drawn) => drawn,
            Err(failure) => return without(Outcome::Answered(told(&failure).answer(contract))),
        };
        let now = (saga.clock)();
        let images = drawn.iter().map(|drawn| (drawn.object.name.clone(), drawn.bytes.clone())).collect();
        if let Err(error) = shadows.keep(images, now).await {
            tracing::warn!(%error, "the images of a shadow could not be kept; they are still compared");
        }
        let made = Links::of(&request, &intent.settings).made(&intent.order, drawn, now);
        let outcome = Outcome::Answered(reply.answer(&made));
        drop(permit);
        let images =
            made.images.into_iter().map(|Image { object: Object { name, media_type, .. }, url, bytes }| {
                RehearsedImage { name, url, media_type, bytes }
            });
        Rehearsal { outcome, images: images.collect() }
    }

    /// What `request` asks for; nothing where it is no request of the contract's.
    pub fn wanted(&self, contract: Contract, request: &Request<Bytes>) -> Wanted {
        let Ok(Asked { wish, .. }) = contract::read(contract, request, self.settings().max_request) else {
            return Wanted::default();
        };
        let size = match wish.size {
            AskedSize::Exact(Size { width, height }) => Some((width, height)),
            AskedSize::Auto => None,
        };
        Wanted { size, count: u32::try_from(wish.count).ok(), format: Some(wish.format.name()) }
    }

    /// Who draws.
    pub fn model(&self) -> &'static str {
        "local"
    }

    /// Whether a request may be for an image of ours: at `public_url` or a `[[generator.serve]]`, under a name of ours
    /// (or at a path whose every name is ours). Pure and cheap; `None` is for the monolith.
    pub fn serves(&self, method: &Method, path: &str, query: Option<&str>) -> Option<Serving> {
        self.0.live.load().paths.find(method, path, query)
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

    /// From request to a place: what was asked, whether it can be done, and room to do it.
    async fn admit(
        &self,
        contract: Contract,
        request: &Request<Bytes>,
    ) -> Result<(Intent, Permit, Reply), Outcome> {
        let Live { settings, admission, .. } = &*self.0.live.load_full();
        let saga = &self.0.saga;
        let Asked { wish, reply } =
            contract::read(contract, request, settings.max_request).map_err(|rejection| match rejection {
                Rejection::Malformed(refusal) => Outcome::Answered(refusal.answer(contract)),
                Rejection::BeyondTables(refusal) => self.decline(contract, Why::BeyondTables, &refusal),
            })?;
        let abilities = saga.provider.abilities();
        let order = abilities.agree(wish).map_err(|unable| {
            let refusal = match unable {
                Unable::Count { .. } => Refusal::parameter("n", "invalid_value", unable.to_string()),
                Unable::Size => Refusal::parameter("size", "invalid_value", abilities.sizes_in_words()),
            };
            self.decline(contract, Why::BeyondTables, &refusal)
        })?;
        let deadline = Instant::now() + settings.deadline;
        let need = saga.provider.working_bytes(&order);
        let permit = admission.enter(need, deadline, &saga.metrics).await.map_err(|full| {
            let refusal = Refusal::unavailable("queue_full", full.to_string(), RETRY_AFTER);
            self.decline(contract, Why::QueueFull, &refusal)
        })?;
        let scope = request.extensions().get().map_or_else(|| Arc::from(""), |RouteName(name)| name.clone());
        let intent =
            Intent { id: new_id((saga.clock)()), scope, order, settings: settings.clone(), deadline };
        Ok((intent, permit, reply))
    }

    fn decline(&self, contract: Contract, why: Why, refusal: &Refusal) -> Outcome {
        self.0.saga.metrics.declined.get_or_create(&Because { reason: why.name() }).inc();
        Outcome::Declined(Declined { why, response: refusal.answer(contract) })
    }
}

/// Where the images of one answer are found.
#[derive(Debug)]
struct Links {
    base: String,
}

impl Links {
    fn of(request: &Request<Bytes>, settings: &Settings) -> Self {
        let origin = request.extensions().get().map_or("", |ExternalOrigin(origin)| origin);
        Self { base: format!("{origin}{}", settings.public_url) }
    }

    fn made(&self, order: &Order, drawn: Vec<Drawn>, at: SystemTime) -> Made {
        let images = drawn.into_iter().map(|Drawn { object, bytes }| {
            let url = format!("{}/{}", self.base, object.name);
            Image { object, url, bytes }
        });
        Made { at, size: order.size, format: order.format, images: images.collect() }
    }
}

impl Live {
    /// Keeps the places of `before` where the limits are the same, so that a reload of something else forgets nobody.
    fn new(settings: Settings, before: Option<&Self>) -> Self {
        let limits = |settings: &Settings| (settings.max_in_flight, settings.queue, settings.memory);
        let admission = before
            .filter(|before| limits(&before.settings) == limits(&settings))
            .map_or_else(|| Arc::new(Admission::new(&settings)), |before| before.admission.clone());
        Self { admission, paths: Paths::new(&settings), settings: Arc::new(settings) }
    }
}

/// What a client is told of a job that gave no images.
fn told(failure: &Failure) -> Refusal {
    let gateway = |status, code, message: &str| Refusal::new(status, code, message);
    match failure {
        Failure::Provider(_) | Failure::Crashed(_) => {
            gateway(StatusCode::BAD_GATEWAY, "provider_failed", "the image could not be generated")
        }
        Failure::Unsound(_) | Failure::Count { .. } => {
            gateway(StatusCode::BAD_GATEWAY, "invalid_image", "what was generated is no usable image")
        }
        Failure::Late => {
            gateway(StatusCode::GATEWAY_TIMEOUT, "timeout", "the image took too long to generate")
        }
        Failure::Store(_) | Failure::Catalog(_) => Refusal::unavailable(
            "storing",
            "the image was generated and is kept; it cannot be stored now, and will be as soon as possible",
            RETRY_AFTER,
        ),
        Failure::Unclaimed(_) | Failure::Ambiguous(_) | Failure::Spool(_) | Failure::Elsewhere(_) => {
            Refusal::unavailable(
                "unavailable",
                "the image could not be generated; try again later",
                RETRY_AFTER,
            )
        }
    }
}

fn new_id(at: SystemTime) -> Uuid {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Uuid::new_v7(Timestamp::from_unix(NoContext, since.as_secs(), since.subsec_nanos()))
}
