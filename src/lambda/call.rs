//! A request inside an event: what each front makes of HTTP, undone.
//!
//! | front | path | query | fields | who asks |
//! |---|---|---|---|---|
//! | REST API ("v1") | without the stage, decoded | decoded | once, and each with all its values | `identity` |
//! | HTTP API ("v2"), function URL | with the stage | as sent | joined by commas, cookies apart | `http` |
//! | load balancer | as sent | as sent, in pieces | once, or each with all its values | the last of `x-forwarded-for` |

use std::{fmt::Write as _, net::IpAddr};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri,
    header::{COOKIE, HOST},
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    event::Unreadable,
    wire::{Fields, Wire},
};

/// A request, and what its front knows of it.
#[derive(Debug)]
pub(super) struct Call {
    /// The request, its target in origin form.
    pub(super) request: Request<Bytes>,
    /// Who has sent it to the front.
    pub(super) source: Option<IpAddr>,
    /// Whether the front knows who that is.
    pub(super) caller: Caller,
    /// The scheme and host that it was sent to.
    pub(super) origin: String,
    /// How it is answered.
    pub(super) wire: Wire,
}

/// Whether a caller has proved who it is: by AWS's signature, an API key or an authoriser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// It has.
    Known,
    /// It has not.
    Stranger,
}

/// Every member of such events that says something here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Members {
    http_method: Option<String>,
    path: Option<String>,
    raw_path: Option<String>,
    raw_query_string: Option<String>,
    query_string_parameters: Option<Map<String, Value>>,
    multi_value_query_string_parameters: Option<Map<String, Value>>,
    headers: Option<Map<String, Value>>,
    multi_value_headers: Option<Map<String, Value>>,
    cookies: Option<Vec<String>>,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
    request_context: Context,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Context {
    stage: Option<String>,
    domain_name: Option<String>,
    authorizer: Option<Value>,
    http: Option<Http>,
    identity: Option<Identity>,
    elb: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Http {
    method: Option<String>,
    source_ip: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Identity {
    source_ip: Option<String>,
    user_arn: Option<String>,
    api_key: Option<String>,
}

/// Which front sent an event.
enum Front {
    Rest,
    Http(Http),
    Balancer,
}

/// Reads the event of a front.
pub(super) fn read(event: Value) -> Result<Call, Unreadable> {
    let broken = |what: &dyn ToString| Unreadable::Broken(what.to_string());
    let mut raw: Members = serde_json::from_value(event).map_err(|error| broken(&error))?;
    let context = std::mem::take(&mut raw.request_context);
    let front = match context.http {
        Some(http) => Front::Http(http),
        None if context.elb.is_some() => Front::Balancer,
        None => Front::Rest,
    };
    let headers = headers(&raw).map_err(|name| broken(&format!("the field {name:?}")))?;
    let method = match &front {
        Front::Http(http) => http.method.as_deref(),
        Front::Rest | Front::Balancer => raw.http_method.as_deref(),
    };
    let method = method.ok_or_else(|| broken(&"it has no method"))?;
    let method =
        Method::from_bytes(method.as_bytes()).map_err(|_| broken(&format!("the method {method:?}")))?;
    let target = target(&front, &raw, context.stage.as_deref());
    let uri = Uri::try_from(&target).map_err(|error| broken(&format!("the target {target:?}: {error}")))?;

    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).or(context.domain_name.as_deref());
    let proto = match &front {
        // It speaks both, and says itself which.
        Front::Balancer => headers.get("x-forwarded-proto").and_then(|proto| proto.to_str().ok()),
        Front::Rest | Front::Http(_) => None,
    };
    let origin = format!("{}://{}", proto.unwrap_or("https"), host.unwrap_or_default());
    let identity = context.identity.unwrap_or_default();
    let source = match &front {
        Front::Http(http) => http.source_ip.as_deref(),
        Front::Rest => identity.source_ip.as_deref(),
        Front::Balancer => {
            let chain = headers.get_all("x-forwarded-for").iter().next_back();
            chain.and_then(|chain| chain.to_str().ok()?.rsplit(',').next())
        }
    };
    let source = source.and_then(|address| address.trim().parse().ok());
    let authorised = context.authorizer.is_some_and(|by| by.as_object().is_some_and(|by| !by.is_empty()));
    let signed = [identity.user_arn, identity.api_key].into_iter().flatten().any(|id| !id.is_empty());
    let caller = match &front {
        // What says more is said by clients.
        Front::Balancer => Caller::Stranger,
        _ if authorised || signed => Caller::Known,
        _ => Caller::Stranger,
    };
    // No other name leads to it.
    let is_url = context.domain_name.is_some_and(|name| name.contains(".lambda-url."));
    let wire = match &front {
        Front::Rest => Wire::Rest,
        Front::Http(_) if is_url => Wire::Url,
        Front::Http(_) => Wire::Http,
        Front::Balancer if raw.multi_value_headers.is_some() => Wire::Balancer(Fields::Multiple),
        Front::Balancer => Wire::Balancer(Fields::Single),
    };
    let body = match raw.body {
        None => Bytes::new(),
        Some(body) if raw.is_base64_encoded == Some(true) => BASE64_STANDARD
            .decode(body)
            .map_err(|error| broken(&format!("its body is not Base64: {error}")))?
            .into(),
        Some(body) => body.into(),
    };
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(Call { request, source, caller, origin, wire })
}

/// The request's fields; an error is the name of one that cannot be.
fn headers(raw: &Members) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let mut add = |name: &str, value: &str| {
        let field = HeaderName::try_from(name).ok().zip(HeaderValue::from_bytes(value.as_bytes()).ok());
        let (field, value) = field.ok_or_else(|| name.to_owned())?;
        headers.append(field, value);
        Ok::<_, String>(())
    };
    let cookies = raw.cookies.as_ref().filter(|cookies| !cookies.is_empty());
    let several = raw.multi_value_headers.as_ref().filter(|headers| !headers.is_empty());
    for (name, value) in several.or(raw.headers.as_ref()).into_iter().flatten() {
        // Some fronts say them twice.
        if cookies.is_some() && name.eq_ignore_ascii_case(COOKIE.as_str()) {
            continue;
        }
        for value in values(value) {
            add(name, &value)?;
        }
    }
    if let Some(cookies) = cookies {
        add(COOKIE.as_str(), &cookies.join("; "))?;
    }
    Ok(headers)
}

/// One value or several, each as text; nothing for null.
fn values(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().flat_map(self::values).collect(),
        Value::String(text) => vec![text.clone()],
        Value::Null | Value::Object(_) => Vec::new(),
        Value::Bool(_) | Value::Number(_) => vec![value.to_string()],
    }
}

/// Path and query as the client sent them, as far as that is known.
fn target(front: &Front, raw: &Members, stage: Option<&str>) -> String {
    let (path, query) = match front {
        Front::Http(_) => {
            let path = raw.raw_path.as_deref().unwrap_or_default();
            (without_stage(path, stage), raw.raw_query_string.clone().unwrap_or_default())
        }
        Front::Rest => {
            let mut query = form_urlencoded::Serializer::new(String::new());
            for (name, value) in parameters(raw) {
                query.append_pair(&name, &value);
            }
            (raw.path.as_deref().unwrap_or_default(), query.finish())
        }
        Front::Balancer => {
            let pieces = parameters(raw).into_iter().map(|(name, value)| format!("{name}={value}"));
            (raw.path.as_deref().unwrap_or_default(), pieces.collect::<Vec<_>>().join("&"))
        }
    };
    let mut target = if path.starts_with('/') { String::new() } else { "/".to_owned() };
    encode(path, b"/:@", &mut target);
    if !query.is_empty() {
        target.push('?');
        encode(&query, b"/:@?[]|", &mut target);
    }
    target
}

fn parameters(raw: &Members) -> Vec<(String, String)> {
    let several =
        raw.multi_value_query_string_parameters.as_ref().filter(|parameters| !parameters.is_empty());
    let parameters = several.or(raw.query_string_parameters.as_ref()).into_iter().flatten();
    parameters
        .flat_map(|(name, value)| values(value).into_iter().map(move |value| (name.clone(), value)))
        .collect()
}

/// An HTTP API with a named stage has it in front of every path.
fn without_stage<'p>(path: &'p str, stage: Option<&str>) -> &'p str {
    let Some(stage) = stage.filter(|stage| *stage != "$default") else { return path };
    let rest = path.strip_prefix('/').and_then(|path| path.strip_prefix(stage));
    rest.filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or(path)
}

/// Writes `text` so that it can stand in a target: what may not be written as it is, or is no escape, is escaped.
fn encode(text: &str, also: &[u8], target: &mut String) {
    const PLAIN: &[u8] = b"-._~!$&'()*+,;=";
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let is_hex = |after: usize| bytes.get(at + after).is_some_and(u8::is_ascii_hexdigit);
        let stays = byte.is_ascii_alphanumeric()
            || PLAIN.contains(byte)
            || also.contains(byte)
            || (*byte == b'%' && is_hex(1) && is_hex(2));
        if stays {
            target.push(char::from(*byte));
        } else {
            // A String takes whatever is written.
            let _written = write!(target, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests;
