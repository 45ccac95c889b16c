//! The operator's listener: is it alive, is it ready, what does it count, where does each route stand.
//!
//! It is never the public listener. On loopback it may stand open, and then a `Host` that is not of this machine is
//! refused, because that is how a web page elsewhere would reach it (DNS rebinding); anywhere else it needs a token.

mod auth;
mod operate;
mod page;
mod readiness;
mod server;

pub use operate::{Doing, Operate, Wish};
pub use readiness::{Readiness, Ready};
pub use server::serve;

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

use crate::telemetry::metrics::{self, Metrics};
use auth::Auth;
use operate::Task;

/// Where one route stands, as the dashboard shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteLine {
    /// Its name.
    pub name: String,
    /// What it takes: `POST /api/images`.
    pub takes: String,
    /// The mode in force, with the percentage of a canary.
    pub mode: String,
    /// Requests that the control answered.
    pub control: u64,
    /// Requests that the candidate answered.
    pub candidate: u64,
    /// What the evidence says, where there is any.
    pub verdict: Option<String>,
}

/// Tells where each route stands; called once a page.
pub type Routes = Box<dyn Fn() -> Vec<RouteLine> + Send + Sync>;

/// Everything that the operator's listener answers from.
pub struct Admin {
    auth: Auth,
    readiness: Arc<Readiness>,
    metrics: Metrics,
    routes: Routes,
    operate: Option<Arc<dyn Operate>>,
}

/// The listener would be open to others.
#[derive(Debug, Error)]
#[error(
    "the admin address {0} can be reached from other machines: set gateway.admin_token, or listen on 127.0.0.1"
)]
pub struct Exposed(SocketAddr);

impl Admin {
    /// What is served at `address`; `readiness` is counted among `metrics`. Without a token, only loopback will do.
    pub fn new(
        address: SocketAddr,
        token: Option<&SecretString>,
        readiness: Arc<Readiness>,
        mut metrics: Metrics,
        routes: Routes,
    ) -> Result<Self, Exposed> {
        if token.is_none() && !address.ip().to_canonical().is_loopback() {
            return Err(Exposed(address));
        }
        metrics.registry().register_collector(Box::new(readiness.clone()));
        Ok(Self { auth: Auth::new(token), readiness, metrics, routes, operate: None })
    }

    /// Lets an operator change what `operate` can change.
    #[must_use]
    pub fn operated_by(self, operate: Arc<dyn Operate>) -> Self {
        Self { operate: Some(operate), ..self }
    }

    /// Answers one request, from `peer`.
    pub async fn serve<B>(&self, request: Request<B>, peer: SocketAddr) -> Response<Full<Bytes>>
    where
        B: Body<Error: Into<Box<dyn Error + Send + Sync>>>,
    {
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
                    _ => Err(Refusal::Unknown),
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
        let html = page::render(&self.readiness.check(), &(self.routes)());
        let mut response = answer(StatusCode::OK, "text/html; charset=utf-8", html);
        if let Ok(policy) = HeaderValue::try_from(page::policy()) {
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// A collector failed.
    Metrics,
}

impl Refusal {
    fn into_response(self) -> Response<Full<Bytes>> {
        let (status, title) = match self {
            Self::Host => (StatusCode::BAD_REQUEST, "exactly one valid Host is needed"),
            Self::Misdirected => (
                StatusCode::MISDIRECTED_REQUEST,
                "without admin_token, only a loopback name or address is answered: ask for 127.0.0.1",
            ),
            Self::Token => {
                (StatusCode::UNAUTHORIZED, "send Authorization: Bearer with the value of gateway.admin_token")
            }
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here"),
            Self::Unknown => (StatusCode::NOT_FOUND, "there are /, /healthz, /readyz and /metrics"),
            Self::Metrics => (StatusCode::INTERNAL_SERVER_ERROR, "a metric could not be written"),
        };
        let problem = serde_json::json!({ "status": status.as_u16(), "title": title });
        let mut response = answer(status, "application/problem+json", format!("{problem}\n"));
        let extra = match self {
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
            takes: "POST /api/<script>alert(1)</script>".into(),
            mode: "canary 5 %".into(),
            control: 95,
            candidate: 5,
            verdict: Some("COLLECTING".into()),
        };
        let routes: Routes = Box::new(move || vec![line.clone()]);
        let address = "127.0.0.1:9901".parse().unwrap();
        Admin::new(address, token.as_ref(), readiness, Metrics::new(SystemTime::now()), routes).unwrap()
    }

    fn get(path: &str) -> http::request::Builder {
        Request::get(path).header("host", "127.0.0.1:9901")
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
        for path in ["/", "/metrics", "/elsewhere"] {
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
        let error = Admin::new(address, None, readiness, metrics, Box::new(Vec::new)).unwrap_err();
        assert!(error.to_string().contains("0.0.0.0:9901"));
    }
}
