//! The bounded tee: a body that passes unchanged, and what was seen of it.
//!
//! The user's stream is the master. A tee never waits, never fails and never holds a frame back; when it cannot keep
//! what it sees, it lets go of all of it and says so at the end.

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// Frames from this size on are shared with the user's stream. Smaller ones are copied: a share pins the whole read
/// buffer that it was cut from, and a run of small ones would pin many times what it counts.
const SHARED_FROM: usize = 8 * 1024;

/// The unit in which memory is lent.
const PAGE: usize = 4 * 1024;

/// What all captures together may hold.
#[derive(Clone, Debug)]
pub(crate) struct Memory(Arc<Semaphore>);

impl Memory {
    /// Of about `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.div_ceil(PAGE).min(Semaphore::MAX_PERMITS))))
    }

    fn lend(&self, pages: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_many_owned(u32::try_from(pages).ok()?).ok()
    }
}

/// What was seen of one body.
#[derive(Debug)]
pub(crate) struct Captured {
    /// How it ended.
    pub(crate) end: End,
    /// Bytes that passed.
    pub(crate) bytes: u64,
    /// The bytes, or why there are none.
    pub(crate) content: Result<Content, Missing>,
    /// Who was waited for.
    pub(crate) waited: Waited,
}

/// Who a body was held up by, and how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waited {
    /// By its source: a frame was asked for, and had not come.
    pub(crate) source: Duration,
    /// By its reader: a frame had passed, and the next was not asked for.
    pub(crate) reader: Duration,
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// At its end.
    Whole,
    /// Its reader let go of it.
    Cut,
    /// Its source failed.
    Broken,
}

/// Why there is no content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Nobody asked for it.
    Unwanted,
    /// More than the limit.
    TooLarge,
    /// The memory for all captures was lent out.
    Crowded,
}

/// The bytes of a body, and the memory that was lent for them.
#[derive(Debug, Default)]
pub(crate) struct Content {
    shared: Vec<Bytes>,
    copied: BytesMut,
    length: usize,
    lease: Option<OwnedSemaphorePermit>,
}

impl Content {
    /// Bytes that nothing was lent for.
    pub(crate) fn unlent(bytes: Bytes) -> Self {
        Self { length: bytes.len(), shared: vec![bytes], ..Self::default() }
    }

    /// The bytes in one piece, and the lease to be held for as long as they are.
    pub(crate) fn into_bytes(mut self) -> (Bytes, Lease) {
        self.seal();
        let whole = match self.shared.as_slice() {
            [] => Bytes::new(),
            [one] => one.clone(),
            many => {
                let mut whole = BytesMut::with_capacity(self.length);
                for piece in many {
                    whole.extend_from_slice(piece);
                }
                whole.freeze()
            }
        };
        (whole, Lease { _permit: self.lease })
    }

    fn push(&mut self, data: &Bytes) {
        self.length += data.len();
        if data.len() < SHARED_FROM {
            self.copied.extend_from_slice(data);
        } else {
            self.seal();
            self.shared.push(data.clone());
        }
    }

    fn seal(&mut self) {
        if !self.copied.is_empty() {
            self.shared.push(self.copied.split().freeze());
        }
    }
}

/// Memory that is in use until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    _permit: Option<OwnedSemaphorePermit>,
}

/// What a tee does with the frames that it sees.
#[derive(Debug)]
pub(crate) struct Capture {
    content: Result<Content, Missing>,
    bytes: u64,
    limit: usize,
    memory: Memory,
}

impl Capture {
    /// Keeps at most `limit` bytes, in memory lent by `memory`.
    pub(crate) fn new(limit: usize, memory: Memory) -> Self {
        Self { content: Ok(Content::default()), bytes: 0, limit, memory }
    }

    /// Counts only.
    pub(crate) fn counting(memory: Memory) -> Self {
        Self { content: Err(Missing::Unwanted), bytes: 0, limit: 0, memory }
    }

    /// What would have been seen of a body that is here already.
    pub(crate) fn of(mut self, body: &Bytes) -> Captured {
        self.see(body);
        self.finish(End::Whole)
    }

    fn see(&mut self, data: &Bytes) {
        self.bytes += data.len() as u64;
        if let Ok(content) = &mut self.content {
            let length = content.length + data.len();
            if length > self.limit {
                self.content = Err(Missing::TooLarge);
            } else if !lend(content, length, &self.memory) {
                self.content = Err(Missing::Crowded);
            } else {
                content.push(data);
            }
        }
    }

    fn finish(&mut self, end: End) -> Captured {
        let content = mem::replace(&mut self.content, Err(Missing::Unwanted));
        Captured { end, bytes: self.bytes, content, waited: Waited::default() }
    }
}

/// Makes the content's lease cover `length` bytes; false when the memory is lent out.
fn lend(content: &mut Content, length: usize, memory: &Memory) -> bool {
    let held = content.lease.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
    let missing = length.div_ceil(PAGE).saturating_sub(held);
    if missing == 0 {
        return true;
    }
    let Some(more) = memory.lend(missing) else { return false };
    match &mut content.lease {
        Some(lease) => lease.merge(more),
        none => *none = Some(more),
    }
    true
}

/// Called once, when a body has ended, with what was seen of it.
pub(crate) type OnEnd = Box<dyn FnOnce(Captured) + Send + Sync>;

/// Whose turn it is, since when, and how long each had it before.
#[derive(Debug)]
struct Turns {
    whose: Turn,
    since: Instant,
    waited: Waited,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Source,
    Reader,
}

impl Turns {
    fn new() -> Self {
        Self { whose: Turn::Reader, since: Instant::now(), waited: Waited::default() }
    }

    fn is_now(&mut self, whose: Turn) {
        if self.whose == whose {
            return;
        }
        let now = Instant::now();
        *match self.whose {
            Turn::Source => &mut self.waited.source,
            Turn::Reader => &mut self.waited.reader,
        } += now - self.since;
        (self.whose, self.since) = (whose, now);
    }
}

/// A body that is watched: the same frames, size hint, end of stream and trailers as the one within.
pub struct Tee<B: Body> {
    body: B,
    capture: Capture,
    turns: Turns,
    on_end: Option<OnEnd>,
}

impl<B: Body> Tee<B> {
    /// Watches `body`. `on_end` runs as soon as its end is known, at the latest when the tee is dropped.
    pub(crate) fn new(body: B, capture: Capture, on_end: OnEnd) -> Self {
        let mut tee = Self { body, capture, turns: Turns::new(), on_end: Some(on_end) };
        tee.look_for_end();
        tee
    }

    /// A reader that knows the length stops before it is told of the end: so the end is looked for, not waited for.
    fn look_for_end(&mut self) {
        if self.body.is_end_stream() || self.body.size_hint().exact() == Some(0) {
            self.finish(End::Whole);
        }
    }

    fn finish(&mut self, end: End) {
        if let Some(on_end) = self.on_end.take() {
            on_end(Captured { waited: self.turns.waited, ..self.capture.finish(end) });
        }
    }
}

impl<B> Body for Tee<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let tee = self.get_mut();
        tee.turns.is_now(Turn::Source);
        let polled = ready!(Pin::new(&mut tee.body).poll_frame(cx));
        tee.turns.is_now(Turn::Reader);
        match &polled {
            Some(Ok(frame)) => {
                if tee.on_end.is_some() {
                    if let Some(data) = frame.data_ref() {
                        tee.capture.see(data);
                    }
                    tee.look_for_end();
                }
            }
            Some(Err(_)) => tee.finish(End::Broken),
            None => tee.finish(End::Whole),
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: Body> Drop for Tee<B> {
    fn drop(&mut self) {
        self.finish(End::Cut);
    }
}

impl<B: Body> std::fmt::Debug for Tee<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tee").field("capture", &self.capture).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
