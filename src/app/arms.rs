//! The arms as the parallel run calls them: no client waits, nothing they do is seen, and images are fetched by name.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderName, HeaderValue, Method, Request, Response, Uri, Version,
    header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, HOST, TRANSFER_ENCODING},
    request,
};
use http_body_util::{BodyExt, Full};
use uuid::Uuid;

use crate::{
    backend::{BackendError, Fault},
    forwarding::Forward,
    gateway::{RequestBody, rules::Upstream},
    generator::{Declined, Generator, Outcome, RehearsedImage, settings::Contract},
    parallel_run::{
        Candidate, Images,
        answer::{Asked, Delivery},
        candidate::{
            BoxFuture, CandidateAnswer, CandidateFault, CapturedRequest, FetchFault, Fetched, ImageName,
        },
    },
    routing::Arm,
};

/// Marks what no user waits for.
const SHADOW: (HeaderName, HeaderValue) =
    (HeaderName::from_static("figueira-shadow"), HeaderValue::from_static("1"));

/// Images of rehearsals that are still being compared.
const REHEARSALS: usize = 64;

/// The largest answer of an upstream that is compared.
const MAX_ANSWER: usize = 64 << 20;

/// An upstream as the work plane reaches it.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    pub(super) upstream: Arc<Upstream>,
    /// The work plane's shelf of connections.
    pub(super) shelf: usize,
}

/// Why an upstream's answer could not be had.
enum Unreached {
    Fault(BackendError),
    TooLarge,
}

impl Reach {
    async fn ask(&self, mut head: request::Parts, body: Bytes, limit: usize) -> Result<Response<Bytes>, Unreached> {
        head.version = Version::HTTP_11;
        let forward = Forward {
            upstream: &self.upstream,
            worker: self.shelf,
            gained: &[SHADOW],
            on_interim: None,
        };
        let body = if body.is_empty() { RequestBody::Empty } else { RequestBody::Whole(Full::new(body)) };
        let forwarded = forward.send(&mut head, body).await.map_err(Unreached::Fault)?;
        let (parts, mut body) = forwarded.response.into_parts();
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|fault| {
                Unreached::Fault(BackendError { fault, sent: crate::backend::Sent::Body })
            })?;
            if let Some(data) = frame.data_ref() {
                whole.extend_from_slice(data);
            }
            if whole.len() > limit {
                return Err(Unreached::TooLarge);
            }
        }
        Ok(Response::from_parts(parts, whole.freeze()))
    }

    /// Gets the image that an answer of this upstream's names.
    async fn image(
        &self,
        name: ImageName<'_>,
        request: &CapturedRequest,
        template: Option<&str>,
        limit: usize,
    ) -> Result<Fetched, FetchFault> {
        let target = target(name, request, template)?;
        let mut get = Request::new(());
        *get.uri_mut() = target;
        for name in [HOST, COOKIE, AUTHORIZATION] {
            for value in request.headers.get_all(&name) {
                get.headers_mut().append(name.clone(), value.clone());
            }
        }
        let answer = self.ask(get.into_parts().0, Bytes::new(), limit).await.map_err(|unreached| match unreached {
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

/// Where on its own site an image is: nothing that an answer says leads to another host.
fn target(name: ImageName<'_>, request: &CapturedRequest, template: Option<&str>) -> Result<Uri, FetchFault> {
    let refused = || FetchFault::Refused(name.text.chars().take(80).collect());
    let path = match name.delivery {
        Delivery::Name => {
            let plain = !name.text.is_empty()
                && name.text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
            let template = template.filter(|_| plain).ok_or_else(refused)?;
            template.replacen("{name}", name.text, 1)
        }
        _ => {
            let url: Uri = name.text.parse().map_err(|_| refused())?;
            let host = request.headers.get(HOST).and_then(|host| host.to_str().ok());
            let own = url.authority().is_none_or(|authority| Some(authority.as_str()) == host);
            let path = url.path_and_query().filter(|_| own).ok_or_else(refused)?;
            path.as_str().to_owned()
        }
    };
    if path.starts_with('/') { path.parse().map_err(|_| refused()) } else { Err(refused()) }
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
    generator: Generator,
    contract: Contract,
    control: Reach,
    rehearsals: Mutex<Rehearsals>,
}

#[derive(Default)]
struct Rehearsals {
    images: HashMap<Uuid, Vec<RehearsedImage>>,
    order: VecDeque<Uuid>,
}

impl GeneratorArm {
    pub(super) fn new(generator: Generator, contract: Contract, control: Reach) -> Self {
        Self { generator, contract, control, rehearsals: Mutex::default() }
    }

    fn request(request: &CapturedRequest) -> Request<Bytes> {
        Request::from_parts(head_of(request, &[]), request.body.clone())
    }

    fn keep(&self, id: Uuid, images: Vec<RehearsedImage>) {
        let mut rehearsals = self.rehearsals.lock().unwrap_or_else(PoisonError::into_inner);
        rehearsals.images.insert(id, images);
        rehearsals.order.push_back(id);
        if rehearsals.order.len() > REHEARSALS
            && let Some(oldest) = rehearsals.order.pop_front()
        {
            rehearsals.images.remove(&oldest);
        }
    }

    fn rehearsed(&self, id: Uuid, name: &str) -> Option<Fetched> {
        let rehearsals = self.rehearsals.lock().unwrap_or_else(PoisonError::into_inner);
        let image = rehearsals.images.get(&id)?.iter().find(|image| image.name == name || image.url == name)?;
        Some(Fetched { bytes: image.bytes.clone(), declared: Some(image.media_type.clone()) })
    }
}

impl Candidate for GeneratorArm {
    fn run(&self, request: CapturedRequest) -> BoxFuture<'_, Result<CandidateAnswer, CandidateFault>> {
        Box::pin(async move {
            let rehearsal = self.generator.rehearse(self.contract, Self::request(&request)).await;
            self.keep(request.id, rehearsal.images);
            let (Outcome::Answered(response) | Outcome::Declined(Declined { response, .. })) = rehearsal.outcome;
            let (head, body) = response.into_parts();
            Ok(CandidateAnswer { status: head.status, headers: head.headers, body, first_byte: None, cost_usd: 0.0 })
        })
    }

    fn asked(&self, request: &CapturedRequest) -> Asked {
        let wanted = self.generator.wanted(self.contract, &Self::request(request));
        Asked { size: wanted.size, n: wanted.count, format: wanted.format.map(ToOwned::to_owned) }
    }

    fn model(&self) -> &str {
        self.generator.model()
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
            if arm == Arm::Candidate {
                let unknown = || FetchFault::Refused("no image of this rehearsal".to_owned());
                return self.rehearsed(request.id, name.text).ok_or_else(unknown);
            }
            let settings = self.generator.settings();
            let template = settings.serve.first().map(|serve| serve.path.as_str());
            self.control.image(name, request, template, limit).await
        })
    }
}

/// Another upstream as a candidate.
pub(super) struct UpstreamArm {
    pub(super) candidate: Reach,
    pub(super) control: Reach,
}

impl Candidate for UpstreamArm {
    fn run(&self, request: CapturedRequest) -> BoxFuture<'_, Result<CandidateAnswer, CandidateFault>> {
        Box::pin(async move {
            // It is another service: it gets no one's credentials.
            let head = head_of(&request, &[COOKIE, AUTHORIZATION]);
            match self.candidate.ask(head, request.body, MAX_ANSWER).await {
                Ok(answer) => {
                    let (head, body) = answer.into_parts();
                    Ok(CandidateAnswer {
                        status: head.status,
                        headers: head.headers,
                        body,
                        first_byte: None,
                        cost_usd: 0.0,
                    })
                }
                Err(Unreached::TooLarge) => Err(CandidateFault::TooLarge),
                Err(Unreached::Fault(BackendError {
                    fault: Fault::ConnectTimeout { .. } | Fault::FirstByteTimeout { .. },
                    ..
                })) => Err(CandidateFault::Timeout),
                Err(Unreached::Fault(error)) => Err(CandidateFault::Transport(error.to_string())),
            }
        })
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
        let reach = match arm {
            Arm::Control => &self.control,
            Arm::Candidate => &self.candidate,
        };
        Box::pin(reach.image(name, request, None, limit))
    }
}
