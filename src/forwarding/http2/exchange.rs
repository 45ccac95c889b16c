//! One exchange on one stream: the request flows while its answer is waited for.

use std::{
    future::{Future as _, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, client::ResponseFuture};
use http::{HeaderMap, Method, Response, StatusCode, header::CONTENT_LENGTH, request, response};
use http_body::Body;
use tokio_util::task::AbortOnDropHandle;

use super::{arriving::Arriving, head, session::Slot, upload::Pump};
use crate::{
    backend::Fault,
    forwarding::{
        awaits::Awaits,
        body::{Flow, Progress, Upload},
        upstream::Settings,
    },
    stream::{Duplex, Http2Stream},
    timer::LazyTimer,
};

/// What is asked, and by whom interim responses are heard.
pub(in crate::forwarding) struct Asking<'a, B, I> {
    /// With the fields of HTTP/1.1.
    pub(in crate::forwarding) head: &'a request::Parts,
    /// Whom.
    pub(in crate::forwarding) settings: &'a Settings,
    pub(in crate::forwarding) body: Upload<B>,
    /// Where there is a body.
    pub(in crate::forwarding) progress: Option<&'a Arc<Progress>>,
    pub(in crate::forwarding) hears: I,
}

/// An answer's head, as HTTP/1.1 could have brought it, and what follows.
pub(in crate::forwarding) struct Answer {
    pub(in crate::forwarding) head: response::Parts,
    pub(in crate::forwarding) content: Content,
}

pub(in crate::forwarding) enum Content {
    Body(Arriving),
    /// A WebSocket's bytes.
    Tunnel(Box<dyn Duplex>),
}

/// Why there is no answer.
pub(in crate::forwarding) enum Unanswered<B> {
    /// The upstream has not looked at the request, and will not (RFC 9113, 8.7). Whole again, where that could be.
    Unprocessed(Fault, Option<Upload<B>>),
    /// It was not asked: HTTP/2, as it speaks it, has no words for the request.
    Unsayable(Fault, Upload<B>),
    /// It may have; and found fault with the request.
    Refused(Fault),
    /// It may have.
    Broken(Fault),
    /// No answer in time.
    Late,
}

enum Outcome {
    Answered(Result<Response<RecvStream>, h2::Error>),
    Broken(Fault),
    Late,
}

/// Sends the request on the place that `slot` is, and waits for the head of its answer.
pub(in crate::forwarding) async fn exchange<B, I>(
    slot: &mut Option<Slot>,
    asking: Asking<'_, B, I>,
) -> Result<Answer, Unanswered<B>>
where
    B: Body<Data = Bytes, Error = Fault> + Default + Send + Unpin + 'static,
    I: Fn(StatusCode, &HeaderMap),
{
    let Asking { head: asked, settings, body, progress, hears } = asking;
    let broken = |reason: String| Unanswered::Broken(Fault::Protocol { reason });
    let said = head::request(asked, settings.scheme(), || settings.authority());
    let head::Head { request, accept } = match said {
        Ok(said) => said,
        Err(unsayable) => {
            return Err(Unanswered::Unsayable(Fault::Client { reason: unsayable.to_string() }, body));
        }
    };
    let Some(mut sender) = slot.as_ref().map(Slot::sender) else {
        return Err(broken("it has no connection".to_owned()));
    };
    if accept.is_some() && !sender.is_extended_connect_protocol_enabled() {
        let reason = "it speaks HTTP/2 without WebSockets (RFC 8441)".to_owned();
        return Err(Unanswered::Unsayable(Fault::Protocol { reason }, body));
    }
    let empty = progress.is_none() && accept.is_none();
    let (mut response, stream) = match sender.send_request(request, empty) {
        Ok(begun) => begun,
        Err(error) if error.reason().is_some() || error.is_io() => {
            return Err(Unanswered::Unprocessed(super::fault(&error), Some(body)));
        }
        Err(error) => return Err(Unanswered::Unsayable(super::fault(&error), body)),
    };
    let mut sending = match progress {
        Some(_) => Sending::Body(Pump::new(body, stream)),
        None => Sending::Open(stream),
    };
    let awaits = Awaits::begin(settings.first_byte_timeout, progress.cloned());
    let mut timer = LazyTimer::new();
    let outcome = poll_fn(|cx| {
        if let Err(fault) = poll_interim(&mut response, &hears, cx) {
            return Poll::Ready(Outcome::Broken(fault));
        }
        if let Poll::Ready(answered) = Pin::new(&mut response).poll(cx) {
            return Poll::Ready(Outcome::Answered(answered));
        }
        if let Sending::Body(pump) = &mut sending
            && let Poll::Ready(Err(fault)) = pump.poll(cx)
        {
            return Poll::Ready(Outcome::Broken(fault));
        }
        awaits.poll_late(cx, &mut timer).map(|()| Outcome::Late)
    })
    .await;
    let answered = match outcome {
        Outcome::Answered(Ok(answered)) => answered,
        Outcome::Answered(Err(error)) if is_unprocessed(&error) => {
            let body = match sending {
                Sending::Body(pump) => pump.rewound(progress.map(AsRef::as_ref)),
                Sending::Open(_) => Some(Upload::flowing(B::default(), Flow::AtOnce)),
            };
            return Err(Unanswered::Unprocessed(super::fault(&error), body));
        }
        Outcome::Answered(Err(error)) if is_of_the_request(&error) => {
            return Err(Unanswered::Refused(super::fault(&error)));
        }
        Outcome::Answered(Err(error)) => return Err(Unanswered::Broken(super::fault(&error))),
        Outcome::Broken(fault) => return Err(Unanswered::Broken(fault)),
        Outcome::Late => return Err(Unanswered::Late),
    };
    let (mut head, incoming) = answered.into_parts();
    if !head::are_names(&head.headers) {
        return Err(broken(NO_NAME.to_owned()));
    }
    head::trim(&mut head.headers);
    head::response(&mut head, &asked.method, accept.as_ref());
    let Some(slot) = slot.take() else { return Err(broken("it has no connection".to_owned())) };
    slot.answered();
    let content = match sending {
        Sending::Open(stream) if head.status == StatusCode::SWITCHING_PROTOCOLS => {
            Content::Tunnel(Box::new(Http2Stream::new(incoming, stream, slot)))
        }
        Sending::Open(_) => Content::Body(Arriving::new(incoming, length(&head, &asked.method), slot, None)),
        Sending::Body(pump) => {
            Content::Body(Arriving::new(incoming, length(&head, &asked.method), slot, rest(pump)))
        }
    };
    Ok(Answer { head, content })
}

/// What leaves us.
enum Sending<B> {
    Body(Pump<B>),
    /// Nothing; or what a tunnel will carry.
    Open(SendStream<Bytes>),
}

/// Tells what came in between; an error where it can be no part of an answer (RFC 9113, 8.6).
fn poll_interim(
    response: &mut ResponseFuture,
    hears: &impl Fn(StatusCode, &HeaderMap),
    cx: &mut std::task::Context<'_>,
) -> Result<(), Fault> {
    while let Poll::Ready(Some(Ok(mut interim))) = response.poll_informational(cx) {
        if interim.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Fault::Protocol { reason: "it switched protocols within HTTP/2".to_owned() });
        }
        if !head::are_names(interim.headers()) {
            return Err(Fault::Protocol { reason: NO_NAME.to_owned() });
        }
        head::trim(interim.headers_mut());
        hears(interim.status(), interim.headers());
    }
    Ok(())
}

const NO_NAME: &str = "a field of its answer has a name that is no token";

/// What of a request flows on while its answer does: a call of gRPC may talk both ways.
fn rest<B>(mut pump: Pump<B>) -> Option<AbortOnDropHandle<()>>
where
    B: Body<Data = Bytes, Error = Fault> + Send + Unpin + 'static,
{
    if pump.is_over() {
        return None;
    }
    pump.forget();
    // Not tracked by the drain: it lives no longer than the answer's body.
    Some(AbortOnDropHandle::new(tokio::spawn(async move {
        // What the client breaks off is reset on both sides.
        let _broken_off = poll_fn(|cx| pump.poll(cx)).await;
    })))
}

/// Streams above the last one that a GOAWAY names, and refused ones, were not looked at (RFC 9113, 6.8 and 8.7).
fn is_unprocessed(error: &h2::Error) -> bool {
    error.is_remote() && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM))
}

/// A stream that is reset for what the client has sent (RFC 9113, 8.1.1), or for how it was sent, says nothing of the
/// upstream: others are answered.
fn is_of_the_request(error: &h2::Error) -> bool {
    const OF_THE_REQUEST: [Reason; 2] = [Reason::PROTOCOL_ERROR, Reason::HTTP_1_1_REQUIRED];
    error.is_remote()
        && error.is_reset()
        && error.reason().is_some_and(|reason| OF_THE_REQUEST.contains(&reason))
}

fn length(head: &response::Parts, method: &Method) -> Option<u64> {
    if method == Method::HEAD {
        return None;
    }
    head.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
