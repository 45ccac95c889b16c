//! One HTTP/2 connection (RFC 9113): its streams answered side by side, its floods and silences ended.

mod arriving;
mod budget;
mod exchange;
mod frame;
mod line;

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use h2::{
    Reason,
    server::{Builder, Connection, Handshake},
};
use tokio::task::JoinSet;

pub(super) use self::arriving::Arriving;
use self::line::{Line, Owed, Wire};
use super::{Handler, Limits, Peer, connection::over};
use crate::{shutdown::Shutdown, stream::Stream, timer::LazyTimer};

/// What a client of HTTP/2 sends first, as an HTTP/1.1 server reads it (RFC 9113, 3.4).
pub(super) const REQUEST_OF_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// Requests in flight on one connection.
const STREAMS: u32 = 128;
/// What a client may send of one body before it is read: memory that anybody can ask for, and the pace of a large upload.
const STREAM_WINDOW: u32 = 128 * 1024;
/// The same of all bodies of a connection: none waits for the slow reader of another.
const CONNECTION_WINDOW: u32 = STREAMS * STREAM_WINDOW;
/// What one stream may have waiting to be written.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams reset before they were answered, and such as broke the protocol.
const PENDING_RESETS: usize = 64;
const ERRORS: usize = 256;
/// How long a goodbye may take: GOAWAY written, a ping answered.
const GOODBYE: Duration = Duration::from_secs(2);
/// What HPACK counts of a field beside its bytes (RFC 7541, 4.1).
const FIELD_OVERHEAD: usize = 32;

/// Drives a connection to its end, after which the stream may still hold what the client has sent. `None` where
/// nothing can be sent to it any more.
pub(super) async fn serve<H: Handler>(
    stream: Stream,
    ahead: BytesMut,
    client: Client<'_, H>,
) -> Option<Stream> {
    let wire = Arc::new(Wire::new());
    let line = Line::new(stream, ahead, wire.clone());
    let limits = client.handler.limits();
    let handshake = builder(&limits).handshake(line);
    let goodbye =
        Session { client, limits, wire: wire.clone(), streams: JoinSet::new() }.run(handshake).await;
    match goodbye {
        Goodbye::Said => wire.take_stream(),
        Goodbye::Unheard => None,
    }
}

/// What a connection is driven with.
pub(super) struct Client<'c, H> {
    pub(super) peer: Peer,
    pub(super) handler: &'c H,
    pub(super) timer: &'c mut LazyTimer,
    pub(super) shutdown: &'c Shutdown,
}

fn builder(limits: &Limits) -> Builder {
    let list = limits.head.head + FIELD_OVERHEAD * (limits.head.fields + 1);
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        // The limits themselves are admission's, which says what was wrong; this is what is read at all.
        .max_header_list_size(u32::try_from(list).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(Some(ERRORS))
        .enable_connect_protocol();
    builder
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goodbye {
    /// With GOAWAY, or by the client.
    Said,
    /// The client takes nothing.
    Unheard,
}

struct Session<'c, H> {
    client: Client<'c, H>,
    limits: Limits,
    wire: Arc<Wire>,
    /// Dropped, it abandons them all.
    streams: JoinSet<()>,
}

impl<H: Handler> Session<'_, H> {
    async fn run(mut self, mut handshake: Handshake<Line, Bytes>) -> Goodbye {
        let Client { handler, shutdown, .. } = self.client;
        let greeted = poll_fn(|cx| match Pin::new(&mut handshake).poll(cx) {
            Poll::Ready(greeted) => Poll::Ready(greeted.ok()),
            Poll::Pending => self.poll_overdue(cx).map(|_| None),
        });
        // A preface is waited for in a drain as the head of a request is.
        let greeted = tokio::select! {
            greeted = greeted => greeted,
            () = over(shutdown, handler) => None,
        };
        let Some(mut connection) = greeted else { return Goodbye::Said };
        let draining = self.client.shutdown.clone();
        let mut draining = std::pin::pin!(draining.draining());
        let mut stage = Stage::Serving;
        let mut idle_since = Instant::now();
        poll_fn(|cx| {
            loop {
                if stage == Stage::Serving && draining.as_mut().poll(cx).is_ready() {
                    connection.graceful_shutdown();
                    (stage, idle_since) = (Stage::Leaving, Instant::now());
                }
                let busy = !self.streams.is_empty();
                if self.poll_streams(cx, &mut connection).is_ready() {
                    return Poll::Ready(Goodbye::Said);
                }
                if busy || !self.streams.is_empty() {
                    idle_since = Instant::now();
                }
                match self.poll_end(cx, stage, idle_since) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ending::Unheard) => return Poll::Ready(Goodbye::Unheard),
                    Poll::Ready(Ending::Graceful) => {
                        connection.graceful_shutdown();
                        (stage, idle_since) = (Stage::Leaving, Instant::now());
                    }
                    Poll::Ready(Ending::Abrupt(reason)) => {
                        tracing::debug!(client = %self.client.peer.address, ?reason, "connection ended");
                        connection.abrupt_shutdown(reason);
                        self.streams.abort_all();
                        stage = Stage::Gone(Instant::now());
                    }
                }
            }
        })
        .await
    }

    /// Begins what the client asks for; ready when the connection is over.
    fn poll_streams(&mut self, cx: &mut Context<'_>, connection: &mut Connection<Line, Bytes>) -> Poll<()> {
        while let Poll::Ready(Some(_)) = self.streams.poll_join_next(cx) {}
        loop {
            match connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    let (handler, peer) = (self.client.handler.clone(), self.client.peer);
                    self.streams.spawn(exchange::answer(handler, peer, request, respond));
                }
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, client = %self.client.peer.address, "connection failed");
                    return Poll::Ready(());
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        // Streams that were just begun are waited for from now on.
        while let Poll::Ready(Some(_)) = self.streams.poll_join_next(cx) {}
        Poll::Pending
    }

    /// Ready when the connection is to end, and how.
    fn poll_end(&mut self, cx: &mut Context<'_>, stage: Stage, idle_since: Instant) -> Poll<Ending> {
        if let Stage::Gone(since) = stage {
            return self.client.timer.poll_until(cx, since + GOODBYE).map(|()| Ending::Unheard);
        }
        if let Some(reason) = self.wire.offence() {
            return Poll::Ready(Ending::Abrupt(reason));
        }
        if let Poll::Ready(ending) = self.poll_overdue(cx) {
            return Poll::Ready(ending);
        }
        if !self.streams.is_empty() {
            return Poll::Pending;
        }
        let (wait, ending) = match stage {
            Stage::Serving => (self.limits.idle_timeout, Ending::Graceful),
            _ => (GOODBYE, Ending::Abrupt(Reason::NO_ERROR)),
        };
        self.client.timer.poll_until(cx, idle_since + wait).map(|()| ending)
    }

    /// Ready when the client has owed something for too long.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let owed = self.wire.owed().map(|(owed, since)| match owed {
            Owed::Settings => (since + self.limits.head_timeout, Ending::Abrupt(Reason::SETTINGS_TIMEOUT)),
            Owed::Head => (since + self.limits.head_timeout, Ending::Abrupt(Reason::PROTOCOL_ERROR)),
            Owed::Data => (since + self.limits.body_timeout, Ending::Abrupt(Reason::PROTOCOL_ERROR)),
        });
        let blocked =
            self.wire.blocked_since().map(|since| (since + self.limits.body_timeout, Ending::Unheard));
        match owed.into_iter().chain(blocked).min_by_key(|(at, _)| *at) {
            Some((at, ending)) => self.client.timer.poll_until(cx, at).map(|()| ending),
            None => Poll::Pending,
        }
    }
}

/// How far a connection is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It takes requests.
    Serving,
    /// It finishes those it has.
    Leaving,
    /// It only says goodbye, since then.
    Gone(Instant),
}

/// How a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Its streams are finished.
    Graceful,
    /// They are not.
    Abrupt(Reason),
    /// Not even a goodbye would be heard.
    Unheard,
}
