//! One exchange with the provider's server: nothing longer than it can be is read, and what breaks off after the request
//! was sent is an unknown outcome.

use std::io;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use reqwest::{Client, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, timeout_at};

use super::{
    super::{Cause, Usage},
    Drawing, OpenAi, ProviderError, Receipt, WhyRefused, answer, rates, refused,
    stream::{Event, Events},
};
use crate::{
    generator::{
        admission::memory::Memory,
        arrival::{Arrival, Incoming},
        events::{Preview, Previews},
        image,
        order::Order,
    },
    tell::because,
};

/// Longest wait for a connection, TLS included.
const CONNECT: std::time::Duration = std::time::Duration::from_secs(10);
/// Of an answer that holds no image.
const LARGEST_ERROR: usize = 64 << 10;

/// What came back of one request.
pub(super) enum Came {
    /// An answer, whatever it says.
    Whole(Reply),
    /// Images that came one by one.
    Drawn(Drawing),
}

/// An answer, whatever it says.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// What it and its images take.
    pub(super) memory: Memory,
}

/// The same, before it is in memory.
struct Arrived {
    status: StatusCode,
    headers: HeaderMap,
    incoming: Incoming,
}

/// The images of a stream, as far as they have come. All of them are paid for.
#[derive(Default)]
struct Pictures {
    /// In order; of one that cannot be read the event that it came in.
    images: Vec<Bytes>,
    /// What is wrong with the first that cannot be read.
    wrong: Option<String>,
    usage: Option<Usage>,
}

/// How a stream ended.
enum End {
    /// As the provider wanted it.
    Said(&'static str),
    /// Somewhere.
    Cut(String),
    /// Its time was over.
    Late,
}

impl Pictures {
    fn add(&mut self, image: &str, usage: Option<Usage>, event: &Bytes) {
        match answer::decoded(image) {
            Ok(image) => self.images.push(image),
            Err(error) => {
                self.wrong.get_or_insert_with(|| format!("image {}: {error}", self.images.len()));
                self.images.push(event.clone());
            }
        }
        self.usage = usage.or(self.usage);
    }
}

impl Arrived {
    async fn reply(self) -> Result<Reply, ProviderError> {
        let Self { status, headers, incoming } = self;
        let (body, memory) = incoming.whole().await.map_err(|error| lost(&error, &headers))?;
        Ok(Reply { status, headers, body, memory })
    }
}

impl OpenAi {
    /// Sends the request, and takes what comes back by `deadline`.
    pub(super) async fn send(
        &self,
        body: &Bytes,
        order: &Order,
        key: Option<&SecretString>,
        deadline: Instant,
        arrival: &Arrival,
    ) -> Result<Came, ProviderError> {
        let late = |_| ProviderError::Late;
        let response = timeout_at(deadline, self.post(body, key)).await.map_err(late)??;
        rates::note(&self.0.metrics, response.headers());
        let is_stream = response.status().is_success() && answer::is_stream(response.headers());
        if let Some(previews) = arrival.previews().filter(|_| is_stream) {
            return self.listen(response, order, deadline, previews).await.map(Came::Drawn);
        }
        let arrived = timeout_at(deadline, self.read(response, order, arrival)).await.map_err(late)??;
        // It has come in time, whenever there is memory for it.
        arrived.reply().await.map(Came::Whole)
    }

    /// The head of the answer.
    async fn post(
        &self,
        body: &Bytes,
        key: Option<&SecretString>,
    ) -> Result<reqwest::Response, ProviderError> {
        let client = self.client()?;
        let url = format!("{}/images/generations", self.0.settings.base_url);
        let mut request = client.post(url).header("content-type", "application/json").body(body.clone());
        if let Some(key) = key {
            request = request.bearer_auth(key.expose_secret());
        }
        request.send().await.map_err(|error| {
            // Only before a connection stands is it sure that the other side saw nothing.
            if error.is_connect() || error.is_builder() {
                refused(WhyRefused::Unreachable, because(error))
            } else {
                ProviderError::Unknown { what: because(error), request_id: None }
            }
        })
    }

    /// The whole of an answer that is no stream.
    async fn read(
        &self,
        mut response: reqwest::Response,
        order: &Order,
        arrival: &Arrival,
    ) -> Result<Arrived, ProviderError> {
        let (status, headers) = (response.status(), response.headers().clone());
        let most = if status.is_success() {
            usize::try_from(self.largest_answer(order)).unwrap_or(usize::MAX)
        } else {
            LARGEST_ERROR
        };
        let announced = response.content_length().and_then(|length| usize::try_from(length).ok());
        let arrival = if status.is_success() { arrival } else { &Arrival::Awaited };
        let mut incoming = arrival.begin(announced, most, image::fitting_bytes(order));
        loop {
            match response.chunk().await {
                Ok(Some(piece)) if incoming.len() + piece.len() <= most => {
                    incoming.push(&piece).await.map_err(|error| lost(&error, &headers))?;
                }
                Ok(Some(_)) if status.is_success() => {
                    let (whole, _memory) = incoming.whole().await.map_err(|error| lost(&error, &headers))?;
                    let what = format!("the answer has more than {most} bytes");
                    return Err(unusable(what, vec![whole], &headers));
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
        Ok(Arrived { status, headers, incoming })
    }

    /// Takes images as they come by `deadline`, and shows what is not finished. Those that have come are paid for, whatever
    /// becomes of the rest.
    async fn listen(
        &self,
        mut response: reqwest::Response,
        order: &Order,
        deadline: Instant,
        previews: &Previews,
    ) -> Result<Drawing, ProviderError> {
        let request_id = answer::request_id(response.headers());
        let most = self.largest_answer(order).saturating_mul(1 + u64::from(previews.count));
        let wanted = usize::try_from(order.count).unwrap_or(usize::MAX);
        let (mut events, mut length, mut pictures) = (Events::default(), 0_u64, Pictures::default());
        let mut unpaid: &[_] = &[WhyRefused::Moderation, WhyRefused::Quota];
        let end = 'stream: loop {
            let (said, end) = match timeout_at(deadline, response.chunk()).await {
                Ok(Ok(Some(piece))) => {
                    length = length.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
                    if length > most {
                        break End::Cut(format!("its stream has more than {most} bytes"));
                    }
                    (events.push(&piece), None)
                }
                Ok(Ok(None)) => (events.end().into_iter().collect(), Some(End::Said("its stream ended"))),
                Ok(Err(error)) => (events.end().into_iter().collect(), Some(End::Cut(because(error)))),
                Err(_) => (events.end().into_iter().collect(), Some(End::Late)),
            };
            for data in said {
                match Event::read(&data) {
                    Event::Partial { index, image } => {
                        previews.show(Preview { index, image });
                        // Its client has an answer by now; and it was drawn for, whatever is left to draw by.
                        unpaid = &[WhyRefused::Moderation];
                    }
                    Event::Completed { image, usage } => pictures.add(&image, usage, &data),
                    Event::Failed(said) if pictures.images.is_empty() => {
                        return Err(answer::failure_in_stream(response.headers(), &said, unpaid));
                    }
                    // Whatever it says, an image before it was paid for.
                    Event::Failed(_) => break 'stream End::Said("it ended with an error"),
                    Event::Other => {}
                }
            }
            match end {
                Some(end) => break end,
                None if pictures.images.len() >= wanted => break End::Said("it is whole"),
                None => {}
            }
        };
        let Pictures { images, wrong, usage } = pictures;
        if images.is_empty() {
            let what = match end {
                End::Late => return Err(ProviderError::Late),
                End::Said(end) => end.to_owned(),
                End::Cut(end) => end,
            };
            let what = format!("there was no image in it: {what}");
            return Err(ProviderError::Unknown { what, request_id });
        }
        let mut count = u32::try_from(images.len()).unwrap_or(u32::MAX);
        if !matches!(end, End::Said(_)) {
            // The others may be drawn all the same.
            count = count.max(order.count);
        }
        let cost = self.each(order).map(|each| each.times(count));
        let cause = matches!(end, End::Late).then(|| Box::new(Cause::Late));
        let receipt = Receipt { request_id, usage, cost, cause };
        match wrong {
            None => Ok(Drawing { images, receipt, memory: Memory::default() }),
            Some(what) => Err(ProviderError::Unusable { what, paid: images, receipt }),
        }
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
}

fn unusable(what: String, paid: Vec<Bytes>, headers: &HeaderMap) -> ProviderError {
    let receipt = Receipt { request_id: answer::request_id(headers), ..Receipt::default() };
    ProviderError::Unusable { what, paid, receipt }
}

/// It was paid for, and the disk that it waited on does not give it back.
fn lost(error: &io::Error, headers: &HeaderMap) -> ProviderError {
    unusable(format!("the disk has lost it: {error}"), Vec::new(), headers)
}
