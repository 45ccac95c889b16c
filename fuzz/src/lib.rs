//! What several targets need: heads as hyper would read them, and as it would write them.

use figueira::listener::guard::HeadLimits;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, request};

/// Small, so that they are met.
pub const LIMITS: HeadLimits = HeadLimits { head: 2048, target: 256, fields: 32 };

/// Reads a request head as hyper does, and how long it is; `None` for what is none.
pub fn parsed(bytes: &[u8]) -> Option<(request::Parts, usize)> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut fields);
    let length = match head.parse(bytes).ok()? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return None,
    };
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(head.method?.as_bytes()).ok()?;
    *request.uri_mut() = Uri::try_from(head.path?).ok()?;
    *request.version_mut() = if head.version? == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    *request.headers_mut() = fields_of(head.headers)?;
    Some((request.into_parts().0, length))
}

/// Fields as hyper keeps them.
pub fn fields_of(given: &[httparse::Header<'_>]) -> Option<HeaderMap> {
    let mut fields = HeaderMap::new();
    for field in given {
        fields.append(
            HeaderName::from_bytes(field.name.as_bytes()).ok()?,
            HeaderValue::from_bytes(field.value).ok()?,
        );
    }
    Some(fields)
}

/// A request head as it would be written.
pub fn written(method: &Method, target: &Uri, fields: &HeaderMap) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
    for (name, value) in fields {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// That `kept` are of `given`, each name's values in their order, the names in theirs.
pub fn assert_in_order(given: &HeaderMap, kept: &HeaderMap) {
    let mut left = given.iter();
    for field in kept {
        assert!(left.any(|one| one == field), "{field:?} is new, or out of order");
    }
}
