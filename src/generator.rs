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
mod state;
mod saga;
mod provider;
mod fetch;
mod image;
mod spool;
mod store;
mod catalog;
mod shadow;
mod keyed;
mod reconcile;
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
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
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
    admission::{Admission, Full, Permit, RETRY_AFTER},
    boots::AtWork,
    budget::Day,
    catalog::{Object, Owner},
    contract::{Asked, Image, Made, Refusal, Rejection, Reply},
    data::Data,
    digest::Digest,
    events::{Preview, Previews, Writer},
    keyed::{Keyed, Turns},
    metrics::Because,
    notify::{Envelope, Post},
    order::{AskedSize, Size},
    plane::{Crashed, Plane},
    provider::{Provider, ProviderError, Receipt, Refused, WhyRefused},
    saga::{
        Drawn, Intent, Saga,
        failure::{Failure, Unclaimed, chain},
        janitor::Watch,
        jobs::Jobs,
    },
    serving::Paths,
    settings::{Contract, PublicUrl, Settings},
    shadow::Shadows,
};
pub use self::{
    budget::SpentToday,
    contract::ExternalOrigin,
    data::OpenError,
    erase::{EraseError, Erased, erase},
    events::EventBody,
    keyed::{Belonging, MayFallBack},
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
    /// Keys of requests that are being answered.
    turns: Turns,
    /// The last day whose budget had no room for a job.
    refused_on: AtomicI64,
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

/// Makes the table that the catalog of these settings needs; what came of it, for people.
pub async fn catalog_table(settings: &Settings) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    match settings.shared_table() {
        None => Ok("the catalog is a SQLite file: it needs no table".to_owned()),
        #[cfg(feature = "aws")]
        Some(table) => {
            use crate::aws::table::{Created, Table};
            let created = Table::of_records(&table).await.create().await?;
            Ok(match created {
                Created::New => format!("created the table {}", table.name),
                Created::AlreadyThere => format!("the table {} is there", table.name),
            })
        }
        #[cfg(not(feature = "aws"))]
        Some(_) => Err("DynamoDB is not in this binary: build it with the feature `aws`".into()),
    }
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
            data::open(data, &settings, boot, || Uuid::from_u128(rand::random()), &plane).await?;
        let saga = Saga {
            plane,
            catalog,
            store,
            spool,
            metrics,
            owner: Owner { gateway, boot },
            boots,
            clock,
            parked: Jobs::default(),
            claiming: Jobs::default(),
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
        let generator = Self(Arc::new(Inner {
            live,
            saga,
            shadows,
            post: OnceLock::new(),
            turns: Turns::default(),
            refused_on: AtomicI64::new(-1),
            _at_work: at_work,
        }));
        let (saga, inner) = (generator.0.saga.clone(), Arc::downgrade(&generator.0));
        let settings = move || inner.upgrade().map(|inner| inner.live.load().settings.clone());
        // It ends when the process drains, and is tracked by its plane.
        drop(generator.0.saga.plane.spawn(saga.keep_house(living, settings)));
        Ok(generator)
    }

    /// One visit of the janitor, to everything: for who does not serve.
    pub async fn keep_house_once(&self) {
        let (saga, settings) = (&self.0.saga, self.settings());
        saga.visit(None, &mut Watch::default(), &settings).await;
        saga.tidy(&settings).await;
        saga.reconcile().await;
    }

    /// Takes new settings; running jobs keep theirs. Where a limit changes, those who wait under the old one keep their
    /// places, so that for a moment both are used.
    pub fn reconfigure(&self, settings: Settings) {
        let before = self.0.live.load();
        let at_start =
            |settings: &Settings| (settings.store.clone(), settings.catalog.clone(), settings.aws.clone());
        if at_start(&before.settings) != at_start(&settings) {
            tracing::warn!("another store or catalog is used from the next start on");
        }
        self.0.live.store(Arc::new(Live::new(settings, &self.0.saga, Some(&before))));
    }

    /// The settings of now.
    pub fn settings(&self) -> Arc<Settings> {
        self.0.live.load().settings.clone()
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
            let notify_of =
                move |route: &str| inner.upgrade()?.live.load().settings.notify.get(route).cloned();
            drop(self.0.saga.plane.spawn(post.deliver_all(notify_of)));
        }
    }

    /// Answers a route's request. Once the request has its place, the job runs to its end in a task of its own, and
    /// dropping this future only loses the answer.
    pub async fn answer(&self, contract: &Contract, request: Request<Bytes>) -> Outcome {
        loop {
            let keyed = match self.keyed(contract, &request).await {
                Ok(keyed) => keyed,
                Err(outcome) => return outcome,
            };
            if let Some(outcome) = Box::pin(self.generate(contract, &request, keyed)).await {
                return outcome;
            }
            // Another gateway took the key meanwhile.
        }
    }

    /// Makes the images of a request; `None` where its key is taken.
    async fn generate(&self, contract: &Contract, request: &Request<Bytes>, keyed: Keyed) -> Option<Outcome> {
        let (mut intent, permit, reply) = match self.admit(contract, request, keyed).await {
            Ok(admitted) => admitted,
            Err(outcome) => return Some(outcome),
        };
        let stream = reply.stream(&intent.order).map(|(count, writer)| {
            let (previews, shown) = Previews::new(count);
            intent.previews = Some(previews);
            (shown, writer)
        });
        let links = Links::of(request, &intent.settings);
        let (id, inner) = (intent.id, self.0.clone());
        let asynchronous = contract.is_polled() || polling::is_wanted(request.headers());
        if asynchronous {
            // Who has been promised images gets none of the monolith's.
            intent.may_hand_over = None;
        }
        let (claimed, settings) = (intent.claimed.clone(), intent.settings.clone());
        let mut job = self.0.saga.plane.spawn(async move {
            let drawn = match inner.saga.run(&intent).await {
                Err(Failure::HandedOver(refused)) => {
                    let released = inner.is_released(&intent).await;
                    let ours = || ProviderError::Refused(refused.clone()).into();
                    return Err(if released { Failure::HandedOver(refused) } else { ours() });
                }
                drawn => drawn?,
            };
            inner.wait_for_delivery(&intent).await;
            // Who looks at unfinished images has seen all of them.
            intent.previews = None;
            let mut made = links.made(&intent, drawn, (inner.saga.clock)());
            inner.address(&mut made).await;
            drop(permit);
            Ok::<_, Failure>(made)
        });
        if asynchronous {
            tokio::select! {
                // It ended before its claim, or so soon that there is nothing to wait for.
                biased;
                () = claimed.notified() => {
                    return Some(Outcome::Answered(contract.started(id, &settings)));
                }
                ended = &mut job => return self.ended(contract, id, ended, |made| reply.answer(made)),
            }
        }
        // Nothing is shown: the head is not written before it is sure that there are images.
        let mut writer = None;
        if let Some((mut shown, written_by)) = stream {
            if let Some(first) = shown.recv().await {
                return Some(self.stream(first, shown, written_by, job));
            }
            writer = Some(written_by);
        }
        self.ended(contract, id, job.await, |made| match writer {
            Some(writer) => events::response(writer.completed(made)),
            None => reply.answer(made),
        })
    }

    /// What a client that waited is told; `None` where the key is another job's.
    fn ended(
        &self,
        contract: &Contract,
        id: Uuid,
        ended: Result<Result<Made, Failure>, JoinError>,
        written: impl FnOnce(&Made) -> Response<Bytes>,
    ) -> Option<Outcome> {
        let failure = match ended {
            Ok(Ok(made)) => return Some(Outcome::Answered(written(&made))),
            Ok(Err(failure)) => failure,
            Err(_) => {
                self.0.saga.parked.add(id);
                Failure::Crashed(Crashed)
            }
        };
        let decline = |why, refusal: &Refusal| Some(self.decline(contract, why, refusal));
        let later = |why: &dyn std::fmt::Display| {
            let message = format!("images cannot be generated now: {why}");
            Refusal::unavailable("unavailable", message, RETRY_AFTER)
        };
        match failure {
            Failure::Held => None,
            Failure::Unclaimed(unclaimed @ Unclaimed::Budget) => {
                self.0.refused_on.store(Day::of((self.0.saga.clock)()).number(), Ordering::Relaxed);
                decline(Why::Budget, &later(&unclaimed))
            }
            Failure::Unclaimed(unclaimed) => decline(Why::BeforeClaim, &later(&unclaimed)),
            Failure::HandedOver(refused) => decline(Why::HandedOver, &told_of_refusal(&refused)),
            failure => {
                let mut response = told(&failure).answer(contract);
                if failure.stands_still() {
                    // Its images come later: where to ask for them.
                    response.headers_mut().extend(polling::place(id, &self.settings()));
                }
                Some(Outcome::Answered(response))
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
        let (intent, permit, reply) = match self.admit(contract, &request, Keyed::default()).await {
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

    /// The most that `request` may cost, in US dollars: `None` where nothing is paid or drawn, and without end where the
    /// provider is paid and its price is not known.
    pub fn price(&self, contract: &Contract, request: &Request<Bytes>) -> Option<f64> {
        let live = self.0.live.load();
        if live.settings.draws == settings::Draws::Local {
            return None;
        }
        let Asked { wish, .. } = contract::read(contract, request, live.settings.max_request).ok()?;
        let order = live.provider.agree(wish).ok()?;
        Some(live.provider.price(&order).map_or(f64::INFINITY, money::Usd::as_dollars))
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
        keyed: Keyed,
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
        if settings.daily_budget.is_some() && provider.price(&order).is_none() {
            let message = "images like this have no price here, and there is a budget";
            let refusal = Refusal::new(StatusCode::BAD_REQUEST, "unpriced", message);
            return Err(self.decline(contract, Why::Unpriced, &refusal));
        }
        let deadline = Instant::now() + settings.deadline;
        let need = provider.working_bytes(&order);
        let tenant = keyed::tenant(request);
        let permit = admission.enter(tenant.as_ref(), need, deadline, &saga.metrics).await;
        let permit = permit.map_err(|full| {
            let refusal = Refusal::unavailable(full.code(), full.to_string(), full.retry_after());
            match full {
                // One tenant's crowd is not to be the monolith's either.
                Full::Tenant { .. } => Outcome::Answered(refusal.answer(contract)),
                Full::Everybody { .. } => self.decline(contract, Why::QueueFull, &refusal),
            }
        })?;
        let scope = request.extensions().get().map_or_else(|| Arc::from(""), |RouteName(name)| name.clone());
        let grant = request.extensions().get::<Grant>().cloned().unwrap_or_default();
        let notify = settings.notify.get(&scope);
        let notify = notify.map(|notify| Envelope::new(notify, &grant, order.prompt.text()).written());
        let intent = Intent {
            tenant: grant.tenant.map(|tenant| Digest::of(tenant.as_bytes())),
            notify,
            id: new_id((saga.clock)()),
            keyed,
            may_hand_over: request.extensions().get().copied(),
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
    /// Writes where the images are found into an answer, where the store itself says that.
    async fn address(&self, made: &mut Made) {
        let PublicUrl::Presigned(ttl) = self.live.load().settings.public_url else { return };
        for image in &mut made.images {
            match self.saga.store.presigned(&image.object.name, ttl).await {
                Ok(url) => image.url = url.unwrap_or_default(),
                Err(error) => {
                    tracing::error!(
                        name = image.object.name,
                        error = chain(&error),
                        "no URL could be signed"
                    );
                }
            }
        }
    }

    /// Whether the monolith knows that a job which was handed over holds nothing any more, so that it may be asked.
    async fn is_released(&self, intent: &Intent) -> bool {
        let (Some(notify), Some(post)) = (intent.settings.notify.get(&intent.scope), self.post.get()) else {
            return true;
        };
        tokio::time::timeout(RELEASE, post.deliver_now(intent.id, notify)).await.is_ok()
            && self.saga.catalog.is_told(intent.id, (self.saga.clock)()).await.unwrap_or(false)
    }

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

/// How long the monolith may take to let go of what it holds for a job that it is to do itself.
const RELEASE: Duration = Duration::from_secs(10);

/// Where the images of one answer are found.
#[derive(Debug)]
struct Links {
    base: String,
}

impl Links {
    fn of(request: &Request<Bytes>, settings: &Settings) -> Self {
        Self::at(request.extensions().get().map_or("", |ExternalOrigin(origin)| origin), settings)
    }

    /// For who reached the site as `origin`.
    fn at(origin: &str, settings: &Settings) -> Self {
        match &settings.public_url {
            PublicUrl::Path(path) => Self { base: format!("{origin}{path}") },
            PublicUrl::Presigned(_) => Self { base: String::new() },
        }
    }

    fn url(&self, name: &str) -> String {
        format!("{}/{name}", self.base)
    }

    fn made(&self, intent: &Intent, (drawn, receipt): (Vec<Drawn>, Receipt), at: SystemTime) -> Made {
        let Intent { id, order, .. } = intent;
        let images = drawn.into_iter().map(|Drawn { object, bytes }| Image {
            url: self.url(&object.name),
            object,
            bytes,
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
        Failure::Unclaimed(_)
        | Failure::Ambiguous(_)
        | Failure::Spool(_)
        | Failure::Held
        | Failure::HandedOver(_)
        | Failure::Elsewhere(_) => Refusal::unavailable(
            "unavailable",
            "the image could not be generated; try again later",
            RETRY_AFTER,
        ),
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
