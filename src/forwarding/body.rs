//! Bodies on their way: a request's towards an upstream, a response's back.

use std::{
    collections::VecDeque,
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
    http2::Arriving,
    pool::{Lease, protocol},
};
use crate::backend::Fault;

/// A request's body as an upstream's connection reads it. Most requests have none, and are moved about with what they have.
#[derive(Debug)]
pub struct Upload<B>(Option<Box<Load<B>>>);

#[derive(Debug)]
struct Load<B> {
    /// What was sent before, and is sent once more ahead of the rest.
    again: VecDeque<Bytes>,
    body: B,
    progress: Arc<Progress>,
}

/// How far an upload has come; shared with the exchange that waits for the answer.
#[derive(Debug)]
pub(super) struct Progress(Mutex<State>);

#[derive(Debug)]
struct State {
    last: Instant,
    /// All of it has moved.
    ended: bool,
    /// It waits for the client's next piece, and the upstream for us.
    starved: bool,
    fault: Option<Fault>,
    /// `Expect: 100-continue` holds the body back (RFC 9110, 10.1.1).
    held: bool,
    waiting: Option<Waker>,
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
            ended: false,
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
        self.state().ended
    }

    /// Whether the next move is the client's, who has a limit of its own.
    pub(super) fn is_starved(&self) -> bool {
        self.state().starved
    }

    /// It begins again, from what was kept of it.
    pub(super) fn rewind(&self) {
        let mut state = self.state();
        (state.ended, state.starved) = (false, false);
    }

    /// What the client did wrong, if it was the client.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.state().fault.clone()
    }
}

impl<B> Upload<B> {
    /// Of `body`, which flows at once or when it is asked for.
    pub(super) fn flowing(body: B, flow: Flow) -> Self
    where
        B: Body,
    {
        let is_any = !body.is_end_stream();
        let load = || Load { again: VecDeque::new(), body, progress: Progress::new(flow) };
        Self(is_any.then(load).map(Box::new))
    }

    /// Of these pieces alone.
    pub(super) fn of_pieces(pieces: VecDeque<Bytes>) -> Self
    where
        B: Default,
    {
        let is_any = !pieces.is_empty();
        let load = || Load { again: pieces, body: B::default(), progress: Progress::new(Flow::AtOnce) };
        Self(is_any.then(load).map(Box::new))
    }

    /// Where there is anything to upload.
    pub(super) fn progress(&self) -> Option<&Arc<Progress>> {
        self.0.as_ref().map(|load| &load.progress)
    }

    /// With these pieces ahead of what is left.
    pub(super) fn preceded_by(mut self, mut pieces: VecDeque<Bytes>) -> Self {
        if let Some(load) = &mut self.0 {
            pieces.append(&mut load.again);
            load.again = pieces;
        }
        self
    }

    /// The body itself, of which nothing may have been sent yet.
    pub(super) fn untouched(self) -> Option<B>
    where
        B: Default,
    {
        match self.0 {
            None => Some(B::default()),
            Some(load) => load.again.is_empty().then_some(load.body),
        }
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
        let Some(load) = &mut self.0 else { return Poll::Ready(None) };
        {
            let mut state = load.progress.state();
            if state.held {
                state.waiting = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        let frame = match load.again.pop_front() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None => Pin::new(&mut load.body).poll_frame(cx),
        };
        let mut state = load.progress.state();
        state.starved = frame.is_pending();
        let frame = ready!(frame);
        state.last = Instant::now();
        let is_last = match &frame {
            None => true,
            Some(Ok(frame)) => frame.is_trailers() || (load.again.is_empty() && load.body.is_end_stream()),
            Some(Err(fault)) => {
                state.fault = Some(fault.clone());
                false
            }
        };
        state.ended = is_last;
        drop(state);
        Poll::Ready(frame.map(|frame| frame.map(sifted)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|load| load.again.is_empty() && load.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let Some(load) = &self.0 else { return SizeHint::with_exact(0) };
        let rest = load.body.size_hint();
        if load.again.is_empty() {
            return rest;
        }
        let again: u64 = load.again.iter().map(|piece| piece.len() as u64).sum();
        rest.exact().map_or_else(SizeHint::default, |rest| SizeHint::with_exact(again + rest))
    }
}

/// Trailers without those that may not cross.
pub(super) fn sifted(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(trailers) => Frame::trailers(head::trailers(&trailers)),
        Err(data) => data,
    }
}

/// An upstream's response body. Read to its end, it gives the connection back, or its place on one; dropped before, it
/// closes it, or cancels its stream.
#[derive(Debug)]
pub enum ResponseBody<B> {
    /// Of a connection that carries one exchange at a time.
    Http1(Http1Body<B>),
    /// Of one stream among others.
    Http2(Box<Arriving>),
    /// There is none: what follows is a tunnel's.
    None,
}

/// A response's body in HTTP/1.1.
#[derive(Debug)]
pub struct Http1Body<B> {
    incoming: Incoming,
    lease: Option<Lease<B>>,
    upload: Option<Arc<Progress>>,
}

impl<B> Http1Body<B> {
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

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let Self { incoming, lease, .. } = self;
        let frame = ready!(match lease {
            Some(lease) => lease.connection().poll(cx, |cx| Pin::new(&mut *incoming).poll_frame(cx)),
            None => Pin::new(incoming).poll_frame(cx),
        });
        let trailers = matches!(&frame, Some(Ok(frame)) if frame.is_trailers());
        if frame.is_none() || trailers || self.incoming.is_end_stream() {
            self.finish();
        }
        Poll::Ready(frame.map(|frame| frame.map(sifted).map_err(|error| protocol(&error))))
    }
}

impl<B: Unpin> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match self.get_mut() {
            Self::Http1(body) => body.poll_frame(cx),
            Self::Http2(body) => Pin::new(&mut **body).poll_frame(cx),
            Self::None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.incoming.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
            Self::None => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.incoming.size_hint(),
            Self::Http2(body) => body.size_hint(),
            Self::None => SizeHint::with_exact(0),
        }
    }
}
