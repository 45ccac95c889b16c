//! Memory that is taken: by a job, then by what is left of it, which is its answer on its way to a client who may be slow.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::kib;

/// All the memory of one set of settings. Clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    free: Arc<Semaphore>,
    kib: u32,
}

/// Memory that is taken, until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Memory(Option<OwnedSemaphorePermit>);

/// Bytes, and the memory that they are in.
struct Counted {
    bytes: Bytes,
    _memory: Memory,
}

impl Pool {
    /// So many bytes, all free.
    pub(crate) fn new(bytes: usize) -> Self {
        let kib = kib(bytes).max(1);
        Self { free: Arc::new(Semaphore::new(usize::try_from(kib).unwrap_or(Semaphore::MAX_PERMITS))), kib }
    }

    /// Waits for so many bytes. Who needs more than all gets all, alone. Who has memory is not to wait for more: two of
    /// them would wait for each other.
    pub(crate) async fn take(&self, bytes: u64) -> Memory {
        match self.permits(bytes) {
            0 => Memory::default(),
            // It is never closed.
            permits => Memory(self.free.clone().acquire_many_owned(permits).await.ok()),
        }
    }

    /// The same, where nobody has to be waited for.
    pub(crate) fn try_take(&self, bytes: u64) -> Option<Memory> {
        match self.permits(bytes) {
            0 => Some(Memory::default()),
            permits => Some(Memory(Some(self.free.clone().try_acquire_many_owned(permits).ok()?))),
        }
    }

    /// How much is free, in KiB.
    #[cfg(test)]
    pub(crate) fn free_kib(&self) -> usize {
        self.free.available_permits()
    }

    fn permits(&self, bytes: u64) -> u32 {
        kib(usize::try_from(bytes).unwrap_or(usize::MAX)).min(self.kib)
    }
}

impl Memory {
    /// Whether nothing was taken.
    pub(super) fn is_none(&self) -> bool {
        self.0.is_none()
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
