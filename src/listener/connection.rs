//! One connection, from accept to close: parked while idle, driven by hyper while active, a tunnel at last.
//!
//! hyper's buffers cost an idle connection some 15 KiB, so one that has waited a while for its next request holds none:
//! the socket is taken back, and given to a new hyper connection when the next byte arrives.

mod active;

use std::{
    future::{Future, poll_fn},
    task::Poll,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use tokio::{net::TcpStream, sync::OwnedSemaphorePermit, time::timeout};

use self::active::{After, ROOM};
use super::{
    Handler, Opening, Peer, ProxyProtocol, Refusal, Tls,
    ending::{Ending, close},
    guard::HeadLimits,
    http2,
    proxy::{self, ProxyError},
    relay::tunnel,
    socket::Speaks,
    tls::{Agreed, HandshakeError},
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
    /// Once draining has begun, how long a client may still begin a request, and then take for its head: it may be on its
    /// way, and no answer has said yet that it would be the last.
    pub farewell: Duration,
}

impl Limits {
    /// Until when what is waited for since then is waited for: for so long, or less once a drain was heard of.
    pub(super) fn until(&self, since: Instant, time: Duration, drains_since: Option<Instant>) -> Instant {
        let until = since + time;
        drains_since.map_or(until, |drains| until.min(drains.max(since) + self.farewell))
    }
}

/// A connection whose next request comes within this time is busy: it waits as long for the one after that before it is
/// parked, and keeps its buffers meanwhile. Any other is parked at once.
const BUSY: Duration = Duration::from_millis(50);

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
    /// It has heard of a drain then.
    drains_since: Option<Instant>,
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
            drains_since: None,
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
            Box::pin(self.end(stream, Ending::Clean)).await;
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
                self.end(Stream::Plain(socket), Ending::Refused(answer)).await;
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
            self.end(stream, Ending::Unread).await;
        }
    }

    /// Waits, parked, for the first byte of a request; false when the connection is to end.
    ///
    /// By hand: what it waits with is most of what an idle connection takes, and `select!` would keep each of it apart.
    async fn readable(&mut self) -> bool {
        let Self { stream: Some(stream), handler, timer, shutdown, since, drains_since, .. } = self else {
            return false;
        };
        let mut draining = std::pin::pin!(shutdown.draining());
        poll_fn(|cx| {
            if let Poll::Ready(ready) = stream.poll_readable(cx) {
                return Poll::Ready(ready.is_ok());
            }
            if drains_since.is_none() && draining.as_mut().poll(cx).is_ready() {
                *drains_since = Some(Instant::now());
            }
            let limits = handler.limits();
            timer.poll_until(cx, limits.until(*since, limits.idle_timeout, *drains_since)).map(|()| false)
        })
        .await
    }

    /// From the first byte of a request until the connection waits for another, or has ended.
    async fn turn(&mut self, stream: Stream) {
        let is_busy = self.has_asked && self.since.elapsed() < BUSY;
        let patience = if is_busy { BUSY } else { Duration::ZERO };
        let ahead = std::mem::take(&mut self.ahead);
        match self.active(stream, ahead, patience).await {
            After::Park(stream) => self.stream = Some(stream),
            After::Tunnel(client, ahead, far) => Box::pin(tunnel(client, ahead, far)).await,
            After::Roomier(stream, unread) => {
                self.stream = Some(stream);
                (self.ahead, self.room) = (unread, usize::MAX);
            }
            After::Http2(stream, ahead) => Box::pin(self.http2(stream, ahead)).await,
            After::Close(stream, ending) => Box::pin(self.end(stream, ending)).await,
        }
    }

    /// Ends the connection, in the time that a drain leaves for it.
    async fn end(&self, stream: Stream, ending: Ending) {
        tokio::select! {
            () = close(stream, ending) => {}
            () = over(&self.shutdown, &self.handler) => {}
        }
    }
}

/// Resolves when a drain has left time enough for what a client was about to begin.
pub(super) async fn over<H: Handler>(shutdown: &Shutdown, handler: &H) {
    shutdown.draining().await;
    tokio::time::sleep(handler.limits().farewell).await;
}

#[cfg(test)]
mod tests;
