//! The client's socket as hyper sees it: reads pass the guard and stop at message boundaries, writes let interim
//! responses go first, and both leave word of what they wait for.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    Refusal,
    chunked::Chunked,
    guard::{self, Framing, Head, HeadLimits, inspect},
    http2::REQUEST_OF_PREFACE,
    wire::{Wants, Wire},
};
use crate::stream::Stream;

/// How often a client is asked whether it is still there, once it has ended its side or sent more than was asked for.
pub(super) const LOOK: Duration = Duration::from_millis(500);

/// What the next bytes from the client are.
#[derive(Debug)]
enum Next {
    /// A head, of which this many buffered bytes were judged already.
    Head { seen: usize },
    /// What is left of a message whose head was found sound.
    Message { head: usize, body: Rest },
}

#[derive(Debug)]
enum Rest {
    Length(u64),
    Chunked(Chunked),
}

/// What a connection turns out to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    /// Its first bytes will tell: plaintext, on which a client may know that we speak HTTP/2 (RFC 9113, 3.3).
    Either,
    /// HTTP/1.1, by its first request or by ALPN.
    Http1,
    /// HTTP/2: what was read is the beginning of its preface.
    Http2,
}

/// A client's socket behind the guard.
#[derive(Debug)]
pub(super) struct Socket {
    stream: Stream,
    speaks: Speaks,
    next: Next,
    /// Read from the socket, not yet given to hyper: a partial head, or what followed the message.
    ahead: BytesMut,
    limits: HeadLimits,
    /// Fields that hyper has room for.
    room: usize,
    /// It has too little.
    crowded: bool,
    /// The next head waits for the last answer to be with the kernel.
    held: bool,
    /// The client has ended its side.
    ended: bool,
    wire: Arc<Wire>,
    /// When the socket was last asked for an error.
    looked: Option<Instant>,
}

impl Socket {
    /// From which `ahead` was read already.
    pub(super) fn new(
        stream: Stream,
        ahead: BytesMut,
        speaks: Speaks,
        (limits, room): (HeadLimits, usize),
        wire: Arc<Wire>,
    ) -> Self {
        let next = Next::Head { seen: 0 };
        let (crowded, held, ended) = (false, false, false);
        Self { stream, speaks, next, ahead, limits, room, crowded, held, ended, wire, looked: None }
    }

    /// Whether it ended because the next head, which is ahead, has more fields than there was room for.
    pub(super) fn is_crowded(&self) -> bool {
        self.crowded
    }

    pub(super) fn speaks(&self) -> Speaks {
        self.speaks
    }

    /// The stream, and bytes that were read from it and belong to no request that hyper saw.
    pub(super) fn into_parts(self) -> (Stream, BytesMut) {
        (self.stream, self.ahead)
    }

    /// Whether the client's end was read: nothing of it can be unread.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Reads what the kernel has into `buf`, as scratch space: returns how much, 0 at the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        self.ended = read == 0;
        Poll::Ready(Ok(read))
    }

    /// Judges the head in `ahead`; true when it is whole and sound.
    fn judge(&mut self, seen: usize) -> Result<bool, Refusal> {
        let Some(head) = inspect(&self.ahead, seen, self.limits)? else {
            self.next = Next::Head { seen: self.ahead.len() };
            return Ok(false);
        };
        if head.fields > self.room {
            self.crowded = true;
            return Err(Refusal::bad("more fields than there is room for"));
        }
        Ok(self.admit(head))
    }

    /// Judges what came, of which nothing is ahead: most often one whole head, which need not be copied then.
    fn judge_whole(&mut self, came: &[u8]) -> bool {
        match inspect(came, 0, self.limits) {
            Ok(Some(head)) if self.ahead.is_empty() && head.fields <= self.room => self.admit(head),
            _ => false,
        }
    }

    /// What follows is the message of `head`.
    fn admit(&mut self, head: Head) -> bool {
        let body = match head.framing {
            Framing::Length(length) => Rest::Length(length),
            Framing::Chunked => Rest::Chunked(Chunked::new()),
        };
        self.next = Next::Message { head: head.len, body };
        self.speaks = Speaks::Http1;
        self.wire.receives();
        true
    }

    /// How many of `bytes` belong to the message, and whether it ends with them.
    fn consume(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let Next::Message { head, body } = &mut self.next else { return Ok(0) };
        let of_head = bytes.len().min(*head);
        *head -= of_head;
        let rest = bytes.get(of_head..).unwrap_or_default();
        let (of_body, ended) = match body {
            Rest::Length(left) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                *left -= take as u64;
                (take, *left == 0)
            }
            Rest::Chunked(framing) => match framing.advance(rest) {
                Ok(Some(end)) => (end, true),
                Ok(None) => (rest.len(), false),
                // The head goes first: what is wrong behind it is wrong with a request, which is answered.
                Err(_) if of_head > 0 => {
                    *framing = Chunked::new();
                    (0, false)
                }
                Err(refusal) => return Err(refusal),
            },
        };
        if *head == 0 && ended {
            self.next = Next::Head { seen: 0 };
            self.wire.received();
        }
        Ok(of_head + of_body)
    }

    /// Gives hyper what is ahead and belongs to the current message.
    fn deliver(&mut self, buf: &mut ReadBuf<'_>) -> Result<(), Refusal> {
        let ahead = std::mem::take(&mut self.ahead);
        let most = ahead.len().min(buf.remaining());
        let used = self.consume(ahead.get(..most).unwrap_or_default());
        self.ahead = ahead;
        let used = used?;
        buf.put_slice(self.ahead.get(..used).unwrap_or_default());
        self.ahead.advance(used);
        if self.ahead.is_empty() {
            self.ahead = BytesMut::new();
        }
        Ok(())
    }

    fn wants(&self) -> Wants {
        match self.next {
            Next::Head { .. } if self.held => Wants::Nothing,
            Next::Head { .. } if guard::is_blank(&self.ahead) => Wants::Request,
            Next::Head { .. } => Wants::Head,
            Next::Message { .. } => Wants::Body,
        }
    }

    fn poll_message(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let seen = match self.next {
                Next::Message { .. } if self.wire.has_given_up() => {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                Next::Message { .. } if !self.ahead.is_empty() => {
                    return Poll::Ready(self.deliver(buf).map_err(io::Error::other));
                }
                Next::Message { .. } => {
                    let start = buf.filled().len();
                    if ready!(self.poll_fill(cx, buf))? > 0 {
                        self.trim(buf, start).map_err(io::Error::other)?;
                    }
                    return Poll::Ready(Ok(()));
                }
                // hyper may come for the next head before it has written all of the last answer. A head that ends
                // its work would cost that answer its end, and the head's time is not the client's yet.
                Next::Head { .. } if !self.wire.is_flushed() => {
                    self.held = true;
                    return Poll::Pending;
                }
                Next::Head { seen } => seen,
            };
            if self.ahead.len() > seen && self.judge(seen).map_err(|refusal| self.refuse(refusal))? {
                continue;
            }
            let start = buf.filled().len();
            let read = ready!(self.poll_fill(cx, buf))?;
            if read == 0 {
                return Poll::Ready(Ok(()));
            }
            if self.judge_whole(buf.filled().get(start..).unwrap_or_default()) {
                return Poll::Ready(self.trim(buf, start).map_err(io::Error::other));
            }
            self.ahead.extend_from_slice(buf.filled().get(start..).unwrap_or_default());
            buf.set_filled(start);
        }
    }

    /// Ends hyper's reading: what came is no request, or one of another protocol.
    fn refuse(&mut self, refusal: Refusal) -> io::Error {
        if self.speaks == Speaks::Either && self.ahead.starts_with(REQUEST_OF_PREFACE) {
            self.speaks = Speaks::Http2;
            return io::Error::other("it speaks HTTP/2");
        }
        if self.crowded {
            return io::Error::other(refusal);
        }
        self.wire.refuse(refusal)
    }

    /// Keeps in `buf` what belongs to the message, and the rest for later.
    fn trim(&mut self, buf: &mut ReadBuf<'_>, start: usize) -> Result<(), Refusal> {
        let used = self.consume(buf.filled().get(start..).unwrap_or_default())?;
        self.ahead.extend_from_slice(buf.filled().get(start + used..).unwrap_or_default());
        buf.set_filled(start + used);
        Ok(())
    }

    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(mut head) = self.wire.interim.pop() {
            while head.has_remaining() {
                match Pin::new(&mut self.stream).poll_write(cx, &head) {
                    Poll::Ready(written) => head.advance(written?),
                    Poll::Pending => {
                        self.wire.interim.push_front(head);
                        return Poll::Pending;
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Fails once the client has reset the connection. hyper would not notice before its next write: a client that has
    /// ended its side still gets its answer, so nothing is read while there is one to come. Readiness costs no system
    /// call; it comes with a reset, and also with the client's end, or its next request: then the socket is asked.
    fn check_client(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let socket = self.stream.socket();
        let Poll::Ready(ready) = socket.poll_read_ready(cx) else {
            if self.looked.take().is_some() {
                self.wire.trusts();
            }
            return Ok(());
        };
        ready?;
        let now = Instant::now();
        if self.looked.is_some_and(|looked| now < looked + LOOK) {
            return Ok(());
        }
        self.looked = Some(now);
        self.wire.doubts();
        socket.take_error()?.map_or(Ok(()), Err)
    }

    fn note_write<T>(&self, written: Poll<T>) -> Poll<T> {
        self.wire.unflushed();
        self.wire.writes(&written);
        written
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.poll_message(cx, buf);
        self.wire.reads(if read.is_pending() { self.wants() } else { Wants::Nothing });
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_interim(cx))?;
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note_write(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_interim(cx))?;
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note_write(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper flushes when it has nothing left to write.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_interim(cx))?;
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_pending() {
            return self.note_write(flushed);
        }
        self.wire.flushed();
        if std::mem::take(&mut self.held) {
            cx.waker().wake_by_ref();
        }
        self.check_client(cx)?;
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
