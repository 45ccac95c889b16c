//! A request's body as it comes, by either protocol.

use std::{
    error::Error,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use thiserror::Error;

use super::http2::Arriving;

/// Why a body breaks off that the client has not sent in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the request body stalled")]
pub struct Stalled;

/// A request's body.
#[derive(Debug)]
pub enum Incoming {
    /// None; what else comes is a tunnel's.
    Empty,
    /// Of an HTTP/1.1 connection.
    Http1(hyper::body::Incoming),
    /// Of an HTTP/2 stream.
    Http2(Box<Arriving>),
}

/// Whether the socket has given the client up.
fn is_late(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut)
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Http1(body) => Pin::new(body)
                .poll_frame(cx)
                .map_err(|error| if is_late(&error) { Stalled.into() } else { error.into() }),
            Self::Http2(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
        }
    }
}
