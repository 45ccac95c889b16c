//! What the site's clients speak: a request of theirs becomes a [`Wish`], what became of it their own answer.

pub(crate) mod custom;
pub(crate) mod template;
pub(crate) mod openai;
mod article;
mod fields;
pub(crate) mod form;

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
};
use serde_json::Value;
use uuid::Uuid;

use self::{custom::Answers, fields::Fields};
use super::{
    catalog::Object,
    events::Writer,
    order::{Format, Order, Prompt, Size, Wish},
    polling::{self, Place},
    provider::Usage,
    settings::{Contract, KeyPlace, Settings},
};

/// What the libraries of `OpenAI`'s API obey before anything else: `false`, and they do not send a request again.
pub const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Scheme and authority under which the client reached the site, as `https://shop.example`: what absolute URLs in
/// answers start with. A request extension; without it URLs are paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalOrigin(pub String);

/// A request that a contract understood.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// What is wanted.
    pub(crate) wish: Wish,
    /// How the answer is written.
    pub(crate) reply: Reply,
}

/// How an answer is written.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Names only.
    Article,
    /// The Images API.
    OpenAi(openai::Reply),
    /// As the operator wrote it.
    Custom(Arc<Answers>),
}

/// What was made, as an answer tells it.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    /// Its id.
    pub(crate) job: String,
    /// What was asked for, where that is known.
    pub(crate) prompt: Option<Prompt>,
    /// Tokens used, where the provider counts them.
    pub(crate) usage: Option<Usage>,
    /// When.
    pub(crate) at: SystemTime,
    /// How large.
    pub(crate) size: Size,
    /// How encoded.
    pub(crate) format: Format,
    /// The images in order.
    pub(crate) images: Vec<Image>,
}

/// One image that was made.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// As the record has it.
    pub(crate) object: Object,
    /// Where clients find it.
    pub(crate) url: String,
    /// Its bytes.
    pub(crate) bytes: Bytes,
}

/// An answer that is no image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Its status.
    pub(crate) status: StatusCode,
    /// For people.
    pub(crate) message: String,
    /// Which parameter is to blame.
    pub(crate) param: Option<Cow<'static, str>>,
    /// For programs.
    pub(crate) code: Cow<'static, str>,
    /// When to try again, where that helps.
    pub(crate) retry_after: Option<Duration>,
    /// Whether the client's library may do so by itself.
    pub(crate) resend: Resend,
}

/// Whether a client's library may send a request again by itself, as those of `OpenAI`'s API do after some statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resend {
    /// Nothing was paid.
    May,
    /// It might be paid a second time, or tells the same again.
    MustNot,
}

/// Why a request is no wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// Wrong by the contract itself: ours to answer.
    Malformed(Refusal),
    /// Right, but nothing that is done here.
    BeyondTables(Refusal),
}

impl Refusal {
    /// One without a parameter to blame.
    pub(crate) fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        let (param, retry_after, resend) = (None, None, Resend::May);
        Self { status, message: message.into(), param, code: code.into(), retry_after, resend }
    }

    /// The same, for a request that no library is to send again by itself.
    pub(crate) fn once(self) -> Self {
        Self { resend: Resend::MustNot, ..self }
    }

    /// A 400 that blames a parameter.
    pub(crate) fn parameter(param: &'static str, code: &'static str, message: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..Self::new(StatusCode::BAD_REQUEST, code, message) }
    }

    /// A 503 after which trying again is worth it.
    pub(crate) fn unavailable(code: &'static str, message: impl Into<String>, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message) }
    }

    /// Writes it as `contract` does.
    pub(crate) fn answer(&self, contract: &Contract) -> Response<Bytes> {
        let mut response = match contract {
            Contract::Article => json(self.status, &article::refusal(self)),
            Contract::OpenAi => json(self.status, &openai::refusal(self)),
            Contract::Custom(custom) => custom.response.refusal(self),
        };
        if let Some(after) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
        if self.resend == Resend::MustNot {
            response.headers_mut().insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }
}

/// Reads a request of at most `max_request` bytes. What has its `key` in it is no stranger.
pub(crate) fn read(
    contract: &Contract,
    request: &Request<Bytes>,
    max_request: usize,
    key: Option<&KeyPlace>,
) -> Result<Asked, Rejection> {
    read_head(contract, request.method(), request.uri().path())?;
    if request.body().len() > max_request {
        return Err(too_long(max_request).into());
    }
    let fields = || Fields::read(request).map_err(Rejection::Malformed);
    match contract {
        Contract::Article => article::read(&fields()?),
        Contract::OpenAi => openai::read(&fields()?, key.and_then(KeyPlace::member).as_deref()),
        Contract::Custom(custom) => custom.read(request),
    }
}

/// What is told of a request of more than `most` bytes, whose end nobody has read.
pub(crate) fn too_long(most: usize) -> Refusal {
    let message = format!("the request has more than the {most} bytes that are allowed");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message)
}

/// Whether a request is for images, whatever its body is.
fn read_head(contract: &Contract, method: &Method, path: &str) -> Result<(), Rejection> {
    let takes = match contract {
        Contract::Article | Contract::OpenAi => method == Method::POST,
        Contract::Custom(custom) => custom.takes(method),
    };
    if !takes {
        // No generation at all: a page or a preflight that the site may well answer.
        return Err(Rejection::BeyondTables(Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "images are generated by POST",
        )));
    }
    if matches!(contract, Contract::OpenAi) { openai::is_generation(path) } else { Ok(()) }
}

impl Contract {
    /// Whether a request of this head is for images: the pages, preflights and edits at the same path are not.
    pub fn is_for_images(&self, method: &Method, path: &str) -> bool {
        read_head(self, method, path).is_ok()
    }

    /// What such a request is told where nobody else may answer it.
    pub fn answer_of_head(&self, method: &Method, path: &str) -> Option<Response<Bytes>> {
        let (Rejection::Malformed(refusal) | Rejection::BeyondTables(refusal)) =
            read_head(self, method, path).err()?;
        Some(refusal.answer(self))
    }

    /// Whether its clients never wait for images: the answer to a start comes at once.
    pub(crate) fn is_polled(&self) -> bool {
        matches!(self, Self::Custom(custom) if custom.poll.is_some())
    }

    /// The answer to a start that nobody waits for.
    pub(crate) fn started(&self, job: Uuid, prompt: &Prompt, settings: &Settings) -> Response<Bytes> {
        match self {
            Self::Custom(custom) if custom.poll.is_some() => custom.response.started(job, prompt),
            _ => polling::accepted(job, settings),
        }
    }

    /// What a poll is told while the job runs; none: what all contracts are told.
    pub(crate) fn pending(&self, job: Uuid, place: Place) -> Option<Response<Bytes>> {
        match (self, place) {
            (Self::Custom(custom), Place::Sites) => custom.pending(job),
            _ => None,
        }
    }

    /// What a poll is told of a job that is done. Its images are named, not carried.
    pub(crate) fn finished(&self, made: &Made, place: Place) -> Response<Bytes> {
        match self {
            Self::Article => json(StatusCode::OK, &article::answer(made)),
            Self::OpenAi => json(StatusCode::OK, &openai::named(made)),
            Self::Custom(custom) => custom.finished(made, place),
        }
    }
}

impl Reply {
    /// Where the answer is to be written while it is drawn: with at most so many previews, by this writer.
    pub(crate) fn stream(&self, order: &Order) -> Option<(u8, Writer)> {
        match self {
            Self::OpenAi(reply) => reply.stream(order),
            Self::Article | Self::Custom(_) => None,
        }
    }

    /// Whether the answer is to be written while it is drawn.
    pub(crate) fn is_stream(&self) -> bool {
        match self {
            Self::OpenAi(reply) => reply.is_stream(),
            Self::Article | Self::Custom(_) => false,
        }
    }

    /// Whether the answer holds the images' bytes.
    pub(crate) fn carries_bytes(&self) -> bool {
        match self {
            Self::OpenAi(reply) => reply.carries_bytes(),
            Self::Article | Self::Custom(_) => false,
        }
    }

    /// Writes the answer.
    pub(crate) fn answer(&self, made: &Made) -> Response<Bytes> {
        match self {
            Self::Article => json(StatusCode::OK, &article::answer(made)),
            Self::OpenAi(reply) => json(StatusCode::OK, &reply.answer(made)),
            Self::Custom(answers) => answers.answer(made),
        }
    }
}

fn json(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        Self::Malformed(refusal)
    }
}
