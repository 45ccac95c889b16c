//! What the operator's listener says as JSON.

use http::{HeaderValue, Response, StatusCode, header::ETAG};
use http_body_util::Full;
use serde_json::{Value, json};

use super::{Refusal, RouteLine, Sources, paging::Page, upstreams};
use crate::routing::{Arm, Explanation, Route, explain, explain::Ask};

/// Where it says something.
pub(super) const PATHS: [&str; 5] =
    ["/api/routes", "/api/routes/explain", "/api/config", "/api/upstreams", "/api/coverage"];

/// Answers `GET path?query`.
pub(super) fn answer(
    path: &str,
    query: Option<&str>,
    sources: &Sources,
    generation: Option<u64>,
) -> Result<Response<Full<bytes::Bytes>>, Refusal> {
    let value = match path {
        "/api/routes" => return routes(query, &(sources.routes)(), generation).map_err(Refusal::Question),
        "/api/routes/explain" => {
            let ask = ask(query.unwrap_or_default()).map_err(Refusal::Question)?;
            explained(&explain(&(sources.table)(), &ask.head()))
        }
        "/api/config" => json!({ "generation": generation, "config": (sources.config)() }),
        "/api/upstreams" => upstreams::json(&(sources.upstreams)()),
        "/api/coverage" => (sources.coverage)(),
        _ => return Err(Refusal::Unknown),
    };
    Ok(super::answer(StatusCode::OK, "application/json", format!("{value}\n")))
}

/// A page of routes; its `ETag` is what a change's `If-Match` takes.
fn routes(
    query: Option<&str>,
    lines: &[RouteLine],
    generation: Option<u64>,
) -> Result<Response<Full<bytes::Bytes>>, String> {
    let (page, next) = Page::of(query)?.of_list(lines, |line| &line.name)?;
    let page: Vec<_> = page.iter().map(route_line).collect();
    let value = json!({ "generation": generation, "routes": page, "next": next });
    let mut response = super::answer(StatusCode::OK, "application/json", format!("{value}\n"));
    let tag = generation.and_then(|generation| HeaderValue::try_from(format!("\"{generation}\"")).ok());
    if let Some(tag) = tag {
        response.headers_mut().insert(ETAG, tag);
    }
    Ok(response)
}

fn route_line(line: &RouteLine) -> Value {
    json!({
        "name": line.name,
        "line": line.line,
        "takes": line.takes,
        "mode": line.mode.as_str(),
        "effective_mode": line.effective_mode.as_str(),
        "percent": line.share.percent(),
        "requests": { "control": line.control, "candidate": line.candidate, "subjectless": line.subjectless },
        "verdict": line.verdict,
    })
}

/// The request that `query` asks about: `method`, `url`, any number of `header`, perhaps `client`.
fn ask(query: &str) -> Result<Ask, String> {
    let (mut method, mut url, mut client, mut headers) = (None, None, None, Vec::new());
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "method" => method = Some(value),
            "url" => url = Some(value),
            "client" => client = Some(value),
            "header" => headers.push(value),
            other => {
                return Err(format!(
                    "there is no parameter \"{other}\": ask with method, url, header, client"
                ));
            }
        }
    }
    let missing =
        |name: &str| format!("`{name}` is missing, as in ?method=POST&url=/api/images&header=accept:%20*/*");
    let (method, url) = (method.ok_or_else(|| missing("method"))?, url.ok_or_else(|| missing("url"))?);
    let ask =
        Ask::new(&method, &url, headers.iter().map(|header| &**header)).map_err(|error| error.to_string())?;
    match client {
        None => Ok(ask),
        Some(client) => {
            client.parse().map(|client| ask.from(client)).map_err(|_| format!("\"{client}\" is no address"))
        }
    }
}

fn named(route: &Route) -> Value {
    json!({ "name": *route.name, "line": route.line, "takes": route.takes() })
}

fn explained(explanation: &Explanation<'_>) -> Value {
    let near = explanation
        .near
        .iter()
        .map(|near| json!({ "route": named(near.route), "because": near.because.to_string() }));
    let near: Vec<_> = near.collect();
    let Some(decision) = &explanation.decision else {
        return json!({ "route": null, "answered_by": "monolith", "near": near, "more": explanation.more });
    };
    json!({
        "route": named(decision.route),
        "mode": decision.mode.as_str(),
        "arm": match decision.arm {
            Arm::Control => "control",
            Arm::Candidate => "candidate",
        },
        "answered_by": decision.answerer(),
        "because": decision.why(),
        "near": near,
        "more": explanation.more,
    })
}
