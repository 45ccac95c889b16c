//! A connection as bytes, a client's or one to an upstream: a plain socket, or one behind TLS. And a stream of HTTP/2
//! that carries bytes as a socket would.

mod http2;

use std::{
    fmt::Debug,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use rustix::{io::Errno, net::sockopt};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::TlsStream;

pub(crate) use self::http2::Http2Stream;

/// Bytes both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Debug + Send + Unpin {
    /// Has it end with a reset once it is dropped: nobody can take that for an end that was meant (RFC 9112, 8).
    fn reset_at_end(&mut self);
}

/// When the kernel asks who has been silent whether it is still there: after a minute, and at most nine times.
const PROBES: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_mins(1)).with_interval(Duration::from_secs(10));

/// One connection. An enum and not a trait: the plain one is the hot path.
#[derive(Debug)]
pub(crate) enum Stream {
    /// The socket itself.
    Plain(TcpStream),
    /// Behind a handshake; large, and as rare as its handshake is dear.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Ready when there is something to read, or the end. TLS may hold what its socket has given already: a first
    /// request comes along with the last of the handshake.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => stream.poll_read_ready(cx),
            Self::Tls(stream) => match stream.get_ref() {
                (_, session) if !session.wants_read() => Poll::Ready(Ok(())),
                (socket, _) => socket.poll_read_ready(cx),
            },
        }
    }

    /// The socket, without what lies between it and the bytes.
    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Has the kernel find out whether the other end has vanished without a word. For a connection whose silence has no
    /// limit, or a long one: nothing else would tell.
    pub(crate) fn probe_when_silent(&self) {
        if let Err(error) = SockRef::from(self.socket()).set_tcp_keepalive(&PROBES) {
            tracing::debug!(%error, "nobody will tell whether the other end is still there");
        }
    }

    /// Has the kernel break it where what was sent is not acknowledged in this time, or else in its own. An end that reads
    /// nothing acknowledges what it has room for, and no more.
    pub(crate) fn acknowledges_within(&self, time: Option<Duration>) {
        let milliseconds = time.map_or(0, |time| u32::try_from(time.as_millis()).unwrap_or(u32::MAX));
        if let Err(error) = sockopt::set_tcp_user_timeout(self.socket(), milliseconds) {
            tracing::debug!(%error, "what is sent has the kernel's time to be acknowledged");
        }
    }

    /// Whether its end has to be said (RFC 8446, 6.1): a bare FIN is taken for a cut.
    pub(crate) fn ends_with_an_alert(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

impl Duplex for Stream {
    fn reset_at_end(&mut self) {
        if let Err(error) = self.socket().set_zero_linger() {
            tracing::debug!(%error, "a connection ends without a reset");
        }
    }
}

/// Whether there is no socket for want of descriptors or memory: that is ours, and says nothing of the other end.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

/// So many bytes are sooner copied into one piece than a list of pieces is read by the kernel.
const FEW: usize = 1536;

/// The pieces as one, where there is `room` for them.
fn joined<'r>(pieces: &[io::IoSlice<'_>], room: &'r mut [u8; FEW]) -> Option<&'r [u8]> {
    let mut len = 0;
    for piece in pieces {
        room.get_mut(len..len + piece.len())?.copy_from_slice(piece);
        len += piece.len();
    }
    room.get(..len)
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // One piece needs no list that the kernel would have to read.
        if let [piece] = slices {
            return self.poll_write(cx, piece);
        }
        match self.get_mut() {
            Self::Plain(stream) => {
                let mut room = [0; FEW];
                match joined(slices, &mut room) {
                    Some(bytes) => Pin::new(stream).poll_write(cx, bytes),
                    None => Pin::new(stream).poll_write_vectored(cx, slices),
                }
            }
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
