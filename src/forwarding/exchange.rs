//! One exchange with an upstream: send, wait, perhaps once more, answer.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    Extensions, HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{EXPECT, HOST},
    request,
};
use http_body::Body;
use hyper::{body::Incoming, ext::on_informational};

use super::{
    body::{Flow, Progress, ResponseBody, Upload},
    head::{self, Gained},
    pool::{Lease, Upgraded, protocol},
    tally::Ending,
    upstream::Upstream,
};
use crate::backend::{BackendError, Fault, Sent};

/// Hears the interim responses of an upstream, but for 100, which is not passed on but acted on.
pub type OnInterim = Arc<dyn Fn(StatusCode, &HeaderMap) + Send + Sync>;

/// A way to an upstream, for one request.
#[derive(Clone, Copy)]
pub struct Forward<'a, B> {
    /// Where to.
    pub upstream: &'a Upstream<B>,
    /// Whose connections.
    pub worker: usize,
    /// Fields that the request gains.
    pub gained: &'a [Gained],
    /// Who hears interim responses.
    pub on_interim: Option<&'a OnInterim>,
}

/// What an upstream answered.
#[derive(Debug)]
pub struct Forwarded<B> {
    /// Its response, with a head that is ours.
    pub response: Response<ResponseBody<B>>,
    /// Its socket, after a 101.
    pub upgraded: Option<Upgraded>,
}

impl<B> Forward<'_, B>
where
    B: Body<Data = Bytes, Error = Fault> + Default + Send + Unpin + 'static,
{
    /// Sends the request and waits for the head of its answer. `client`'s extensions are used up.
    pub async fn send(&self, client: &mut request::Parts, body: B) -> Result<Forwarded<B>, BackendError> {
        let empty = body.is_end_stream();
        let progress = (!empty).then(|| Progress::new(flow(client)));
        let mut attempt = Attempt {
            extensions: std::mem::take(&mut client.extensions),
            body: Upload::new(body, progress.clone()),
        };
        let mut lease = Lease::any(self.upstream, self.worker).await?;
        let mut tries = self.upstream.settings().retries;
        let response = loop {
            // A connection that was idle may have been closed while the request was on its way.
            let again = (tries > 0 && empty && lease.reused && client.method.is_idempotent())
                .then(|| attempt.extensions.clone());
            let request = self.request(client, attempt, progress.as_ref());
            match self.answer(&mut lease, request, progress.as_ref()).await {
                Ok(response) => break response,
                Err(Failure::Unsent(unsent)) if tries > 0 => attempt = *unsent,
                Err(Failure::Broken(_)) if let Some(extensions) = again => {
                    attempt = Attempt { extensions, body: Upload::new(B::default(), None) };
                }
                Err(failure) => return Err(failure.into_error(progress.as_deref())),
            }
            tries -= 1;
            self.upstream.tally().retried();
            lease = Box::pin(Lease::fresh(self.upstream, self.worker)).await?;
        };
        self.accept(client, response, lease, progress).await
    }

    fn request(
        &self,
        client: &request::Parts,
        attempt: Attempt<B>,
        progress: Option<&Arc<Progress>>,
    ) -> Request<Upload<B>> {
        let mut request = Request::new(attempt.body);
        *request.method_mut() = client.method.clone();
        *request.uri_mut() = client.uri.clone();
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = head::request(client, self.gained);
        // RFC 9112, 3.2: an old client may leave it out, and we may not.
        if !client.headers.contains_key(HOST)
            && let Ok(authority) = HeaderValue::try_from(self.upstream.authority())
        {
            request.headers_mut().append(HOST, authority);
        }
        *request.extensions_mut() = attempt.extensions;
        if self.on_interim.is_some() || progress.is_some_and(|progress| progress.is_held()) {
            let (progress, on_interim) = (progress.cloned(), self.on_interim.cloned());
            on_informational(&mut request, move |interim| {
                if interim.status() == StatusCode::CONTINUE {
                    // hyper's server sends one of its own when the body is first read.
                    if let Some(progress) = &progress {
                        progress.proceed();
                    }
                } else if let Some(on_interim) = &on_interim {
                    on_interim(interim.status(), &head::interim(interim.headers()));
                }
            });
        }
        request
    }

    async fn answer(
        &self,
        lease: &mut Lease<B>,
        request: Request<Upload<B>>,
        progress: Option<&Arc<Progress>>,
    ) -> Result<Response<Incoming>, Failure<B>> {
        let after = self.upstream.settings().first_byte_timeout;
        lease.awaits().begin(after, progress.cloned());
        lease.reason().listen();
        let sent = lease.sender().try_send_request(request).await;
        let in_time = lease.awaits().end();
        let sent = sent.map_err(|mut error| match error.take_message() {
            Some(unsent) => {
                let (parts, body) = unsent.into_parts();
                Failure::Unsent(Box::new(Attempt { extensions: parts.extensions, body }))
            }
            None if in_time => Failure::Broken(error.into_error()),
            None => Failure::Late(after),
        });
        self.note(lease, &sent, progress);
        sent
    }

    /// What the exchange says of the address that it was with.
    fn note(
        &self,
        lease: &Lease<B>,
        sent: &Result<Response<Incoming>, Failure<B>>,
        progress: Option<&Arc<Progress>>,
    ) {
        let (ending, error) = match sent {
            Ok(_) => return lease.answered(),
            Err(Failure::Late(after)) => (Ending::Late, format!("no answer within {after:?}")),
            // What a client breaks off says nothing of the upstream.
            Err(Failure::Broken(error)) if progress.is_none_or(|progress| progress.fault().is_none()) => {
                (Ending::Broken, protocol(error).to_string())
            }
            Err(Failure::Broken(_) | Failure::Unsent(_)) => return,
        };
        self.upstream.tally().ended(ending);
        lease.failed(&error);
    }

    async fn accept(
        &self,
        client: &request::Parts,
        response: Response<Incoming>,
        mut lease: Lease<B>,
        progress: Option<Arc<Progress>>,
    ) -> Result<Forwarded<B>, BackendError> {
        let broken = |reason: String| BackendError { fault: Fault::Protocol { reason }, sent: Sent::Body };
        let (mut parts, incoming) = response.into_parts();
        head::response(&mut parts, &client.method, head::upgrade(&client.headers).is_some())
            .map_err(|unfit| broken(unfit.to_string()))?;
        if let Some(reason) = lease.reason().take() {
            parts.extensions.insert(reason);
        }
        let upgraded = if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            let upgraded = lease.upgraded().await;
            Some(upgraded.ok_or_else(|| broken("it closed after switching protocols".to_owned()))?)
        } else {
            None
        };
        let body = ResponseBody::new(incoming, lease, progress);
        Ok(Forwarded { response: Response::from_parts(parts, body), upgraded })
    }
}

/// What is used up by trying to send it, and comes back when not a byte was sent.
struct Attempt<B> {
    /// hyper keeps the case of field names here.
    extensions: Extensions,
    body: Upload<B>,
}

enum Failure<B> {
    /// The connection was gone before the first byte.
    Unsent(Box<Attempt<B>>),
    /// It broke afterwards.
    Broken(hyper::Error),
    /// No answer in time.
    Late(Duration),
}

impl<B> Failure<B> {
    fn into_error(self, progress: Option<&Progress>) -> BackendError {
        let sent = progress.map_or(Sent::Head, Progress::sent);
        match self {
            Self::Unsent(_) => BackendError {
                fault: Fault::Protocol { reason: "it closed every connection before the request".to_owned() },
                sent: Sent::Nothing,
            },
            Self::Broken(error) => {
                let fault = progress.and_then(Progress::fault).unwrap_or_else(|| protocol(&error));
                BackendError { fault, sent }
            }
            Self::Late(after) => BackendError { fault: Fault::FirstByteTimeout { after }, sent },
        }
    }
}

/// Whether the client waits to be told to send its body.
fn flow(client: &request::Parts) -> Flow {
    let expects = client.version >= Version::HTTP_11
        && client.method != Method::CONNECT
        && client
            .headers
            .get(EXPECT)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if expects { Flow::WhenContinued } else { Flow::AtOnce }
}
