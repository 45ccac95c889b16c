//! Memory that is taken: by a job, then by what is left of it, which is its answer on its way to a client who may be slow.

use bytes::Bytes;
use http::Response;
use tokio::sync::OwnedSemaphorePermit;

use super::kib;

/// Memory that is taken, until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Memory(Option<OwnedSemaphorePermit>);

/// Bytes, and the memory that they are in.
struct Counted {
    bytes: Bytes,
    _memory: Memory,
}

impl Memory {
    pub(super) fn taken(permit: OwnedSemaphorePermit) -> Self {
        Self(Some(permit))
    }

    /// Gives back all but so many bytes. What has taken less keeps that: one that needs more than all is alone anyway.
    pub(crate) fn shrunk(self, bytes: usize) -> Self {
        let Self(Some(mut permit)) = self else { return self };
        let most = permit.num_permits();
        let kept = if bytes == 0 { 0 } else { usize::try_from(kib(bytes)).unwrap_or(most).min(most) };
        Self(permit.split(kept).filter(|kept| kept.num_permits() > 0))
    }

    /// A body that keeps its memory until its last byte has left, or nobody wants it any more.
    pub(crate) fn holding(self, bytes: Bytes) -> Bytes {
        match self.shrunk(bytes.len()) {
            Self(None) => bytes,
            memory => Bytes::from_owner(Counted { bytes, _memory: memory }),
        }
    }

    /// The same of an answer's body.
    pub(crate) fn held_by(self, answer: Response<Bytes>) -> Response<Bytes> {
        answer.map(|body| self.holding(body))
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
