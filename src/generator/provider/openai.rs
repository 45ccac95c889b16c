//! `OpenAI`'s Images API, or any server that speaks it: `POST {base}/images/generations`.
//!
//! The wire has no idempotency key, so a request that may have been charged is never sent again: one job is one paid
//! call. Only what cannot have been charged is retried: no connection, 429 (not for a quota), an explicit overload.

mod answer;
mod rates;
mod retry;
mod stream;

use std::sync::{Arc, OnceLock};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use reqwest::{Client, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep};

use self::{
    answer::{Answer, Carried},
    stream::{Event, Events},
};
use super::{
    Drawing, ProviderError, Receipt, Refused, WhyRefused,
    abilities::{Abilities, Transparency, WebP},
};
use crate::{
    generator::{
        events::{Preview, Previews},
        fetch::Fetcher,
        metrics::{Because, Metrics, Tokens},
        money::Usd,
        order::{Format, Order, Size},
        plane::Plane,
        settings::OpenAi as Settings,
    },
    tell::because,
};

/// Longest wait for a connection, TLS included.
const CONNECT: std::time::Duration = std::time::Duration::from_secs(10);
/// Of an answer that holds no image.
const LARGEST_ERROR: usize = 64 << 10;

/// What a model takes of which no sizes are written down.
const STANDARD_SIZES: [Size; 3] = [
    Size { width: 1024, height: 1024 },
    Size { width: 1536, height: 1024 },
    Size { width: 1024, height: 1536 },
];

/// The provider behind an API. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(crate) struct OpenAi(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Arc<Settings>,
    max_image: usize,
    /// Made at the first call: a machine that trusts no certificates still starts, and says so when it matters.
    client: OnceLock<Client>,
    fetcher: Fetcher,
    plane: Plane,
    metrics: Metrics,
}

/// What came back of one request.
enum Came {
    /// An answer, whatever it says.
    Whole(Reply),
    /// Images that came one by one.
    Drawn(Drawing),
}

/// An answer, whatever it says.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl OpenAi {
    /// One that keeps to `settings`, and to images of at most `max_image` bytes.
    pub(super) fn new(settings: Arc<Settings>, max_image: usize, plane: Plane, metrics: Metrics) -> Self {
        let fetcher = Fetcher::new(settings.fetch_hosts.clone(), max_image);
        Self(Arc::new(Inner { settings, max_image, client: OnceLock::new(), fetcher, plane, metrics }))
    }

    /// Whether another one made by these settings would be the same.
    pub(super) fn is(&self, settings: &Arc<Settings>, max_image: usize) -> bool {
        self.0.settings == *settings && self.0.max_image == max_image
    }

    pub(super) fn model(&self) -> &str {
        &self.0.settings.model
    }

    pub(super) fn abilities(&self) -> Abilities {
        let Settings { max_count, prices, .. } = &*self.0.settings;
        let mut sizes: Vec<Size> = Vec::new();
        for price in prices {
            let size = Size { width: price.size.0, height: price.size.1 };
            if !sizes.contains(&size) {
                sizes.push(size);
            }
        }
        if sizes.is_empty() {
            sizes = STANDARD_SIZES.to_vec();
        }
        Abilities {
            max_count: *max_count,
            sizes,
            qualities: None,
            transparency: Transparency::Offered,
            webp: WebP::Lossy,
        }
    }

    pub(super) fn price(&self, order: &Order) -> Option<Usd> {
        self.each(order).map(|each| each.times(order.count))
    }

    fn each(&self, order: &Order) -> Option<Usd> {
        let quality = order.options.quality.as_deref().unwrap_or("auto");
        let drawn = (order.drawn.width, order.drawn.height);
        let priced = self.0.settings.prices.iter();
        priced
            .filter(|price| price.size == drawn)
            .find(|price| price.quality == quality)
            .map(|price| price.usd)
    }

    /// The most bytes that an answer to an order may have; a longer one is not read to its end.
    pub(super) fn largest_answer(&self, order: &Order) -> u64 {
        // No encoding of 16-bit pixels with alpha is longer than this, but by a few kilobytes.
        let image = order.drawn.pixels().saturating_mul(8).saturating_add(64 << 10);
        let image = image.min(u64::try_from(self.0.max_image).unwrap_or(u64::MAX));
        // Base64, and the words around it.
        let text = image.saturating_mul(4) / 3 + 1024;
        text.saturating_mul(u64::from(order.count)).saturating_add(64 << 10)
    }

    /// Draws an order. What was refused without a charge is asked for again, as often as the settings say and as long
    /// as `deadline` allows.
    pub(super) async fn draw(
        &self,
        order: &Order,
        deadline: Instant,
        previews: Option<&Previews>,
    ) -> Result<Drawing, ProviderError> {
        let body = Bytes::from(request(&self.0.settings.model, order, previews).to_string());
        let mut attempt = 0;
        loop {
            let error = match self.ask(&body, order, previews).await {
                Ok(drawing) => {
                    self.count("ok");
                    return Ok(drawing);
                }
                Err(error) => error,
            };
            let pause = match &error {
                ProviderError::Refused(refused) if attempt < self.0.settings.retries => {
                    retry::pause(refused, attempt, rand::random())
                }
                _ => None,
            };
            // A pause that outlasts the deadline would turn a clear refusal into an unknown outcome.
            let Some(pause) = pause.filter(|pause| Instant::now() + *pause < deadline) else {
                self.count(match &error {
                    ProviderError::Refused(refused) => refused.why.name(),
                    ProviderError::Unusable { .. } => "unusable",
                    ProviderError::Unknown { .. } | ProviderError::Crashed(_) => "unknown",
                });
                return Err(error);
            };
            attempt += 1;
            self.0.metrics.provider_retries.inc();
            tracing::info!(attempt, error = %error, pause_ms = retry::millis(pause), "the provider is asked again");
            sleep(pause).await;
        }
    }

    /// One request, and what it says.
    async fn ask(
        &self,
        body: &Bytes,
        order: &Order,
        previews: Option<&Previews>,
    ) -> Result<Drawing, ProviderError> {
        let key = self.key().await?;
        let came = self.send(body, order, key.as_ref(), previews).await;
        let Reply { status, headers, body } = match came.map_err(|error| masked(error, key.as_ref()))? {
            Came::Whole(reply) => reply,
            Came::Drawn(drawing) => {
                self.spent(&drawing.receipt);
                return Ok(drawing);
            }
        };
        let each = self.each(order);
        let answer = answer::judge(status, &headers, &body).map_err(|error| masked(error, key.as_ref()))?;
        self.open(answer, &body, each).await
    }

    /// The images of an answer, downloaded where it only says where they are.
    async fn open(
        &self,
        answer: Answer<'_>,
        body: &Bytes,
        each: Option<Usd>,
    ) -> Result<Drawing, ProviderError> {
        let Answer { carried, mut receipt } = answer;
        receipt.cost = each.map(|each| each.times(u32::try_from(carried.len()).unwrap_or(u32::MAX)));
        self.spent(&receipt);
        let mut images = Vec::with_capacity(carried.len());
        for (index, carried) in carried.into_iter().enumerate() {
            let opened = match carried {
                Carried::Base64(text) => BASE64_STANDARD
                    .decode(text.as_bytes())
                    .map(Bytes::from)
                    .map_err(|error| error.to_string()),
                Carried::Url(url) => self.0.fetcher.fetch(&url).await.map_err(|error| error.to_string()),
            };
            match opened {
                Ok(image) => images.push(image),
                Err(why) => {
                    let what = format!("image {index}: {why}");
                    return Err(ProviderError::Unusable { what, answer: body.clone(), receipt });
                }
            }
        }
        Ok(Drawing { images, receipt })
    }

    async fn send(
        &self,
        body: &Bytes,
        order: &Order,
        key: Option<&SecretString>,
        previews: Option<&Previews>,
    ) -> Result<Came, ProviderError> {
        let client = self.client()?;
        let url = format!("{}/images/generations", self.0.settings.base_url);
        let mut request = client.post(url).header("content-type", "application/json").body(body.clone());
        if let Some(key) = key {
            request = request.bearer_auth(key.expose_secret());
        }
        let mut response = request.send().await.map_err(|error| {
            // Only before a connection stands is it sure that the other side saw nothing.
            if error.is_connect() || error.is_builder() {
                refused(WhyRefused::Unreachable, because(error))
            } else {
                ProviderError::Unknown { what: because(error), request_id: None }
            }
        })?;
        let (status, headers) = (response.status(), response.headers().clone());
        rates::note(&self.0.metrics, &headers);
        if let Some(previews) = previews.filter(|_| status.is_success() && answer::is_stream(&headers)) {
            return self.listen(response, order, previews).await.map(Came::Drawn);
        }
        let most = if status.is_success() {
            usize::try_from(self.largest_answer(order)).unwrap_or(usize::MAX)
        } else {
            LARGEST_ERROR
        };
        let mut whole = BytesMut::new();
        loop {
            match response.chunk().await {
                Ok(Some(piece)) if whole.len() + piece.len() <= most => whole.extend_from_slice(&piece),
                Ok(Some(_)) if status.is_success() => {
                    return Err(ProviderError::Unusable {
                        what: format!("the answer has more than {most} bytes"),
                        answer: whole.freeze(),
                        receipt: Receipt { request_id: answer::request_id(&headers), ..Receipt::default() },
                    });
                }
                // Of an error, its beginning is enough, and its status is the rest.
                Ok(Some(_) | None) => break,
                Err(_) if !status.is_success() => break,
                Err(error) => {
                    let request_id = answer::request_id(&headers);
                    return Err(ProviderError::Unknown { what: because(error), request_id });
                }
            }
        }
        Ok(Came::Whole(Reply { status, headers, body: whole.freeze() }))
    }

    /// Takes images as they come, and shows what is not finished.
    async fn listen(
        &self,
        mut response: reqwest::Response,
        order: &Order,
        previews: &Previews,
    ) -> Result<Drawing, ProviderError> {
        let request_id = answer::request_id(response.headers());
        let unknown = |what: String| ProviderError::Unknown { what, request_id: request_id.clone() };
        let most = self.largest_answer(order).saturating_mul(1 + u64::from(previews.count));
        let (mut events, mut arrived) = (Events::default(), 0_u64);
        let (mut images, mut usage) = (Vec::new(), None);
        let wanted = usize::try_from(order.count).unwrap_or(usize::MAX);
        while images.len() < wanted {
            let piece = match response.chunk().await {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(error) => return Err(unknown(because(error))),
            };
            arrived = arrived.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
            if arrived > most {
                return Err(unknown(format!("its stream has more than {most} bytes")));
            }
            for data in events.push(&piece) {
                match Event::read(&data) {
                    Event::Partial { index, image } => previews.show(Preview { index, image }),
                    Event::Completed { image, usage: used } => {
                        let image = BASE64_STANDARD.decode(image.as_bytes()).map_err(|error| {
                            let what = format!("image {}: {error}", images.len());
                            let receipt = Receipt { request_id: request_id.clone(), usage: used, cost: None };
                            ProviderError::Unusable { what, answer: data.clone(), receipt }
                        })?;
                        images.push(Bytes::from(image));
                        usage = used.or(usage);
                    }
                    Event::Failed(said) => return Err(answer::failure_in_stream(response.headers(), &said)),
                    Event::Other => {}
                }
            }
        }
        if images.is_empty() {
            return Err(unknown("its stream ended without an image".to_owned()));
        }
        let count = u32::try_from(images.len()).unwrap_or(u32::MAX);
        let cost = self.each(order).map(|each| each.times(count));
        Ok(Drawing { images, receipt: Receipt { request_id, usage, cost } })
    }

    fn client(&self) -> Result<&Client, ProviderError> {
        if let Some(client) = self.0.client.get() {
            return Ok(client);
        }
        let builder = Client::builder()
            .connect_timeout(CONNECT)
            // A connection that the other side has just closed would make of a refusal an unknown outcome.
            .pool_max_idle_per_host(0)
            .retry(reqwest::retry::never())
            .redirect(redirect::Policy::none())
            .user_agent(concat!("figueira/", env!("CARGO_PKG_VERSION")));
        let builder = if self.0.settings.base_url.starts_with("https://") {
            builder.https_only(true)
        } else {
            // On this machine or in this network: what the environment says of proxies is about the internet.
            builder.tls_certs_only([]).no_proxy()
        };
        let made = builder.build().map_err(|error| refused(WhyRefused::Unreachable, because(error)))?;
        Ok(self.0.client.get_or_init(|| made))
    }

    /// The key of now; its file may have changed.
    async fn key(&self) -> Result<Option<SecretString>, ProviderError> {
        let Some(key) = self.0.settings.api_key.clone() else { return Ok(None) };
        Ok(Some(self.0.plane.blocking(move || key.current()).await?))
    }

    fn count(&self, outcome: &'static str) {
        self.0.metrics.provider_calls.get_or_create(&Because { reason: outcome }).inc();
    }

    fn spent(&self, receipt: &Receipt) {
        if let Some(usage) = receipt.usage {
            for (kind, tokens) in [("input", usage.input_tokens), ("output", usage.output_tokens)] {
                self.0.metrics.provider_tokens.get_or_create(&Tokens { kind }).inc_by(tokens);
            }
        }
        if let Some(cost) = receipt.cost {
            self.0.metrics.provider_cost.inc_by(cost.as_dollars());
        }
    }
}

/// The request's body. What is at its default is left out: servers of this API refuse parameters that they do not know.
fn request(model: &str, order: &Order, previews: Option<&Previews>) -> Value {
    let options = &order.options;
    let mut body = Map::new();
    body.insert("model".to_owned(), model.into());
    body.insert("prompt".to_owned(), order.prompt.text().into());
    body.insert("n".to_owned(), order.count.into());
    body.insert("size".to_owned(), order.drawn.to_string().into());
    let words = [
        ("quality", &options.quality),
        ("background", &options.background),
        ("moderation", &options.moderation),
        ("style", &options.style),
        ("user", &options.user),
    ];
    for (name, word) in words {
        if let Some(word) = word {
            body.insert(name.to_owned(), word.as_str().into());
        }
    }
    if let Some(previews) = previews {
        body.insert("stream".to_owned(), true.into());
        body.insert("partial_images".to_owned(), previews.count.into());
    }
    // What is scaled here is encoded here: it is to arrive without loss.
    if order.format != Format::Png && order.size == order.drawn {
        body.insert("output_format".to_owned(), order.format.name().into());
        if order.compression < 100 {
            body.insert("output_compression".to_owned(), order.compression.into());
        }
    }
    body.into()
}

fn refused(why: WhyRefused, message: String) -> ProviderError {
    ProviderError::Refused(Refused { why, message, request_id: None, retry_after: None })
}

/// Some servers repeat the key that they refuse.
fn masked(error: ProviderError, key: Option<&SecretString>) -> ProviderError {
    match (error, key) {
        (ProviderError::Refused(refused), Some(key)) => {
            let message = refused.message.replace(key.expose_secret(), "***");
            ProviderError::Refused(Refused { message, ..refused })
        }
        (error, _) => error,
    }
}

#[cfg(test)]
mod tests;
