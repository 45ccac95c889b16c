//! What an answer of the Images API means: images, a refusal that cost nothing, or an outcome that nobody knows.
//!
//! Sizes, qualities and codes are read as plain texts: they grow faster than any list of them.

use std::borrow::Cow;

use base64::{
    DecodeError, Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER},
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    super::{Blame, ProviderError, Receipt, Refused, Usage, WhyRefused},
    retry,
};

/// Of a code.
const LONGEST_CODE: usize = 100;
/// What moderation is called: by `OpenAI` now, by `OpenAI` before, by Azure.
const MODERATED: [&str; 4] =
    ["moderation_blocked", "content_policy_violation", "content_filter", "ResponsibleAIPolicyViolation"];
/// What an empty purse is called.
const SPENT: [&str; 4] =
    ["insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "billing_limit_user_error"];
/// What an overload is called, in codes, types and messages.
const OVERLOADED: [&str; 3] = ["overloaded", "slow_down", "slow down"];

/// Without its padding too, as some servers have it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An answer with images in it.
#[derive(Debug)]
pub(super) struct Answer {
    /// The images in order.
    pub(super) carried: Vec<Carried>,
    /// What it says of the call, without its price.
    pub(super) receipt: Receipt,
}

/// How an image travels.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Carried {
    /// In the answer; or what is wrong with its Base64.
    Here(Result<Bytes, DecodeError>),
    /// Elsewhere.
    Url(String),
}

#[derive(Deserialize)]
struct ImagesResponse<'a> {
    #[serde(borrow, default)]
    data: Option<Vec<Image<'a>>>,
    #[serde(default)]
    usage: Value,
}

#[derive(Deserialize)]
struct Image<'a> {
    #[serde(borrow, default)]
    b64_json: Option<Words<'a>>,
    #[serde(borrow, default)]
    url: Option<Words<'a>>,
}

/// A text that is copied only where it has escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Words<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Default, Deserialize)]
struct ErrorResponse {
    #[serde(default)]
    error: Option<ErrorBody>,
}

#[derive(Default, Deserialize)]
struct ErrorBody {
    #[serde(default)]
    message: Option<String>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    param: Value,
    // Some servers write a number here.
    #[serde(default)]
    code: Option<Value>,
}

/// Judges an answer, and decodes the images in it. Computes long where there are many.
pub(super) fn judge(status: StatusCode, headers: &HeaderMap, body: &Bytes) -> Result<Answer, ProviderError> {
    if status.is_success() { images(headers, body) } else { Err(failure(status, headers, body)) }
}

/// Whether it comes as server-sent events.
pub(super) fn is_stream(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// What went wrong with a stream that had begun: a refusal, if its code is one of those that are `unpaid`; else nobody
/// knows.
pub(super) fn failure_in_stream(headers: &HeaderMap, event: &Bytes, unpaid: &[WhyRefused]) -> ProviderError {
    match failure(StatusCode::BAD_REQUEST, headers, event) {
        ProviderError::Refused(refused) if unpaid.contains(&refused.why) => ProviderError::Refused(refused),
        _ => ProviderError::Unknown {
            what: "its stream ended with an error".to_owned(),
            request_id: request_id(headers),
        },
    }
}

/// Its id, as far as it can be written down.
pub(super) fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("x-request-id")?.to_str().ok()?;
    Some(id.chars().take(200).collect())
}

fn images(headers: &HeaderMap, body: &Bytes) -> Result<Answer, ProviderError> {
    let request_id = request_id(headers);
    let unusable = |what: &str, usage: Option<Usage>| ProviderError::Unusable {
        what: what.to_owned(),
        paid: vec![body.clone()],
        receipt: Receipt { request_id: request_id.clone(), usage, ..Receipt::default() },
    };
    if headers
        .get(CONTENT_ENCODING)
        .is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Err(unusable("it has a content encoding that was not asked for", None));
    }
    let Ok(ImagesResponse { data, usage }) = serde_json::from_slice(body) else {
        return Err(unusable("it is not the JSON of an images response", None));
    };
    let usage = self::usage(&usage);
    let data = data.unwrap_or_default();
    if data.is_empty() {
        return Err(unusable("there are no images in it", usage));
    }
    let carried = data.into_iter().map(|image| match (image.b64_json, image.url) {
        (Some(Words(text)), _) => Some(Carried::Here(decoded(&text))),
        (None, Some(Words(url))) => Some(Carried::Url(url.into_owned())),
        (None, None) => None,
    });
    let Some(carried) = carried.collect() else {
        return Err(unusable("one of its images is neither there nor elsewhere", usage));
    };
    Ok(Answer { carried, receipt: Receipt { request_id, usage, ..Receipt::default() } })
}

/// The tokens of a call, as far as what is said of them are numbers: the images are paid for, however they are counted.
pub(super) fn usage(said: &Value) -> Option<Usage> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what is no number of tokens becomes the nearest one"
    )]
    let tokens = |name| {
        let count = said.get(name)?;
        count.as_u64().or_else(|| count.as_f64().map(|count| count as u64))
    };
    said.is_object().then(|| Usage {
        input_tokens: tokens("input_tokens").unwrap_or(0),
        output_tokens: tokens("output_tokens").unwrap_or(0),
    })
}

/// The image that a text is. It is paid for: that it comes in lines, as mail has it, takes nothing away.
pub(super) fn decoded(text: &str) -> Result<Bytes, DecodeError> {
    let decoded = BASE64.decode(text).or_else(|error| match error {
        DecodeError::InvalidByte(_, byte) if byte.is_ascii_whitespace() => {
            BASE64.decode(text.split_ascii_whitespace().collect::<String>())
        }
        error => Err(error),
    });
    decoded.map(Bytes::from)
}

fn failure(status: StatusCode, headers: &HeaderMap, body: &Bytes) -> ProviderError {
    let ErrorBody { message, kind, param, code } =
        serde_json::from_slice::<ErrorResponse>(body).unwrap_or_default().error.unwrap_or_default();
    let kind = kind.unwrap_or_default();
    let code = match code {
        Some(Value::String(code)) => code,
        Some(Value::Number(code)) => code.to_string(),
        _ => String::new(),
    };
    let said = message.unwrap_or_default();
    let is = |words: &[&str]| words.iter().any(|word| code == *word || kind == *word);
    let overloaded = || {
        let said = said.to_ascii_lowercase();
        OVERLOADED.iter().any(|word| code.contains(word) || kind.contains(word) || said.contains(word))
    };
    let why = match status.as_u16() {
        400..=499 if is(&MODERATED) => WhyRefused::Moderation,
        400..=499 if is(&SPENT) => WhyRefused::Quota,
        401 | 403 => WhyRefused::Key,
        402 => WhyRefused::Quota,
        404 => WhyRefused::Model,
        429 => WhyRefused::RateLimit,
        // A redirect of a POST is not followed, and nothing was drawn where it came from.
        300..=499 => WhyRefused::Request,
        503 if overloaded() => WhyRefused::Overload,
        _ => {
            let what = format!("status {}", told(status, &[&code, &kind]));
            return ProviderError::Unknown { what, request_id: request_id(headers) };
        }
    };
    let param = param.as_str().unwrap_or_default();
    ProviderError::Refused(Refused {
        why,
        blame: if why == WhyRefused::Request { blame(status, param, &code) } else { None },
        message: told(status, &[&code, &kind, param]),
        request_id: request_id(headers),
        retry_after: retry::asked(
            headers.get("retry-after-ms"),
            headers.get(RETRY_AFTER),
            jiff::Timestamp::now(),
        ),
    })
}

/// What is repeated of an error. Not its message: that may repeat the prompt, or a key.
fn told(status: StatusCode, codes: &[&str]) -> String {
    let codes = codes.iter().copied().filter(|code| is_code(code));
    std::iter::once(status.as_str()).chain(codes).collect::<Vec<_>>().join(" ")
}

/// What is wrong with a request that this status says something of, unless it is what we have added to it.
fn blame(status: StatusCode, param: &str, code: &str) -> Option<Box<Blame>> {
    let of_the_request = matches!(status.as_u16(), 400 | 413 | 422) && param != "model";
    let word = |text: &str| is_code(text).then(|| text.to_owned());
    of_the_request.then(|| Blame { param: word(param), code: word(code) }.into())
}

/// Whether a text is the word of a program, and not what a person wrote.
fn is_code(text: &str) -> bool {
    let is_letter =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'[' | b']');
    !text.is_empty() && text.len() <= LONGEST_CODE && text.bytes().all(is_letter)
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, StatusCode};

    use super::*;

    fn of(status: u16, body: &'static str) -> Result<Receipt, ProviderError> {
        let headers = HeaderMap::from_iter([(
            http::HeaderName::from_static("x-request-id"),
            HeaderValue::from_static("req_7"),
        )]);
        let body = Bytes::from_static(body.as_bytes());
        judge(StatusCode::from_u16(status).unwrap(), &headers, &body).map(|answer| answer.receipt)
    }

    fn refusal(status: u16, body: &'static str) -> Option<WhyRefused> {
        match of(status, body).unwrap_err() {
            ProviderError::Refused(refused) => {
                assert_eq!(refused.request_id.as_deref(), Some("req_7"));
                Some(refused.why)
            }
            ProviderError::Unknown { request_id, .. } => {
                assert_eq!(request_id.as_deref(), Some("req_7"));
                None
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_error_of_the_table_is_told_apart() {
        for (status, body, why) in [
            (
                400,
                r#"{"error": {"code": "moderation_blocked", "type": "image_generation_user_error", "message": "no"}}"#,
                Some(WhyRefused::Moderation),
            ),
            (400, r#"{"error": {"code": "content_policy_violation"}}"#, Some(WhyRefused::Moderation)),
            (400, r#"{"error": {"code": "billing_hard_limit_reached"}}"#, Some(WhyRefused::Quota)),
            (
                400,
                r#"{"error": {"code": "unknown_parameter", "param": "response_format"}}"#,
                Some(WhyRefused::Request),
            ),
            (401, r#"{"error": {"code": "invalid_api_key"}}"#, Some(WhyRefused::Key)),
            (403, "", Some(WhyRefused::Key)),
            (404, r#"{"error": {"code": "model_not_found"}}"#, Some(WhyRefused::Model)),
            (429, r#"{"error": {"code": "rate_limit_exceeded"}}"#, Some(WhyRefused::RateLimit)),
            (429, r#"{"error": {"code": null, "type": "insufficient_quota"}}"#, Some(WhyRefused::Quota)),
            (429, "<html>", Some(WhyRefused::RateLimit)),
            (
                503,
                r#"{"error": {"message": "The engine is currently overloaded"}}"#,
                Some(WhyRefused::Overload),
            ),
            (503, r#"{"error": {"code": 503, "message": "Slow down"}}"#, Some(WhyRefused::Overload)),
            (503, "upstream connect error", None),
            (500, r#"{"error": {"type": "server_error", "code": null}}"#, None),
            (502, "<html>", None),
            (504, "", None),
            (308, "", Some(WhyRefused::Request)),
        ] {
            assert_eq!(refusal(status, body), why, "{status} {body}");
        }
    }

    #[test]
    fn a_paid_image_is_read_however_its_base64_is_written() {
        for (text, image) in [
            ("aGVsbG8=", Some("hello")),
            ("aGVsbG8", Some("hello")),
            ("aGVs\nbG8=\r\n", Some("hello")),
            (" aGVs bG8", Some("hello")),
            ("a", None),
            ("aGVsbG8=x", None),
            ("aGVs\nbG8?", None),
        ] {
            assert_eq!(decoded(text).ok(), image.map(Bytes::from), "{text:?}");
        }
    }

    #[test]
    fn a_success_without_images_is_none() {
        for body in [
            "",
            "<html>200</html>",
            "[]",
            r#"{"created": 1}"#,
            r#"{"created": 1, "data": null}"#,
            r#"{"created": 1, "data": []}"#,
            r#"{"created": 1, "data": [{}]}"#,
            r#"{"created": 1, "data": [{"b64_json": null, "url": null}]}"#,
            r#"{"created": 1, "data": [{"b64_json": 7}]}"#,
            r#"{"data": [{"b64_json": "aGk="}"#,
        ] {
            let error = of(200, body).unwrap_err();
            assert!(matches!(error, ProviderError::Unusable { .. }), "{body}: {error:?}");
        }
    }

    #[test]
    fn images_come_inside_or_from_elsewhere_and_usage_is_kept() {
        let body = Bytes::from_static(
            br#"{"created": 1, "size": "huge", "quality": "new", "data": [{"b64_json": "aGk="}, {"url": "https:\/\/a\/b", "revised_prompt": "x"}],
                "usage": {"input_tokens": 3, "output_tokens": 40, "total_tokens": 43, "input_tokens_details": {}}}"#,
        );
        let answer = judge(StatusCode::OK, &HeaderMap::new(), &body).unwrap();
        assert_eq!(answer.carried, [Carried::Here(Ok("hi".into())), Carried::Url("https://a/b".into())]);
        assert_eq!(answer.receipt.usage, Some(Usage { input_tokens: 3, output_tokens: 40 }));
        for (usage, read) in [("{\"input_tokens\":null,\"output_tokens\":4.0}", Some((0, 4))), ("7", None)] {
            let body = format!("{{\"data\": [{{\"b64_json\": \"aGk=\"}}], \"usage\": {usage}}}");
            let answer = judge(StatusCode::OK, &HeaderMap::new(), &body.into()).unwrap();
            let usage = answer.receipt.usage.map(|usage| (usage.input_tokens, usage.output_tokens));
            assert_eq!(usage, read);
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(judge(StatusCode::OK, &headers, &body).is_err());
    }

    /// Servers repeat what they were asked, whole or in part, in whatever they say of an error.
    #[test]
    fn of_an_error_only_codes_are_repeated() {
        for (status, body) in [
            (
                400,
                r#"{"error": {"code": "invalid_value", "param": "size", "message": "'a canary on the sea' is odd"}}"#,
            ),
            (400, r#"{"error": {"code": "a canary", "type": "canary?", "param": "on the canary"}}"#),
            (429, r#"{"error": {"message": "canary"}}"#),
            (500, r#"{"error": {"code": "a canary", "message": "canary"}}"#),
        ] {
            let said = of(status, body).unwrap_err();
            let shown = format!("{said} {said:?}");
            assert!(!shown.contains("canary") && shown.contains(&status.to_string()), "{shown}");
            assert_eq!(body.contains("invalid_value"), shown.contains("invalid_value"), "{shown}");
        }
    }

    #[test]
    fn a_refused_key_is_not_repeated() {
        let body =
            r#"{"error": {"code": "invalid_api_key", "message": "Incorrect API key provided: sk-canary"}}"#;
        assert!(!of(401, body).unwrap_err().to_string().contains("canary"));
    }
}
