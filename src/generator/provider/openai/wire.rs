//! One exchange with the provider's server: nothing longer than it can be is read, and what breaks off after the request
//! was sent is an unknown outcome.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use reqwest::{Client, redirect};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    super::Usage,
    Drawing, OpenAi, ProviderError, Receipt, WhyRefused, answer, rates, refused,
    stream::{Event, Events},
};
use crate::{
    generator::{
        events::{Preview, Previews},
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
}

/// The images of a stream, as far as they have come. All of them are paid for.
#[derive(Default)]
struct Arrived {
    /// In order; of one that cannot be read the event that it came in.
    images: Vec<Bytes>,
    /// What is wrong with the first that cannot be read.
    wrong: Option<String>,
    usage: Option<Usage>,
}

impl Arrived {
    fn add(&mut self, image: &str, usage: Option<Usage>, event: &Bytes) {
        match BASE64_STANDARD.decode(image) {
            Ok(image) => self.images.push(image.into()),
            Err(error) => {
                self.wrong.get_or_insert_with(|| format!("image {}: {error}", self.images.len()));
                self.images.push(event.clone());
            }
        }
        self.usage = usage.or(self.usage);
    }
}

impl OpenAi {
    /// Sends the request, and takes what comes back.
    pub(super) async fn send(
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
        let announced = response.content_length().and_then(|length| usize::try_from(length).ok());
        // To grow to a hundred megabytes is to copy them, and to take as much again.
        let mut whole = BytesMut::with_capacity(announced.unwrap_or(0).min(most));
        loop {
            match response.chunk().await {
                Ok(Some(piece)) if whole.len() + piece.len() <= most => whole.extend_from_slice(&piece),
                Ok(Some(_)) if status.is_success() => {
                    return Err(ProviderError::Unusable {
                        what: format!("the answer has more than {most} bytes"),
                        paid: vec![whole.freeze()],
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
        let most = self.largest_answer(order).saturating_mul(1 + u64::from(previews.count));
        let wanted = usize::try_from(order.count).unwrap_or(usize::MAX);
        let (mut events, mut length, mut arrived) = (Events::default(), 0_u64, Arrived::default());
        let end = 'stream: loop {
            let (said, end) = match response.chunk().await {
                Ok(Some(piece)) => {
                    length = length.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
                    if length > most {
                        break format!("its stream has more than {most} bytes");
                    }
                    (events.push(&piece), None)
                }
                Ok(None) => (events.end().into_iter().collect(), Some("its stream ended".to_owned())),
                Err(error) => (events.end().into_iter().collect(), Some(because(error))),
            };
            for data in said {
                match Event::read(&data) {
                    Event::Partial { index, image } => previews.show(Preview { index, image }),
                    Event::Completed { image, usage } => arrived.add(&image, usage, &data),
                    Event::Failed(said) if arrived.images.is_empty() => {
                        return Err(answer::failure_in_stream(response.headers(), &said));
                    }
                    // Whatever it says, an image before it was paid for.
                    Event::Failed(_) => break 'stream String::new(),
                    Event::Other => {}
                }
            }
            match end {
                Some(end) => break end,
                None if arrived.images.len() >= wanted => break String::new(),
                None => {}
            }
        };
        let Arrived { images, wrong, usage } = arrived;
        if images.is_empty() {
            let what = format!("there was no image in it: {end}");
            return Err(ProviderError::Unknown { what, request_id });
        }
        let count = u32::try_from(images.len()).unwrap_or(u32::MAX);
        let cost = self.each(order).map(|each| each.times(count));
        let receipt = Receipt { request_id, usage, cost, cause: None };
        match wrong {
            None => Ok(Drawing { images, receipt }),
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
