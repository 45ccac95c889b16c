//! Answers as the front of an event wants them.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response,
    header::{CONTENT_ENCODING, CONTENT_TYPE, SET_COOKIE},
    response,
};
use lambda_runtime::MetadataPrelude;
use serde_json::{Map, Value, json};

/// What Lambda hands over at once, written as JSON.
const LARGEST: usize = 6 << 20;
/// The same behind a load balancer.
const LARGEST_BALANCED: usize = 1 << 20;

/// Whose event it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    /// A REST API's: payload format 1.0.
    Rest,
    /// An HTTP API's: payload format 2.0.
    Http,
    /// A function URL's: the same.
    Url,
    /// A load balancer's.
    Balancer(Fields),
}

/// How a load balancer names fields, as its target group is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fields {
    /// With one value.
    Single,
    /// With all their values.
    Multiple,
}

impl Wire {
    /// The largest answer, written as JSON.
    pub(super) fn largest(self) -> usize {
        match self {
            Self::Rest | Self::Http | Self::Url => LARGEST,
            Self::Balancer(_) => LARGEST_BALANCED,
        }
    }

    /// How many bytes of an answer that is no text certainly fit, its head aside.
    pub(super) fn largest_binary(self) -> u64 {
        const HEAD: usize = 64 << 10;
        (self.largest().saturating_sub(HEAD) / 4 * 3) as u64
    }

    /// Whether this front can be set up to take a stream.
    pub(super) fn can_stream(self) -> bool {
        matches!(self, Self::Rest | Self::Url)
    }

    /// Writes an answer.
    pub(super) fn written(self, response: &Response<Bytes>) -> Value {
        let (status, headers) = (response.status(), response.headers());
        let text = if is_text(headers) { std::str::from_utf8(response.body()).ok() } else { None };
        let body = text.map_or_else(|| BASE64_STANDARD.encode(response.body()), ToOwned::to_owned);
        let mut answer = json!({
            "statusCode": status.as_u16(),
            "isBase64Encoded": text.is_none(),
            "body": body,
        });
        let fields = match self {
            Self::Rest => json!({ "multiValueHeaders": several(headers) }),
            Self::Http | Self::Url => {
                let (headers, cookies) = apart(headers);
                json!({ "headers": joined(&headers), "cookies": cookies })
            }
            Self::Balancer(fields) => {
                let reason = status.canonical_reason().unwrap_or_default();
                let description = format!("{} {reason}", status.as_u16());
                match fields {
                    Fields::Single => json!({ "statusDescription": description, "headers": joined(headers) }),
                    Fields::Multiple => {
                        json!({ "statusDescription": description, "multiValueHeaders": several(headers) })
                    }
                }
            }
        };
        if let (Some(answer), Value::Object(fields)) = (answer.as_object_mut(), fields) {
            answer.extend(fields);
        }
        answer
    }
}

/// The head of an answer that comes as a stream.
pub(super) fn prelude(head: &response::Parts) -> MetadataPrelude {
    let (fields, cookies) = apart(&head.headers);
    let mut headers = HeaderMap::new();
    for name in fields.keys() {
        let values: Vec<_> = fields.get_all(name).iter().map(HeaderValue::as_bytes).collect();
        // What was made of values is one.
        headers.extend(HeaderValue::from_bytes(&values.join(&b", "[..])).map(|value| (name.clone(), value)));
    }
    MetadataPrelude { status_code: head.status, headers, cookies }
}

/// Cookies cannot be joined.
fn apart(headers: &HeaderMap) -> (HeaderMap, Vec<String>) {
    let cookies = headers.get_all(SET_COOKIE).iter().map(in_text).collect();
    let mut headers = headers.clone();
    headers.remove(SET_COOKIE);
    (headers, cookies)
}

fn is_text(headers: &HeaderMap) -> bool {
    if headers.contains_key(CONTENT_ENCODING) {
        return false;
    }
    let Some(kind) = headers.get(CONTENT_TYPE) else { return true };
    let kind = in_text(kind).to_ascii_lowercase();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.starts_with("text/")
        || ["application/json", "application/xml", "application/javascript"].contains(&kind)
        || ["+json", "+xml"].iter().any(|suffix| kind.ends_with(suffix))
}

/// Each field with all its values.
fn several(headers: &HeaderMap) -> Map<String, Value> {
    let all = |name| headers.get_all(name).iter().map(|value| Value::from(in_text(value))).collect();
    headers.keys().map(|name| (name.to_string(), Value::Array(all(name)))).collect()
}

/// Each field once (RFC 9110, 5.3).
fn joined(headers: &HeaderMap) -> Map<String, Value> {
    let all = |name| headers.get_all(name).iter().map(in_text).collect::<Vec<_>>().join(", ");
    headers.keys().map(|name| (name.to_string(), all(name).into())).collect()
}

fn in_text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(kind: &'static str, body: &'static [u8]) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from_static(body));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        for value in ["a=1", "b=2"] {
            headers.append(SET_COOKIE, HeaderValue::from_static(value));
            headers.append("vary", HeaderValue::from_static(value));
        }
        response
    }

    #[test]
    fn every_front_gets_its_own_shape() {
        let text = response("application/json", b"{}");
        let vary = json!(["a=1", "b=2"]);
        assert_eq!(
            Wire::Rest.written(&text),
            json!({
                "statusCode": 200, "isBase64Encoded": false, "body": "{}",
                "multiValueHeaders": {"content-type": ["application/json"], "set-cookie": vary, "vary": vary},
            })
        );
        assert_eq!(
            Wire::Http.written(&text),
            json!({
                "statusCode": 200, "isBase64Encoded": false, "body": "{}",
                "headers": {"content-type": "application/json", "vary": "a=1, b=2"}, "cookies": ["a=1", "b=2"],
            })
        );
        let single = Wire::Balancer(Fields::Single).written(&text);
        assert_eq!(
            (&single["statusDescription"], &single["headers"]["vary"]),
            (&json!("200 OK"), &json!("a=1, b=2"))
        );
        let several = Wire::Balancer(Fields::Multiple).written(&text);
        assert_eq!((&several["multiValueHeaders"]["vary"], &several["headers"]), (&vary, &Value::Null));
    }

    #[test]
    fn the_head_of_a_stream_has_each_field_once_and_cookies_apart() {
        let (head, _) = response("text/event-stream", b"").into_parts();
        let MetadataPrelude { status_code, headers, cookies } = prelude(&head);
        assert_eq!((status_code, cookies), (http::StatusCode::OK, vec!["a=1".to_owned(), "b=2".to_owned()]));
        assert_eq!(headers["vary"], "a=1, b=2");
        assert_eq!((headers.len(), headers["content-type"].as_bytes()), (2, &b"text/event-stream"[..]));
    }

    #[test]
    fn what_is_no_text_is_carried_in_base64() {
        let of = |response: &Response<Bytes>| {
            let written = Wire::Http.written(response);
            (written["isBase64Encoded"].as_bool().unwrap(), written["body"].as_str().unwrap().to_owned())
        };
        assert_eq!(of(&response("image/png", b"\x89PNG")), (true, "iVBORw==".to_owned()));
        assert_eq!(of(&response("text/plain; charset=latin1", b"\xe9")), (true, "6Q==".to_owned()));
        assert_eq!(of(&response("application/problem+json", b"{}")), (false, "{}".to_owned()));
        let mut packed = response("text/plain", b"x");
        packed.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert_eq!(of(&packed), (true, "eA==".to_owned()));
    }
}
