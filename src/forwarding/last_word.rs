//! An upstream's socket that is heard to its end.
//!
//! An upstream that refuses an upload answers and closes, and what was still on its way to it comes back as a reset: the
//! next write fails while the answer waits to be read. hyper would drop the answer for the error. Here a write that fails
//! is taken for done, and the read, which knows what came before the end, says how the exchange ended.
//!
//! An upstream that has vanished without a word says nothing either, and the kernel sends a request again for a quarter of
//! an hour. Where little was sent it is given up sooner: that fits into what the other end's kernel takes by itself, which
//! acknowledges it whether anybody reads it or not. More may have to wait for a reader, who may be slow.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::sieve::Sieve;
use crate::stream::Stream;

/// The most that is read at once. hyper doubles its buffer while a read fills it, up to what the largest head may need;
/// one byte less than a power of two, and it stays at that.
const AT_ONCE: u64 = 64 * 1024 - 1;

/// So much of one request fits into every receive buffer, in bytes.
const LITTLE: usize = 16 * 1024;

/// A stream whose writes never fail, and whose reads pass a sieve.
#[derive(Debug)]
pub(super) struct LastWord {
    stream: Stream,
    sieve: Sieve,
    /// Everything that was to be written is with the kernel.
    flushed: bool,
    /// What was written of this exchange, as long as it is little and has to be acknowledged in time.
    little: Option<usize>,
}

impl LastWord {
    pub(super) fn of(stream: Stream, sieve: Sieve) -> Self {
        Self { stream, sieve, flushed: true, little: None }
    }

    /// The same, which breaks where a little that was written is not acknowledged `within` this time.
    pub(super) fn acknowledged(stream: Stream, sieve: Sieve, within: Duration) -> Self {
        stream.acknowledges_within(Some(within));
        Self { little: Some(0), ..Self::of(stream, sieve) }
    }

    fn wrote(&mut self, written: io::Result<usize>, all: usize) -> usize {
        let written = written.unwrap_or(all);
        if let Some(little) = self.little {
            let of_exchange = if self.sieve.begins() { written } else { little + written };
            self.little = (of_exchange <= LITTLE).then_some(of_exchange);
            if self.little.is_none() {
                self.stream.acknowledges_within(None);
            }
        }
        written
    }

    /// Whether nothing waits to be written: hyper flushes when it has no more.
    pub(super) fn is_flushed(&self) -> bool {
        self.flushed
    }

    pub(super) fn into_inner(self) -> Stream {
        self.stream
    }
}

impl AsyncRead for LastWord {
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

impl AsyncWrite for LastWord {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.flushed = false;
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        Poll::Ready(Ok(self.wrote(written, bytes.len())))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.flushed = false;
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, pieces));
        let all = pieces.iter().map(|piece| piece.len()).sum();
        Poll::Ready(Ok(self.wrote(written, all)))
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

#[cfg(test)]
mod tests {
    use rustix::net::sockopt::tcp_user_timeout;
    use tokio::{
        io::AsyncWriteExt as _,
        net::{TcpListener, TcpStream},
    };

    use super::*;

    #[tokio::test]
    async fn a_little_is_acknowledged_in_time_and_more_waits_for_a_reader() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (_unread, _) = listener.accept().await.unwrap();
        let sieve = Sieve::of(4096);
        let mut word =
            LastWord::acknowledged(Stream::Plain(stream), sieve.clone(), Duration::from_millis(2500));
        let limit = |word: &LastWord| tcp_user_timeout(word.stream.socket()).unwrap();
        for _ in 0..3 {
            sieve.listen();
            word.write_all(&[b'a'; LITTLE]).await.unwrap();
            assert_eq!(limit(&word), 2500);
        }
        word.write_all(b"a").await.unwrap();
        assert_eq!(limit(&word), 0);
        sieve.listen();
        word.write_all(b"a").await.unwrap();
        assert_eq!(limit(&word), 0, "what waits may be of the exchange before");
    }
}
