//! The fields of a form in a body, in either of its encodings: `application/x-www-form-urlencoded`, or
//! `multipart/form-data` (RFC 7578), whose files are none of our fields.

use bytes::Bytes;
use http::{HeaderMap, Request, header::CONTENT_TYPE};

use super::{Refusal, fields};
use crate::text;

const URLENCODED: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data";
/// More parts than a form of anybody's has.
const PARTS: usize = 1000;

/// The fields of a request's body.
pub(super) fn read(request: &Request<Bytes>) -> Result<Vec<(String, String)>, Refusal> {
    let body = request.body();
    let unsupported = || {
        fields::unsupported(
            "the request must be application/x-www-form-urlencoded or multipart/form-data, without a content encoding",
        )
    };
    if !fields::is_plain(request.headers()) {
        return Err(unsupported());
    }
    match fields::essence(request.headers()).as_deref() {
        None | Some(URLENCODED) => Ok(text::fields(body).collect()),
        Some(MULTIPART) => {
            let parts = boundary(request.headers()).and_then(|boundary| parts(body, &boundary));
            parts.ok_or_else(|| {
                fields::malformed("invalid_form", "the request is no whole multipart/form-data")
            })
        }
        Some(_) => Err(unsupported()),
    }
}

/// One field of a request whose body is a form; the first of its name.
pub(crate) fn field(request: &Request<Bytes>, name: &str) -> Option<String> {
    let found = read(request).ok()?;
    found.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// What stands between the parts (RFC 2046, 5.1.1).
fn boundary(headers: &HeaderMap) -> Option<String> {
    let boundary = parameter(headers.get(CONTENT_TYPE)?.to_str().ok()?, "boundary")?;
    (1..=70).contains(&boundary.len()).then_some(boundary)
}

/// The fields between the boundaries; none where it is not whole.
fn parts(body: &[u8], boundary: &str) -> Option<Vec<(String, String)>> {
    let first = format!("--{boundary}");
    let delimiter = format!("\r\n{first}");
    let (_, mut rest) = match body.strip_prefix(first.as_bytes()) {
        Some(rest) => (&[][..], rest),
        // A preamble is for readers that know nothing of parts.
        None => cut(body, delimiter.as_bytes())?,
    };
    let mut fields = Vec::new();
    for _ in 0..PARTS {
        if rest.starts_with(b"--") {
            return Some(fields);
        }
        let (padding, part) = cut(rest, b"\r\n")?;
        if padding.iter().any(|byte| !b" \t".contains(byte)) {
            return None;
        }
        let (part, after) = cut(part, delimiter.as_bytes())?;
        // One without header fields begins with the empty line.
        let (head, value) = match part.strip_prefix(b"\r\n") {
            Some(value) => (&[][..], value),
            None => cut(part, b"\r\n\r\n")?,
        };
        if let Some(name) = name(&text::read(head)) {
            fields.push((name, text::read(value).into_owned()));
        }
        rest = after;
    }
    None
}

/// The name of a part that is a field; none of a file.
fn name(head: &str) -> Option<String> {
    let disposition = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    if parameter(disposition, "filename").is_some() || parameter(disposition, "filename*").is_some() {
        return None;
    }
    // What browsers do to a name with these in it (the HTML standard's multipart/form-data encoding).
    let name = parameter(disposition, "name")?;
    Some(name.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n"))
}

/// A parameter of a field's value, whose quotes may hold semicolons and escapes (RFC 9110, 5.6.6).
fn parameter(value: &str, wanted: &str) -> Option<String> {
    let mut rest = value.split_once(';')?.1;
    loop {
        let (name, after) = rest.split_once('=')?;
        let (text, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted_text(quoted)?,
            None => match after.split_once(';') {
                Some((token, after)) => (token.trim().to_owned(), Some(after)),
                None => (after.trim().to_owned(), None),
            },
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(text);
        }
        rest = after?;
    }
}

/// A quoted text from behind its first quote, and what follows the semicolon behind its last.
fn quoted_text(quoted: &str) -> Option<(String, Option<&str>)> {
    let (mut text, mut escaped) = (String::new(), false);
    for (at, character) in quoted.char_indices() {
        match character {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => {
                let after = quoted.get(at + 1..)?;
                return Some((text, after.split_once(';').map(|(_, after)| after)));
            }
            _ => {
                escaped = false;
                text.push(character);
            }
        }
    }
    None
}

fn cut<'a>(text: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let place = text.windows(at.len()).position(|found| found == at)?;
    Some((text.get(..place)?, text.get(place + at.len()..)?))
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    fn of(content_type: &str, body: &[u8]) -> Result<Vec<(String, String)>, Refusal> {
        let request = Request::post("/").header(CONTENT_TYPE, content_type);
        read(&request.body(Bytes::copy_from_slice(body)).unwrap())
    }

    fn owned(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn both_encodings_say_the_same() {
        let expected = owned(&[("texto", "uma figueira à noite"), ("n", "2")]);
        let plain = b"texto=uma+figueira+%C3%A0+noite&n=2";
        assert_eq!(of(URLENCODED, plain).unwrap(), expected);
        let parts = "preamble\r\n--x y\r\nContent-Disposition: form-data; name=\"texto\"\r\n\r\numa figueira à noite\
                     \r\n--x y \r\ncontent-disposition: form-data; name=n\r\nContent-Type: text/plain\r\n\r\n2\r\n--x y--\r\n";
        assert_eq!(of("multipart/form-data; boundary=\"x y\"", parts.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn pages_that_are_older_than_utf_8_say_the_same() {
        let expected = owned(&[("texto", "São João")]);
        assert_eq!(of(URLENCODED, b"texto=S%E3o+Jo%E3o").unwrap(), expected);
        let part = b"--b\r\nContent-Disposition: form-data; name=texto\r\n\r\nS\xe3o Jo\xe3o\r\n--b--";
        assert_eq!(of("multipart/form-data; boundary=b", part).unwrap(), expected);
    }

    #[test]
    fn a_file_is_no_field_and_names_may_be_odd() {
        let parts = "--b\r\nContent-Disposition: form-data; name=\"a;%22b\\\"\"\r\n\r\n\r\n--not it\r\n\
                     --b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.png\"\r\n\r\n1\r\n--b\r\n\r\nnameless\r\n--b--";
        let found = of("multipart/form-data; charset=utf-8; boundary=b", parts.as_bytes()).unwrap();
        assert_eq!(found, owned(&[("a;\"b\"", "\r\n--not it")]));
        assert!(of("multipart/form-data; boundary=b", b"--b--").unwrap().is_empty());
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let whole = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b--";
        for cut in 0..whole.len() {
            let refusal = of("multipart/form-data; boundary=b", &whole.as_bytes()[..cut]).unwrap_err();
            assert_eq!((refusal.status.as_u16(), &*refusal.code), (400, "invalid_form"), "{cut}");
        }
        assert_eq!(of("multipart/form-data", whole.as_bytes()).unwrap_err().code, "invalid_form");
        assert_eq!(of("text/plain", b"a=1").unwrap_err().status.as_u16(), 415);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_any_value_comes_back(value in any::<String>(), odd in any::<Vec<u8>>()) {
            let _ = of("multipart/form-data; boundary=b", &odd);
            let parts = format!("--b-7\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n{value}\r\n--b-7--");
            if !value.contains("\r\n--b-7") {
                prop_assert_eq!(of("multipart/form-data; boundary=b-7", parts.as_bytes()).unwrap(), owned(&[("a", &value)]));
            }
        }
    }
}
