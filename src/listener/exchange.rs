//! The exchange in flight on a connection: from the request that hyper hands over to the last byte of its answer.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Instant,
};

use http::{HeaderValue, Request, Response, header::CONNECTION};
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, service::Service};

use super::{self as listener, Handler, Peer, Tunnel, handler::Far, socket::Wire};
use crate::shutdown::Shutdown;

/// What stage the exchange in flight on a connection is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// The exchange in flight on a connection, if any.
#[derive(Debug)]
pub(super) struct InFlight {
    progress: Mutex<Progress>,
    shutdown: Shutdown,
}

#[derive(Debug)]
struct Progress {
    stage: Stage,
    /// Since when the response's body has had nothing to send.
    starved: Option<Instant>,
    tunnel: Option<Tunnel>,
}

impl InFlight {
    pub(super) fn new(shutdown: Shutdown) -> Self {
        let progress = Mutex::new(Progress { stage: Stage::Idle, starved: None, tunnel: None });
        Self { progress, shutdown }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stage(&self) -> Stage {
        self.progress().stage
    }

    pub(super) fn starved_since(&self) -> Option<Instant> {
        self.progress().starved
    }

    fn enter(&self, stage: Stage) {
        let mut progress = self.progress();
        progress.stage = stage;
        progress.starved = None;
    }

    fn tunnel(&self, tunnel: Tunnel) {
        self.enter(Stage::Tunnelling);
        self.progress().tunnel = Some(tunnel);
    }

    pub(super) fn take_tunnel(&self) -> Option<Far> {
        self.progress().tunnel.take()?.take()
    }
}

/// The handler as hyper's service.
pub(super) struct Exchanges<H> {
    pub(super) handler: H,
    pub(super) peer: Peer,
    pub(super) wire: Arc<Wire>,
    pub(super) in_flight: Arc<InFlight>,
}

impl<H: Handler> Service<Request<Incoming>> for Exchanges<H> {
    type Response = Response<Watched<H::Body>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let request = request.map(listener::Incoming::Http1);
        let (handler, peer) = (self.handler.clone(), self.peer);
        let (wire, in_flight) = (self.wire.clone(), self.in_flight.clone());
        in_flight.enter(Stage::Handling);
        Box::pin(async move {
            let mut response = handler.handle(request, peer, wire.interim.clone()).await;
            if let Some(tunnel) = response.extensions_mut().remove::<Tunnel>() {
                in_flight.tunnel(tunnel);
            } else {
                in_flight.enter(Stage::Answering);
                if !wire.is_received() || in_flight.shutdown.is_draining() {
                    // An early answer: what is still coming must never be read as a request (RFC 9112, 9.3). Or the
                    // last one before the end (9.6).
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
            }
            Ok(response.map(|body| Watched { body, wire, in_flight }))
        })
    }
}

/// A response's body that says when it is over.
pub(super) struct Watched<B> {
    body: B,
    wire: Arc<Wire>,
    in_flight: Arc<InFlight>,
}

impl<B: Body + Unpin> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        let mut progress = self.in_flight.progress();
        match &frame {
            Poll::Pending if progress.starved.is_none() => progress.starved = Some(Instant::now()),
            Poll::Pending => {}
            Poll::Ready(_) => progress.starved = None,
        }
        drop(progress);
        frame
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
