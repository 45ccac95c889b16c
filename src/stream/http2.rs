//! The bytes of an HTTP/2 stream, once its CONNECT was answered (RFC 8441, 5), at either end.

use std::{
    fmt::Debug,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Duplex;

/// Most of what is handed to h2 at once.
const PIECE: usize = 16 * 1024;

/// A stream as a socket.
#[derive(Debug)]
pub(crate) struct Http2Stream<K = ()> {
    receives: RecvStream,
    sends: SendStream<Bytes>,
    /// Of the last DATA frame.
    left: Bytes,
    /// What has to last as long as the stream.
    _kept: K,
}

impl<K> Http2Stream<K> {
    pub(crate) fn new(receives: RecvStream, sends: SendStream<Bytes>, kept: K) -> Self {
        Self { receives, sends, left: Bytes::new(), _kept: kept }
    }
}

impl<K: Debug + Send + Unpin> Duplex for Http2Stream<K> {
    /// RFC 9113, 8.5, as RFC 8441, 5 has it of sockets that break.
    fn reset_at_end(&mut self) {
        self.sends.send_reset(Reason::CONNECT_ERROR);
    }
}

fn broken(error: h2::Error) -> io::Error {
    if error.is_io() {
        error.into_io().unwrap_or_else(|| io::ErrorKind::ConnectionReset.into())
    } else {
        io::Error::other(error)
    }
}

impl<K: Unpin> AsyncRead for Http2Stream<K> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.left.is_empty() {
            match ready!(self.receives.poll_data(cx)) {
                Some(data) => self.left = data.map_err(broken)?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let most = self.left.len().min(buf.remaining());
        buf.put_slice(self.left.get(..most).unwrap_or_default());
        self.left.advance(most);
        self.receives.flow_control().release_capacity(most).map_err(broken)?;
        Poll::Ready(Ok(()))
    }
}

impl<K: Unpin> AsyncWrite for Http2Stream<K> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let wanted = bytes.len().min(PIECE);
        self.sends.reserve_capacity(wanted);
        while self.sends.capacity() == 0 {
            match ready!(self.sends.poll_capacity(cx)) {
                Some(granted) => _ = granted.map_err(broken)?,
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let most = self.sends.capacity().min(wanted);
        let piece = Bytes::copy_from_slice(bytes.get(..most).unwrap_or_default());
        self.sends.send_data(piece, false).map_err(broken)?;
        Poll::Ready(Ok(most))
    }

    /// The connection's task writes what it was handed.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.sends.send_data(Bytes::new(), true).map_err(broken))
    }
}
