//! The candidate's arm as this module sees it: a request in, an answer or a fault out, and nothing of it escapes.

use std::{collections::HashMap, future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header::HOST, uri::Authority,
};
use thiserror::Error;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    answer::{Asked, Delivery},
    comparison::{Alarm, Outcome},
};
use crate::{routing::Arm, shutdown::Shutdown};

/// A boxed future, where an arm stands behind `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Who is to replace the control on one route.
pub trait Candidate: Send + Sync {
    /// Answers `request` without effects: nothing is charged to the user, nobody is notified, and what is stored
    /// expires. Of its answer at most `limit` bytes are of use.
    fn run(
        &self,
        request: CapturedRequest,
        limit: usize,
    ) -> BoxFuture<'_, Result<CandidateAnswer, CandidateFault>>;

    /// What `request` asks for, as far as the route's contract says.
    fn asked(&self, request: &CapturedRequest) -> Asked;

    /// Who draws; the last part of a request's stratum.
    fn model(&self) -> &str;

    /// The most that `request` may cost, in US dollars, which is without end where nobody knows; `None` where it costs
    /// nothing, whatever is asked.
    fn price(&self, _request: &CapturedRequest) -> Option<f64> {
        None
    }
}

/// The control as the work plane asks it: once more, to learn its noise, or beside a candidate that answers users.
pub trait Control: Send + Sync {
    /// Answers `request`, with the request's own credentials. Of its answer at most `limit` bytes are of use.
    fn ask(
        &self,
        request: CapturedRequest,
        limit: usize,
    ) -> BoxFuture<'_, Result<CandidateAnswer, CandidateFault>>;
}

/// Gets the images that an answer names.
pub trait Images: Send + Sync {
    /// Gets the image that `arm`'s answer to `request` names, with the request's own credentials, reading at most
    /// `limit` bytes.
    fn fetch<'a>(
        &'a self,
        arm: Arm,
        name: ImageName<'a>,
        request: &'a CapturedRequest,
        limit: usize,
    ) -> BoxFuture<'a, Result<Fetched, FetchFault>>;
}

/// How an answer names an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageName<'a> {
    /// As it stands in the body.
    pub text: &'a str,
    /// [`Delivery::Url`] or [`Delivery::Name`].
    pub delivery: Delivery,
}

/// An image that was got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its encoded bytes.
    pub bytes: Bytes,
    /// Its `Content-Type` without parameters.
    pub declared: Option<String>,
}

/// Why an image was not got.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FetchFault {
    /// Its server answered something else.
    #[error("status {0}")]
    Status(u16),
    /// No answer, or a broken one.
    #[error("{0}")]
    Transport(String),
    /// More than the limit.
    #[error("too large")]
    TooLarge,
    /// The name leads nowhere that may be asked.
    #[error("not a name of ours: {0}")]
    Refused(String),
}

/// A request as the control got it, whole.
#[derive(Clone, Debug)]
pub struct CapturedRequest {
    /// The comparison's id.
    pub id: Uuid,
    /// The route's name.
    pub route: Arc<str>,
    /// The method.
    pub method: Method,
    /// The target, as it came.
    pub target: Uri,
    /// The client's version.
    pub version: Version,
    /// The fields, as they came.
    pub headers: HeaderMap,
    /// What the gateway says of the request instead: whose it is, and how it came. Nothing that a client says of this holds.
    pub gained: Arc<[(HeaderName, HeaderValue)]>,
    /// The whole body.
    pub body: Bytes,
}

impl CapturedRequest {
    /// How it was asked; what it asks for, its contract knows.
    pub fn asked(&self) -> Asked {
        let named = self.headers.get(HOST).and_then(|host| host.to_str().ok());
        let host = self.target.authority().map(Authority::as_str).or(named).map(ToOwned::to_owned);
        let (method, target, body) = (self.method.clone(), self.target.clone(), self.body.clone());
        Asked { method, host, target, body, ..Asked::default() }
    }
}

/// What the candidate answered.
#[derive(Clone, Debug, PartialEq)]
pub struct CandidateAnswer {
    /// The status.
    pub status: StatusCode,
    /// The fields.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// Time to the head, where it came before the body.
    pub first_byte: Option<Duration>,
    /// Images that are at hand, by the text that names them in the body: these are not fetched.
    pub images: HashMap<String, Fetched>,
    /// What it cost, in US dollars.
    pub cost_usd: f64,
}

/// Why the candidate did not answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CandidateFault {
    /// Too late.
    #[error("no answer in time")]
    Timeout,
    /// No answer, or a broken one.
    #[error("{0}")]
    Transport(String),
    /// Its answer is larger than is looked at.
    #[error("the answer is too large")]
    TooLarge,
    /// It was not called: its budget is used up.
    #[error("the budget is used up")]
    Budget,
    /// It panicked.
    #[error("panicked: {0}")]
    Panic(String),
}

impl CandidateFault {
    /// How the arm ended.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Timeout => Outcome::Timeout,
            Self::Transport(_) => Outcome::Transport,
            Self::TooLarge => Outcome::TooLarge,
            Self::Budget => Outcome::SkippedBudget,
            Self::Panic(_) => Outcome::Panic,
        }
    }
}

/// What came of one call.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) result: Result<CandidateAnswer, CandidateFault>,
    pub(crate) took: Duration,
    /// What it cost, in US dollars: where no answer tells, what was reserved for it. Without end, where it has a price
    /// that nobody knows.
    pub(crate) cost_usd: f64,
}

impl Run {
    /// What it cost, where that is known.
    pub(crate) fn known_cost(&self) -> Option<f64> {
        Some(self.cost_usd).filter(|cost| cost.is_finite())
    }

    /// What a person must see of the call itself, whatever else becomes of its pair.
    pub(crate) fn alarms(&self) -> Vec<Alarm> {
        let panicked = matches!(self.result, Err(CandidateFault::Panic(_)));
        panicked.then_some(Alarm::Panic).into_iter().collect()
    }
}

/// How long an arm may take, in time and in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) deadline: Duration,
    pub(crate) max_body: usize,
}

/// Calls the candidate, which may cost `price`.
pub(crate) async fn run(
    candidate: Arc<dyn Candidate>,
    request: CapturedRequest,
    price: Option<f64>,
    bounds: Bounds,
    lifetime: &Shutdown,
) -> Run {
    let call = async move { candidate.run(request, bounds.max_body).await };
    let Timed { result, took } = timed(call, bounds, lifetime).await;
    let cost_usd = match &result {
        Ok(answer) => answer.cost_usd,
        Err(CandidateFault::Budget) => 0.0,
        Err(_) => price.unwrap_or_default(),
    };
    Run { result, took, cost_usd }
}

/// Asks the control.
pub(crate) async fn ask(
    control: Arc<dyn Control>,
    request: CapturedRequest,
    bounds: Bounds,
    lifetime: &Shutdown,
) -> Timed {
    timed(async move { control.ask(request, bounds.max_body).await }, bounds, lifetime).await
}

/// An answer or a fault, and how long it took.
#[derive(Debug)]
pub(crate) struct Timed {
    pub(crate) result: Result<CandidateAnswer, CandidateFault>,
    pub(crate) took: Duration,
}

/// Runs `call` in a task of its own: a panic ends that task alone, and the deadline holds whatever it does.
async fn timed(
    call: impl Future<Output = Result<CandidateAnswer, CandidateFault>> + Send + 'static,
    Bounds { deadline, max_body }: Bounds,
    lifetime: &Shutdown,
) -> Timed {
    let started = Instant::now();
    let mut task = lifetime.spawn(call);
    let result = match tokio::time::timeout(deadline, &mut task).await {
        Ok(Ok(Ok(answer))) if answer.body.len() > max_body => Err(CandidateFault::TooLarge),
        Ok(Ok(result)) => result,
        Ok(Err(join)) => Err(match join.try_into_panic() {
            Ok(payload) => CandidateFault::Panic(panic_text(payload.as_ref())),
            Err(_cancelled) => CandidateFault::Transport("cancelled".to_owned()),
        }),
        Err(_elapsed) => {
            task.abort();
            Err(CandidateFault::Timeout)
        }
    };
    Timed { result, took: started.elapsed() }
}

fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}
