//! Generations that nobody waits for: the answer at once, and where their state is asked for later, at `jobs_url` or at
//! the site's own path (`[route.poll]`).

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER},
};
use serde_json::json;
use uuid::Uuid;

use super::{
    Generator, Grant,
    catalog::Record,
    contract::Refusal,
    digest::Digest,
    keyed::made,
    links::Links,
    refusals::told_again,
    saga::failure::chain,
    settings::{Contract, Settings},
    state::{Reason, State},
};

const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// What a client is told to wait between two looks.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Where the jobs of one set of settings are asked for.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    router: matchit::Router<Asks>,
}

/// Whose path it is.
#[derive(Clone, Debug)]
enum Asks {
    /// Ours, for the jobs of every route.
    Ours,
    /// A route's own.
    Route(std::sync::Arc<str>),
}

/// A request that asks what became of a job.
#[derive(Clone, Debug)]
pub struct Poll {
    job: Uuid,
    /// The route whose path it is.
    route: Option<std::sync::Arc<str>>,
}

/// Where a job is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Below `jobs_url`.
    Ours,
    /// At the site's own path.
    Sites,
}

impl Poll {
    fn place(&self) -> Place {
        if self.route.is_some() { Place::Sites } else { Place::Ours }
    }
}

/// A job that was asked for.
#[derive(Clone, Debug)]
pub struct Job {
    record: Record,
    poll: Poll,
}

/// A job that cannot be looked up now.
#[derive(Clone, Debug)]
pub struct Unseen(Poll);

impl Unseen {
    /// The route at whose own path it was asked for.
    pub fn route(&self) -> Option<&str> {
        self.0.route.as_deref()
    }

    /// What is told of it, as `contract` tells of errors, where it is known whose it is.
    pub fn answer(&self, contract: Option<&Contract>) -> Response<Bytes> {
        let message = "the job cannot be looked up now";
        match contract {
            Some(contract) => Refusal::unavailable("unavailable", message, LOOK_AGAIN).answer(contract),
            None => unavailable(message),
        }
    }
}

impl Job {
    /// The route that it came by.
    pub fn route(&self) -> &str {
        &self.record.route
    }
}

/// Whether a client does not want to wait (RFC 7240, 4.1).
pub(crate) fn is_wanted(headers: &HeaderMap) -> bool {
    let words = headers.get_all(PREFER).into_iter().filter_map(|value| value.to_str().ok());
    words.flat_map(|value| value.split(',')).any(|preference| {
        let name = preference.split([';', '=']).next().unwrap_or_default();
        name.trim().eq_ignore_ascii_case("respond-async")
    })
}

/// The answer to such a request, once the job is claimed.
pub(crate) fn accepted(job: Uuid, settings: &Settings) -> Response<Bytes> {
    let mut response = state(StatusCode::ACCEPTED, job, State::Accepted);
    let headers = response.headers_mut();
    headers.insert(PREFERENCE_APPLIED, HeaderValue::from_static("respond-async"));
    headers.extend(place(job, settings));
    response
}

/// Where a job is asked for.
pub(crate) fn place(job: Uuid, settings: &Settings) -> Option<(HeaderName, HeaderValue)> {
    let place = format!("{}/{}", settings.jobs_url, job.hyphenated());
    HeaderValue::try_from(place).ok().map(|place| (LOCATION, place))
}

fn state(status: StatusCode, job: Uuid, state: State) -> Response<Bytes> {
    let body = json!({ "job": job.hyphenated().to_string(), "status": state.name() });
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(RETRY_AFTER, HeaderValue::from(LOOK_AGAIN.as_secs()));
    response
}

impl Paths {
    /// `jobs_url`, and the path of every `[route.poll]`.
    pub(crate) fn new(settings: &Settings) -> Self {
        let mut router = matchit::Router::new();
        let ours = (format!("{}/{{job}}", settings.jobs_url), Asks::Ours);
        let own = settings.polls.iter().map(|(route, path)| (path.clone(), Asks::Route(route.clone())));
        for (path, asks) in std::iter::once(ours).chain(own) {
            if let Err(error) = router.insert(&path, asks) {
                tracing::warn!(path, %error, "jobs are not shown at this path");
            }
        }
        Self { router }
    }

    fn find(&self, method: &Method, path: &str) -> Option<Poll> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return None;
        }
        let found = self.router.at(path).ok()?;
        // Whatever is no id of ours is the site's.
        let job = found.params.get("job").and_then(|job| Uuid::try_parse(job).ok())?;
        let route = match found.value {
            Asks::Ours => None,
            Asks::Route(route) => Some(route.clone()),
        };
        Some(Poll { job, route })
    }
}

impl Generator {
    /// Whether a request asks what became of a job. Pure and cheap.
    pub fn polls(&self, method: &Method, path: &str) -> Option<Poll> {
        self.live().polls.find(method, path)
    }

    /// The job that is asked for; none where there is none, or it is another route's.
    pub async fn job(&self, poll: Poll) -> Result<Option<Job>, Unseen> {
        let (inner, id) = (self.0.clone(), poll.job);
        let found = self.0.saga.plane.spawn(async move { inner.saga.catalog.record(id).await }).await;
        match found {
            Ok(Ok(record)) => {
                let record =
                    record.filter(|record| poll.route.as_ref().is_none_or(|route| **route == *record.route));
                Ok(record.map(|record| Job { record, poll }))
            }
            Ok(Err(error)) => {
                tracing::error!(job = %id, error = chain(&error), "a job could not be looked up");
                Err(Unseen(poll))
            }
            Err(_) => Err(Unseen(poll)),
        }
    }

    /// What became of it, as its contract says it, for who has this permission. `origin` is what URLs start with.
    pub async fn progress(
        &self,
        contract: &Contract,
        job: &Job,
        grant: Option<&Grant>,
        origin: &str,
    ) -> Response<Bytes> {
        let Job { record, poll } = job;
        let tenant =
            grant.and_then(|grant| grant.tenant.as_deref()).map(|tenant| Digest::of(tenant.as_bytes()));
        if record.tenant.is_some() && record.tenant != tenant {
            return nothing(contract);
        }
        let standing = record.lease.standing;
        match (standing.state, standing.reason) {
            (State::Done, _) => {
                let settings = self.settings();
                let mut made = made(record, &Links::at(origin, &settings), Vec::new());
                self.0.address(&mut made).await;
                contract.finished(&made, poll.place())
            }
            (State::Failed, reason) => {
                let reason = reason.unwrap_or(Reason::Unknown);
                told_again(reason, record.receipt.cause.as_deref()).answer(contract)
            }
            (State::HandedOver, _) => told_again(Reason::Refused, None).answer(contract),
            (state_now, _) => match contract.pending(record.lease.job, poll.place()) {
                Some(pending) => pending,
                None => state(StatusCode::ACCEPTED, record.lease.job, state_now),
            },
        }
    }
}

/// No such job, or nobody's business.
fn nothing(contract: &Contract) -> Response<Bytes> {
    Refusal::new(StatusCode::NOT_FOUND, "no_such_job", "there is no such job").answer(contract)
}

fn unavailable(message: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(format!("{message}\n")));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(RETRY_AFTER, HeaderValue::from(LOOK_AGAIN.as_secs()));
    response
}
