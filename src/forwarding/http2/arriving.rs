//! A response's body on its stream.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http_body::{Body, Frame, SizeHint};
use tokio_util::task::AbortOnDropHandle;

use super::{head, session::Slot};
use crate::{backend::Fault, forwarding::body::sifted};

/// A response's body. What is read of it is at once granted to the upstream again: whoever reads sets the pace. Dropped
/// before its end, its stream is cancelled, and the others of its connection go on.
#[derive(Debug)]
pub struct Arriving {
    stream: RecvStream,
    /// As announced; the stream fails where it is not true (RFC 9113, 8.1.1).
    length: Option<u64>,
    data: Data,
    /// Its place on the connection, and what of the request still flows.
    exchange: Option<(Slot, Option<AbortOnDropHandle<()>>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Data {
    Flows,
    Over,
}

impl Arriving {
    pub(super) fn new(
        stream: RecvStream,
        length: Option<u64>,
        slot: Slot,
        upload: Option<AbortOnDropHandle<()>>,
    ) -> Self {
        let mut arriving = Self { stream, length, data: Data::Flows, exchange: Some((slot, upload)) };
        arriving.look_for_the_end();
        arriving
    }

    fn look_for_the_end(&mut self) {
        if self.stream.is_end_stream() {
            self.exchange = None;
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if self.data == Data::Flows {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    let granted = self.stream.flow_control().release_capacity(data.len());
                    return Poll::Ready(Some(granted.map(|()| Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.data = Data::Over,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx)).transpose();
        Poll::Ready(trailers.map(|trailers| {
            let mut trailers = trailers?;
            if head::are_names(&trailers) {
                head::trim(&mut trailers);
                Ok(Frame::trailers(trailers))
            } else {
                Err(Reason::PROTOCOL_ERROR.into())
            }
        }))
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let frame = ready!(self.poll(cx));
        if matches!(frame, None | Some(Err(_))) {
            self.exchange = None;
        }
        self.look_for_the_end();
        Poll::Ready(frame.map(|frame| frame.map(sifted).map_err(|error| super::fault(&error))))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() {
            return SizeHint::with_exact(0);
        }
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
