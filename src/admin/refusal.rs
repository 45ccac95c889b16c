//! Why a request is refused before anybody is asked, as statuses and sentences.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use super::answer;

/// Why a request is not answered with what it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Not one grammatical `Host`.
    Host,
    /// A `Host` that is not of this machine.
    Misdirected,
    /// No token, or another one.
    Token,
    /// None of these methods.
    Method(String),
    /// Nothing is there.
    Unknown,
    /// A question that cannot be answered.
    Question(String),
    /// A collector failed.
    Metrics,
}

impl Refusal {
    /// The problem in words, and what HTTP says beside.
    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
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
            Self::Method(_) => {
                (StatusCode::METHOD_NOT_ALLOWED, "only the methods in Allow are answered here")
            }
            Self::Unknown => (
                StatusCode::NOT_FOUND,
                "there are /, /healthz, /readyz, /metrics, /api/routes, /api/routes/explain, /api/upstreams, /api/config, /api/coverage, \
                 /api/brakes, /api/audit, /api/jobs, /api/reports and /api/comparisons",
            ),
            Self::Metrics => (StatusCode::INTERNAL_SERVER_ERROR, "a metric could not be written"),
        };
        let problem = serde_json::json!({ "status": status.as_u16(), "title": title });
        let mut response = answer(status, "application/problem+json", format!("{problem}\n"));
        let extra = match &self {
            // A field each: browsers, which ask their user for the second, read no list.
            Self::Token => vec![
                (header::WWW_AUTHENTICATE, "Bearer realm=\"figueira\""),
                (header::WWW_AUTHENTICATE, "Basic realm=\"figueira\", charset=\"UTF-8\""),
            ],
            Self::Method(allowed) => vec![(header::ALLOW, &**allowed)],
            _ => Vec::new(),
        };
        for (name, value) in extra {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}
