//! One connection, from accept to close: parked while idle, driven by hyper while active, a tunnel at last.
//!
//! hyper's buffers cost an idle connection some 15 KiB, so one that has waited a while for its next request holds none:
//! the socket is taken back, and given to a new hyper connection when the next byte arrives.

use std::{
    future::{Future, poll_fn},
    sync::Arc,
    task::{Poll, ready},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::OwnedSemaphorePermit, time::timeout};

use super::{
    Handler, Opening, Peer, ProxyProtocol, Refusal, Tls,
    ending::{Ending, close},
    exchange::{self, InFlight},
    guard::{self, HeadLimits},
    handler::Far,
    http2,
    overdue::{Overdue, overdue},
    proxy::{self, ProxyError},
    relay::tunnel,
    socket::{LOOK, Socket, Speaks},
    tls::{Agreed, HandshakeError},
    wire::Wire,
};
use crate::{shutdown::Shutdown, stream::Stream, timer::LazyTimer};

/// What a connection is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of each request head.
    pub head: HeadLimits,
    /// A whole head from its first byte: 408.
    pub head_timeout: Duration,
    /// Between requests.
    pub idle_timeout: Duration,
    /// Between two pieces of a body, either way.
    pub body_timeout: Duration,
    /// Once draining has begun, how long a client may still begin a request: it cannot know yet.
    pub farewell: Duration,
}

/// A connection whose next request comes within this time is busy: it waits as long for the one after that before it is
/// parked, and keeps its buffers meanwhile. Any other is parked at once.
const BUSY: Duration = Duration::from_millis(50);

/// Fields that hyper has room for by itself. Room for more it makes anew for every head, so it is told to only where one
/// has more.
const ROOM: usize = 100;

/// hyper holds a whole head, and as much of what a client does not read; by itself it would hold 400 KiB of either.
const BESIDE_A_HEAD: usize = 8 * 1024;

/// Of a head that has begun and does not end.
const LATE: Refusal = Refusal::timeout("the request head took too long");

/// What becomes of a connection after a while of activity.
enum After {
    /// It has waited since then for its next request.
    Park(Stream, Instant),
    /// It is a tunnel from now on.
    Tunnel(Stream, BytesMut, Far),
    /// It speaks HTTP/2, as these bytes show.
    Http2(Stream, BytesMut),
    /// It goes on with these bytes, and with room for a head of any size.
    Roomier(Stream, BytesMut),
    /// It ends.
    Close(Stream, Ending),
}

/// A client's connection. Its task holds this by reference: a future stores what is moved into it twice.
pub(super) struct Connection<H> {
    /// Taken while hyper drives it.
    stream: Option<Stream>,
    speaks: Speaks,
    peer: Peer,
    handler: H,
    timer: LazyTimer,
    shutdown: Shutdown,
    /// It has waited since then for its next request; or for its first, since it was accepted.
    since: Instant,
    has_asked: bool,
    /// What has come of the next already.
    ahead: BytesMut,
    /// For how many fields of a head.
    room: usize,
    /// One of `limits.connections`.
    _place: OwnedSemaphorePermit,
}

impl<H: Handler> Connection<H> {
    pub(super) fn new(
        stream: TcpStream,
        peer: Peer,
        handler: H,
        shutdown: Shutdown,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            stream: Some(Stream::Plain(stream)),
            speaks: Speaks::Either,
            peer,
            handler,
            timer: LazyTimer::new(),
            shutdown,
            since: Instant::now(),
            has_asked: false,
            ahead: BytesMut::new(),
            room: ROOM,
            _place: place,
        }
    }

    /// Drives the connection until it ends.
    pub(super) async fn serve(&mut self) {
        // Whatever came ahead of the first request is no part of the wait for it.
        self.since = Instant::now();
        while (!self.ahead.is_empty() || self.readable().await)
            && let Some(stream) = self.stream.take()
        {
            // All that a parked connection does not need is in here.
            Box::pin(self.turn(stream)).await;
        }
        if let Some(stream) = self.stream.take_if(|stream| stream.ends_with_an_alert()) {
            Box::pin(close(stream, Ending::Clean)).await;
        }
    }

    /// The same, after what comes ahead of the first request.
    pub(super) async fn open(&mut self, opening: &Opening) {
        if opening.proxy_protocol == ProxyProtocol::Required
            && let Err(error) = self.learn_whose_it_is().await
        {
            self.handler.turned_away(&error, self.peer);
            return;
        }
        match &opening.tls {
            Some(tls) => self.serve_tls(tls).await,
            None => self.serve().await,
        }
    }

    /// Reads the PROXY header, and believes it.
    async fn learn_whose_it_is(&mut self) -> Result<(), ProxyError> {
        let Some(Stream::Plain(socket)) = &mut self.stream else { return Ok(()) };
        if !self.handler.trusts(self.peer.address.ip().to_canonical()) {
            return Err(ProxyError::Stranger);
        }
        let within = self.handler.limits().head_timeout;
        let source = tokio::select! {
            source = timeout(within, proxy::receive(socket)) => source.map_err(|_| ProxyError::Late(within))??,
            () = over(&self.shutdown, &self.handler) => return Err(ProxyError::Ended),
        };
        if let Some(source) = source {
            self.peer.address = source;
        }
        Ok(())
    }

    async fn serve_tls(&mut self, tls: &Tls) {
        let Some(Stream::Plain(socket)) = self.stream.take() else { return };
        let shaken = tokio::select! {
            shaken = tls.handshake(socket, self.handler.limits().head_timeout) => shaken,
            () = over(&self.shutdown, &self.handler) => return,
        };
        match shaken {
            Ok((stream, transport, agreed)) => {
                self.peer.transport = transport;
                self.speaks = Speaks::Http1;
                match agreed {
                    Agreed::Http1 => {
                        self.stream = Some(stream);
                        self.serve().await;
                    }
                    Agreed::Http2 => self.http2(stream, BytesMut::new()).await,
                }
            }
            Err(HandshakeError::Plain(socket)) => {
                const PLAIN: Refusal = Refusal::bad("this port speaks TLS: ask for https://");
                let answer = self.handler.refuse(&PLAIN, self.peer);
                close(Stream::Plain(socket), Ending::Refused(answer)).await;
            }
            Err(error) => tracing::debug!(%error, client = %self.peer.address, "no TLS session"),
        }
    }

    async fn http2(&mut self, stream: Stream, ahead: BytesMut) {
        // A tunnel on one of its streams is as silent as it likes.
        stream.probe_when_silent();
        let Self { peer, handler, timer, shutdown, .. } = self;
        let client = http2::Client { peer: *peer, handler, timer, shutdown };
        if let Some(stream) = http2::serve(stream, ahead, client).await {
            close(stream, Ending::Unread).await;
        }
    }

    /// Waits, parked, for the first byte of a request; false when the connection is to end.
    ///
    /// By hand: what it waits with is most of what an idle connection takes, and `select!` would keep each of it apart.
    async fn readable(&mut self) -> bool {
        let Self { stream: Some(stream), handler, timer, shutdown, since, .. } = self else { return false };
        let mut deadline = *since + handler.limits().idle_timeout;
        let mut draining = std::pin::pin!(shutdown.draining());
        let mut drains = false;
        poll_fn(|cx| {
            if let Poll::Ready(ready) = stream.poll_readable(cx) {
                return Poll::Ready(ready.is_ok());
            }
            if !drains && draining.as_mut().poll(cx).is_ready() {
                drains = true;
                // Its next request may be on its way, and no answer has said yet that it would be the last.
                deadline = deadline.min(Instant::now() + handler.limits().farewell);
            }
            timer.poll_until(cx, deadline).map(|()| false)
        })
        .await
    }

    /// From the first byte of a request until the connection waits for another, or has ended.
    async fn turn(&mut self, stream: Stream) {
        let is_busy = self.has_asked && self.since.elapsed() < BUSY;
        let patience = if is_busy { BUSY } else { Duration::ZERO };
        let ahead = std::mem::take(&mut self.ahead);
        match self.active(stream, ahead, self.room, patience).await {
            After::Park(stream, since) => {
                self.stream = Some(stream);
                (self.since, self.has_asked) = (since, true);
            }
            After::Tunnel(client, ahead, far) => Box::pin(tunnel(client, ahead, far)).await,
            After::Roomier(stream, unread) => {
                self.stream = Some(stream);
                (self.ahead, self.room) = (unread, usize::MAX);
            }
            After::Http2(stream, ahead) => Box::pin(self.http2(stream, ahead)).await,
            After::Close(stream, ending) => {
                let Self { handler, shutdown, .. } = self;
                let closing = async {
                    tokio::select! {
                        () = close(stream, ending) => {}
                        () = over(shutdown, handler) => {}
                    }
                };
                Box::pin(closing).await;
            }
        }
    }

    /// Lets hyper drive the connection until it has been idle for `patience`, or ends.
    async fn active(
        &mut self,
        stream: Stream,
        ahead: BytesMut,
        room: usize,
        mut patience: Duration,
    ) -> After {
        let Self { speaks, peer, handler, timer, shutdown, .. } = self;
        let (peer, limits) = (*peer, handler.limits());
        let wire = Arc::new(Wire::new());
        let in_flight = Arc::new(InFlight::new(limits.body_timeout));
        let service = service_fn(|request| {
            exchange::handle(handler.clone(), request, peer, (wire.clone(), in_flight.clone()))
        });
        let room = room.min(limits.head.fields);
        let socket = Socket::new(stream, ahead, *speaks, (limits.head, room), wire.clone());
        let mut server = http1::Builder::new();
        server.auto_date_header(false).half_close(true).preserve_header_case(true);
        // hyper would take this, and the trailers of chunks, for its own to limit: the guard is the stricter one.
        server.max_header_size(limits.head.head + BESIDE_A_HEAD);
        server.max_buf_size(limits.head.head + BESIDE_A_HEAD);
        if room > ROOM {
            server.max_headers(room);
        }
        let mut connection = server.serve_connection(TokioIo::new(socket), service);

        let end = {
            let mut draining = std::pin::pin!(shutdown.draining());
            let mut heard = false;
            poll_fn(|cx| {
                // A connection's task is one and the same: it need not say twice whom to wake.
                let drains = if std::mem::replace(&mut heard, true) {
                    shutdown.is_draining()
                } else {
                    wire.interim.register(cx.waker());
                    draining.as_mut().poll(cx).is_ready()
                };
                if drains {
                    in_flight.drains();
                    // What is left to wait for is waited for parked, where a drain has its own patience.
                    patience = Duration::ZERO;
                }
                match connection.poll_without_shutdown(cx) {
                    Poll::Ready(Ok(())) => return Poll::Ready(End::Over),
                    Poll::Ready(Err(error)) => return Poll::Ready(End::Failed(error)),
                    Poll::Pending => {}
                }
                if wire.is_doubtful() {
                    // Never ready, as it moves on; it is there to wake this task.
                    let _later = timer.poll_until(cx, Instant::now() + LOOK);
                }
                let (at, overdue) = match overdue(&wire, &in_flight, &limits, patience) {
                    Some((_, Overdue::Request(since))) if patience.is_zero() => {
                        return Poll::Ready(End::Idle(since));
                    }
                    Some(next) => next,
                    None => return Poll::Pending,
                };
                ready!(timer.poll_until(cx, at));
                match overdue {
                    Overdue::Request(since) => return Poll::Ready(End::Idle(since)),
                    Overdue::Head => return Poll::Ready(End::Late(LATE)),
                    Overdue::Rest => return Poll::Ready(End::Over),
                    Overdue::Reader => return Poll::Ready(End::Cut),
                    // Whoever waits for it finds out.
                    Overdue::Body => wire.gives_up(),
                    Overdue::Answer => in_flight.gives_up(),
                }
                // hyper is to find out.
                cx.waker().wake_by_ref();
                Poll::Pending
            })
            .await
        };

        let parts = connection.into_parts();
        let client_ended = parts.io.inner().has_ended();
        let crowded = parts.io.inner().is_crowded();
        *speaks = parts.io.inner().speaks();
        let (stream, ahead) = parts.io.into_inner().into_parts();
        let ahead = joined(&parts.read_buf, ahead);
        if *speaks == Speaks::Http2 {
            return After::Http2(stream, ahead);
        }
        if crowded {
            return After::Roomier(stream, ahead);
        }
        // What the client has sent, or is about to, and nobody reads would cost it the end of its answer.
        let unread = if client_ended { Ending::Clean } else { unread(&wire) };
        let cut = if in_flight.is_open_ended() { Ending::Reset } else { Ending::Unread };
        let refuse = |refusal: &Refusal| {
            let mut answer = handler.refuse(refusal, peer);
            if guard::asks_for_head(&ahead) {
                without_content(&mut answer);
            }
            Ending::Refused(answer)
        };
        match (end, wire.take_refusal()) {
            (End::Idle(since), _) if guard::is_blank(&ahead) => After::Park(stream, since),
            (End::Idle(_), _) => After::Close(stream, unread),
            (End::Over | End::Failed(_), Some(refusal)) | (End::Late(refusal), _) => {
                After::Close(stream, refuse(&refusal))
            }
            (End::Over, None) => match in_flight.take_tunnel() {
                Some(tunnel) => After::Tunnel(stream, ahead, tunnel),
                None => After::Close(stream, unread),
            },
            (End::Failed(error), None) => {
                tracing::debug!(%error, client = %peer.address, "connection failed");
                After::Close(stream, cut)
            }
            (End::Cut, _) => After::Close(stream, cut),
        }
    }
}

/// Resolves when a drain has left time enough for what a client was about to begin.
async fn over<H: Handler>(shutdown: &Shutdown, handler: &H) {
    shutdown.draining().await;
    tokio::time::sleep(handler.limits().farewell).await;
}

/// Why [`Connection::active`] stops.
enum End {
    /// Everything asked was answered, to the last byte, and nothing has come since then.
    Idle(Instant),
    /// hyper is done: it closes, or is upgraded.
    Over,
    /// The client broke the protocol, or the connection; or an answer broke off.
    Failed(hyper::Error),
    /// A head took too long; with what to tell the client.
    Late(Refusal),
    /// The client takes nothing of its answer.
    Cut,
}

fn joined(first: &Bytes, rest: BytesMut) -> BytesMut {
    if first.is_empty() {
        return rest;
    }
    let mut all = BytesMut::with_capacity(first.len() + rest.len());
    all.extend_from_slice(first);
    all.extend_from_slice(&rest);
    all
}

/// How to end where the client has not.
fn unread(wire: &Wire) -> Ending {
    if wire.is_received() { Ending::Unread } else { Ending::Uploading }
}

/// Leaves the head, and what it says of the content (RFC 9110, 9.3.2).
fn without_content(answer: &mut Vec<u8>) {
    const END: &[u8] = b"\r\n\r\n";
    if let Some(at) = answer.windows(END.len()).position(|window| window == END) {
        answer.truncate(at + END.len());
    }
}

#[cfg(test)]
mod tests;
