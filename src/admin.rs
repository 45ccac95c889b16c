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
        if let Some((question, reports)) = Question::of(&request).zip(self.reports.as_ref()) {
            let allowed = self.auth.check_host(&request).and_then(|()| self.auth.check_token(&request));
            return secured(match allowed {
                Ok(()) => question.answer(request, peer, reports, || self.standing()).await,
                Err(refusal) => refusal.into_response(),
            });
        }
        let Some((task, operate)) = Task::of(&request).zip(self.operate.as_ref()) else {
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
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return Err(Refusal::Method);
        }
        match request.uri().path() {
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
                    ),
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
        pages::answer(page::render(&self.standing(), None), pages::Script::None)
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

const TEXT: &str = "text/plain; charset=utf-8";

/// On every answer, unless it says otherwise.
const SECURITY: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Why a request is not answered with what it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Refusal {
    /// Not one grammatical `Host`.
    Host,
    /// A `Host` that is not of this machine.
    Misdirected,
    /// No token, or another one.
    Token,
    /// Neither GET nor HEAD.
    Method,
    /// Nothing is there.
    Unknown,
    /// A question that cannot be answered.
    Question(String),
    /// A collector failed.
    Metrics,
}

impl Refusal {
    fn into_response(self) -> Response<Full<Bytes>> {
        let (status, title) = match &self {
            Self::Question(wrong) => (StatusCode::BAD_REQUEST, &**wrong),
            Self::Host => (StatusCode::BAD_REQUEST, "exactly one valid Host is needed"),
            Self::Misdirected => (
                StatusCode::MISDIRECTED_REQUEST,
                "without admin_token, only a loopback name or address is answered: ask for 127.0.0.1",
            ),
            Self::Token => {
                (StatusCode::UNAUTHORIZED, "send Authorization: Bearer with the value of gateway.admin_token")
            }
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here"),
            Self::Unknown => (
                StatusCode::NOT_FOUND,
                "there are /, /healthz, /readyz, /metrics, /api/routes, /api/routes/explain, /api/upstreams, /api/coverage, \
                 /api/reports and /api/comparisons",
            ),
            Self::Metrics => (StatusCode::INTERNAL_SERVER_ERROR, "a metric could not be written"),
        };
        let problem = serde_json::json!({ "status": status.as_u16(), "title": title });
        let mut response = answer(status, "application/problem+json", format!("{problem}\n"));
        let extra = match &self {
            Self::Token => Some((header::WWW_AUTHENTICATE, "Bearer realm=\"figueira\"")),
            Self::Method => Some((header::ALLOW, "GET, HEAD")),
            _ => None,
        };
        if let Some((name, value)) = extra {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

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
            coverage: Box::new(|| serde_json::json!({ "modes": [] })),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use http_body_util::BodyExt;

    use super::*;
    use crate::shutdown::Shutdown;

    fn admin(token: Option<&str>) -> Admin {
        let readiness = Arc::new(Readiness::new(Shutdown::default()));
        readiness.rules_in_force(7);
        readiness.listening();
        let token = token.map(SecretString::from);
        let line = RouteLine {
            name: "generate-image".into(),
            line: 12,
            takes: "POST /api/<script>alert(1)</script>".into(),
            mode: Mode::Canary,
            effective_mode: Mode::Canary,
            share: Share::from_fraction(0.05).unwrap(),
            control: 95,
            candidate: 5,
            subjectless: 3,
            verdict: "COLLECTING".into(),
        };
        let sources = Sources { routes: Box::new(move || vec![line.clone()]), ..Sources::none() };
        let address = "127.0.0.1:9901".parse().unwrap();
        Admin::new(address, token.as_ref(), readiness, Metrics::new(SystemTime::now()), sources).unwrap()
    }

    fn get(path: &str) -> http::request::Builder {
        Request::get(path).header("host", "127.0.0.1:9901")
    }

    #[tokio::test]
    async fn routes_come_in_pages_and_under_their_generation() {
        let admin = admin(None);
        let response = admin.answer(&get("/api/routes?limit=1").body(()).unwrap());
        assert_eq!(response.headers()["etag"], "\"7\"");
        let page: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
        assert_eq!((&page["generation"], &page["next"]), (&7.into(), &serde_json::Value::Null));
        assert_eq!(page["routes"].as_array().unwrap().len(), 1);
        let page = admin.answer(&get("/api/routes?after=generate-image").body(()).unwrap());
        let page: serde_json::Value = serde_json::from_str(&text(page).await).unwrap();
        assert_eq!(page["routes"], serde_json::json!([]));
        for question in ["limit=0", "limit=many", "after=nobody", "page=2"] {
            let response = admin.answer(&get(&format!("/api/routes?{question}")).body(()).unwrap());
            assert_eq!(response.status(), 400, "{question}");
            assert_eq!(response.headers()["content-type"], "application/problem+json");
        }
    }

    async fn text(response: Response<Full<Bytes>>) -> String {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn the_dashboard_shows_routes_and_cannot_be_scripted() {
        let response = admin(None).answer(&get("/").body(()).unwrap());
        assert_eq!(response.status(), 200);
        let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.contains("default-src 'none'") && policy.contains("style-src 'sha256-"), "{policy}");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        let html = text(response).await;
        for shown in ["generate-image", "canary 5 %", "COLLECTING", "95", "generation 7"] {
            assert!(html.contains(shown), "no {shown} in {html}");
        }
        assert!(!html.contains("<script"), "{html}");
    }

    #[tokio::test]
    async fn the_api_answers_in_json() {
        let admin = admin(None);
        let said = async |path: &str| {
            let response = admin.answer(&get(path).body(()).unwrap());
            let status = response.status().as_u16();
            (status, serde_json::from_str::<serde_json::Value>(&text(response).await).unwrap())
        };
        let (status, routes) = said("/api/routes").await;
        assert_eq!(status, 200);
        let route = &routes["routes"][0];
        assert_eq!(
            (&route["name"], &route["mode"], &route["percent"]),
            (&"generate-image".into(), &"canary".into(), &5.0.into())
        );
        assert_eq!(route["requests"], serde_json::json!({ "control": 95, "candidate": 5, "subjectless": 3 }));
        assert_eq!(said("/api/coverage").await, (200, serde_json::json!({ "modes": [] })));

        let (status, explained) =
            said("/api/routes/explain?method=POST&url=/a%3Fb=1&header=x-a:%201&client=192.0.2.7").await;
        assert_eq!(
            (status, &explained["route"], &explained["answered_by"]),
            (200, &serde_json::Value::Null, &"monolith".into())
        );
        for question in [
            "",
            "url=/",
            "method=GET",
            "method=GET&url=a%20b",
            "method=GET&url=/&header=x",
            "method=GET&url=/&client=x",
            "method=GET&url=/&host=h",
        ] {
            let (status, problem) = said(&format!("/api/routes/explain?{question}")).await;
            assert_eq!((status, &problem["status"]), (400, &400.into()), "{question}: {problem}");
        }
        assert_eq!(said("/api/elsewhere").await.0, 404);
    }

    #[tokio::test]
    async fn metrics_are_open_metrics() {
        let response = admin(None).answer(&get("/metrics").body(()).unwrap());
        assert_eq!(response.headers()["content-type"], metrics::CONTENT_TYPE);
        let text = text(response).await;
        assert!(text.contains("\nfigueira_ready 1\n"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn a_token_guards_all_but_the_probes() {
        let admin = admin(Some("open sesame"));
        let status = |path: &str, authorization: &str| {
            let request =
                Request::get(path).header("host", "gateway.example").header("authorization", authorization);
            admin.answer(&request.body(()).unwrap()).status().as_u16()
        };
        for path in ["/", "/metrics", "/api/routes", "/api/coverage", "/elsewhere"] {
            assert_eq!(status(path, "Bearer open sesam"), 401, "{path}");
            assert_eq!(status(path, "Basic open sesame"), 401, "{path}");
        }
        assert_eq!(status("/", "Bearer open sesame"), 200);
        assert_eq!(status("/", "bearer  open sesame"), 200);
        assert_eq!(status("/healthz", ""), 200);
        assert_eq!(status("/readyz", ""), 200);
    }

    #[test]
    fn other_methods_and_places_are_refused() {
        let admin = admin(None);
        let post = Request::post("/").header("host", "localhost").body(()).unwrap();
        let response = admin.answer(&post);
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()["allow"], "GET, HEAD");
        assert_eq!(response.headers()["x-frame-options"], "DENY");
        assert_eq!(admin.answer(&get("/admin").body(()).unwrap()).status(), 404);
    }

    #[test]
    fn a_public_address_needs_a_token() {
        let address = "0.0.0.0:9901".parse().unwrap();
        let readiness = Arc::new(Readiness::new(Shutdown::default()));
        let metrics = Metrics::new(SystemTime::now());
        let error = Admin::new(address, None, readiness, metrics, Sources::none()).unwrap_err();
        assert!(error.to_string().contains("0.0.0.0:9901"));
    }
}
