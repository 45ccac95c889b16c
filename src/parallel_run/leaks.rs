//! What a candidate's answer must never hold: a key, or the credentials that the request came with.

use std::sync::LazyLock;

use http::{
    HeaderMap,
    header::{AUTHORIZATION, COOKIE},
};
use regex::bytes::RegexSet;

use super::{
    answer::{Answer, Delivery},
    candidate::CapturedRequest,
    comparison::Alarm,
};

/// Keys of well-known looks: of `OpenAI`, AWS and GitHub, and private keys in PEM.
const KEYS: [&str; 4] = [
    r"\bsk-[A-Za-z0-9_-]{20,}",
    r"\bAKIA[0-9A-Z]{16}\b",
    r"\bgh[pousr]_[A-Za-z0-9]{36}",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
];

/// Shorter values are found anywhere.
const SHORTEST: usize = 16;

/// Bytes of a body that are looked at: what is longer is a picture in base64, and the rest of it.
const LOOKED_AT: usize = 1 << 20;

/// Compiled once: the patterns never change.
static PATTERNS: LazyLock<Option<RegexSet>> = LazyLock::new(|| RegexSet::new(KEYS).ok());

/// An alarm where the candidate's answer holds a secret that the control's does not.
pub(crate) fn of(request: &CapturedRequest, control: &Answer, candidate: &Answer) -> Option<Alarm> {
    let leaks = has_key(candidate) && !has_key(control)
        || credentials(&request.headers).any(|secret| holds(candidate, secret) && !holds(control, secret));
    leaks.then_some(Alarm::Secret)
}

fn has_key(answer: &Answer) -> bool {
    // Images are noise, in which anything is found.
    let is_image = answer.images.iter().any(|image| image.delivery == Delivery::Body);
    let found = |bytes: &[u8]| PATTERNS.as_ref().is_some_and(|patterns| patterns.is_match(bytes));
    !is_image && found(beginning(answer)) || answer.headers.values().any(|value| found(value.as_bytes()))
}

fn beginning(answer: &Answer) -> &[u8] {
    answer.body.get(..LOOKED_AT).unwrap_or(&answer.body)
}

/// The values that let whoever has them be the user.
fn credentials(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let cookies = headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    let values = cookies.filter_map(|pair| pair.splitn(2, |byte| *byte == b'=').nth(1));
    let tokens = headers.get_all(AUTHORIZATION).iter();
    let tokens = tokens.filter_map(|line| line.as_bytes().splitn(2, |byte| *byte == b' ').nth(1));
    values.chain(tokens).filter(|secret| secret.len() >= SHORTEST)
}

fn holds(answer: &Answer, secret: &[u8]) -> bool {
    let inside = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
    inside(beginning(answer)) || answer.headers.values().any(|value| inside(value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use http::{Method, Uri, Version};

    use super::*;
    use crate::parallel_run::answer::Asked;

    fn answer(body: &'static str) -> Answer {
        let (headers, images, asked) = (HeaderMap::new(), Vec::new(), Asked::default());
        Answer { status: 200, headers, body: body.into(), images, asked }
    }

    fn found(control: &'static str, candidate: &'static str) -> Option<Alarm> {
        let headers = [
            (COOKIE, "theme=dark; session=0123456789abcdef0123".parse().unwrap()),
            (AUTHORIZATION, "Bearer eyJhbGciOiJIUzI1NiJ9".parse().unwrap()),
        ];
        let request = CapturedRequest {
            id: uuid::Uuid::nil(),
            route: "images".into(),
            method: Method::POST,
            target: Uri::from_static("/"),
            version: Version::HTTP_11,
            headers: headers.into_iter().collect(),
            body: bytes::Bytes::new(),
        };
        of(&request, &answer(control), &answer(candidate))
    }

    #[test]
    fn keys_and_credentials_raise_an_alarm_unless_the_control_tells_them_too() {
        let key = r#"{"error":"Incorrect API key: sk-abcdefghijklmnopqrstuvwxyz012345"}"#;
        for candidate in [
            key,
            "AKIAIOSFODNN7EXAMPLE",
            "-----BEGIN RSA PRIVATE KEY-----",
            r#"{"echo":"0123456789abcdef0123"}"#,
            r#"{"echo":"eyJhbGciOiJIUzI1NiJ9"}"#,
        ] {
            assert_eq!(found("{}", candidate), Some(Alarm::Secret), "{candidate}");
        }
        for (control, candidate) in [(key, key), ("{}", r#"{"theme":"dark"}"#), ("{}", "task-risk-sk-short")]
        {
            assert_eq!(found(control, candidate), None, "{candidate}");
        }
    }
}
