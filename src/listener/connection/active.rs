//! A connection while hyper drives it: from the first byte of a request until it waits for another, or ends.

use std::{
    future::{Future as _, poll_fn},
    sync::Arc,
    task::{Poll, ready},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;

use super::{
    super::{
        Handler, Refusal,
        ending::Ending,
        exchange::{self, InFlight},
        guard,
        handler::Far,
        overdue::{Overdue, overdue},
        socket::{LOOK, Socket, Speaks},
        wire::Wire,
    },
    Connection, Limits,
};
use crate::stream::Stream;

/// Fields that hyper has room for by itself. Room for more it makes anew for every head, so it is told to only where one
/// has more.
pub(super) const ROOM: usize = 100;

/// hyper holds a whole head, and as much of what a client does not read; by itself it would hold 400 KiB of either.
const BESIDE_A_HEAD: usize = 8 * 1024;

/// Of a head that has begun and does not end.
const LATE: Refusal = Refusal::timeout("the request head took too long");

/// What becomes of a connection after a while of activity.
pub(super) enum After {
    /// It waits for its next request.
    Park(Stream),
    /// It is a tunnel from now on.
    Tunnel(Stream, BytesMut, Far),
    /// It speaks HTTP/2, as these bytes show.
    Http2(Stream, BytesMut),
    /// It goes on with these bytes, and with room for a head of any size.
    Roomier(Stream, BytesMut),
    /// It ends.
    Close(Stream, Ending),
}

/// Why hyper drives it no longer.
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

impl<H: Handler> Connection<H> {
    /// Lets hyper drive the connection until it has been idle for `patience`, or ends.
    pub(super) async fn active(&mut self, stream: Stream, ahead: BytesMut, mut patience: Duration) -> After {
        let Self { speaks, peer, handler, timer, shutdown, room, drains_since, .. } = self;
        let (peer, limits) = (*peer, handler.limits());
        let wire = Arc::new(Wire::new());
        let in_flight = Arc::new(InFlight::new(limits.body_timeout));
        let service = service_fn(|request| {
            exchange::handle(handler.clone(), request, peer, (wire.clone(), in_flight.clone()))
        });
        let room = (*room).min(limits.head.fields);
        let socket = Socket::new(stream, ahead, *speaks, (limits.head, room), wire.clone());
        let mut connection = server(&limits, room).serve_connection(TokioIo::new(socket), service);

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
                    drains_since.get_or_insert_with(Instant::now);
                    // What is left to wait for is waited for parked, where a drain has its own patience.
                    patience = Duration::ZERO;
                }
                match connection.poll_without_shutdown(cx) {
                    Poll::Ready(Ok(())) if wire.is_flushed() => return Poll::Ready(End::Over),
                    Poll::Ready(Err(error)) => return Poll::Ready(End::Failed(error)),
                    // hyper is done also where the end of an answer waits for a client that reads slowly.
                    Poll::Ready(Ok(())) | Poll::Pending => {}
                }
                if wire.is_doubtful() {
                    // Never ready, as it moves on; it is there to wake this task.
                    let _later = timer.poll_until(cx, Instant::now() + LOOK);
                }
                let (at, overdue) = match overdue(&wire, &in_flight, &limits, patience, *drains_since) {
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
        let http1::Parts { io, read_buf, .. } = connection.into_parts();
        self.after(end, io.into_inner(), &read_buf, &wire, &in_flight)
    }

    /// What becomes of it, of which hyper has `read` more than it used.
    fn after(&mut self, end: End, socket: Socket, read: &Bytes, wire: &Wire, in_flight: &InFlight) -> After {
        let (client_ended, is_crowded) = (socket.has_ended(), socket.is_crowded());
        self.speaks = socket.speaks();
        let (stream, ahead) = socket.into_parts();
        let ahead = joined(read, ahead);
        if self.speaks == Speaks::Http2 {
            return After::Http2(stream, ahead);
        }
        if is_crowded {
            return After::Roomier(stream, ahead);
        }
        // What the client has sent, or is about to, and nobody reads would cost it the end of its answer.
        let unread = if client_ended { Ending::Clean } else { unread(wire) };
        let cut = if in_flight.is_open_ended() { Ending::Reset } else { Ending::Unread };
        match (end, wire.take_refusal()) {
            (End::Idle(since), _) if guard::is_blank(&ahead) => {
                // What was no request, an empty line or a piece of a TLS record, is no reason to wait any longer.
                if wire.is_received() {
                    (self.since, self.has_asked) = (since, true);
                }
                After::Park(stream)
            }
            (End::Idle(_), _) => After::Close(stream, unread),
            (End::Over | End::Failed(_), Some(refusal)) | (End::Late(refusal), _) => {
                let mut answer = self.handler.refuse(&refusal, self.peer);
                if guard::asks_for_head(&ahead) {
                    without_content(&mut answer);
                }
                After::Close(stream, Ending::Refused(answer))
            }
            (End::Over, None) => match in_flight.take_tunnel() {
                Some(tunnel) => After::Tunnel(stream, ahead, tunnel),
                None => After::Close(stream, unread),
            },
            (End::Failed(error), None) => {
                tracing::debug!(%error, client = %self.peer.address, "connection failed");
                After::Close(stream, cut)
            }
            (End::Cut, _) => After::Close(stream, cut),
        }
    }
}

/// hyper, with room for so many fields of a head.
fn server(limits: &Limits, room: usize) -> http1::Builder {
    let mut server = http1::Builder::new();
    server.auto_date_header(false).half_close(true).preserve_header_case(true);
    // hyper would take this, and the trailers of chunks, for its own to limit: the guard is the stricter one.
    server.max_header_size(limits.head.head + BESIDE_A_HEAD);
    server.max_buf_size(limits.head.head + BESIDE_A_HEAD);
    if room > ROOM {
        server.max_headers(room);
    }
    server
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
