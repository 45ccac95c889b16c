//! The exchange in flight on a connection: from the request that hyper hands over to the last byte of its answer.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, Version,
    header::{CONNECTION, CONTENT_LENGTH},
};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{
    self as listener, Answer, Handler, Peer, Tunnel,
    handler::{BoxError, Far},
    moment::Moment,
    wire::Wire,
};

/// What stage the exchange in flight on a connection is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Stage {
    /// There is none.
    Idle,
    /// The handler works.
    Handling,
    /// The response's body flows.
    Answering,
    /// A 101 was sent.
    Tunnelling,
}

/// The exchange in flight on a connection, if any. One task has all of it.
#[derive(Debug)]
pub(super) struct InFlight {
    /// One of [`Stage`].
    stage: AtomicU8,
    /// Since when the response's body has had nothing to send.
    starved: Moment,
    tunnel: Mutex<Option<Tunnel>>,
    /// No other will follow.
    ends: AtomicBool,
    /// Its answer ends where the connection does.
    open_ended: AtomicBool,
    /// How long its answer may have nothing to send.
    patience: Duration,
    /// That was too long.
    given_up: AtomicBool,
}

impl InFlight {
    /// Of a connection whose answers may have nothing to send for so long.
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            stage: AtomicU8::new(Stage::Idle as u8),
            starved: Moment::none(Instant::now()),
            tunnel: Mutex::new(None),
            ends: AtomicBool::new(false),
            open_ended: AtomicBool::new(false),
            patience,
            given_up: AtomicBool::new(false),
        }
    }

    /// The answer that has not begun yet is the last one.
    pub(super) fn drains(&self) {
        self.ends.store(true, Relaxed);
    }

    pub(super) fn stage(&self) -> Stage {
        const STAGES: [Stage; 4] = [Stage::Idle, Stage::Handling, Stage::Answering, Stage::Tunnelling];
        STAGES.get(usize::from(self.stage.load(Relaxed))).copied().unwrap_or(Stage::Idle)
    }

    pub(super) fn starved_since(&self) -> Option<Instant> {
        self.starved.get().filter(|_| !self.given_up.load(Relaxed))
    }

    /// The answer breaks off: it has had nothing to send for too long.
    pub(super) fn gives_up(&self) {
        self.given_up.store(true, Relaxed);
    }

    /// The answer has something to send.
    fn fed(&self) {
        self.starved.clear();
        self.given_up.store(false, Relaxed);
    }

    /// Whether its end would say of the last answer that it is whole.
    pub(super) fn is_open_ended(&self) -> bool {
        self.open_ended.load(Relaxed)
    }

    fn enter(&self, stage: Stage) {
        self.stage.store(stage as u8, Relaxed);
        self.fed();
    }

    fn tunnel(&self, tunnel: Tunnel) {
        self.enter(Stage::Tunnelling);
        *self.tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some(tunnel);
    }

    pub(super) fn take_tunnel(&self) -> Option<Far> {
        self.tunnel.lock().unwrap_or_else(PoisonError::into_inner).take()?.take()
    }
}

/// What two sides of a connection know of the exchange in flight.
type Known = (Arc<Wire>, Arc<InFlight>);

/// The answer to one request, for as long as the handler works. Not an async function: the handler's future, which is
/// large, would be moved into it before it is moved to the heap.
pub(super) struct Handling<F> {
    answer: Pin<Box<F>>,
    version: Version,
    known: Option<Known>,
}

/// Has `handler` answer one request.
pub(super) fn handle<H: Handler>(
    handler: H,
    request: Request<Incoming>,
    peer: Peer,
    (wire, in_flight): Known,
) -> Handling<impl Future<Output = Response<H::Body>> + Send + use<H>> {
    in_flight.enter(Stage::Handling);
    let version = request.version();
    let request = request.map(listener::Incoming::Http1);
    let answer = Box::pin(handler.handle(request, peer, wire.interim.clone()));
    Handling { answer, version, known: Some((wire, in_flight)) }
}

impl<B: Body, F: Future<Output = Response<B>>> Future for Handling<F> {
    type Output = Result<Response<Watched<B>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(self.answer.as_mut().poll(cx));
        // It is not polled after it was ready.
        let Some(known) = self.known.take() else { return Poll::Pending };
        Poll::Ready(Ok(watched(response, self.version, known)))
    }
}

/// A response on its way to the client of a request of that version.
fn watched<B: Body>(
    mut response: Response<B>,
    version: Version,
    (wire, in_flight): Known,
) -> Response<Watched<B>> {
    if let Some(tunnel) = response.extensions_mut().remove::<Tunnel>() {
        in_flight.tunnel(tunnel);
    } else {
        in_flight.enter(Stage::Answering);
        wire.unflushed();
        let open_ended = version == Version::HTTP_10 && is_of_unknown_length(&response);
        in_flight.open_ended.store(open_ended, Relaxed);
        if open_ended || !wire.is_received() || in_flight.ends.load(Relaxed) {
            // An answer that the close ends (RFC 9112, 9.3). Or an early one: what is still coming must never be read as
            // a request. Or the last one before the end (9.6).
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            // Of what speaks 1.1 hyper would say to an old client that it is kept.
            *response.version_mut() = version;
        }
    }
    response.map(|body| Watched { body, broken: None, wire, in_flight })
}

/// Whether a client that knows no chunks cannot know where the response ends (RFC 9112, 6.3).
fn is_of_unknown_length<B: Body>(response: &Response<B>) -> bool {
    let body = response.body();
    !body.is_end_stream()
        && body.size_hint().exact().is_none()
        && !response.headers().contains_key(CONTENT_LENGTH)
}

/// A response's body that says when it is over.
pub(super) struct Watched<B> {
    body: B,
    /// Why it breaks off, once what came before is with the client: hyper would drop what it has not written yet.
    broken: Option<BoxError>,
    wire: Arc<Wire>,
    in_flight: Arc<InFlight>,
}

impl<B: Answer> Body for Watched<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = &mut *self;
        if this.broken.is_none() {
            let frame = Pin::new(&mut this.body).poll_frame(cx).map_err(Into::into);
            let frame = if frame.is_pending() && this.in_flight.given_up.load(Relaxed) {
                Poll::Ready(Some(Err(this.body.stalled(this.in_flight.patience))))
            } else {
                frame
            };
            if frame.is_pending() {
                this.in_flight.starved.begin();
                return Poll::Pending;
            }
            this.in_flight.fed();
            match frame {
                Poll::Ready(Some(Err(error))) => this.broken = Some(error),
                frame => {
                    this.wire.unflushed();
                    return frame;
                }
            }
        }
        // hyper asks again once it has flushed.
        if this.wire.is_flushed() { Poll::Ready(this.broken.take().map(Err)) } else { Poll::Pending }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Watched<B> {
    fn drop(&mut self) {
        // hyper drops a body when its last piece is in the write buffer: parking waits for the flush after that.
        self.wire.unflushed();
        if self.in_flight.stage() == Stage::Answering {
            self.in_flight.enter(Stage::Idle);
        }
    }
}
