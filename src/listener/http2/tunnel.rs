//! The bytes of an HTTP/2 stream, once its CONNECT was answered (RFC 8441, 5).

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most of what is handed to h2 at once.
const PIECE: usize = 16 * 1024;

/// A stream as a socket.
pub(super) struct TunnelStream {
    from_client: RecvStream,
    to_client: SendStream<Bytes>,
    /// Of the last DATA frame.
    left: Bytes,
}

impl TunnelStream {
    pub(super) fn new(from_client: RecvStream, to_client: SendStream<Bytes>) -> Self {
        Self { from_client, to_client, left: Bytes::new() }
    }

    /// The other side broke: so does this one (RFC 8441, 5).
    pub(super) fn reset(&mut self) {
        self.to_client.send_reset(Reason::CANCEL);
    }
}

fn broken(error: h2::Error) -> io::Error {
    if error.is_io() {
        error.into_io().unwrap_or_else(|| io::ErrorKind::ConnectionReset.into())
    } else {
        io::Error::other(error)
    }
}

impl AsyncRead for TunnelStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.left.is_empty() {
            match ready!(self.from_client.poll_data(cx)) {
                Some(data) => self.left = data.map_err(broken)?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let most = self.left.len().min(buf.remaining());
        buf.put_slice(self.left.get(..most).unwrap_or_default());
        self.left.advance(most);
        self.from_client.flow_control().release_capacity(most).map_err(broken)?;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TunnelStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let wanted = bytes.len().min(PIECE);
        self.to_client.reserve_capacity(wanted);
        while self.to_client.capacity() == 0 {
            match ready!(self.to_client.poll_capacity(cx)) {
                Some(granted) => _ = granted.map_err(broken)?,
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let most = self.to_client.capacity().min(wanted);
        let piece = Bytes::copy_from_slice(bytes.get(..most).unwrap_or_default());
        self.to_client.send_data(piece, false).map_err(broken)?;
        Poll::Ready(Ok(most))
    }

    /// The connection's task writes what it was handed.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.to_client.send_data(Bytes::new(), true).map_err(broken))
    }
}
