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
    image,
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
    /// As it was asked for: of an image whose bytes say nothing else.
    pub(crate) format: Format,
    pub(crate) quality: &'static str,
    pub(crate) background: &'static str,
}

impl Preview {
    /// What its first bytes say.
    fn format(&self) -> Option<Format> {
        let beginning = BASE64_STANDARD.decode(self.image.get(..16)?).ok()?;
        image::sniff(&beginning)
    }
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
        let format = preview.format().unwrap_or(self.format);
        let mut event = self.event("image_generation.partial_image", &preview.image, format, at);
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
            let format = Format::of_media_type(&image.object.media_type).unwrap_or(self.format);
            let mut event = self.event(kind, &BASE64_STANDARD.encode(&image.bytes), format, at);
            if let Some(members) = event.as_object_mut() {
                members.insert("usage".to_owned(), openai::usage(made.usage));
            }
            written(kind, &event)
        });
        events.collect::<Vec<_>>().concat().into()
    }

    fn event(&self, kind: &str, image: &str, format: Format, at: u64) -> Value {
        json!({
            "type": kind,
            "b64_json": image,
            "created_at": at,
            "size": self.size.to_string(),
            "quality": self.quality,
            "background": self.background,
            "output_format": format.name(),
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::generator::{catalog::Object, contract::Image, digest::Digest};

    fn told(event: &Bytes) -> Vec<String> {
        let text = str::from_utf8(event).unwrap();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        let read = |data| serde_json::from_str::<Value>(data).unwrap();
        data.map(|data| read(data)["output_format"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn an_event_names_what_its_bytes_are() {
        let size = Size { width: 1, height: 1 };
        let writer = Writer { size, format: Format::Jpeg, quality: "auto", background: "auto" };
        let image = |media_type: &str| Image {
            object: Object {
                name: "fg-0.png".into(),
                media_type: media_type.into(),
                bytes: 1,
                sha256: Digest::of(b"x"),
            },
            url: String::new(),
            bytes: Bytes::from_static(b"x"),
        };
        let made = Made {
            job: String::new(),
            prompt: None,
            usage: None,
            at: UNIX_EPOCH,
            size,
            format: Format::Png,
            images: vec![image("image/png"), image("image/webp")],
        };
        assert_eq!(told(&writer.completed(&made)), ["png", "webp"]);
        for (image, format) in
            [(&b"\x89PNG\r\n\x1a\n more"[..], "png"), (b"\xff\xd8\xff", "jpeg"), (b"?", "jpeg")]
        {
            let image = BASE64_STANDARD.encode(image);
            assert_eq!(told(&writer.partial(&Preview { index: 0, image }, 0)), [format]);
        }
    }
}
