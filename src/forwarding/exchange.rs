//! One exchange with an upstream: send, wait, perhaps once more, answer.

mod acceptance;
mod attempt;

use std::{future::poll_fn, pin::pin, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{EXPECT, HOST},
    request,
};
use http_body::Body;
use hyper::{body::Incoming, ext::on_informational};

use self::{
    acceptance::{Answer, accept, accept_http2, accept_upgrade, broken},
    attempt::{Attempt, Failure, Seen, unsent_to_all},
};
use super::{
    awaits::Awaits,
    body::{Flow, Progress, ResponseBody, Upload},
    connection,
    dial::Speak,
    head::{self, Gained},
    http2::{self, Asking, Slot, Unanswered},
    line::{Choice, Line},
    pool::{Lease, Upgraded, protocol},
    sign,
    tally::Ending,
    upstream::{Http2, Upstream},
};
use crate::backend::Fault;

/// Hears the interim responses of an upstream, but for 100, which is not passed on but acted on.
pub trait HearInterim: Send + Sync {
    /// One has come.
    fn hear(&self, status: StatusCode, headers: &HeaderMap);
}

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
    pub on_interim: Option<&'a Arc<dyn HearInterim>>,
}

/// What an upstream answered.
#[derive(Debug)]
pub struct Forwarded<B> {
    /// Its response, with a head that is ours.
    pub response: Response<ResponseBody<B>>,
    /// Its connection, after a 101.
    pub upgraded: Option<Upgraded>,
}

/// Why there is no answer.
#[derive(Debug)]
pub struct Failed<B> {
    /// What went wrong.
    pub fault: Fault,
    /// How much of the request the other side may have seen.
    pub sent: Sent<B>,
}

/// How much of a request the other side may have seen.
#[derive(Debug)]
pub enum Sent<B> {
    /// Nothing, so that somebody else may be asked. With the body, where it is still to be had.
    Nothing(Option<B>),
    /// Perhaps all of it.
    Perhaps,
}

impl<B> Forward<'_, B>
where
    B: Body<Data = Bytes, Error = Fault> + Default + Send + Unpin + 'static,
{
    /// Sends the request and waits for the head of its answer. `client`'s extensions are used up by what is sent.
    pub async fn send(&self, client: &mut request::Parts, body: B) -> Result<Forwarded<B>, Failed<B>> {
        let (upload, signature) = match self.upstream.signer() {
            None => (Upload::flowing(body, flow(client)), Vec::new()),
            Some(signer) => {
                let upload = Box::pin(sign::signed(signer, client, body, sign::today())).await;
                upload.map_err(|fault| Failed { fault, sent: Sent::Nothing(None) })?
            }
        };
        let progress = upload.progress().cloned();
        if progress.is_none() && head::has_length(&client.headers) {
            // The upstream would take the next request of the connection for this one's body.
            let fault = Fault::Client { reason: "it announces a body that it does not have".to_owned() };
            return Err(Failed { fault, sent: Sent::Nothing(None) });
        }
        let mut line = match self.line(client, Choice::Any).await {
            Ok(line) => line,
            Err(fault) => return Err(Failed { fault, sent: Sent::Nothing(upload.untouched()) }),
        };
        let mut attempt = Attempt { extensions: std::mem::take(&mut client.extensions), upload };
        let mut tries = self.upstream.settings().retries;
        let mut seen = Seen::Never;
        let answer = loop {
            // A connection that was idle may have been closed while the request was on its way.
            let again = (tries > 0 && progress.is_none() && line.is_reused() && client.method.is_safe())
                .then(|| attempt.extensions.clone());
            let request = self.request(client, attempt, &signature);
            let answer = match &mut line {
                Line::Http1(lease) => {
                    // The request is hyper's before the first wait: a future that held it would be moved about with it.
                    let (sent, awaits) = self.ask(lease, request, progress.as_ref());
                    let mut sent = pin!(sent);
                    let sent = poll_fn(|cx| lease.poll_answer(cx, sent.as_mut(), &awaits)).await;
                    self.told(sent).map(Answer::Http1)
                }
                Line::Http2(slot) => {
                    Box::pin(self.answer_http2(slot, request, progress.as_ref())).await.map(Answer::Http2)
                }
            };
            let failure = match answer {
                Ok(answer) => break answer,
                Err(failure) => failure,
            };
            self.note(&line, &failure, progress.as_ref());
            attempt = match (failure, again) {
                (Failure::Unsent(unsent), _) if tries > 0 => *unsent,
                (Failure::Broken(_), Some(extensions)) => {
                    seen = Seen::Perhaps;
                    Attempt { extensions, upload: Upload::flowing(B::default(), Flow::AtOnce) }
                }
                (Failure::Unsent(unsent), _) => return Err(unsent.given_back(client, unsent_to_all(), seen)),
                (Failure::Unsayable(unsent, fault), _) => return Err(unsent.given_back(client, fault, seen)),
                (failure, _) => return Err(failure.into_failed(progress.as_deref())),
            };
            tries -= 1;
            self.upstream.tally().retried();
            line = match Box::pin(self.line(client, Choice::Fresh)).await {
                Ok(line) => line,
                Err(fault) => return Err(attempt.given_back(client, fault, seen)),
            };
        };
        match (answer, line) {
            (Answer::Http1(response), Line::Http1(lease))
                if response.status() == StatusCode::SWITCHING_PROTOCOLS =>
            {
                let after = self.upstream.settings().first_byte_timeout;
                Box::pin(accept_upgrade(client, response, lease, progress, after)).await
            }
            (Answer::Http1(response), Line::Http1(lease)) => accept(client, response, lease, progress),
            (Answer::Http2(answer), _) => accept_http2(client, *answer),
            (Answer::Http1(_), Line::Http2(_)) => Err(broken("its connection is gone")),
        }
    }

    /// The connection that the request is to take.
    async fn line(&self, client: &request::Parts, choice: Choice) -> Result<Line<B>, Fault> {
        let (upstream, worker) = (self.upstream, self.worker);
        let line = Line::to(upstream, worker, upstream.speak(), choice).await?;
        if upstream.settings().h2 == Http2::Auto
            && head::upgrade(client).is_some()
            && !line.takes_upgrade(client)
        {
            // What HTTP/2 has no way for may still be asked for in HTTP/1.1.
            return Box::pin(Line::to(upstream, worker, Speak::Http1, choice)).await;
        }
        Ok(line)
    }

    fn request(
        &self,
        client: &request::Parts,
        attempt: Attempt<B>,
        signature: &[Gained],
    ) -> Request<Upload<B>> {
        let mut request = Request::new(attempt.upload);
        *request.method_mut() = client.method.clone();
        *request.uri_mut() = client.uri.clone();
        *request.version_mut() = Version::HTTP_11;
        let gained = [self.gained, &*self.upstream.settings().headers, signature];
        *request.headers_mut() = head::request(client, &gained);
        // RFC 9112, 3.2: an old client may leave it out, and we may not.
        if !request.headers().contains_key(HOST)
            && let Ok(authority) = HeaderValue::try_from(self.upstream.settings().authority())
        {
            request.headers_mut().append(HOST, authority);
        }
        *request.extensions_mut() = attempt.extensions;
        request
    }

    /// Hands the request over, with how long its answer is waited for.
    fn ask(
        &self,
        lease: &mut Lease<B>,
        mut request: Request<Upload<B>>,
        progress: Option<&Arc<Progress>>,
    ) -> (impl Future<Output = connection::Sent<B>> + Send + use<B>, Awaits) {
        if self.on_interim.is_some() || progress.is_some_and(|progress| progress.is_held()) {
            let hears = hears(self.on_interim.cloned(), progress.cloned());
            on_informational(&mut request, move |interim| hears(interim.status(), interim.headers()));
        }
        let after = self.upstream.settings().first_byte_timeout;
        (lease.send(request), Awaits::begin(after, progress.cloned()))
    }

    /// What became of it; none is a late answer.
    fn told(&self, sent: Option<connection::Sent<B>>) -> Result<Response<Incoming>, Failure<B>> {
        let late = Failure::Late(self.upstream.settings().first_byte_timeout);
        sent.ok_or(late)?.map_err(|mut error| match error.take_message() {
            Some(unsent) => {
                let (parts, upload) = unsent.into_parts();
                Failure::Unsent(Box::new(Attempt { extensions: parts.extensions, upload }))
            }
            None => Failure::Broken(protocol(&error.into_error())),
        })
    }

    async fn answer_http2(
        &self,
        slot: &mut Option<Slot>,
        request: Request<Upload<B>>,
        progress: Option<&Arc<Progress>>,
    ) -> Result<Box<http2::Answer>, Failure<B>> {
        let settings = self.upstream.settings();
        let (head, body) = request.into_parts();
        let hears = hears(self.on_interim.cloned(), progress.cloned());
        let asking = Asking { head: &head, settings, body, progress, hears };
        match http2::exchange(slot, asking).await {
            Ok(answer) => Ok(Box::new(answer)),
            Err(Unanswered::Unprocessed(_, Some(upload))) => {
                Err(Failure::Unsent(Box::new(Attempt { extensions: head.extensions, upload })))
            }
            Err(Unanswered::Unsayable(fault, upload)) => {
                Err(Failure::Unsayable(Box::new(Attempt { extensions: head.extensions, upload }), fault))
            }
            Err(Unanswered::Unprocessed(fault, None) | Unanswered::Broken(fault)) => {
                Err(Failure::Broken(fault))
            }
            Err(Unanswered::Refused(fault)) => Err(Failure::Refused(fault)),
            Err(Unanswered::Late) => Err(Failure::Late(settings.first_byte_timeout)),
        }
    }

    /// What a failure says of the address that the exchange was with.
    fn note(&self, line: &Line<B>, failure: &Failure<B>, progress: Option<&Arc<Progress>>) {
        let (ending, error) = match failure {
            Failure::Late(after) => (Ending::Late, Some(format!("no answer within {after:?}"))),
            // What a client breaks off, or asks for in vain, says nothing of the upstream.
            Failure::Broken(fault) if progress.is_none_or(|progress| progress.fault().is_none()) => {
                (Ending::Broken, Some(fault.to_string()))
            }
            Failure::Refused(_) => (Ending::Broken, None),
            Failure::Broken(_) | Failure::Unsent(_) | Failure::Unsayable(..) => return,
        };
        self.upstream.tally().ended(ending);
        if let Some(error) = error {
            line.failed(&error);
        }
    }
}

/// What is done about interim responses.
fn hears(
    on_interim: Option<Arc<dyn HearInterim>>,
    progress: Option<Arc<Progress>>,
) -> impl Fn(StatusCode, &HeaderMap) + Send + Sync + 'static {
    move |status, headers| {
        if status == StatusCode::CONTINUE {
            // hyper's server sends one of its own when the body is first read.
            if let Some(progress) = &progress {
                progress.proceed();
            }
        } else if let Some(on_interim) = &on_interim {
            on_interim.hear(status, &head::interim(headers));
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

#[cfg(test)]
pub(super) mod tests;
