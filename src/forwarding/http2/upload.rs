//! A request's body on its way into a stream, as fast as the upstream's window opens. Its beginning is kept until an
//! answer comes, because a stream that the upstream has not looked at may be sent once more (RFC 9113, 8.7).

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body;

use crate::{
    backend::Fault,
    forwarding::body::{Progress, Upload},
};

/// How much of a body is kept.
const KEPT: usize = 64 * 1024;

/// A body and the stream that it flows into.
#[derive(Debug)]
pub(super) struct Pump<B> {
    body: Upload<B>,
    stream: SendStream<Bytes>,
    /// Of the last piece, for which the window has no room yet.
    left: Bytes,
    reached: Reached,
    kept: Option<Vec<Bytes>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    /// More pieces come.
    Flowing,
    /// `left` is the last.
    Last,
    /// The stream is over, for whatever reason.
    Over,
}

impl<B> Pump<B>
where
    B: Body<Data = Bytes, Error = Fault> + Unpin,
{
    pub(super) fn new(body: Upload<B>, stream: SendStream<Bytes>) -> Self {
        Self { body, stream, left: Bytes::new(), reached: Reached::Flowing, kept: Some(Vec::new()) }
    }

    pub(super) fn is_over(&self) -> bool {
        self.reached == Reached::Over
    }

    /// Nothing will be sent again.
    pub(super) fn forget(&mut self) {
        self.kept = None;
    }

    /// The body as it was, and what of it has been sent before the rest; `None` where that is not known any more.
    pub(super) fn rewound(self, progress: Option<&Progress>) -> Option<Upload<B>> {
        let mut sent = VecDeque::from(self.kept?);
        sent.retain(|piece| !piece.is_empty());
        if let Some(progress) = progress {
            progress.rewind();
        }
        Some(self.body.preceded_by(sent))
    }

    /// Sends what can be sent. Ready when there is no more, or nobody who takes it; an error is the client's.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        while self.reached != Reached::Over {
            if self.stream.poll_reset(cx).is_ready() {
                // Whether an answer comes all the same is the answer's to say.
                self.reached = Reached::Over;
                break;
            }
            if !self.left.is_empty() || self.reached == Reached::Last {
                ready!(self.poll_send(cx));
                continue;
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => self.end(),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.take(data),
                    Err(frame) => {
                        self.kept = None;
                        let trailers = frame.into_trailers().unwrap_or_default();
                        drop(self.stream.send_trailers(trailers));
                        self.reached = Reached::Over;
                    }
                },
                Some(Err(fault)) => {
                    // Never ended as if it were whole.
                    self.stream.send_reset(Reason::CANCEL);
                    self.reached = Reached::Over;
                    return Poll::Ready(Err(fault));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, data: Bytes) {
        if let Some(kept) = &mut self.kept {
            kept.push(data.clone());
            if kept.iter().map(Bytes::len).sum::<usize>() > KEPT {
                self.kept = None;
            }
        }
        self.left = data;
        if self.body.is_end_stream() {
            self.reached = Reached::Last;
        }
    }

    fn end(&mut self) {
        drop(self.stream.send_data(Bytes::new(), true));
        self.reached = Reached::Over;
    }

    /// Sends as much of `left` as the window takes.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.left.is_empty() {
            self.end();
            return Poll::Ready(());
        }
        self.stream.reserve_capacity(self.left.len());
        while self.stream.capacity() == 0 {
            let Some(Ok(_)) = ready!(self.stream.poll_capacity(cx)) else {
                self.reached = Reached::Over;
                return Poll::Ready(());
            };
        }
        let most = self.stream.capacity().min(self.left.len());
        let piece = self.left.split_to(most);
        let last = self.reached == Reached::Last && self.left.is_empty();
        // An error of the stream's is the answer's too.
        let sent = self.stream.send_data(piece, last);
        if last || sent.is_err() {
            self.reached = Reached::Over;
        }
        Poll::Ready(())
    }
}
