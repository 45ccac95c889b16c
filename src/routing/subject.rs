//! Finding out who a request belongs to, without allocating.

use http::{HeaderMap, header::COOKIE};

use super::{Head, Subject, SubjectValue};

impl Subject {
    /// The raw value in `head`; `None` where it is absent or empty, because nobody is nobody in particular.
    pub fn of<'h>(&self, head: &Head<'h>) -> Option<SubjectValue<'h>> {
        let text = match self {
            Self::Cookie(name) => cookie(head.headers, name)?,
            Self::Header(name) => head.headers.get(name)?.as_bytes().trim_ascii(),
            Self::ClientIp => return Some(SubjectValue::Address(head.client.to_canonical())),
        };
        (!text.is_empty()).then_some(SubjectValue::Bytes(text))
    }
}

/// The first cookie called `name`: its raw value, quotes included (RFC 6265, 4.2.1 and 5.4).
pub(super) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|field| field.as_bytes().split(|byte| *byte == b';'))
        .find_map(|pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Method};

    use super::*;

    fn subject_of(subject: &Subject, headers: &[(&'static str, &'static str)]) -> Option<String> {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect();
        let head = Head {
            method: &Method::GET,
            host: "",
            path: "/",
            query: None,
            headers: &headers,
            client: "::ffff:192.0.2.7".parse().unwrap(),
        };
        subject.of(&head).map(|value| match value {
            SubjectValue::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            SubjectValue::Address(address) => address.to_string(),
        })
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let session = Subject::Cookie("session".into());
        for (fields, expected) in [
            (vec![("cookie", "session=a1")], Some("a1")),
            (vec![("cookie", "theme=dark; session=a1;lang=pt")], Some("a1")),
            (vec![("cookie", "xsession=b; session2=c")], None),
            (vec![("cookie", "theme=dark"), ("cookie", "session=a=b")], Some("a=b")),
            (vec![("cookie", "session=a; session=b")], Some("a")),
            (vec![("cookie", "session=\"quoted\"")], Some("\"quoted\"")),
            (vec![("cookie", "Session=a1")], None),
            (vec![("cookie", "session=")], None),
            (vec![("cookie", "session")], None),
            (vec![], None),
        ] {
            assert_eq!(subject_of(&session, &fields).as_deref(), expected, "{fields:?}");
        }
    }

    #[test]
    fn a_header_and_an_address_are_subjects_too() {
        let user = Subject::Header(http::HeaderName::from_static("x-user"));
        assert_eq!(subject_of(&user, &[("x-user", "  ana ")]).as_deref(), Some("ana"));
        assert_eq!(subject_of(&user, &[("x-user", " ")]), None);
        assert_eq!(subject_of(&user, &[]), None);
        assert_eq!(subject_of(&Subject::ClientIp, &[]).as_deref(), Some("192.0.2.7"));
    }
}
