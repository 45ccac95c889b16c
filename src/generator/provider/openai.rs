//! `OpenAI`'s Images API, or any server that speaks it: `POST {base}/images/generations`.
//!
//! The wire has no idempotency key, so a request that may have been charged is never sent again: one job is one paid
//! call. Only what cannot have been charged is retried: no connection, 429 (not for a quota), an explicit overload.

mod answer;
mod rates;
mod request;
mod retry;
mod stream;
mod wire;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use reqwest::Client;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, sleep, timeout_at};

use self::{
    answer::{Answer, Carried},
    request::request,
    wire::{Came, Reply},
};
use super::{
    Drawing, ProviderError, Receipt, Refused, WhyRefused,
    abilities::{Abilities, Transparency, WebP},
};
use crate::generator::{
    admission::memory::Memory,
    arrival::{self, Arrival},
    fetch::Fetcher,
    image,
    metrics::{Because, Metrics, Tokens},
    money::Usd,
    order::{Order, Size},
    plane::Plane,
    settings::OpenAi as Settings,
};

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
        arrival: &Arrival,
    ) -> Result<Drawing, ProviderError> {
        // What is scaled here has no previews of its size.
        let previews = arrival.previews().filter(|_| order.size == order.drawn);
        let body = Bytes::from(request(&self.0.settings.model, order, previews).to_string());
        let mut attempt = 0;
        loop {
            let error = match self.ask(&body, order, deadline, arrival).await {
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
                    ProviderError::Unknown { .. } | ProviderError::Late | ProviderError::Crashed(_) => {
                        "unknown"
                    }
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
        deadline: Instant,
        arrival: &Arrival,
    ) -> Result<Drawing, ProviderError> {
        let key = self.key().await?;
        let came = self.send(body, order, key.as_ref(), deadline, arrival).await;
        let Reply { status, headers, body, memory } =
            match came.map_err(|error| masked(error, key.as_ref()))? {
                Came::Whole(reply) => reply,
                Came::Drawn(drawing) => {
                    self.spent(&drawing.receipt);
                    return Ok(drawing);
                }
            };
        let each = self.each(order);
        let (request_id, paid) = (answer::request_id(&headers), body.clone());
        let judge = move || answer::judge(status, &headers, &body);
        // An error is short, and who is refused need not wait for pictures.
        let judged = if status.is_success() {
            self.0.plane.computing(judge).await.unwrap_or_else(|crashed| {
                self.0.metrics.crashed("image");
                Err(ProviderError::Unusable {
                    what: crashed.to_string(),
                    paid: vec![paid.clone()],
                    receipt: Receipt { request_id, ..Receipt::default() },
                })
            })
        } else {
            judge()
        };
        let answer = judged.map_err(|error| masked(error, key.as_ref()))?;
        let memory = self.memory_of(&answer, memory, order, arrival, deadline).await;
        self.open(answer, &paid, each, deadline).await.map(|drawing| Drawing { memory, ..drawing })
    }

    /// The memory of an answer and its images, with that of those that have to be fetched: then of the longest that there can
    /// be, as far as there is any by `deadline`.
    async fn memory_of(
        &self,
        answer: &Answer,
        memory: Memory,
        order: &Order,
        arrival: &Arrival,
        deadline: Instant,
    ) -> Memory {
        let Arrival::Landing(landing) = arrival else { return memory };
        if answer.carried.iter().all(|carried| matches!(carried, Carried::Here(_))) {
            return memory;
        }
        drop(memory);
        let most = arrival::needed(self.largest_answer(order)).saturating_add(image::fitting_bytes(order));
        timeout_at(deadline, landing.pool.take(most)).await.unwrap_or_default()
    }

    /// The images of an answer, downloaded where it only says where they are.
    async fn open(
        &self,
        answer: Answer,
        body: &Bytes,
        each: Option<Usd>,
        deadline: Instant,
    ) -> Result<Drawing, ProviderError> {
        let Answer { carried, mut receipt } = answer;
        receipt.cost = each.map(|each| each.times(u32::try_from(carried.len()).unwrap_or(u32::MAX)));
        self.spent(&receipt);
        let mut images = Vec::with_capacity(carried.len());
        // Besides what the answer holds, what is soon no more where it says.
        let mut paid = vec![body.clone()];
        for (index, carried) in carried.into_iter().enumerate() {
            let opened = match carried {
                Carried::Here(image) => image.map_err(|error| error.to_string()),
                Carried::Url(url) => match timeout_at(deadline, self.0.fetcher.fetch(&url)).await {
                    Ok(fetched) => {
                        fetched.inspect(|image| paid.push(image.clone())).map_err(|error| error.to_string())
                    }
                    Err(_) => Err("its download took too long".to_owned()),
                },
            };
            match opened {
                Ok(image) => images.push(image),
                Err(why) => {
                    let what = format!("image {index}: {why}");
                    return Err(ProviderError::Unusable { what, paid, receipt });
                }
            }
        }
        Ok(Drawing { images, receipt, memory: Memory::default() })
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

fn refused(why: WhyRefused, message: String) -> ProviderError {
    ProviderError::Refused(Refused { why, blame: None, message, request_id: None, retry_after: None })
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
