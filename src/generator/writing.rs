//! What was made becomes the answer. One that carries images is long: it is written where nobody waits behind it, and its
//! memory is counted until it has left.

use bytes::Bytes;
use http::Response;

use super::{
    Inner,
    admission::{Place, memory::Memory},
    contract::{Made, Reply},
    events::{self, Writer},
    refusals,
    settings::Contract,
};

/// What a job has made, and the memory that it is in.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) made: Made,
    pub(super) memory: Memory,
}

/// How it is written.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// As the contract's answer.
    Whole(Reply),
    /// As the last events of a stream.
    Events(Writer),
}

impl Form {
    fn write(&self, made: &Made) -> Response<Bytes> {
        match self {
            Self::Whole(reply) => reply.answer(made),
            Self::Events(writer) => events::response(writer.completed(made)),
        }
    }

    fn carries_bytes(&self) -> bool {
        match self {
            Self::Whole(reply) => reply.carries_bytes(),
            Self::Events(_) => true,
        }
    }
}

impl Done {
    /// The place is another's from now on; what an answer takes that carries the images stays taken.
    pub(super) fn leaving(place: Place, made: Made, reply: &Reply) -> Self {
        let images = made.images.iter().map(|image| image.object.bytes).sum();
        let needed = if reply.carries_bytes() { needed(images) } else { 0 };
        Self { memory: place.left(usize::try_from(needed).unwrap_or(usize::MAX)), made }
    }
}

/// The memory of an answer that carries images of so many bytes: they, their Base64, and the text around that.
pub(super) fn needed(images: u64) -> u64 {
    images.saturating_mul(4)
}

impl Inner {
    /// Writes an answer.
    pub(super) async fn written(&self, contract: &Contract, done: Done, form: Form) -> Response<Bytes> {
        let Done { made, memory } = done;
        if !form.carries_bytes() {
            return form.write(&made);
        }
        let job = made.job.clone();
        let write = move || memory.held_by(form.write(&made));
        let written = self.saga.plane.computing(write).await;
        written.unwrap_or_else(|_| refusals::unwritten(job).answer(contract))
    }
}
