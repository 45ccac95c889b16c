//! Bodies on their way: a request's towards an upstream, a response's back.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::Instant,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{
    head,
    pool::{Lease, protocol},
};
use crate::backend::{Fault, Sent};

/// A request's body as an upstream's connection reads it.
#[derive(Debug)]
pub struct Upload<B> {
    body: B,
    /// Where there is anything to upload.
    progress: Option<Arc<Progress>>,
}

/// How far an upload has come; shared with the exchange that waits for the answer.
#[derive(Debug)]
pub(super) struct Progress(Mutex<State>);

#[derive(Debug)]
struct State {
    last: Instant,
    reached: Reached,
    /// It waits for the client's next piece, and the upstream for us.
    starved: bool,
    fault: Option<Fault>,
    /// `Expect: 100-continue` holds the body back (RFC 9110, 10.1.1).
    held: bool,
    waiting: Option<Waker>,
}

/// What of an upload has moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    Nothing,
    Part,
    All,
}

/// Whether a body flows at once or waits to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    AtOnce,
    WhenContinued,
}

impl Progress {
    pub(super) fn new(flow: Flow) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            last: Instant::now(),
            reached: Reached::Nothing,
            starved: false,
            fault: None,
            held: flow == Flow::WhenContinued,
            waiting: None,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a held body flow.
    pub(super) fn proceed(&self) {
        let mut state = self.state();
        state.held = false;
        if let Some(upload) = state.waiting.take() {
            upload.wake();
        }
    }

    pub(super) fn is_held(&self) -> bool {
        self.state().held
    }

    /// When the last piece moved.
    pub(super) fn last(&self) -> Instant {
        self.state().last
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state().reached == Reached::All
    }

    /// Whether the next move is the client's, who has a limit of its own.
    pub(super) fn is_starved(&self) -> bool {
        self.state().starved
    }

    pub(super) fn sent(&self) -> Sent {
        if self.state().reached == Reached::Nothing { Sent::Head } else { Sent::Body }
    }

    /// What the client did wrong, if it was the client.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.state().fault.clone()
    }
}

impl<B> Upload<B> {
    pub(super) fn new(body: B, progress: Option<Arc<Progress>>) -> Self {
        Self { body, progress }
    }
}

impl<B> Body for Upload<B>
where
    B: Body<Data = Bytes, Error = Fault> + Unpin,
{
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let this = &mut *self;
        let Some(progress) = &this.progress else { return Pin::new(&mut this.body).poll_frame(cx) };
        {
            let mut state = progress.state();
            if state.held {
                state.waiting = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        let mut state = progress.state();
        state.starved = frame.is_pending();
        let frame = ready!(frame);
        state.last = Instant::now();
        let is_last = match &frame {
            None => true,
            Some(Ok(frame)) => frame.is_trailers() || this.body.is_end_stream(),
            Some(Err(fault)) => {
                state.fault = Some(fault.clone());
                false
            }
        };
        state.reached = if is_last { Reached::All } else { Reached::Part };
        drop(state);
        Poll::Ready(frame.map(|frame| frame.map(sifted)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Trailers without those that may not cross.
fn sifted(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(trailers) => Frame::trailers(head::trailers(&trailers)),
        Err(data) => data,
    }
}

/// An upstream's response body. Read to its end, it gives the connection back; dropped before, it closes it.
#[derive(Debug)]
pub struct ResponseBody<B> {
    incoming: Incoming,
    lease: Option<Lease<B>>,
    upload: Option<Arc<Progress>>,
}

impl<B> ResponseBody<B> {
    pub(super) fn new(incoming: Incoming, lease: Lease<B>, upload: Option<Arc<Progress>>) -> Self {
        let mut body = Self { incoming, lease: Some(lease), upload };
        if body.incoming.is_end_stream() {
            body.finish();
        }
        body
    }

    fn finish(&mut self) {
        if let Some(lease) = self.lease.take()
            && self.upload.as_ref().is_none_or(|upload| upload.has_ended())
        {
            lease.release();
        }
    }
}

impl<B: Unpin> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        let trailers = matches!(&frame, Some(Ok(frame)) if frame.is_trailers());
        if frame.is_none() || trailers || self.incoming.is_end_stream() {
            self.finish();
        }
        Poll::Ready(frame.map(|frame| frame.map(sifted).map_err(|error| protocol(&error))))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
