//! What an operator changes here: brakes and routes. What could be a web page's doing is refused first.
//!
//! A change is JSON, which no form can send; it comes from this listener's own pages or from no page at all; and it
//! carries the token where there is one.

use std::{error::Error, future::Future, io, net::SocketAddr, pin::Pin, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, Method, Request, Response, StatusCode, Uri,
    header::{CONTENT_TYPE, HOST, HeaderName, IF_MATCH, ORIGIN},
    request,
};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::timeout;
use uuid::Uuid;

use super::{answer, paging::Page};
use crate::{
    audit::Line,
    brake::{BrakeError, Pulled},
    generator::Listed,
    routing::{
        Brake, Brakes, Hold, Mode, Share,
        change::{Change, Changed, Refused},
        said,
    },
};

/// More than any change needs, in bytes.
const BODY: usize = 16 << 10;
/// A whole body, from when its head is there.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// Lines of the audit log, unless more or fewer are asked for.
const LINES: usize = 100;
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Something that the rest of the process is doing for an operator.
pub type Doing<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What the rest of the process does for an operator.
pub trait Operate: Send + Sync {
    /// The brakes in force.
    fn brakes(&self) -> Brakes;
    /// Whether a route in force has this name.
    fn knows(&self, route: &str) -> bool;
    /// Holds a route.
    fn pull(&self, wish: Wish, at: Hold) -> Doing<Result<Vec<Pulled>, BrakeError>>;
    /// Lets a route go; what held it, if anything did.
    fn release(&self, wish: Wish) -> Doing<Result<Option<Brake>, BrakeError>>;
    /// Walks a route.
    fn change(&self, change: Change) -> Doing<Result<Changed, Refused>>;
    /// Lines of the audit log, the newest last: the last ones, or the first after a moment, with all of the last one's.
    fn audit(&self, after: Option<Timestamp>, most: usize) -> Doing<io::Result<Vec<Line>>>;
    /// The generator's jobs, the newest first, older than one; an error is why they are not known.
    fn jobs(&self, before: Option<Uuid>, most: usize) -> Doing<Result<Vec<Listed>, String>>;
}

/// Who wishes something of a route's brake, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The route.
    pub route: String,
    /// As the audit log shall name them.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Brakes,
    Audit,
    Jobs,
    Pull(String),
    Release(String),
    Walk(String),
}

/// `PUT /api/brakes/{route}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pulling {
    at: Option<String>,
    reason: String,
}

/// `DELETE /api/brakes/{route}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Releasing {
    reason: String,
}

/// `PATCH /api/routes/{route}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Walking {
    mode: Option<String>,
    percent: Option<f64>,
    reason: Option<String>,
    #[serde(default)]
    force: bool,
}

pub(super) type Answer = Response<Full<Bytes>>;
pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// Why it was not done.
pub(super) struct Problem(StatusCode, String);

impl Problem {
    pub(super) fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self(status, why.into())
    }

    pub(super) fn into_response(self) -> Answer {
        let Self(status, why) = self;
        let problem = json!({ "status": status.as_u16(), "title": why });
        answer(status, "application/problem+json", format!("{problem}\n"))
    }
}

impl From<BrakeError> for Problem {
    fn from(error: BrakeError) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let status = match refused {
            Refused::Unknown { .. } => StatusCode::NOT_FOUND,
            Refused::Invalid(_) | Refused::Uneditable(_) | Refused::Unreasoned => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Refused::Stale { .. } => StatusCode::PRECONDITION_FAILED,
            Refused::Broken(_) | Refused::Unproven { .. } | Refused::Moved | Refused::Closed(_) => {
                StatusCode::CONFLICT
            }
            Refused::Unwritable(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, refused.to_string())
    }
}

impl Task {
    /// What a request asks for, if it is anything of this.
    pub(super) fn of(method: &Method, path: &str) -> Option<Self> {
        let below = |base: &str| path.strip_prefix(base).filter(|name| is_name(name)).map(str::to_owned);
        match *method {
            Method::GET | Method::HEAD if path == "/api/brakes" => Some(Self::Brakes),
            Method::GET | Method::HEAD if path == "/api/audit" => Some(Self::Audit),
            Method::GET | Method::HEAD if path == "/api/jobs" => Some(Self::Jobs),
            Method::PUT => below("/api/brakes/").map(Self::Pull),
            Method::DELETE => below("/api/brakes/").map(Self::Release),
            Method::PATCH => below("/api/routes/").map(Self::Walk),
            _ => None,
        }
    }

    /// Does it, for whoever is at `peer`; host and token have been looked at.
    pub(super) async fn run<B>(self, request: Request<B>, peer: SocketAddr, operate: &dyn Operate) -> Answer
    where
        B: Body<Error: Into<BoxError>>,
    {
        let by = format!("the admin listener, from {}", peer.ip().to_canonical());
        let (head, body) = request.into_parts();
        let done = match self {
            Self::Brakes => brakes(&operate.brakes(), head.uri.query()),
            Self::Audit => audit(operate, head.uri.query()).await,
            Self::Jobs => jobs(operate, head.uri.query()).await,
            Self::Pull(route) => match read(&head, body).await {
                Ok(pulling) => pull(operate, route, by, pulling).await,
                Err(problem) => Err(problem),
            },
            Self::Release(route) => match read(&head, body).await {
                Ok(Releasing { reason }) => release(operate, route, by, reason).await,
                Err(problem) => Err(problem),
            },
            Self::Walk(route) => match read(&head, body).await {
                Ok(walking) => walk(operate, &head.headers, route, by, walking).await,
                Err(problem) => Err(problem),
            },
        };
        done.unwrap_or_else(Problem::into_response)
    }
}

async fn pull(operate: &dyn Operate, route: String, by: String, wish: Pulling) -> Result<Answer, Problem> {
    let at = wish.at.as_deref().unwrap_or(Hold::Monolith.as_str());
    let at = Hold::from_word(at).ok_or_else(|| {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "`at` is \"shadow\" or \"monolith\"")
    })?;
    if !operate.knows(&route) {
        return Err(Problem::new(StatusCode::NOT_FOUND, format!("there is no route {route}")));
    }
    let reason = a_reason(&wish.reason)?;
    operate.pull(Wish { route: route.clone(), by, reason }, at).await?;
    match operate.brakes().of(&route) {
        Some(held) => Ok(json(&brake(&route, held))),
        // Somebody released it in between.
        None => Ok(json(&Value::Null)),
    }
}

async fn release(
    operate: &dyn Operate,
    route: String,
    by: String,
    reason: String,
) -> Result<Answer, Problem> {
    let reason = a_reason(&reason)?;
    match operate.release(Wish { route: route.clone(), by, reason }).await? {
        Some(held) => Ok(json(&json!({ "released": brake(&route, &held) }))),
        None => Err(Problem::new(StatusCode::NOT_FOUND, format!("nothing holds {route}"))),
    }
}

async fn walk(
    operate: &dyn Operate,
    headers: &HeaderMap,
    route: String,
    by: String,
    wish: Walking,
) -> Result<Answer, Problem> {
    let unprocessable = |why| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, why);
    let mode = wish.mode.map(|word| {
        let mode = Mode::ALL.into_iter().find(|mode| mode.as_str() == word);
        mode.ok_or_else(|| unprocessable("`mode` is monolith, learn, shadow, canary or migrated"))
    });
    let share = wish.percent.map(|percent| {
        Share::from_fraction(percent / 100.0).ok_or_else(|| unprocessable("`percent` is from 0 to 100"))
    });
    let (mode, share) = (mode.transpose()?, share.transpose()?);
    if (mode, share) == (None, None) {
        return Err(unprocessable("say a `mode`, a `percent`, or both"));
    }
    let reason = wish.reason.as_deref().map(a_reason).transpose()?;
    let change = Change {
        route: route.into(),
        mode,
        share,
        by: by.into(),
        reason: reason.map(Into::into),
        force: wish.force,
        generation: generation(headers)?,
    };
    let Changed { generation, diff } = operate.change(change).await?;
    Ok(json(&json!({ "generation": generation, "diff": diff })))
}

/// The last lines; or the first after a time, and after which to ask for those that may follow.
async fn audit(operate: &dyn Operate, query: Option<&str>) -> Result<Answer, Problem> {
    let wrong = |why: String| Problem::new(StatusCode::BAD_REQUEST, why);
    let page = Page::with(LINES, query).map_err(wrong)?;
    let (most, after) = page.parts();
    let after = after.map(str::parse).transpose();
    let after = after.map_err(|_| wrong("`after` is a time such as 2026-11-24T10:00:00Z".to_owned()))?;
    let lines = operate.audit(after, most).await;
    let lines = lines.map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let next = lines.last().filter(|_| after.is_some() && lines.len() >= most).map(|last| last.at);
    Ok(json(&json!({ "lines": lines, "next": next })))
}

/// A page of the generator's jobs.
async fn jobs(operate: &dyn Operate, query: Option<&str>) -> Result<Answer, Problem> {
    let wrong = |why: String| Problem::new(StatusCode::BAD_REQUEST, why);
    let page = Page::of(query).map_err(wrong)?;
    let (most, after) = page.parts();
    let after = after.map(Uuid::try_parse).transpose();
    let after = after.map_err(|_| wrong("`after` is the id of a job".to_owned()))?;
    let jobs = operate.jobs(after, most).await;
    let jobs = jobs.map_err(|why| Problem::new(StatusCode::SERVICE_UNAVAILABLE, why))?;
    let next = jobs.last().filter(|_| jobs.len() == most).map(|last| &*last.job);
    Ok(json(&json!({ "jobs": jobs, "next": next })))
}

/// The body of a change, once it is sure that no page elsewhere has sent it.
pub(super) async fn read<B, T>(head: &request::Parts, body: B) -> Result<T, Problem>
where
    B: Body<Error: Into<BoxError>>,
    T: DeserializeOwned,
{
    same_site(&head.headers)?;
    let media_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send Content-Type: application/json"));
    }
    let wrong = |error: BoxError| {
        if error.is::<LengthLimitError>() {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "a change is a few lines of JSON")
        } else {
            Problem::new(StatusCode::BAD_REQUEST, format!("the body: {error}"))
        }
    };
    let late = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time");
    let whole = timeout(BODY_TIMEOUT, Limited::new(body, BODY).collect()).await.map_err(late)?;
    let bytes = whole.map_err(wrong)?.to_bytes();
    serde_json::from_slice(&bytes)
        .map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("the body: {error}")))
}

/// A browser says where a request comes from; what is no browser says nothing, and nobody can make it send one.
fn same_site(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let foreign = || Problem::new(StatusCode::FORBIDDEN, "changes are not taken from pages of other sites");
    if text(FETCH_SITE).is_some_and(|site| !["same-origin", "none"].contains(&site)) {
        return Err(foreign());
    }
    let Some(origin) = text(ORIGIN) else { return Ok(()) };
    let origin: Uri = origin.parse().map_err(|_| foreign())?;
    let is_web = matches!(origin.scheme_str(), Some("http" | "https"));
    let authority = origin.authority().map(http::uri::Authority::as_str);
    match (authority, text(HOST)) {
        (Some(from), Some(host)) if is_web && from.eq_ignore_ascii_case(host) => Ok(()),
        _ => Err(foreign()),
    }
}

/// The generation in `If-Match`, with or without quotes.
fn generation(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let number = text.trim_matches('"').parse();
    number.map(Some).map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "If-Match is a generation's number"))
}

pub(super) fn a_reason(reason: &str) -> Result<String, Problem> {
    said::a_reason(reason)
        .map_err(|wrong| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("`reason` {wrong}")))
}

fn brakes(brakes: &Brakes, query: Option<&str>) -> Result<Answer, Problem> {
    let held: Vec<_> = brakes.iter().collect();
    let page = Page::of(query).and_then(|page| {
        let (held, next) = page.of_list(&held, |(route, _)| route)?;
        let held: Vec<_> = held.iter().map(|(route, held)| brake(route, held)).collect();
        Ok(json(&json!({ "brakes": held, "next": next })))
    });
    page.map_err(|why| Problem::new(StatusCode::BAD_REQUEST, why))
}

fn brake(route: &str, brake: &Brake) -> Value {
    json!({
        "route": route,
        "at": brake.at.as_str(),
        "since": brake.since.to_string(),
        "by": &*brake.by,
        "reason": &*brake.reason,
    })
}

pub(super) fn json(value: &Value) -> Answer {
    answer(StatusCode::OK, "application/json", format!("{value}\n"))
}

/// A route's name, as `routes.toml` takes it.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

#[cfg(test)]
mod tests;
