//! Turns a prompt into stored images, or into nothing at all.
//!
//! A request comes in through its [`Contract`], becomes an order that the provider agrees to,
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
mod admission;
mod money;
mod budget;
#[cfg_attr(not(test), expect(dead_code, reason = "budgets, news and janitors of a fleet come to use it"))]
mod state;
mod saga;
mod provider;
mod fetch;
mod image;
mod spool;
mod store;
#[cfg_attr(not(test), expect(dead_code, reason = "budgets, news and janitors of a fleet come to use it"))]
mod catalog;
mod shadow;
mod notify;
mod polling;
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
    path::Path,
    sync::{Arc, OnceLock},
    time::{SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::{
    sync::{Notify, mpsc::Receiver},
    task::{JoinError, JoinHandle},
    time::Instant,
};
use uuid::{NoContext, Timestamp, Uuid};

use self::{
    admission::{Admission, Permit, RETRY_AFTER},
    boots::AtWork,
    catalog::{Object, Owner},
    contract::{Asked, Image, Made, Refusal, Rejection, Reply},
    data::Data,
    digest::Digest,
    events::{Preview, Previews, Writer},
    metrics::Because,
    notify::{Envelope, Post},
    order::{AskedSize, Size},
    plane::{Crashed, Plane},
    provider::{Provider, ProviderError, Receipt, Refused, WhyRefused},
    saga::{Drawn, Intent, Saga, failure::Failure, parked::Parked},
    serving::Paths,
    settings::{Contract, Settings},
    shadow::Shadows,
};
pub use self::{
    contract::ExternalOrigin,
    data::OpenError,
    erase::{EraseError, Erased, erase},
    events::EventBody,
    metrics::{Metrics, Why},
    notify::{Carrying, Courier},
    polling::{Job as PolledJob, Poll},
    serving::{ImageAnswer, Serving, body::ImageBody},
};
use crate::{shutdown::Shutdown, tell::Teller};

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
    post: OnceLock<Post>,
    /// Says that this process works in the data folder.
    _at_work: AtWork,
}

/// A job in its own task.
type Job = JoinHandle<Result<Made, Failure>>;

/// One set of settings, and what follows from it.
#[derive(Debug)]
struct Live {
    settings: Arc<Settings>,
    provider: Provider,
    admission: Arc<Admission>,
    paths: Paths,
    polls: polling::Paths,
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
        let live = ArcSwap::from_pointee(Live::new(settings, &saga, None));
        Ok(Self(Arc::new(Inner { live, saga, shadows, post: OnceLock::new(), _at_work: at_work })))
    }

    /// Takes new settings; running jobs keep theirs. Where a limit changes, those who wait under the old one keep their
    /// places, so that for a moment both are used.
    pub fn reconfigure(&self, settings: Settings) {
        let before = self.0.live.load();
        self.0.live.store(Arc::new(Live::new(settings, &self.0.saga, Some(&before))));
    }

    /// The settings of now.
    pub fn settings(&self) -> Arc<Settings> {
        self.0.live.load().settings.clone()
    }

    /// Tells upstreams through `courier` what became of their generations, from now on, and `teller` of what they
    /// refuse to hear.
    pub fn tell_by(&self, courier: Arc<dyn Courier>, teller: Teller) {
        let post = Post::new(self.0.saga.clone(), courier, teller);
        if self.0.post.set(post.clone()).is_ok() {
            let inner = Arc::downgrade(&self.0);
            let notify_of =
                move |route: &str| inner.upgrade()?.live.load().settings.notify.get(route).cloned();
            drop(self.0.saga.plane.spawn(post.deliver_all(notify_of)));
        }
    }

    /// Answers a route's request. Once the request has its place, the job runs to its end in a task of its own, and
    /// dropping this future only loses the answer.
    pub async fn answer(&self, contract: &Contract, request: Request<Bytes>) -> Outcome {
        let (mut intent, permit, reply) = match self.admit(contract, &request).await {
            Ok(admitted) => admitted,
            Err(outcome) => return outcome,
        };
        let stream = reply.stream(&intent.order).map(|(count, writer)| {
            let (previews, shown) = Previews::new(count);
            intent.previews = Some(previews);
            (shown, writer)
        });
        let links = Links::of(&request, &intent.settings);
        let (id, inner) = (intent.id, self.0.clone());
        let (claimed, settings) = (intent.claimed.clone(), intent.settings.clone());
        let mut job = self.0.saga.plane.spawn(async move {
            let drawn = inner.saga.run(&intent).await?;
            inner.wait_for_delivery(&intent).await;
            // Who looks at unfinished images has seen all of them.
            intent.previews = None;
            let made = links.made(&intent, drawn, (inner.saga.clock)());
            drop(permit);
            Ok::<_, Failure>(made)
        });
        if contract.is_polled() || polling::is_wanted(request.headers()) {
            tokio::select! {
                // It ended before its claim, or so soon that there is nothing to wait for.
                biased;
                () = claimed.notified() => return Outcome::Answered(contract.started(id, &settings)),
                ended = &mut job => return self.ended(contract, id, ended, |made| reply.answer(made)),
            }
        }
        // Nothing is shown: the head is not written before it is sure that there are images.
        let mut writer = None;
        if let Some((mut shown, written_by)) = stream {
            if let Some(first) = shown.recv().await {
                return self.stream(first, shown, written_by, job);
            }
            writer = Some(written_by);
        }
        self.ended(contract, id, job.await, |made| match writer {
            Some(writer) => events::response(writer.completed(made)),
            None => reply.answer(made),
        })
    }

    /// What a client that waited is told.
    fn ended(
        &self,
        contract: &Contract,
        id: Uuid,
        ended: Result<Result<Made, Failure>, JoinError>,
        written: impl FnOnce(&Made) -> Response<Bytes>,
    ) -> Outcome {
        match ended {
            Ok(Ok(made)) => Outcome::Answered(written(&made)),
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

    /// Writes the rest of an answer while it is drawn; its head can be taken back no more.
    fn stream(&self, first: Preview, shown: Receiver<Preview>, writer: Writer, job: Job) -> Outcome {
        let (mut sender, body) = EventBody::new(1);
        let inner = self.0.clone();
        let writing = async move {
            let mut next = Some(first);
            let (mut shown, mut listens) = (shown, true);
            while let Some(preview) = next {
                let event = writer.partial(&preview, seconds((inner.saga.clock)()));
                listens = listens && sender.send_data(event).await.is_ok();
                next = shown.recv().await;
            }
            let last = match job.await {
                Ok(Ok(made)) => writer.completed(&made),
                Ok(Err(failure)) => events::failed(&told(&failure)),
                Err(_) => events::failed(&told(&Failure::Crashed(Crashed))),
            };
            if listens {
                // Who has left misses it; the images are kept all the same.
                drop(sender.send_data(last).await);
            }
        };
        drop(self.0.saga.plane.spawn(writing));
        Outcome::Streamed(events::response(body))
    }

    /// Does the same work for a shadow: nothing is claimed, and nobody will see the images.
    pub async fn rehearse(&self, contract: &Contract, request: Request<Bytes>) -> Rehearsal {
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
        let images = drawn.0.iter().map(|drawn| (drawn.object.name.clone(), drawn.bytes.clone())).collect();
        if let Err(error) = shadows.keep(images, now).await {
            tracing::warn!(%error, "the images of a shadow could not be kept; they are still compared");
        }
        let made = Links::of(&request, &intent.settings).made(&intent, drawn, now);
        let outcome = Outcome::Answered(reply.answer(&made));
        drop(permit);
        let images =
            made.images.into_iter().map(|Image { object: Object { name, media_type, .. }, url, bytes }| {
                RehearsedImage { name, url, media_type, bytes }
            });
        Rehearsal { outcome, images: images.collect() }
    }

    /// What `request` asks for; nothing where it is no request of the contract's.
    pub fn wanted(&self, contract: &Contract, request: &Request<Bytes>) -> Wanted {
        let Ok(Asked { wish, .. }) = contract::read(contract, request, self.settings().max_request) else {
            return Wanted::default();
        };
        let size = match wish.size {
            AskedSize::Exact(Size { width, height }) => Some((width, height)),
            AskedSize::Auto => None,
        };
        Wanted { size, count: u32::try_from(wish.count).ok(), format: Some(wish.format.name()) }
    }

    /// The same, for a request that would be drawn; `None` where it is refused or left to the monolith, whoever asks.
    pub fn agrees(&self, contract: &Contract, request: &Request<Bytes>) -> Option<Wanted> {
        let live = self.0.live.load();
        let Asked { wish, .. } = contract::read(contract, request, live.settings.max_request).ok()?;
        let order = live.provider.agree(wish).ok()?;
        let size = Some((order.size.width, order.size.height));
        Some(Wanted { size, count: Some(order.count), format: Some(order.format.name()) })
    }

    /// Who draws, with the model that does.
    pub fn model(&self) -> String {
        match &self.0.live.load().provider {
            Provider::Local(_) => "local".to_owned(),
            provider @ Provider::OpenAi(_) => format!("{}/{}", provider.name(), provider.model()),
        }
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
        contract: &Contract,
        request: &Request<Bytes>,
    ) -> Result<(Intent, Permit, Reply), Outcome> {
        let Live { settings, admission, provider, .. } = &*self.0.live.load_full();
        let saga = &self.0.saga;
        let Asked { wish, reply } =
            contract::read(contract, request, settings.max_request).map_err(|rejection| match rejection {
                Rejection::Malformed(refusal) => Outcome::Answered(refusal.answer(contract)),
                Rejection::BeyondTables(refusal) => self.decline(contract, Why::BeyondTables, &refusal),
            })?;
        let order = provider.agree(wish).map_err(|unable| {
            let refusal = Refusal::parameter(unable.param, "invalid_value", unable.message);
            self.decline(contract, Why::BeyondTables, &refusal)
        })?;
        let deadline = Instant::now() + settings.deadline;
        let need = provider.working_bytes(&order);
        let permit = admission.enter(need, deadline, &saga.metrics).await.map_err(|full| {
            let refusal = Refusal::unavailable("queue_full", full.to_string(), RETRY_AFTER);
            self.decline(contract, Why::QueueFull, &refusal)
        })?;
        let scope = request.extensions().get().map_or_else(|| Arc::from(""), |RouteName(name)| name.clone());
        let grant = request.extensions().get::<Grant>().cloned().unwrap_or_default();
        let notify = settings.notify.get(&scope);
        let notify = notify.map(|notify| Envelope::new(notify, &grant, order.prompt.text()).written());
        let intent = Intent {
            tenant: grant.tenant.map(|tenant| Digest::of(tenant.as_bytes())),
            notify,
            id: new_id((saga.clock)()),
            scope,
            order,
            provider: provider.clone(),
            claimed: Arc::new(Notify::new()),
            previews: None,
            settings: settings.clone(),
            deadline,
        };
        Ok((intent, permit, reply))
    }

    fn decline(&self, contract: &Contract, why: Why, refusal: &Refusal) -> Outcome {
        self.0.saga.metrics.declined.get_or_create(&Because { reason: why.name() }).inc();
        Outcome::Declined(Declined { why, response: refusal.answer(contract) })
    }
}

impl Inner {
    /// Until the monolith has been told once, where its route wants that: its next page shows the images.
    async fn wait_for_delivery(&self, intent: &Intent) {
        if let Some(notify) = intent.settings.notify.get(&intent.scope)
            && let (Some(wait), Some(post)) = (notify.wait, self.post.get())
            // It is told later where that takes too long.
            && tokio::time::timeout(wait, post.deliver_now(intent.id, notify)).await.is_err()
        {
            tracing::debug!(job = %intent.id, "the answer no longer waits for its notice");
        }
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

    fn made(&self, intent: &Intent, (drawn, receipt): (Vec<Drawn>, Receipt), at: SystemTime) -> Made {
        let Intent { id, order, .. } = intent;
        let images = drawn.into_iter().map(|Drawn { object, bytes }| {
            let url = format!("{}/{}", self.base, object.name);
            Image { object, url, bytes }
        });
        Made {
            job: id.hyphenated().to_string(),
            prompt: Some(order.prompt.clone()),
            usage: receipt.usage,
            at,
            size: order.size,
            format: order.format,
            images: images.collect(),
        }
    }
}

impl Live {
    /// Keeps the places of `before` where the limits are the same, so that a reload of something else forgets nobody.
    fn new(settings: Settings, saga: &Saga, before: Option<&Self>) -> Self {
        let limits = |settings: &Settings| (settings.max_in_flight, settings.queue, settings.memory);
        let admission = before
            .filter(|before| limits(&before.settings) == limits(&settings))
            .map_or_else(|| Arc::new(Admission::new(&settings)), |before| before.admission.clone());
        let provider =
            Provider::new(&settings, &saga.plane, &saga.metrics, before.map(|before| &before.provider));
        let (paths, polls) = (Paths::new(&settings), polling::Paths::new(&settings));
        Self { admission, provider, paths, polls, settings: Arc::new(settings) }
    }
}

/// What a client is told of a job that gave no images.
fn told(failure: &Failure) -> Refusal {
    let gateway = |status, code, message: &str| Refusal::new(status, code, message);
    match failure {
        Failure::Provider(ProviderError::Refused(refused)) => told_of_refusal(refused),
        Failure::Provider(ProviderError::Unusable { .. })
        | Failure::Unsound { .. }
        | Failure::Count { .. } => {
            gateway(StatusCode::BAD_GATEWAY, "invalid_image", "what was generated is no usable image")
        }
        Failure::Provider(_) | Failure::Crashed(_) => {
            gateway(StatusCode::BAD_GATEWAY, "provider_failed", "the image could not be generated")
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

/// What a client is told of a provider that did not draw. What is wrong between us and it is none of the client's.
fn told_of_refusal(refused: &Refused) -> Refusal {
    let later = |code| {
        let message = "images cannot be generated now; try again later";
        Refusal::unavailable(code, message, refused.retry_after.unwrap_or(RETRY_AFTER))
    };
    match refused.why {
        WhyRefused::Moderation => Refusal::new(
            StatusCode::BAD_REQUEST,
            "moderation_blocked",
            "the prompt was refused by the safety system of the provider",
        ),
        WhyRefused::Request => Refusal::new(
            StatusCode::BAD_GATEWAY,
            "provider_refused",
            "the provider does not take this request",
        ),
        WhyRefused::RateLimit => later("rate_limited"),
        WhyRefused::Overload => later("overloaded"),
        WhyRefused::Unreachable | WhyRefused::NoRoom => later("unavailable"),
        WhyRefused::Key | WhyRefused::Model | WhyRefused::Quota => {
            Refusal::new(StatusCode::BAD_GATEWAY, "provider_failed", "the image could not be generated")
        }
    }
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn new_id(at: SystemTime) -> Uuid {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Uuid::new_v7(Timestamp::from_unix(NoContext, since.as_secs(), since.subsec_nanos()))
}
