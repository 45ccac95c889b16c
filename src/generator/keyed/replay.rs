//! The stored answer to a key that has one, written as this request wants it.

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Request, Response};
use tokio::io::AsyncReadExt as _;

use crate::generator::{
    Generator, Outcome,
    admission::{Full, memory::Memory},
    catalog::Record,
    contract::{Image, Made, Refusal, Reply},
    links::Links,
    order::{Format, Order, Prompt},
    refusals::{self, BUSY},
    saga::failure::chain,
    settings::Contract,
    settling,
    writing::{self, Done, Form},
};

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

impl Generator {
    /// The stored answer, written as this request wants it.
    pub(super) async fn replay(
        &self,
        contract: &Contract,
        request: &Request<Bytes>,
        reply: &Reply,
        order: &Order,
        record: Record,
    ) -> Outcome {
        let (mut bytes, mut memory) = (Vec::new(), Memory::default());
        if reply.carries_bytes() {
            memory = match self.room_for(&record, request).await {
                Ok(room) => room,
                Err(full) => {
                    let busy = Refusal::unavailable(full.code(), full.to_string(), full.retry_after());
                    return Outcome::Answered(busy.answer(contract));
                }
            };
            let Some(stored) = self.stored(&record).await else {
                let later = refusals::stored_later(record.lease.job, BUSY);
                return Outcome::Answered(later.answer(contract));
            };
            bytes = stored;
        }
        let links = Links::of(request, &self.settings());
        let mut made = made(&record, &links, bytes);
        // The record need not have it, and its hash is the same.
        made.prompt = Some(order.prompt.clone());
        self.0.address(&mut made).await;
        let form = match reply.stream(order) {
            Some((_, writer)) => Form::Events(writer),
            None => Form::Whole(reply.clone()),
        };
        Outcome::Answered(replayed(self.0.written(contract, Done { made, memory }, form).await))
    }

    /// Memory for the images of a job, and an answer that carries them.
    async fn room_for(&self, record: &Record, request: &Request<Bytes>) -> Result<Memory, Full> {
        let live = self.live().clone();
        let images: u64 = record.objects.iter().map(|object| object.bytes).sum();
        let deadline = settling::deadline(&live.settings, request.extensions().get().copied());
        live.admission.room(writing::needed(images), deadline, &self.0.saga.metrics).await
    }

    /// The images of a job, whole.
    async fn stored(&self, record: &Record) -> Option<Vec<Bytes>> {
        let (inner, objects) = (self.0.clone(), record.objects.clone());
        let read = self.0.saga.plane.spawn(async move {
            let mut images = Vec::new();
            for object in objects {
                let mut image = BytesMut::new();
                let reader = inner.saga.store.read(&object.name, object.bytes, 0..object.bytes).await;
                let mut reader = reader
                    .inspect_err(|error| {
                        tracing::error!(
                            name = object.name,
                            error = chain(error),
                            "a committed image could not be read"
                        );
                    })
                    .ok()?;
                while reader.read_buf(&mut image).await.ok()? > 0 {}
                images.push(image.freeze());
            }
            Some(images)
        });
        read.await.ok().flatten()
    }
}

/// The images of a record, with their bytes where those are wanted.
pub(crate) fn made(record: &Record, links: &Links, bytes: Vec<Bytes>) -> Made {
    let mut bytes = bytes.into_iter();
    let images = record.objects.iter().map(|object| Image {
        url: links.url(&object.name),
        object: object.clone(),
        bytes: bytes.next().unwrap_or_default(),
    });
    let format = record.objects.first().and_then(|object| Format::of_media_type(&object.media_type));
    Made {
        job: record.lease.job.hyphenated().to_string(),
        prompt: record.prompt.clone().and_then(|text| Prompt::new(text).ok()),
        usage: record.receipt.usage,
        at: record.updated,
        size: record.size,
        format: format.unwrap_or(Format::Png),
        images: images.collect(),
    }
}

/// Says that an answer was given before.
pub(super) fn replayed(mut response: Response<Bytes>) -> Response<Bytes> {
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
