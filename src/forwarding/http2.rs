//! HTTP/2 to upstreams (RFC 9113): one connection carries many exchanges at once.
//!
//! h2 itself is driven, as in the listener: it tells interim responses, the streams that a GOAWAY left alone, and the
//! end of a stream from its reset, and what is retried depends on all three.

mod arriving;
mod exchange;
mod head;
mod session;
mod sessions;
mod upload;

use std::{future::Future as _, future::poll_fn, pin::Pin, task::Poll};

use bytes::Bytes;
use h2::{
    Reason,
    client::{Builder, Connection, SendRequest},
};
use http::{Request, StatusCode};

pub(super) use self::arriving::Arriving;
pub(super) use self::{
    exchange::{Answer, Asking, Content, Unanswered, exchange},
    head::is_websocket,
    session::{Session, Slot},
    sessions::{Dialling, Kept, Sessions, Ticket},
};
use super::{last_word::LastWord, sieve::Sieve, tls};
use crate::{backend::Fault, stream::Stream};

/// Exchanges at once on one connection, where its upstream allows as many.
const STREAMS: usize = 100;
/// What an upstream may send of one body before it is read.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The same of all bodies of a connection: none waits for the slow reader of another.
const CONNECTION_WINDOW: u32 = 100 * STREAM_WINDOW;
/// What one stream may have waiting to be written.
const SEND_BUFFER: usize = 64 * 1024;

/// Both ends of a connection that has been greeted.
pub(super) struct Handshaken {
    sender: SendRequest<Bytes>,
    connection: Connection<LastWord, Bytes>,
}

/// Greets an upstream, and waits for its settings: until they have come, nobody knows how many exchanges it takes.
pub(super) async fn greet(stream: Stream, response_head: usize) -> Result<Handshaken, String> {
    let no_http2 =
        |error: h2::Error| format!("it does not speak HTTP/2: {error}; see whether `h2` is right for it");
    let handshake = Builder::new()
        .initial_max_send_streams(0)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(u32::try_from(response_head).unwrap_or(u32::MAX))
        .enable_push(false)
        .handshake(LastWord::of(stream, Sieve::default()));
    let (sender, mut connection) = handshake.await.map_err(no_http2)?;
    poll_fn(|cx| {
        let ended = Pin::new(&mut connection).poll(cx);
        match ended {
            _ if connection.max_concurrent_send_streams() > 0 => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(no_http2(error))),
            Poll::Ready(Ok(())) => {
                Poll::Ready(Err("it closed the connection when it was greeted".to_owned()))
            }
            Poll::Pending => Poll::Pending,
        }
    })
    .await?;
    Ok(Handshaken { sender, connection })
}

/// What one request is answered with, on a connection that is used for nothing else.
pub(super) async fn status(handshaken: Handshaken, request: Request<()>) -> Result<StatusCode, h2::Error> {
    let Handshaken { mut sender, mut connection } = handshaken;
    let (mut answer, _) = sender.send_request(request, true)?;
    poll_fn(|cx| {
        let ended = Pin::new(&mut connection).poll(cx);
        match (Pin::new(&mut answer).poll(cx), ended) {
            (Poll::Ready(answer), _) => Poll::Ready(answer.map(|answer| answer.status())),
            (Poll::Pending, Poll::Ready(Err(error))) => Poll::Ready(Err(error)),
            (Poll::Pending, _) => Poll::Pending,
        }
    })
    .await
}

/// How an exchange broke, in the upstream's words.
fn fault(error: &h2::Error) -> Fault {
    let of_session = error.get_io().and_then(|error| tls::of_session(error));
    let reason = of_session.unwrap_or_else(|| match error.reason() {
        Some(Reason::HTTP_1_1_REQUIRED) => "it wants HTTP/1.1: set h2 = \"off\"".to_owned(),
        Some(reason) if error.is_remote() && error.is_reset() => format!("it reset the stream: {reason:?}"),
        Some(reason) if error.is_remote() => format!("it went away: {reason:?}"),
        _ => error.to_string(),
    });
    Fault::Protocol { reason }
}
