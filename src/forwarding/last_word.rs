//! An upstream's socket that is heard to its end.
//!
//! An upstream that refuses an upload answers and closes, and what was still on its way to it comes back as a reset: the
//! next write fails while the answer waits to be read. hyper would drop the answer for the error. Here a write that fails
//! is taken for done, and the read, which knows what came before the end, says how the exchange ended.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::sieve::Sieve;

/// The most that is read at once. hyper doubles its buffer while a read fills it, up to what the largest head may need;
/// one byte less than a power of two, and it stays at that.
const AT_ONCE: u64 = 64 * 1024 - 1;

/// A stream whose writes never fail, and whose reads pass a sieve.
#[derive(Debug)]
pub(super) struct LastWord<S> {
    stream: S,
    sieve: Sieve,
    /// Everything that was to be written is with the kernel.
    flushed: bool,
}

impl<S> LastWord<S> {
    pub(super) fn of(stream: S, sieve: Sieve) -> Self {
        Self { stream, sieve, flushed: true }
    }

    /// Whether nothing waits to be written: hyper flushes when it has no more.
    pub(super) fn is_flushed(&self) -> bool {
        self.flushed
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LastWord<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut (&mut self.stream).take(AT_ONCE)).poll_read(cx, into);
        // hyper looks more often than anything comes.
        if let Some(came @ [_, ..]) = into.filled_mut().get_mut(before..) {
            self.sieve.pass(came)?;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for LastWord<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.flushed = false;
        Pin::new(&mut self.stream).poll_write(cx, bytes).map(|written| Ok(written.unwrap_or(bytes.len())))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.flushed = false;
        let all = || pieces.iter().map(|piece| piece.len()).sum();
        Pin::new(&mut self.stream)
            .poll_write_vectored(cx, pieces)
            .map(|written| Ok(written.unwrap_or_else(|_| all())))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.flushed = flushed.is_ready();
        flushed.map(|_| Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
