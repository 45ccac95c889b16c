//! The operator's listener: is it alive, is it ready, what does it count, where does each route stand.
//!
//! It is never the public listener. On loopback it may stand open, and then a `Host` that is not of this machine is
//! refused, because that is how a web page elsewhere would reach it (DNS rebinding); anywhere else it needs a token.

mod auth;
mod api;
mod operate;
mod page;
mod pages;
mod paging;
mod readiness;
mod refusal;
mod reports;
mod server;
mod upstreams;

pub use operate::{Doing, Operate, Wish};
pub use readiness::{Readiness, Ready};
pub use reports::{Planned, Reports};
pub use server::serve;
pub use upstreams::{AddressLine, Trouble, UpstreamLine};

use std::{error::Error, fmt, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{self, HeaderName},
};
use http_body::Body;
use http_body_util::Full;
use secrecy::SecretString;
use thiserror::Error;

use crate::{
    routing::{Mode, Share, Table},
    telemetry::metrics::{self, Metrics},
};
use auth::Auth;
use operate::Task;
use refusal::Refusal;
use reports::Question;

/// Where one route stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteLine {
    /// Its name.
    pub name: String,
    /// Its line in `routes.toml`.
    pub line: usize,
    /// What it takes: `POST /api/images`.
    pub takes: String,
    /// The mode that the file asks for.
    pub mode: Mode,
    /// The mode in force.
    pub effective_mode: Mode,
    /// Whether a brake holds it, be it no lower than the file.
    pub held: bool,
    /// The share of subjects that a canary takes.
    pub share: Share,
    /// Requests that the control answered.
    pub control: u64,
    /// Requests that the candidate answered.
    pub candidate: u64,
    /// Of the control's, those of a canary that belonged to nobody.
    pub subjectless: u64,
    /// What the evidence says.
    pub verdict: String,
}

/// Tells where each route stands; called once a page.
pub type Routes = Box<dyn Fn() -> Vec<RouteLine> + Send + Sync>;

/// Whom the API asks; each is called once a request.
pub struct Sources {
    /// Where each route stands.
    pub routes: Routes,
    /// The routes in force.
    pub table: Box<dyn Fn() -> Arc<Table> + Send + Sync>,
    /// Where each upstream is, and how it does.
    pub upstreams: Box<dyn Fn() -> Vec<UpstreamLine> + Send + Sync>,
    /// What the file in force says, without secrets.
    pub config: Box<dyn Fn() -> serde_json::Value + Send + Sync>,
    /// How much of the site has walked, as JSON.
    pub coverage: Box<dyn Fn() -> serde_json::Value + Send + Sync>,
}

/// Everything that the operator's listener answers from.
pub struct Admin {
    auth: Auth,
    readiness: Arc<Readiness>,
    metrics: Metrics,
    sources: Sources,
    operate: Option<Arc<dyn Operate>>,
    reports: Option<Arc<Reports>>,
}

/// The listener would be open to others.
#[derive(Debug, Error)]
#[error(
    "the admin address {0} can be reached from other machines: set gateway.admin_token, or listen on 127.0.0.1"
)]
pub struct Exposed(SocketAddr);

impl Exposed {
    /// Refuses an `address` that others can reach, where there is no token.
    pub fn check(address: SocketAddr, token: Option<&SecretString>) -> Result<(), Self> {
        let is_open = token.is_none() && !address.ip().to_canonical().is_loopback();
        if is_open { Err(Self(address)) } else { Ok(()) }
    }
}

impl Admin {
    /// What is served at `address`; `readiness` is counted among `metrics`. Without a token, only loopback will do.
    pub fn new(
        address: SocketAddr,
        token: Option<&SecretString>,
        readiness: Arc<Readiness>,
        mut metrics: Metrics,
        sources: Sources,
    ) -> Result<Self, Exposed> {
        Exposed::check(address, token)?;
        metrics.registry().register_collector(Box::new(readiness.clone()));
        Ok(Self { auth: Auth::new(token), readiness, metrics, sources, operate: None, reports: None })
    }

    /// Lets an operator change what `operate` can change.
    #[must_use]
    pub fn operated_by(self, operate: Arc<dyn Operate>) -> Self {
        Self { operate: Some(operate), ..self }
    }

    /// Shows what the evidence proves.
    #[must_use]
    pub fn reporting(self, reports: Arc<Reports>) -> Self {
        Self { reports: Some(reports), ..self }
    }

    /// Answers one request, from `peer`.
    pub async fn serve<B>(&self, request: Request<B>, peer: SocketAddr) -> Response<Full<Bytes>>
    where
        B: Body<Error: Into<Box<dyn Error + Send + Sync>>>,
    {
        let (method, path) = (request.method(), request.uri().path());
        if let Some((question, reports)) = Question::of(method, path).zip(self.reports.as_ref()) {
            let allowed = self.auth.check_host(&request).and_then(|()| self.auth.check_token(&request));
            return secured(match allowed {
                Ok(()) => question.answer(request, peer, reports, || self.standing()).await,
                Err(refusal) => refusal.into_response(),
            });
        }
        let Some((task, operate)) = Task::of(method, path).zip(self.operate.as_ref()) else {
            return self.answer(&request);
        };
        let allowed = self.auth.check_host(&request).and_then(|()| self.auth.check_token(&request));
        secured(match allowed {
            Ok(()) => task.run(request, peer, &**operate).await,
            Err(refusal) => refusal.into_response(),
        })
    }

    /// Answers one request that changes nothing; never its body, which nothing here needs.
    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        secured(self.route(request).unwrap_or_else(Refusal::into_response))
    }

    fn route<B>(&self, request: &Request<B>) -> Result<Response<Full<Bytes>>, Refusal> {
        self.auth.check_host(request)?;
        let path = request.uri().path();
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return Err(Refusal::Method(allowed(path).unwrap_or_else(|| READ.to_owned())));
        }
        match path {
            "/healthz" => Ok(answer(StatusCode::OK, TEXT, "ok\n")),
            "/readyz" => Ok(self.ready()),
            path => {
                self.auth.check_token(request)?;
                match path {
                    "/" => Ok(self.dashboard()),
                    "/metrics" => self.scrape(),
                    _ => api::answer(
                        path,
                        request.uri().query(),
                        &self.sources,
                        self.readiness.check().generation,
                    )
                    .map_err(|refusal| match (refusal, allowed(path)) {
                        (Refusal::Unknown, Some(allowed)) => Refusal::Method(allowed),
                        (refusal, _) => refusal,
                    }),
                }
            }
        }
    }

    fn ready(&self) -> Response<Full<Bytes>> {
        let ready = self.readiness.check();
        let status = if ready.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        answer(status, "application/json", format!("{}\n", ready.to_json()))
    }

    fn scrape(&self) -> Result<Response<Full<Bytes>>, Refusal> {
        let text = self.metrics.encode().map_err(|_| Refusal::Metrics)?;
        Ok(answer(StatusCode::OK, metrics::CONTENT_TYPE, text))
    }

    fn dashboard(&self) -> Response<Full<Bytes>> {
        pages::answer(page::render(&self.standing(), None), pages::Script::Refreshes)
    }

    /// How things stand now, for the first page.
    fn standing(&self) -> page::Standing {
        page::Standing {
            ready: self.readiness.check(),
            routes: (self.sources.routes)(),
            upstreams: (self.sources.upstreams)(),
        }
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Admin").field("readiness", &self.readiness).finish_non_exhaustive()
    }
}

/// With what every answer says.
fn secured(mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    let headers = response.headers_mut();
    for (name, value) in SECURITY {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// The methods by which something is asked at `path` beyond what is shown to everybody (RFC 9110, 15.5.6).
fn allowed(path: &str) -> Option<String> {
    let is_taken = |method: &Method| Task::of(method, path).is_some() || Question::of(method, path).is_some();
    let changes = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].into_iter().filter(is_taken);
    let changes = changes.map(|method| method.to_string());
    let read = (is_taken(&Method::GET) || api::PATHS.contains(&path)).then(|| READ.to_owned());
    let allowed: Vec<_> = read.into_iter().chain(changes).collect();
    (!allowed.is_empty()).then(|| allowed.join(", "))
}

/// What asks and changes nothing.
const READ: &str = "GET, HEAD";

const TEXT: &str = "text/plain; charset=utf-8";

/// On every answer, unless it says otherwise.
const SECURITY: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
impl Sources {
    /// A gateway without routes.
    pub(crate) fn none() -> Self {
        Self {
            routes: Box::new(Vec::new),
            table: Box::new(Arc::default),
            upstreams: Box::new(Vec::new),
            config: Box::new(|| serde_json::json!({})),
            coverage: Box::new(|| serde_json::json!({ "modes": [] })),
        }
    }
}

#[cfg(test)]
mod tests;
