//! One request on one HTTP/2 stream, from its head to the last byte of its answer.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use http::{
    HeaderMap, HeaderName, Request, Response,
    header::{CONNECTION, CONTENT_LENGTH, EXPECT, TE, TRANSFER_ENCODING, UPGRADE},
    response,
};
use http_body::{Body, Frame};
use tokio::sync::oneshot;

use super::arriving::{Arriving, Watch};
use crate::{
    listener::{Answer, ExtendedConnect, Handler, Incoming, Interim, Peer, Tunnel, relay::relay},
    stream::Http2Stream,
    timer::LazyTimer,
};

/// Answers `request`.
pub(super) async fn answer<H: Handler>(
    handler: H,
    peer: Peer,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    let mut patience = Patience { limit: handler.limits().body_timeout, timer: LazyTimer::new() };
    let watch = Arc::new(Watch::default());
    let interim = Interim::of_stream();
    let (request, tunnelled) = taken_apart(request, &watch, &interim);

    let mut handling = Box::pin(handler.handle(request, peer, interim.clone()));
    let outcome = poll_fn(|cx| {
        interim.register(cx.waker());
        let polled = handling.as_mut().poll(cx);
        while let Some(mut head) = interim.pop_frame() {
            strip(head.headers_mut());
            if let Err(error) = respond.send_informational(head) {
                tracing::debug!(%error, "an interim response was not sent");
            }
        }
        match polled {
            Poll::Ready(response) => Poll::Ready(Handled::Answered(response)),
            Poll::Pending if respond.poll_reset(cx).is_ready() => Poll::Ready(Handled::Abandoned),
            Poll::Pending => {
                if patience.poll_since(cx, watch.starved_since(cx)).is_ready() {
                    // The handler is told by the body that it reads, and answers.
                    watch.gives_up();
                }
                Poll::Pending
            }
        }
    })
    .await;
    drop(handling);

    let response = match outcome {
        Handled::Answered(response) => response,
        Handled::Abandoned => return,
    };
    let (mut head, body) = response.into_parts();
    strip(&mut head.headers);
    match (tunnelled, head.extensions.remove::<Tunnel>()) {
        (Some(from_client), Some(tunnel)) => {
            log_failed(open(respond, head, from_client, tunnel).await);
        }
        (tunnelled, _) => {
            drop(tunnelled);
            log_failed(send(respond, head, body, &mut patience).await);
        }
    }
}

enum Handled<B> {
    Answered(Response<B>),
    /// The client has reset the stream, or the connection is gone.
    Abandoned,
}

fn log_failed(sent: Result<(), h2::Error>) {
    if let Err(error) = sent {
        tracing::debug!(%error, "a stream ended before its answer");
    }
}

/// The request as handlers know it, and the stream's further bytes where they are no body.
fn taken_apart(
    request: Request<RecvStream>,
    watch: &Arc<Watch>,
    interim: &Interim,
) -> (Request<Incoming>, Option<RecvStream>) {
    let (mut head, stream) = request.into_parts();
    if let Some(protocol) = head.extensions.remove::<h2::ext::Protocol>() {
        head.extensions.insert(ExtendedConnect(protocol.as_str().into()));
        return (Request::from_parts(head, Incoming::Empty), Some(stream));
    }
    let length = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let expects =
        head.headers.get(EXPECT).is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let arriving = Arriving::new(stream, length, watch.clone(), expects.then(|| interim.clone()));
    (Request::from_parts(head, Incoming::Http2(Box::new(arriving))), None)
}

/// Sends an answer.
async fn send<B>(
    mut respond: SendResponse<Bytes>,
    mut head: response::Parts,
    mut body: B,
    patience: &mut Patience,
) -> Result<(), h2::Error>
where
    B: Answer,
{
    if body.is_end_stream() {
        return respond.send_response(Response::from_parts(head, ()), true).map(drop);
    }
    let length = body.size_hint().exact();
    // Nothing is said of an empty one: a gRPC answer that is all trailers has no length (RFC 9113, 8.1).
    if let Some(length @ 1..) = length
        && !head.headers.contains_key(CONTENT_LENGTH)
    {
        head.headers.insert(CONTENT_LENGTH, length.into());
    }
    // What is empty by its length may still end in trailers, and is at hand.
    let mut first = None;
    if length == Some(0) {
        match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx).map(Next::of)).await {
            Next::Over => return respond.send_response(Response::from_parts(head, ()), true).map(drop),
            next => first = Some(next),
        }
    }
    let mut to_client = respond.send_response(Response::from_parts(head, ()), false)?;
    loop {
        let next = if let Some(next) = first.take() {
            next
        } else {
            let next = patience.wait(|cx| poll_next(&mut body, &mut to_client, cx)).await;
            next.unwrap_or_else(|Stalled| {
                // The answer's own log has it.
                drop(body.stalled(patience.limit));
                Next::Broken
            })
        };
        let frame = match next {
            Next::Frame(frame) => frame,
            Next::Over => return to_client.send_data(Bytes::new(), true),
            Next::Reset => return Ok(()),
            // Cut, never ended as if it were whole.
            Next::Broken => {
                written(&mut to_client, patience).await?;
                to_client.send_reset(Reason::INTERNAL_ERROR);
                return Ok(());
            }
        };
        match frame.into_data() {
            Ok(data) => {
                let end = if body.is_end_stream() { End::Stream } else { End::Piece };
                match send_data(&mut to_client, data, end, patience).await {
                    Ok(Sent::Whole) if end == End::Piece => {}
                    Ok(Sent::Whole) => return Ok(()),
                    given_up => {
                        body.cut();
                        return given_up.map(drop);
                    }
                }
            }
            Err(frame) => {
                let Ok(mut trailers) = frame.into_trailers() else { continue };
                strip(&mut trailers);
                return to_client.send_trailers(trailers);
            }
        }
    }
}

/// Resolves once the connection has written what came before: h2 would drop it with a reset.
async fn written(to_client: &mut SendStream<Bytes>, patience: &mut Patience) -> Result<(), h2::Error> {
    let (mark, mut passed) = oneshot::channel();
    to_client.send_data(Bytes::from_owner(Mark { _passed: mark }), false)?;
    // What the client's window does not take in time is lost.
    drop(patience.wait(|cx| Pin::new(&mut passed).poll(cx)).await);
    Ok(())
}

/// An empty piece of an answer: h2 drops it when all before it is written, or never will be.
struct Mark {
    _passed: oneshot::Sender<()>,
}

impl AsRef<[u8]> for Mark {
    fn as_ref(&self) -> &[u8] {
        &[]
    }
}

/// What the answer's body came to.
enum Next {
    Frame(Frame<Bytes>),
    /// Its end.
    Over,
    /// Its arm failed, or stalled.
    Broken,
    /// The client wants no more of it.
    Reset,
}

impl Next {
    fn of<E>(frame: Option<Result<Frame<Bytes>, E>>) -> Self {
        match frame {
            Some(Ok(frame)) => Self::Frame(frame),
            Some(Err(_)) => Self::Broken,
            None => Self::Over,
        }
    }
}

fn poll_next<B: Body<Data = Bytes> + Unpin>(
    body: &mut B,
    to_client: &mut SendStream<Bytes>,
    cx: &mut Context<'_>,
) -> Poll<Next> {
    match Pin::new(body).poll_frame(cx) {
        Poll::Ready(frame) => Poll::Ready(Next::of(frame)),
        Poll::Pending => to_client.poll_reset(cx).map(|_| Next::Reset),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// More comes.
    Piece,
    /// The stream is over.
    Stream,
}

/// What became of some data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Whole,
    /// The client takes no more.
    Partly,
}

/// Sends `data` as the client's window opens, and `end` with its last byte.
async fn send_data(
    to_client: &mut SendStream<Bytes>,
    mut data: Bytes,
    end: End,
    patience: &mut Patience,
) -> Result<Sent, h2::Error> {
    if data.is_empty() && end == End::Stream {
        to_client.send_data(data, true)?;
        return Ok(Sent::Whole);
    }
    while !data.is_empty() {
        to_client.reserve_capacity(data.len());
        let granted = patience.wait(|cx| {
            if to_client.capacity() > 0 {
                return Poll::Ready(Some(Ok(to_client.capacity())));
            }
            to_client.poll_capacity(cx)
        });
        match granted.await {
            Ok(Some(granted)) => {
                let piece = data.split_to(granted?.min(data.len()));
                to_client.send_data(piece, data.is_empty() && end == End::Stream)?;
            }
            Ok(None) => return Ok(Sent::Partly),
            // The client has closed its window and let go of the door.
            Err(Stalled) => {
                to_client.send_reset(Reason::CANCEL);
                return Ok(Sent::Partly);
            }
        }
    }
    Ok(Sent::Whole)
}

/// Answers a CONNECT, and carries bytes both ways until both sides have ended.
async fn open(
    mut respond: SendResponse<Bytes>,
    mut head: response::Parts,
    from_client: RecvStream,
    tunnel: Tunnel,
) -> Result<(), h2::Error> {
    head.extensions.clear();
    let to_client = respond.send_response(Response::from_parts(head, ()), false)?;
    let mut client = Http2Stream::new(from_client, to_client, ());
    if let Some(far) = tunnel.take()
        && let Err(error) = relay(&mut client, bytes::BytesMut::new(), far).await
    {
        tracing::debug!(%error, "tunnel ended");
    }
    Ok(())
}

/// Fields that mean one connection, and nothing in HTTP/2 (RFC 9113, 8.2.2).
fn strip(headers: &mut HeaderMap) {
    const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
    const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
    let of_connection = [CONNECTION, TE, TRANSFER_ENCODING, UPGRADE, KEEP_ALIVE, PROXY_CONNECTION];
    if !of_connection.iter().any(|name| headers.contains_key(name)) {
        return;
    }
    // Built anew, because removing a field would move the last one into its place.
    let mut kept = HeaderMap::with_capacity(headers.len());
    for (name, value) in &*headers {
        if !of_connection.contains(name) {
            kept.append(name, value.clone());
        }
    }
    *headers = kept;
}

/// How long one stream waits for either side.
struct Patience {
    limit: Duration,
    timer: LazyTimer,
}

/// It waited for too long.
struct Stalled;

impl Patience {
    /// Ready once what has been waited for `since` then is overdue.
    fn poll_since(&mut self, cx: &mut Context<'_>, since: Option<Instant>) -> Poll<()> {
        match since {
            Some(since) => self.timer.poll_until(cx, since + self.limit),
            None => Poll::Pending,
        }
    }

    async fn wait<T>(&mut self, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Result<T, Stalled> {
        let mut since = None;
        poll_fn(|cx| match poll(cx) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => {
                let since = *since.get_or_insert_with(Instant::now);
                self.poll_since(cx, Some(since)).map(|()| Err(Stalled))
            }
        })
        .await
    }
}
