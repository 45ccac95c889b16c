//! An image on its way: read on the work plane in small pieces, a few of them ahead of the client.

use std::{
    io,
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    sync::mpsc,
};

use crate::generator::plane::Plane;

const PIECE: usize = 64 * 1024;
const AHEAD: usize = 2;

/// The body of an image's answer; its length is known. Dropping it ends the reading.
#[derive(Debug)]
pub struct ImageBody {
    source: Source,
    remaining: u64,
}

#[derive(Debug)]
enum Source {
    Held(Bytes),
    Pieces(mpsc::Receiver<io::Result<Bytes>>),
}

impl ImageBody {
    /// Nothing.
    pub(crate) fn empty() -> Self {
        Self::full("")
    }

    /// A short text.
    pub(crate) fn full(text: &'static str) -> Self {
        let held = Bytes::from_static(text.as_bytes());
        Self { remaining: u64::try_from(held.len()).unwrap_or(0), source: Source::Held(held) }
    }

    /// What `reader` gives, as many bytes as `range` has.
    pub(crate) fn stream(
        plane: &Plane,
        reader: impl AsyncRead + Send + Unpin + 'static,
        range: Range<u64>,
    ) -> Self {
        let (sender, pieces) = mpsc::channel(AHEAD);
        let task = plane.spawn(pump(reader, sender));
        // It ends by itself, with the file or with its receiver, and is tracked by its plane.
        drop(task);
        Self { source: Source::Pieces(pieces), remaining: range.end.saturating_sub(range.start) }
    }
}

async fn pump(mut reader: impl AsyncRead + Unpin, sender: mpsc::Sender<io::Result<Bytes>>) {
    loop {
        let mut piece = BytesMut::with_capacity(PIECE);
        let read = reader.read_buf(&mut piece).await;
        let piece = match read {
            Ok(0) => return,
            Ok(_) => Ok(piece.freeze()),
            Err(error) => Err(error),
        };
        let last = piece.is_err();
        if sender.send(piece).await.is_err() || last {
            return;
        }
    }
}

impl Body for ImageBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.remaining == 0 {
            return Poll::Ready(None);
        }
        let piece = match &mut self.source {
            Source::Held(held) => std::mem::take(held),
            Source::Pieces(pieces) => match ready!(pieces.poll_recv(cx)) {
                Some(Ok(piece)) => piece,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
            },
        };
        self.remaining = self.remaining.saturating_sub(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}
