//! What a candidate's answer must never hold: a key, or the credentials that the request came with.

use super::{
    answer::{Answer, Delivery},
    candidate::CapturedRequest,
    comparison::Alarm,
    secrets,
};

/// Bytes of a body that are looked at: what is longer is a picture in base64, and the rest of it.
const LOOKED_AT: usize = 1 << 20;

/// An alarm where the candidate's answer holds a secret that the control's does not.
pub(crate) fn of(request: &CapturedRequest, control: &Answer, candidate: &Answer) -> Option<Alarm> {
    let leaks = has_key(candidate) && !has_key(control)
        || secrets::credentials(&request.headers)
            .any(|secret| holds(candidate, secret) && !holds(control, secret));
    leaks.then_some(Alarm::Secret)
}

fn has_key(answer: &Answer) -> bool {
    // Images are noise, in which anything is found.
    let is_image = answer.images.iter().any(|image| image.delivery == Delivery::Body);
    !is_image && secrets::has_key(beginning(answer))
        || answer.headers.values().any(|value| secrets::has_key(value.as_bytes()))
}

fn beginning(answer: &Answer) -> &[u8] {
    answer.body.get(..LOOKED_AT).unwrap_or(&answer.body)
}

fn holds(answer: &Answer, secret: &[u8]) -> bool {
    let inside = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
    inside(beginning(answer)) || answer.headers.values().any(|value| inside(value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use http::{
        HeaderMap,
        header::{AUTHORIZATION, COOKIE},
    };

    use super::*;
    use crate::parallel_run::{answer::Asked, testing::request_with};

    fn answer(body: &'static str) -> Answer {
        let (headers, images, asked) = (HeaderMap::new(), Vec::new(), Asked::default());
        Answer { status: 200, headers, body: body.into(), images, asked }
    }

    fn found(control: &'static str, candidate: &'static str) -> Option<Alarm> {
        let headers = [
            (COOKIE, "theme=dark; session=0123456789abcdef0123".parse().unwrap()),
            (AUTHORIZATION, "Bearer eyJhbGciOiJIUzI1NiJ9".parse().unwrap()),
        ];
        let request = request_with(headers.into_iter().collect());
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
