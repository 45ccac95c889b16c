//! The members of a JSON request, read with one voice whatever the contract.

use bytes::Bytes;
use http::{
    HeaderMap, Request, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use serde_json::{Map, Value};

use super::Refusal;
use crate::generator::order::{AskedSize, MAX_PROMPT_CHARS, NoPrompt, Prompt};

/// The members of a request's JSON object; `null` is the same as absent.
#[derive(Debug)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// Reads the body.
    pub(super) fn read(request: &Request<Bytes>) -> Result<Self, Refusal> {
        match json(request)? {
            Value::Object(members) => Ok(Self(members)),
            _ => Err(bad("the request must be a JSON object".into())),
        }
    }

    /// `prompt`: required.
    pub(super) fn prompt(&self) -> Result<Prompt, Refusal> {
        let Some(value) = self.get("prompt") else {
            return Err(Refusal::parameter("prompt", "missing_required_parameter", "a prompt is required"));
        };
        let Value::String(text) = value else { return Err(wrong("prompt", "a text")) };
        Prompt::new(text.clone()).map_err(|why| match why {
            NoPrompt::Empty => Refusal::parameter("prompt", "empty_prompt", "the prompt is empty"),
            NoPrompt::TooLong { chars } => {
                let message = format!("the prompt has {chars} characters, allowed are {MAX_PROMPT_CHARS}");
                Refusal::parameter("prompt", "prompt_too_long", message)
            }
        })
    }

    /// `n`: a positive integer, one by default.
    pub(super) fn count(&self) -> Result<u64, Refusal> {
        match self.get("n") {
            None => Ok(1),
            // A whole number beyond 64 bits is well-formed, and beyond every table.
            Some(Value::Number(number)) if number.as_f64().is_some_and(|n| n >= 1e19) => Ok(u64::MAX),
            Some(value) => value.as_u64().filter(|n| *n > 0).ok_or_else(|| wrong("n", "a positive integer")),
        }
    }

    /// `size`: `auto` by default.
    pub(super) fn size(&self) -> Result<AskedSize, Refusal> {
        let Some(text) = self.text("size")? else { return Ok(AskedSize::Auto) };
        AskedSize::parse(text).ok_or_else(|| wrong("size", "WIDTHxHEIGHT or auto"))
    }

    /// A text.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<&str>, Refusal> {
        self.get(name).map(|value| value.as_str().ok_or_else(|| wrong(name, "a text"))).transpose()
    }

    /// An integer from 0 to `most`.
    pub(super) fn up_to(&self, most: u8, name: &'static str) -> Result<Option<u8>, Refusal> {
        let within = |value: &Value| value.as_u64().and_then(|n| u8::try_from(n).ok()).filter(|n| *n <= most);
        let value = self.get(name);
        value
            .map(|value| within(value).ok_or_else(|| wrong(name, &format!("an integer from 0 to {most}"))))
            .transpose()
    }

    /// True or false.
    pub(super) fn flag(&self, name: &'static str) -> Result<Option<bool>, Refusal> {
        self.get(name).map(|value| value.as_bool().ok_or_else(|| wrong(name, "true or false"))).transpose()
    }

    /// The first member that is not `known`.
    pub(super) fn stranger(&self, known: impl Fn(&str) -> bool) -> Option<&str> {
        self.0.keys().map(String::as_str).find(|name| !known(name))
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }
}

/// The members that were found elsewhere.
impl From<Map<String, Value>> for Fields {
    fn from(members: Map<String, Value>) -> Self {
        Self(members)
    }
}

/// A body that is JSON.
pub(super) fn json(request: &Request<Bytes>) -> Result<Value, Refusal> {
    if !is_plain(request.headers()) || !essence(request.headers()).is_none_or(|essence| is_json(&essence)) {
        return Err(unsupported("the request must be application/json, without a content encoding"));
    }
    serde_json::from_slice(request.body()).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        bad(format!("the request is not valid JSON (line {line}, column {column})"))
    })
}

fn bad(message: String) -> Refusal {
    malformed("invalid_json", message)
}

/// A body that is not what it says.
pub(super) fn malformed(code: &'static str, message: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, code, message)
}

/// A body of another kind.
pub(super) fn unsupported(message: &str) -> Refusal {
    Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_content_type", message)
}

fn wrong(param: &'static str, expected: &str) -> Refusal {
    Refusal::parameter(param, "invalid_value", format!("{param} must be {expected}"))
}

/// Whether a body is as it is, not compressed.
pub(super) fn is_plain(headers: &HeaderMap) -> bool {
    let encoding = headers.get(CONTENT_ENCODING);
    encoding.is_none_or(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// The media type without its parameters; none where none is said.
pub(super) fn essence(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(CONTENT_TYPE)?.to_str().unwrap_or_default();
    Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

fn is_json(essence: &str) -> bool {
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}
