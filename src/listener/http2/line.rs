//! The client's connection as h2 sees it: every frame passes a guard, and what the connection waits for is known.
//!
//! h2 bounds what it has to remember. What only costs time (pings, settings, resets, frames without a payload) it
//! answers for ever; that is bounded here.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::{Buf, BytesMut};
use h2::Reason;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    budget::Budget,
    frame::{
        ACK, CONTINUATION, Came, DATA, END_HEADERS, END_STREAM, FrameHead, Frames, GOAWAY, HEADERS, PADDED,
        PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    },
};
use crate::stream::Stream;

/// Bytes of the client's preface (RFC 9113, 3.4).
pub(super) const PREFACE: usize = 24;

/// Frames that carry nothing: so many at once, and so many a second.
const IDLE_FRAMES: (u32, u32) = (2000, 500);
/// What a DATA frame of some size, either way, gives back of them: its window updates and the like.
const EARNED: u32 = 4;
/// A smaller one gives nothing back: a client could ask for one byte at a time.
const SOME_SIZE: u32 = 512;
/// Streams that the client resets, or has us reset by mistakes of its own. Each has cost an exchange.
const RESETS: (u32, u32) = (200, 50);

/// What driver and line say to each other.
#[derive(Debug)]
pub(super) struct Wire(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Since when the client owes the rest of its preface, of a frame or of a head.
    owed: Option<(Owed, Instant)>,
    /// Since when a write has made no progress.
    blocked: Option<Instant>,
    /// Why the client is to be left.
    offence: Option<Reason>,
    /// Given back by the line at its end.
    stream: Option<Stream>,
}

/// What a client has begun and not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owed {
    /// Its preface and settings.
    Settings,
    /// A head, or a frame that is no DATA: timed as a whole.
    Head,
    /// A DATA frame: timed piece by piece.
    Data,
}

impl Wire {
    pub(super) fn new() -> Self {
        let owed = Some((Owed::Settings, Instant::now()));
        Self(Mutex::new(State { owed, blocked: None, offence: None, stream: None }))
    }

    pub(super) fn owed(&self) -> Option<(Owed, Instant)> {
        self.state().owed
    }

    pub(super) fn blocked_since(&self) -> Option<Instant> {
        self.state().blocked
    }

    pub(super) fn offence(&self) -> Option<Reason> {
        self.state().offence
    }

    /// The stream, once the line is gone.
    pub(super) fn take_stream(&self) -> Option<Stream> {
        self.state().stream.take()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn owes(&self, owed: Option<Owed>) {
        let mut state = self.state();
        state.owed = match (state.owed, owed) {
            (_, None) => None,
            // A wait for a head goes on, whatever of it comes.
            (Some((before, since)), Some(now)) if before == now && now != Owed::Data => Some((now, since)),
            (_, Some(now)) => Some((now, Instant::now())),
        };
    }

    fn offends(&self, reason: Reason) {
        self.state().offence.get_or_insert(reason);
    }

    fn writes<T>(&self, written: Poll<T>) -> Poll<T> {
        let mut state = self.state();
        match &written {
            Poll::Pending => _ = state.blocked.get_or_insert_with(Instant::now),
            Poll::Ready(_) => state.blocked = None,
        }
        written
    }
}

/// A client's connection behind the guard.
pub(super) struct Line {
    /// Absent only while it is dropped.
    stream: Option<Stream>,
    /// What the HTTP/1.1 connection had read when it turned out to be another.
    ahead: BytesMut,
    wire: Arc<Wire>,
    inbound: Frames,
    outbound: Frames,
    guard: Guard,
}

impl Line {
    pub(super) fn new(stream: Stream, ahead: BytesMut, wire: Arc<Wire>) -> Self {
        let (inbound, outbound) = (Frames::after(PREFACE), Frames::after(0));
        Self { stream: Some(stream), ahead, wire, inbound, outbound, guard: Guard::new() }
    }

    fn stream(&mut self) -> Pin<&mut Option<Stream>> {
        Pin::new(&mut self.stream)
    }

    /// Looks at what came.
    fn inspect(&mut self, mut bytes: &[u8]) {
        while let Some(came) = self.inbound.advance(&mut bytes) {
            if let Err(reason) = self.guard.received(came) {
                self.wire.offends(reason);
            }
        }
        self.wire.owes(self.guard.owed(&self.inbound));
    }

    /// Looks at what goes.
    fn note(&mut self, mut bytes: &[u8]) {
        while let Some(came) = self.outbound.advance(&mut bytes) {
            if let Came::Head(head) = came
                && let Err(reason) = self.guard.sent(head)
            {
                self.wire.offends(reason);
            }
        }
    }

    fn poll_source(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            let Some(stream) = self.stream().get_mut() else { return Poll::Ready(Ok(())) };
            return Pin::new(stream).poll_read(cx, buf);
        }
        let most = self.ahead.len().min(buf.remaining());
        buf.put_slice(self.ahead.get(..most).unwrap_or_default());
        self.ahead.advance(most);
        if self.ahead.is_empty() {
            self.ahead = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.wire.state().stream = self.stream.take();
    }
}

/// Judges what each frame costs.
#[derive(Debug)]
struct Guard {
    idle_frames: Budget,
    resets: Budget,
    stage: Stage,
    /// The frame that is being received.
    now: Option<FrameHead>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The first frame has to be SETTINGS (RFC 9113, 3.4).
    Settings,
    Frames,
    /// Between HEADERS and its last CONTINUATION.
    Block,
}

impl Guard {
    fn new() -> Self {
        let now = Instant::now();
        let budget = |(burst, rate)| Budget::new(burst, rate, now);
        Self { idle_frames: budget(IDLE_FRAMES), resets: budget(RESETS), stage: Stage::Settings, now: None }
    }

    fn received(&mut self, came: Came) -> Result<(), Reason> {
        match came {
            Came::Head(head) => {
                self.now = Some(head);
                self.begins(head)
            }
            Came::End => {
                if let Some(head) = self.now.take() {
                    self.ends(head);
                }
                Ok(())
            }
        }
    }

    fn begins(&mut self, head: FrameHead) -> Result<(), Reason> {
        if self.stage == Stage::Settings && (head.kind != SETTINGS || head.flags & ACK != 0) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        if is_of_a_wrong_size(head) {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        let within = match head.kind {
            RST_STREAM => self.resets.spend(Instant::now()),
            DATA if is_void(head) => self.idle_frames.spend(Instant::now()),
            DATA => {
                self.earn(head);
                true
            }
            HEADERS => true,
            _ => self.idle_frames.spend(Instant::now()),
        };
        if within { Ok(()) } else { Err(Reason::ENHANCE_YOUR_CALM) }
    }

    fn ends(&mut self, head: FrameHead) {
        self.stage = match (self.stage, head.kind) {
            (_, HEADERS | CONTINUATION) if head.flags & END_HEADERS == 0 => Stage::Block,
            _ => Stage::Frames,
        };
    }

    fn sent(&mut self, head: FrameHead) -> Result<(), Reason> {
        match head.kind {
            DATA => {
                self.earn(head);
                Ok(())
            }
            RST_STREAM if !self.resets.spend(Instant::now()) => Err(Reason::ENHANCE_YOUR_CALM),
            _ => Ok(()),
        }
    }

    fn earn(&mut self, head: FrameHead) {
        if head.len >= SOME_SIZE {
            self.idle_frames.earn(EARNED);
        }
    }

    fn owed(&self, inbound: &Frames) -> Option<Owed> {
        match (self.stage, self.now) {
            (Stage::Settings, _) => Some(Owed::Settings),
            (Stage::Frames, Some(head)) if head.kind == DATA => Some(Owed::Data),
            (Stage::Frames, None) if inbound.at_boundary() => None,
            (Stage::Block | Stage::Frames, _) => Some(Owed::Head),
        }
    }
}

/// What a frame of this kind cannot be as large as (RFC 9113, 6).
fn is_of_a_wrong_size(FrameHead { len, kind, flags }: FrameHead) -> bool {
    match kind {
        PRIORITY => len != 5,
        RST_STREAM | WINDOW_UPDATE => len != 4,
        SETTINGS if flags & ACK != 0 => len != 0,
        SETTINGS => !len.is_multiple_of(6),
        PING => len != 8,
        GOAWAY => len < 8,
        _ => false,
    }
}

/// A DATA frame that neither holds nor ends anything; what is padded may hold as little.
fn is_void(head: FrameHead) -> bool {
    let most = if head.flags & PADDED == 0 { 0 } else { 256 };
    head.len <= most && head.flags & END_STREAM == 0
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Not read any further; the driver, whose poll this is in, says goodbye.
        if self.wire.offence().is_some() {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(self.poll_source(cx, buf))?;
        self.inspect(buf.filled().get(before..).unwrap_or_default());
        if self.wire.offence().is_some() {
            // Nor is what came with it, so that nothing is begun that would be broken off at once.
            buf.set_filled(before);
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Some(stream) = self.stream().get_mut() else { return Poll::Ready(Ok(0)) };
        let written = Pin::new(stream).poll_write(cx, bytes);
        let written = ready!(self.wire.writes(written))?;
        self.note(bytes.get(..written).unwrap_or_default());
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Some(stream) = self.stream().get_mut() else { return Poll::Ready(Ok(0)) };
        let written = Pin::new(stream).poll_write_vectored(cx, slices);
        let written = ready!(self.wire.writes(written))?;
        let mut left = written;
        for slice in slices {
            let here = slice.len().min(left);
            left -= here;
            self.note(slice.get(..here).unwrap_or_default());
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(stream) = self.stream().get_mut() else { return Poll::Ready(Ok(())) };
        let flushed = Pin::new(stream).poll_flush(cx);
        self.wire.writes(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(stream) = self.stream().get_mut() else { return Poll::Ready(Ok(())) };
        Pin::new(stream).poll_shutdown(cx)
    }
}
