//! The arms as the parallel run calls them: no client waits, nothing they do is seen, and images are fetched by name.

mod target;

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, Version,
    header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, HOST, TRANSFER_ENCODING},
    request,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::Instant;

use self::target::{refused, targets};
use crate::{
    backend::Fault,
    forwarding::{Forward, head::Gained},
    gateway::{RequestBody, rules::Upstream},
    generator::{Declined, Generator, ImageAnswer, Outcome, settings::Contract},
    parallel_run::{
        Candidate, Control, Images,
        answer::Asked,
        candidate::{
            BoxFuture, CandidateAnswer, CandidateFault, CapturedRequest, FetchFault, Fetched, ImageName,
        },
    },
    routing::Arm,
};

/// Marks what no user waits for.
const SHADOW: (HeaderName, HeaderValue) =
    (HeaderName::from_static("figueira-shadow"), HeaderValue::from_static("1"));

/// What lets whoever has it be the user.
const CREDENTIALS: [HeaderName; 2] = [COOKIE, AUTHORIZATION];

/// An upstream as the work plane reaches it.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    pub(super) upstream: Arc<Upstream>,
    /// The work plane's shelf of connections.
    pub(super) shelf: usize,
}

/// Why an upstream's answer could not be had.
enum Unreached {
    Fault(Fault),
    TooLarge,
}

impl Reach {
    /// Its answer, and how long its head took.
    async fn ask(
        &self,
        mut head: request::Parts,
        gained: &[Gained],
        body: Bytes,
        limit: usize,
    ) -> Result<(Response<Bytes>, Duration), Unreached> {
        let asked = Instant::now();
        head.version = Version::HTTP_11;
        let gained = [gained, &[SHADOW]].concat();
        let forward =
            Forward { upstream: &self.upstream, worker: self.shelf, gained: &gained, on_interim: None };
        let body = RequestBody::whole(body);
        let forwarded = forward.send(&mut head, body).await;
        let forwarded = forwarded.map_err(|failed| Unreached::Fault(failed.fault))?;
        let first_byte = asked.elapsed();
        let (parts, mut body) = forwarded.response.into_parts();
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(Unreached::Fault)?;
            if let Some(data) = frame.data_ref() {
                whole.extend_from_slice(data);
            }
            if whole.len() > limit {
                return Err(Unreached::TooLarge);
            }
        }
        Ok((Response::from_parts(parts, whole.freeze()), first_byte))
    }

    /// Gets the image that an answer of this upstream's names, wherever on its site that is shown.
    async fn image(
        &self,
        name: ImageName<'_>,
        request: &CapturedRequest,
        shown_at: &[String],
        credentials: &[HeaderName],
        limit: usize,
    ) -> Result<Fetched, FetchFault> {
        let mut found = Err(refused(name.text));
        for target in targets(name, request, shown_at)? {
            found = self.image_at(target, request, credentials, limit).await;
            // A site that has no such name in one place may have it in the next.
            if !matches!(found, Err(FetchFault::Status(_))) {
                break;
            }
        }
        found
    }

    async fn image_at(
        &self,
        target: Uri,
        request: &CapturedRequest,
        credentials: &[HeaderName],
        limit: usize,
    ) -> Result<Fetched, FetchFault> {
        let mut get = Request::new(());
        *get.uri_mut() = target;
        for name in [HOST].iter().chain(credentials) {
            for value in request.headers.get_all(name) {
                get.headers_mut().append(name.clone(), value.clone());
            }
        }
        let answer = self.ask(get.into_parts().0, &request.gained, Bytes::new(), limit).await;
        let (answer, _) = answer.map_err(|unreached| match unreached {
            Unreached::Fault(error) => FetchFault::Transport(error.to_string()),
            Unreached::TooLarge => FetchFault::TooLarge,
        })?;
        if !answer.status().is_success() {
            return Err(FetchFault::Status(answer.status().as_u16()));
        }
        let declared = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let declared = declared.map(|value| value.split(';').next().unwrap_or(value).trim().to_owned());
        Ok(Fetched { bytes: answer.into_body(), declared })
    }
}

/// An upstream's answer to a captured request, `dropped` fields left out.
async fn answer_of(
    reach: &Reach,
    request: CapturedRequest,
    dropped: &[HeaderName],
    limit: usize,
) -> Result<CandidateAnswer, CandidateFault> {
    let head = head_of(&request, dropped);
    match reach.ask(head, &request.gained, request.body, limit).await {
        Ok((answer, first_byte)) => {
            let (head, body) = answer.into_parts();
            Ok(CandidateAnswer {
                status: head.status,
                headers: head.headers,
                body,
                first_byte: Some(first_byte),
                images: HashMap::new(),
                cost_usd: 0.0,
            })
        }
        Err(Unreached::TooLarge) => Err(CandidateFault::TooLarge),
        Err(Unreached::Fault(Fault::ConnectTimeout { .. } | Fault::FirstByteTimeout { .. })) => {
            Err(CandidateFault::Timeout)
        }
        Err(Unreached::Fault(error)) => Err(CandidateFault::Transport(error.to_string())),
    }
}

/// The control, asked what it answered or would have answered: it is the user's own service, and gets the request whole.
pub(super) struct ControlArm(pub(super) Reach);

impl Control for ControlArm {
    fn ask(
        &self,
        request: CapturedRequest,
        limit: usize,
    ) -> BoxFuture<'_, Result<CandidateAnswer, CandidateFault>> {
        Box::pin(answer_of(&self.0, request, &[], limit))
    }
}

/// The head of a captured request as a candidate gets it: whole, but for what belonged to the first exchange alone.
fn head_of(request: &CapturedRequest, dropped: &[HeaderName]) -> request::Parts {
    let mut head = Request::new(()).into_parts().0;
    head.method = request.method.clone();
    head.uri = request.target.clone();
    for (name, value) in &request.headers {
        if !dropped.contains(name) && ![EXPECT, TRANSFER_ENCODING, CONTENT_LENGTH].contains(name) {
            head.headers.append(name, value.clone());
        }
    }
    if !request.body.is_empty() || request.method == Method::POST {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(request.body.len()));
    }
    head
}

/// The embedded generator as a candidate, rehearsing.
pub(super) struct GeneratorArm {
    pub(super) generator: Generator,
    pub(super) contract: Contract,
    /// Who draws, as evidence names it.
    pub(super) model: String,
    pub(super) control: Reach,
}

/// A captured request as the generator reads it.
fn whole(request: &CapturedRequest) -> Request<Bytes> {
    Request::from_parts(head_of(request, &[]), request.body.clone())
}

impl Candidate for GeneratorArm {
    fn run(
        &self,
        request: CapturedRequest,
        _limit: usize,
    ) -> BoxFuture<'_, Result<CandidateAnswer, CandidateFault>> {
        Box::pin(async move {
            let price = self.price(&request).unwrap_or_default();
            let rehearsal = self.generator.rehearse(&self.contract, whole(&request)).await;
            let images = rehearsal.images.into_iter().flat_map(|image| {
                let fetched = Fetched { bytes: image.bytes, declared: Some(image.media_type) };
                [(image.name, fetched.clone()), (image.url, fetched)]
            });
            let images = images.collect();
            // What was not declined may have been drawn, and is taken to have cost its price.
            let cost_usd = if matches!(rehearsal.outcome, Outcome::Declined(_)) { 0.0 } else { price };
            let (Outcome::Answered(response) | Outcome::Declined(Declined { response, .. })) =
                rehearsal.outcome
            else {
                return Err(CandidateFault::Transport("a rehearsal is not streamed".to_owned()));
            };
            let (head, body) = response.into_parts();
            Ok(CandidateAnswer {
                status: head.status,
                headers: head.headers,
                body,
                first_byte: None,
                images,
                cost_usd,
            })
        })
    }

    fn asked(&self, request: &CapturedRequest) -> Asked {
        let wanted = self.generator.wanted(&self.contract, &whole(request));
        Asked {
            size: wanted.size,
            n: wanted.count,
            format: wanted.format.map(ToOwned::to_owned),
            transparent: wanted.transparent,
            streamed: wanted.streamed,
            ..Asked::default()
        }
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn price(&self, request: &CapturedRequest) -> Option<f64> {
        self.generator.price(&self.contract, &whole(request))
    }
}

impl Images for GeneratorArm {
    fn fetch<'a>(
        &'a self,
        arm: Arm,
        name: ImageName<'a>,
        request: &'a CapturedRequest,
        limit: usize,
    ) -> BoxFuture<'a, Result<Fetched, FetchFault>> {
        Box::pin(async move {
            let shown_at = shown_at(&self.generator);
            match arm {
                Arm::Control => self.control.image(name, request, &shown_at, &CREDENTIALS, limit).await,
                // A rehearsal hands its images over with its answer; those of a user's answer are in the store, and
                // found there whatever leads to it.
                Arm::Candidate => {
                    let target = targets(name, request, &shown_at)?.into_iter().next();
                    self.stored(target.ok_or_else(|| refused(name.text))?, limit).await
                }
            }
        })
    }
}

impl GeneratorArm {
    /// An image of ours, as a client gets it.
    async fn stored(&self, target: Uri, limit: usize) -> Result<Fetched, FetchFault> {
        let refused = || refused(target.path());
        let serving =
            self.generator.serves(&Method::GET, target.path(), target.query()).ok_or_else(refused)?;
        let ImageAnswer::Answered(answer) = self.generator.image(serving, &HeaderMap::new()).await else {
            return Err(refused());
        };
        if !answer.status().is_success() {
            return Err(FetchFault::Status(answer.status().as_u16()));
        }
        let declared = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let declared = declared.map(ToOwned::to_owned);
        let body = Limited::new(answer.into_body(), limit).collect().await;
        let bytes = body.map_err(|error| match error.downcast::<LengthLimitError>() {
            Ok(_) => FetchFault::TooLarge,
            Err(error) => FetchFault::Transport(error.to_string()),
        })?;
        Ok(Fetched { bytes: bytes.to_bytes(), declared })
    }
}

/// Where the site shows its images, in the file's order.
pub(super) fn shown_at(generator: &Generator) -> Vec<String> {
    generator.settings().serve.iter().map(|serve| serve.path.clone()).collect()
}

/// Another upstream as a candidate.
pub(super) struct UpstreamArm {
    pub(super) candidate: Reach,
    pub(super) control: Reach,
    /// Where the site shows its images.
    pub(super) shown_at: Vec<String>,
}

impl Candidate for UpstreamArm {
    fn run(
        &self,
        request: CapturedRequest,
        limit: usize,
    ) -> BoxFuture<'_, Result<CandidateAnswer, CandidateFault>> {
        // It is another service: it gets credentials only where its operator says so.
        let pass = &self.candidate.upstream.settings().pass;
        let dropped: Vec<_> = CREDENTIALS.into_iter().filter(|name| !pass.contains(name)).collect();
        Box::pin(async move { answer_of(&self.candidate, request, &dropped, limit).await })
    }

    fn asked(&self, _request: &CapturedRequest) -> Asked {
        Asked::default()
    }

    fn model(&self) -> &str {
        &self.candidate.upstream.settings().name
    }
}

impl Images for UpstreamArm {
    fn fetch<'a>(
        &'a self,
        arm: Arm,
        name: ImageName<'a>,
        request: &'a CapturedRequest,
        limit: usize,
    ) -> BoxFuture<'a, Result<Fetched, FetchFault>> {
        let (reach, credentials) = match arm {
            Arm::Control => (&self.control, CREDENTIALS.as_slice()),
            Arm::Candidate => (&self.candidate, self.candidate.upstream.settings().pass.as_slice()),
        };
        Box::pin(reach.image(name, request, &self.shown_at, credentials, limit))
    }
}
