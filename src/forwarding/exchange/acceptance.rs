//! An answer that has come is passed on, with a head that is ours, or is none that can be.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Response, request, response};
use hyper::body::Incoming;

use super::{
    super::{
        body::{Http1Body, Progress, ResponseBody},
        head,
        http2::{self, Content},
        pool::Lease,
    },
    Failed, Forwarded, Sent,
};
use crate::backend::Fault;

/// Passes an answer on, with the connection that its body comes over.
pub(super) fn accept<B: Send + 'static>(
    client: &request::Parts,
    response: Response<Incoming>,
    mut lease: Lease<B>,
    progress: Option<Arc<Progress>>,
) -> Result<Forwarded<B>, Failed<B>> {
    let (parts, incoming) = parted(client, response, &lease)?;
    if progress.as_ref().is_some_and(|upload| !upload.has_ended()) {
        lease.connection().set_apart();
    }
    let body = ResponseBody::Http1(Http1Body::new(incoming, lease, progress));
    Ok(Forwarded { response: Response::from_parts(parts, body), upgraded: None })
}

/// The same of a 101, with the socket that is a tunnel from now on. The request comes before it, to its last byte: what
/// follows would be taken for the rest of it (RFC 9110, 7.8). The socket is to be had within `after`.
pub(super) async fn accept_upgrade<B>(
    client: &request::Parts,
    response: Response<Incoming>,
    mut lease: Lease<B>,
    progress: Option<Arc<Progress>>,
    after: Duration,
) -> Result<Forwarded<B>, Failed<B>> {
    let (parts, _) = parted(client, response, &lease)?;
    if progress.is_some_and(|upload| !upload.has_ended()) {
        return Err(broken("it switched protocols before the request had ended"));
    }
    let upgraded = lease.upgraded(after).await;
    let upgraded =
        upgraded.ok_or_else(|| broken("it switched protocols, and left or had not taken the request"))?;
    Ok(Forwarded { response: Response::from_parts(parts, ResponseBody::None), upgraded: Some(upgraded) })
}

/// Its head, made ours, and its body.
fn parted<B>(
    client: &request::Parts,
    response: Response<Incoming>,
    lease: &Lease<B>,
) -> Result<(response::Parts, Incoming), Failed<B>> {
    let (mut head, body) = response.into_parts();
    fit(&mut head, client)?;
    if let Some(reason) = lease.reason() {
        head.extensions.insert(reason);
    }
    Ok((head, body))
}

/// The same in HTTP/2.
pub(super) fn accept_http2<B>(
    client: &request::Parts,
    answer: http2::Answer,
) -> Result<Forwarded<B>, Failed<B>> {
    let http2::Answer { mut head, content } = answer;
    fit(&mut head, client)?;
    let (body, upgraded) = match content {
        Content::Body(arriving) => (ResponseBody::Http2(Box::new(arriving)), None),
        Content::Tunnel(stream) => (ResponseBody::None, Some((stream, Bytes::new()))),
    };
    Ok(Forwarded { response: Response::from_parts(head, body), upgraded })
}

/// An answer's head, in either version.
pub(super) enum Answer {
    Http1(Response<Incoming>),
    Http2(Box<http2::Answer>),
}

/// Makes the head ours, where it can be passed on at all.
fn fit<B>(head: &mut response::Parts, client: &request::Parts) -> Result<(), Failed<B>> {
    let asked = head::upgrade(client);
    head::response(head, &client.method, asked.as_ref()).map_err(|unfit| broken(&unfit.to_string()))
}

pub(super) fn broken<B>(reason: &str) -> Failed<B> {
    Failed { fault: Fault::Protocol { reason: reason.to_owned() }, sent: Sent::Perhaps }
}
