//! An answer that is written while it is drawn: server-sent events of the Images API, previews as they come, and the
//! images once they are committed.

use std::{convert::Infallible, time::UNIX_EPOCH};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{
    HeaderValue, Response,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use http_body_util::Channel;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    contract::{Made, Refusal, openai},
    order::{Format, Size},
};

/// Previews that wait for a client; one that is slower loses some.
const WAITING: usize = 4;

/// The body of such an answer.
pub type EventBody = Channel<Bytes, Infallible>;

/// An unfinished image, in Base64.
#[derive(Clone, Debug)]
pub(crate) struct Preview {
    /// Which, from 0.
    pub(crate) index: u32,
    /// The image.
    pub(crate) image: String,
}

/// Where a provider shows unfinished images.
#[derive(Clone, Debug)]
pub(crate) struct Previews {
    /// How many are wanted.
    pub(crate) count: u8,
    sender: mpsc::Sender<Preview>,
}

/// What every event of one answer says.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    pub(crate) size: Size,
    pub(crate) format: Format,
    pub(crate) quality: &'static str,
    pub(crate) background: &'static str,
}

impl Previews {
    /// At most `count`, and where they come out.
    pub(crate) fn new(count: u8) -> (Self, mpsc::Receiver<Preview>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self { count, sender }, receiver)
    }

    /// Shows one, if somebody looks and there is room.
    pub(crate) fn show(&self, preview: Preview) {
        // A preview that nobody has room for is not worth waiting for.
        drop(self.sender.try_send(preview));
    }
}

impl Writer {
    /// One preview.
    pub(crate) fn partial(&self, preview: &Preview, at: u64) -> Bytes {
        let mut event = self.event("image_generation.partial_image", &preview.image, at);
        if let Some(members) = event.as_object_mut() {
            members.insert("partial_image_index".to_owned(), preview.index.into());
        }
        written("image_generation.partial_image", &event)
    }

    /// Every image of a job that is done.
    pub(crate) fn completed(&self, made: &Made) -> Bytes {
        let at = made.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let events = made.images.iter().map(|image| {
            let kind = "image_generation.completed";
            let mut event = self.event(kind, &BASE64_STANDARD.encode(&image.bytes), at);
            if let Some(members) = event.as_object_mut() {
                members.insert("usage".to_owned(), openai::usage(made.usage));
            }
            written(kind, &event)
        });
        events.collect::<Vec<_>>().concat().into()
    }

    fn event(&self, kind: &str, image: &str, at: u64) -> Value {
        json!({
            "type": kind,
            "b64_json": image,
            "created_at": at,
            "size": self.size.to_string(),
            "quality": self.quality,
            "background": self.background,
            "output_format": self.format.name(),
        })
    }
}

/// The end of an answer that had begun well.
pub(crate) fn failed(refusal: &Refusal) -> Bytes {
    written("error", &openai::refusal(refusal))
}

fn written(kind: &str, event: &Value) -> Bytes {
    format!("event: {kind}\ndata: {event}\n\n").into()
}

/// The head of such an answer.
pub(crate) fn response<B>(body: B) -> Response<B> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
