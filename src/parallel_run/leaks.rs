//! What a candidate's answer must never hold: a key, or the credentials that the request came with.

use memchr::memmem;

use super::{
    answer::{Answer, Delivery},
    candidate::CapturedRequest,
    comparison::Alarm,
    secrets,
};

/// A longer word of the letters of Base64 is a picture.
const LONGEST: usize = 4096;

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
    !is_image && is_in_words(&answer.body)
        || answer.headers.values().any(|value| secrets::has_key(value.as_bytes()))
}

/// Whether a body holds a key anywhere but in its pictures.
fn is_in_words(body: &[u8]) -> bool {
    let is_of_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(byte);
    let has_key = |from: usize, to: usize| body.get(from..to).is_some_and(secrets::has_key);
    let (mut unseen, mut place) = (0, 0);
    for word in body.split(|byte| !is_of_base64(byte)) {
        let end = place + word.len();
        if word.len() > LONGEST {
            if has_key(unseen, place) {
                return true;
            }
            unseen = end;
        }
        place = end + 1;
    }
    has_key(unseen, body.len())
}

fn holds(answer: &Answer, secret: &[u8]) -> bool {
    let inside = |bytes: &[u8]| memmem::find(bytes, secret).is_some();
    inside(&answer.body) || answer.headers.values().any(|value| inside(value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use http::{
        HeaderMap,
        header::{AUTHORIZATION, COOKIE},
    };

    use super::*;
    use crate::parallel_run::{answer::Asked, testing::request_with};

    fn answer(body: &str) -> Answer {
        let (headers, images, asked) = (HeaderMap::new(), Vec::new(), Asked::default());
        Answer { status: 200, headers, body: body.to_owned().into(), images, asked }
    }

    fn found(control: &str, candidate: &str) -> Option<Alarm> {
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

    #[test]
    fn they_are_found_however_far_behind_a_picture_and_in_none() {
        let picture = "iVBORw0KGgo".repeat(200_000);
        for secret in ["sk-abcdefghijklmnopqrstuvwxyz012345", "0123456789abcdef0123"] {
            let behind = format!("{{\"b64\":\"{picture}\",\"echo\":\"{secret}\",\"more\":\"{picture}\"}}");
            assert_eq!(found("{}", &behind), Some(Alarm::Secret), "{secret}");
        }
        let noise = format!("{{\"b64\":\"{picture}-sk-abcdefghijklmnopqrstuvwxyz\"}}");
        assert_eq!(found("{}", &noise), None, "what a picture's letters happen to say");
    }
}
