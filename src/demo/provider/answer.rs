//! How the API answers: `ImagesResponse`, the events of a stream, `ErrorResponse`, and the headers beside them.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use serde_json::{Value, json};

use super::{Body, request::Wanted};

/// An error as the API writes it.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    status: StatusCode,
    body: Result<Value, &'static str>,
    retry_after_ms: Option<&'static str>,
}

/// What was made, on its way into an answer.
pub(super) struct Made<'a> {
    pub(super) wanted: &'a Wanted,
    pub(super) pictures: &'a [Bytes],
    pub(super) usage: &'a Value,
}

impl Failure {
    pub(super) fn new(
        status: u16,
        kind: &str,
        code: Option<&str>,
        param: Option<&str>,
        message: &str,
    ) -> Self {
        let error = json!({ "message": message, "type": kind, "param": param, "code": code });
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            body: Ok(json!({ "error": error })),
            retry_after_ms: None,
        }
    }

    /// What stands before the API answers, in its own way.
    pub(super) fn of_a_proxy(status: u16) -> Self {
        let body = Err("<html><head><title>Bad gateway</title></head><body>upstream error</body></html>");
        Self { body, ..Self::new(status, "", None, None, "") }
    }

    pub(super) fn server_error() -> Self {
        let said = "The server had an error while processing your request. Sorry about that!";
        Self::new(500, "server_error", None, None, said)
    }

    pub(super) fn no_key() -> Self {
        Self::new(401, "invalid_request_error", None, None, "You didn't provide an API key.")
    }

    /// As the real one does, it repeats some of the key.
    pub(super) fn wrong_key(key: &str) -> Self {
        let said =
            format!("Incorrect API key provided: {key}. You can find your API key at the account page.");
        Self::new(401, "invalid_request_error", Some("invalid_api_key"), None, &said)
    }

    pub(super) fn no_model(model: &str) -> Self {
        let said = format!("The model `{model}` does not exist or you do not have access to it.");
        Self::new(404, "invalid_request_error", Some("model_not_found"), None, &said)
    }

    pub(super) fn rate_limit(retry_after_ms: &'static str) -> Self {
        let said = "Rate limit reached for images per minute.";
        let failure = Self::new(429, "requests", Some("rate_limit_exceeded"), None, said);
        Self { retry_after_ms: Some(retry_after_ms), ..failure }
    }

    pub(super) fn unknown_url(method: &Method, path: &str) -> Self {
        let said = format!("Unknown request URL: {method} {path}.");
        Self::new(404, "invalid_request_error", Some("unknown_url"), None, &said)
    }

    pub(super) fn response(&self) -> Response<Body> {
        let mut response = match &self.body {
            Ok(body) => super::json(self.status, body),
            Err(page) => super::whole(self.status, "text/html", Bytes::from_static(page.as_bytes())),
        };
        if let Some(millis) = self.retry_after_ms {
            response.headers_mut().insert("retry-after-ms", HeaderValue::from_static(millis));
        }
        response
    }
}

impl Made<'_> {
    /// The response with these images.
    pub(super) fn json(&self, data: &[Value]) -> Value {
        let mut body = self.without_data();
        if let Some(fields) = body.as_object_mut() {
            fields.insert("data".to_owned(), data.into());
        }
        body
    }

    pub(super) fn without_data(&self) -> Value {
        let Wanted { background, format, quality, .. } = self.wanted;
        json!({
            "created": now(),
            "background": background,
            "output_format": format.name(),
            "quality": quality,
            "size": self.wanted.size(),
            "usage": self.usage,
        })
    }

    /// The images, each in its own words.
    pub(super) fn inside(&self) -> Vec<Value> {
        self.pictures.iter().map(|picture| json!({ "b64_json": BASE64_STANDARD.encode(picture) })).collect()
    }

    /// The events of a stream.
    pub(super) fn events(&self) -> Vec<String> {
        let partial = (0..self.wanted.partial_images).filter_map(|index| {
            let picture = self.pictures.first()?;
            let mut event = self.event("image_generation.partial_image", picture);
            event.as_object_mut()?.insert("partial_image_index".to_owned(), index.into());
            Some(event)
        });
        let completed = self.pictures.iter().filter_map(|picture| {
            let mut event = self.event("image_generation.completed", picture);
            event.as_object_mut()?.insert("usage".to_owned(), self.usage.clone());
            Some(event)
        });
        let written = |event: Value| {
            let name = event.get("type").and_then(Value::as_str).unwrap_or_default();
            format!("event: {name}\ndata: {event}\n\n")
        };
        partial.chain(completed).map(written).collect()
    }

    fn event(&self, kind: &str, picture: &Bytes) -> Value {
        json!({
            "type": kind,
            "b64_json": BASE64_STANDARD.encode(picture),
            "created_at": now(),
            "size": self.wanted.size(),
            "quality": self.wanted.quality,
            "background": self.wanted.background,
            "output_format": self.wanted.format.name(),
        })
    }
}

/// What a call uses: about a token for four letters, and as many for the pixels as the quality takes.
pub(super) fn usage(wanted: &Wanted) -> Value {
    let text = wanted.prompt.len() as u64 / 4 + 1;
    let image = match wanted.quality {
        "low" => 272,
        "medium" => 1056,
        _ => 4160,
    };
    let output = image * wanted.n;
    json!({
        "input_tokens": text,
        "input_tokens_details": { "text_tokens": text, "image_tokens": 0 },
        "output_tokens": output,
        "output_tokens_details": { "text_tokens": 0, "image_tokens": output },
        "total_tokens": text + output,
    })
}

/// The headers that every answer has.
pub(super) fn sign(headers: &mut HeaderMap, id: &str) {
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert("x-request-id", id);
    }
    for (name, value) in [
        ("openai-version", "2020-10-01"),
        ("openai-processing-ms", "30"),
        ("x-ratelimit-limit-requests", "500"),
        ("x-ratelimit-remaining-requests", "499"),
        ("x-ratelimit-reset-requests", "120ms"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
