//! A request's body on its HTTP/2 stream.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker, ready},
    time::Instant,
};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::{HeaderMap, StatusCode};
use http_body::{Frame, SizeHint};

use crate::listener::{Interim, Stalled, guard, handler::BoxError};

/// A request's body. What is read of it is at once granted to the client again: whoever reads sets the pace.
#[derive(Debug)]
pub struct Arriving {
    stream: RecvStream,
    /// As announced; the stream is reset where it is not true (RFC 9113, 8.1.1).
    length: Option<u64>,
    data: Data,
    watch: Arc<Watch>,
    /// Where the client waits to be told to go on (RFC 9110, 10.1.1).
    expects: Option<Interim>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Data {
    Flows,
    Over,
}

/// Since when a body is waited for; read by the exchange that it belongs to.
#[derive(Debug, Default)]
pub(super) struct Watch {
    hunger: Mutex<Hunger>,
    begun: AtomicBool,
    /// It is not waited for any longer.
    given_up: AtomicBool,
}

#[derive(Debug, Default)]
struct Hunger {
    since: Option<Instant>,
    /// Who holds the wait against its limit: not the task that reads.
    exchange: Option<Waker>,
    /// That task.
    reader: Option<Waker>,
}

impl Watch {
    /// Since when the body is waited for; the task is woken when a wait begins.
    pub(super) fn starved_since(&self, cx: &Context<'_>) -> Option<Instant> {
        let mut hunger = self.hunger();
        if !hunger.exchange.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            hunger.exchange = Some(cx.waker().clone());
        }
        hunger.since
    }

    /// Whoever reads the body finds it broken off.
    pub(super) fn gives_up(&self) {
        self.given_up.store(true, Relaxed);
        let mut hunger = self.hunger();
        hunger.since = None;
        if let Some(reader) = hunger.reader.take() {
            reader.wake();
        }
    }

    fn waits(&self, cx: &Context<'_>) {
        let hunger = &mut *self.hunger();
        if !hunger.reader.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            hunger.reader = Some(cx.waker().clone());
        }
        if hunger.since.is_none() {
            hunger.since = Some(Instant::now());
            if let Some(exchange) = &hunger.exchange {
                exchange.wake_by_ref();
            }
        }
    }

    fn moved(&self) {
        self.hunger().since = None;
        self.begun.store(true, Relaxed);
    }

    fn hunger(&self) -> MutexGuard<'_, Hunger> {
        self.hunger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Arriving {
    pub(super) fn new(
        stream: RecvStream,
        length: Option<u64>,
        watch: Arc<Watch>,
        expects: Option<Interim>,
    ) -> Self {
        Self { stream, length, data: Data::Flows, watch, expects }
    }

    pub(in crate::listener) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.watch.given_up.load(Relaxed) {
            return Poll::Ready(Some(Err(Stalled.into())));
        }
        if let Some(interim) = self.expects.take()
            && !self.watch.begun.load(Relaxed)
        {
            interim.queue().send(StatusCode::CONTINUE, &HeaderMap::new());
        }
        let frame = if self.data == Data::Flows { self.poll_data(cx) } else { self.poll_trailers(cx) };
        match &frame {
            Poll::Pending => self.watch.waits(cx),
            Poll::Ready(_) => self.watch.moved(),
        }
        frame.map_err(Into::into)
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        match ready!(self.stream.poll_data(cx)) {
            Some(Ok(data)) => {
                let granted = self.stream.flow_control().release_capacity(data.len());
                Poll::Ready(Some(granted.map(|()| Frame::data(data))))
            }
            // A cancelled upload is an error too, and never the end of one.
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => {
                self.data = Data::Over;
                self.poll_trailers(cx)
            }
        }
    }

    fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let trailers = ready!(self.stream.poll_trailers(cx)).transpose();
        Poll::Ready(trailers.map(|trailers| {
            let trailers = trailers?;
            // h2 knows names that are none (RFC 9110, 5.1), and values that are refused in a head.
            if trailers.keys().all(guard::is_name) && trailers.values().all(guard::is_trimmed) {
                Ok(Frame::trailers(trailers))
            } else {
                Err(Reason::PROTOCOL_ERROR.into())
            }
        }))
    }

    pub(in crate::listener) fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    pub(in crate::listener) fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() {
            return SizeHint::with_exact(0);
        }
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
