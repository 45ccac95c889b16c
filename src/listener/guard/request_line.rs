//! The request line: `method SP target SP HTTP/1.x` and nothing more lenient (RFC 9112, 3).

use http::{StatusCode, Uri};

use super::{Refusal, TARGET_TOO_LONG, is_token};

/// Whether an unfinished request line already has a target over the limit.
pub(super) fn over_target(line: &[u8], limit: usize) -> bool {
    let mut words = line.split(|byte| *byte == b' ');
    words.next().is_some()
        && words.next().is_some_and(|target| target.iter().take_while(|byte| **byte != b'\r').count() > limit)
}

/// A version that this site speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Http10,
    Http11,
}

/// `method SP target SP HTTP/1.x` and nothing more lenient (RFC 9112, 3).
pub(super) fn request_line(line: &[u8], limit: usize) -> Result<Version, Refusal> {
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Refusal::bad("the request line is not `method target version`"));
    };
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
        return Err(Refusal::bad("the method is not a token"));
    }
    judge_target(target, limit)?;
    match version {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Refusal {
                status: StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                detail: "this site speaks HTTP/1.0 and HTTP/1.1",
            })
        }
        _ => Err(Refusal::bad("the protocol version is malformed")),
    }
}

/// Bytes that hyper cannot carry are refused here, so that it never answers for us; `limit` is of their number.
pub(crate) fn judge_target(target: &[u8], limit: usize) -> Result<(), Refusal> {
    if target.len() > limit {
        return Err(TARGET_TOO_LONG);
    }
    if target.is_empty() {
        return Err(Refusal::bad("the request target is empty"));
    }
    // Once for all that a byte may be, and many bytes at a time: of most targets there is nothing to say.
    let is_odd = |byte: &u8| matches!(byte, 0..=b' ' | 0x7f.. | b'#' | b'<' | b'>' | b'"' | b'`');
    if target.starts_with(b"/") && !target.iter().fold(false, |odd, byte| odd | is_odd(byte)) {
        return Ok(());
    }
    if target.contains(&b'#') {
        return Err(Refusal::bad("the request target holds a fragment"));
    }
    if target.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
        return Err(Refusal::bad("the request target holds a control character"));
    }
    if target.iter().any(|byte| matches!(byte, b'<' | b'>' | b'"' | b'`')) {
        return Err(Refusal::bad("the request target holds a character that has to be percent-encoded"));
    }
    if std::str::from_utf8(target).is_err() {
        return Err(Refusal::bad("the request target is not UTF-8: percent-encode it"));
    }
    // A path holds nothing more that hyper would refuse; what may be a URL is rare, and has a grammar.
    if !target.starts_with(b"/") && Uri::try_from(target).is_err() {
        return Err(Refusal::bad("the request target is neither a path nor an http URL of this site"));
    }
    Ok(())
}
