//! The head guard: judges the raw bytes of a request head before hyper sees them.
//!
//! hyper repairs some of what RFC 9112 tells an intermediary to refuse (a bare LF, a fragment, `Content-Length` beside
//! `Transfer-Encoding`), and a repaired message means one thing to us and another to the next hop. So heads are
//! inspected here, strictly, and hyper only ever parses what was found to be sound.

use std::ops::Range;

use http::{StatusCode, Uri};
use thiserror::Error;

/// Why a request is refused before it is one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{detail}")]
pub struct Refusal {
    /// 400, 408, 414, 431, 501 or 505.
    pub status: StatusCode,
    /// What was wrong, for the client and the log; never the client's bytes.
    pub detail: &'static str,
}

impl Refusal {
    pub(crate) const fn bad(detail: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, detail }
    }

    pub(crate) const fn timeout(detail: &'static str) -> Self {
        Self { status: StatusCode::REQUEST_TIMEOUT, detail }
    }
}

/// Sizes and counts that a head is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head.
    pub head: usize,
    /// Bytes of the target.
    pub target: usize,
    /// Number of fields.
    pub fields: usize,
}

/// How long the body after a head is (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// This many bytes, perhaps none.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// Where a head ends and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the head, its empty line included.
    pub len: usize,
    /// Fields in it.
    pub fields: usize,
    /// What follows.
    pub framing: Framing,
}

/// Judges the head at the start of `bytes`: `Ok(None)` while it is incomplete.
///
/// `seen` bytes of it were looked at before, so that a head that trickles in costs no more than one that does not.
pub fn inspect(bytes: &[u8], seen: usize, limits: HeadLimits) -> Result<Option<Head>, Refusal> {
    let blank = leading_lines(bytes)?;
    let head = bytes.get(blank..).unwrap_or_default();
    let Some(end) = end_of_head(head, seen.saturating_sub(blank))? else {
        return if over_target(head, limits.target) {
            Err(TARGET_TOO_LONG)
        } else if head.len() > limits.head {
            Err(HEAD_TOO_LARGE)
        } else {
            Ok(None)
        };
    };
    if end > limits.head {
        return Err(HEAD_TOO_LARGE);
    }
    let mut lines = Lines { head: head.get(..end).unwrap_or_default() };
    let version = request_line(lines.next().unwrap_or_default(), limits.target)?;
    let (fields, framing) = fields(lines, version, limits.fields)?;
    Ok(Some(Head { len: blank + end, fields, framing }))
}

/// A head above `limits.head`.
pub(crate) const HEAD_TOO_LARGE: Refusal = Refusal {
    status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    detail: "the request head is larger than this site accepts",
};
/// A head above `limits.fields`.
pub(crate) const TOO_MANY_FIELDS: Refusal = Refusal {
    status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    detail: "the request has more header fields than this site accepts",
};
const TARGET_TOO_LONG: Refusal = Refusal {
    status: StatusCode::URI_TOO_LONG,
    detail: "the request target is longer than this site accepts",
};

/// Whether a head that was refused asks for no content, as far as can be told.
pub(crate) fn asks_for_head(bytes: &[u8]) -> bool {
    leading_lines(bytes).is_ok_and(|blank| bytes.get(blank..).is_some_and(|head| head.starts_with(b"HEAD ")))
}

/// Empty lines before a request line are skipped (RFC 9112, 2.2); more than a few are noise.
fn leading_lines(bytes: &[u8]) -> Result<usize, Refusal> {
    const MOST: usize = 8;
    let len = bytes.chunks_exact(2).take_while(|line| *line == b"\r\n").count() * 2;
    if len > MOST { Err(Refusal::bad("too many empty lines before the request line")) } else { Ok(len) }
}

/// The end of the head, while every line so far ends in CRLF and holds no NUL.
fn end_of_head(bytes: &[u8], seen: usize) -> Result<Option<usize>, Refusal> {
    // A line may have been cut inside its `\r\n\r\n`.
    let from = seen.saturating_sub(3);
    for at in from..bytes.len() {
        match bytes.get(at) {
            Some(b'\n') if at == 0 || bytes.get(at - 1) != Some(&b'\r') => {
                return Err(Refusal::bad("a line of the request head ends in a bare LF"));
            }
            Some(b'\r') if bytes.get(at + 1).is_some_and(|next| *next != b'\n') => {
                return Err(Refusal::bad("the request head holds a bare CR"));
            }
            Some(0) => return Err(Refusal::bad("the request head holds a NUL")),
            Some(b'\n') if at >= 3 && bytes.get(at - 3..at) == Some(b"\r\n\r") => return Ok(Some(at + 1)),
            _ => {}
        }
    }
    Ok(None)
}

/// Whether an unfinished request line already has a target over the limit.
fn over_target(line: &[u8], limit: usize) -> bool {
    let mut words = line.split(|byte| *byte == b' ');
    words.next().is_some()
        && words.next().is_some_and(|target| target.iter().take_while(|byte| **byte != b'\r').count() > limit)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

/// `method SP target SP HTTP/1.x` and nothing more lenient (RFC 9112, 3).
fn request_line(line: &[u8], limit: usize) -> Result<Version, Refusal> {
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

/// Judges every field line, counts them, and learns the framing from those that say it.
fn fields(lines: Lines<'_>, version: Version, limit: usize) -> Result<(usize, Framing), Refusal> {
    let (mut hosts, mut length, mut chunked, mut count) = (0, None, None, 0);
    for line in lines.take_while(|line| !line.is_empty()) {
        count += 1;
        if count > limit {
            return Err(TOO_MANY_FIELDS);
        }
        let (name, value) = field(line)?;
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                hosts += 1;
                judge_host(value)?;
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let before = length.replace(content_length(value)?);
                once(before, "the request has two Content-Length fields")?;
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                let before = chunked.replace(transfer_encoding(value, version)?);
                once(before, "the request has two Transfer-Encoding fields")?;
            }
            _ => {}
        }
    }
    match hosts {
        1 => {}
        0 if version == Version::Http10 => {}
        0 => return Err(Refusal::bad("the request has no Host field")),
        _ => return Err(Refusal::bad("the request has more than one Host field")),
    }
    match (chunked, length) {
        (Some(()), Some(_)) => Err(Refusal::bad("the request has both Content-Length and Transfer-Encoding")),
        (Some(()), None) => Ok((count, Framing::Chunked)),
        (None, length) => Ok((count, Framing::Length(length.unwrap_or(0)))),
    }
}

fn once<T: Copy>(before: Option<T>, twice: &'static str) -> Result<(), Refusal> {
    if before.is_some() { Err(Refusal::bad(twice)) } else { Ok(()) }
}

/// `name ":" OWS value OWS` (RFC 9112, 5), without folding (5.2).
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    let colon = line.iter().position(|byte| !is_token(*byte));
    match colon.and_then(|at| Some((line.split_at_checked(at)?, line.get(at)?))) {
        Some((([], _), b' ' | b'\t')) => Err(Refusal::bad("the request head has a folded line")),
        Some((([], _), _)) => Err(Refusal::bad("a header field has no name")),
        Some(((name, rest), b':')) => {
            let value = trimmed(rest.get(1..).unwrap_or_default());
            if value.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f) {
                return Err(Refusal::bad("a header field's value holds a control character"));
            }
            Ok((name, value))
        }
        Some((_, b' ' | b'\t')) => Err(Refusal::bad("a header field has a space before its colon")),
        Some(_) => Err(Refusal::bad("a header field's name is not a token")),
        None => Err(Refusal::bad("a header field has no colon")),
    }
}

/// A value without the spaces and tabs around it, and nothing else that ASCII calls white (RFC 9110, 5.6.3).
fn trimmed(value: &[u8]) -> &[u8] {
    let inner = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let (start, end) = (value.iter().position(inner), value.iter().rposition(inner));
    start.zip(end).and_then(|(start, end)| value.get(start..=end)).unwrap_or_default()
}

pub(crate) fn judge_host(value: &[u8]) -> Result<(), Refusal> {
    if is_authority(value) { Ok(()) } else { Err(Refusal::bad("the Host field is not a host and port")) }
}

/// Whether this is `uri-host [ ":" port ]` (RFC 9110, 7.2), or empty, with a port that exists.
pub fn is_authority(value: &[u8]) -> bool {
    let (name_ok, port) = if let [b'[', rest @ ..] = value {
        let Some((address, after)) =
            rest.iter().position(|byte| *byte == b']').and_then(|end| rest.split_at_checked(end))
        else {
            return false;
        };
        let in_address = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.' | b'%');
        (!address.is_empty() && address.iter().all(in_address), after.get(1..).unwrap_or_default())
    } else {
        let (name, port) = value.split_at(value.iter().position(|byte| *byte == b':').unwrap_or(value.len()));
        (name.iter().copied().all(in_reg_name), port)
    };
    name_ok
        && match port {
            [] | [b':'] => true,
            [b':', digits @ ..] => {
                digits.iter().all(u8::is_ascii_digit)
                    && std::str::from_utf8(digits).is_ok_and(|digits| digits.parse::<u16>().is_ok())
            }
            _ => false,
        }
}

/// A byte of a `reg-name` (RFC 3986, 3.2.2), without the comma: two hosts are none.
const fn in_reg_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'%'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b';'
                | b'='
        )
}

/// `1*DIGIT` (RFC 9110, 8.6), within what can be counted; a parser with a buffer of its own may not survive a thousand zeros.
fn content_length(value: &[u8]) -> Result<u64, Refusal> {
    const BAD: Refusal = Refusal::bad("the Content-Length field is not a number");
    const DIGITS: usize = 20;
    if value.is_empty() || value.len() > DIGITS || !value.iter().all(u8::is_ascii_digit) {
        return Err(BAD);
    }
    std::str::from_utf8(value)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .filter(|n| *n < u64::MAX - 2)
        .ok_or(BAD)
}

/// One `chunked`, in HTTP/1.1 only (RFC 9112, 6.1).
fn transfer_encoding(value: &[u8], version: Version) -> Result<(), Refusal> {
    if version == Version::Http10 {
        return Err(Refusal::bad("an HTTP/1.0 request has a Transfer-Encoding field"));
    }
    if value.eq_ignore_ascii_case(b"chunked") {
        Ok(())
    } else {
        Err(Refusal::bad("the request's Transfer-Encoding is not `chunked`"))
    }
}

/// `tchar` (RFC 9110, 5.6.2).
pub(crate) const fn is_token(byte: u8) -> bool {
    matches!(byte,
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z'
        | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// The lines of a head that is known to end each one in CRLF.
struct Lines<'h> {
    head: &'h [u8],
}

impl<'h> Iterator for Lines<'h> {
    type Item = &'h [u8];

    fn next(&mut self) -> Option<&'h [u8]> {
        let range: Range<usize> = 0..self.head.iter().position(|byte| *byte == b'\r')?;
        let line = self.head.get(range.clone())?;
        self.head = self.head.get(range.end + 2..).unwrap_or_default();
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: HeadLimits = HeadLimits { head: 4096, target: 1024, fields: 20 };

    fn judge(head: &str) -> Result<Option<Head>, Refusal> {
        inspect(head.as_bytes(), 0, LIMITS)
    }

    fn status(head: &str) -> u16 {
        match judge(head) {
            Err(refusal) => refusal.status.as_u16(),
            Ok(Some(_)) => 200,
            Ok(None) => 0,
        }
    }

    #[test]
    fn a_sound_head_tells_where_it_ends_and_what_follows() {
        let head = "\r\nPOST /a?b HTTP/1.1\r\nHost: site.test:80\r\nContent-Length: 12\r\n\r\nbody";
        assert_eq!(
            judge(head),
            Ok(Some(Head { len: head.len() - 4, fields: 2, framing: Framing::Length(12) }))
        );
        let head = "POST / HTTP/1.1\r\nHOST: [::1]\r\ntransfer-encoding:\tChunked \r\n\r\n";
        assert_eq!(judge(head), Ok(Some(Head { len: head.len(), fields: 2, framing: Framing::Chunked })));
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_refused() {
        for fields in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length:\r\n",
            "Content-Length: 99999999999999999999999\r\n",
            "Host: b.test\r\n",
            "X: a\r\n b\r\n",
            "X : a\r\n",
            ": a\r\n",
            "X(: a\r\n",
            "X: a\0\r\n",
            "X: a\rb\r\n",
            "X: a\nY: b\r\n",
            "X: \x01\r\n",
            "X: y\x0c\r\n",
            "Transfer-Encoding: \x0cchunked\r\n",
            "no colon\r\n",
        ] {
            assert_eq!(status(&format!("GET / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n")), 400, "{fields:?}");
        }
        assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), 400, "no Host");
        assert_eq!(status("GET / HTTP/1.0\r\n\r\n"), 200, "HTTP/1.0 needs none");
        assert_eq!(status("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
    }

    #[test]
    fn request_lines_are_read_strictly() {
        for (line, wanted) in [
            ("GET /a#b HTTP/1.1", 400),
            ("GET  / HTTP/1.1", 400),
            ("GET / HTTP/1.1 ", 400),
            (" GET / HTTP/1.1", 400),
            ("G(T / HTTP/1.1", 400),
            ("GET /\x7f HTTP/1.1", 400),
            ("GET /<b> HTTP/1.1", 400),
            ("GET / http/1.1", 400),
            ("GET / HTTP/1.2", 505),
            ("PRI * HTTP/2.0", 505),
            ("GET /a//../%2F;x?&&y HTTP/1.1", 200),
        ] {
            assert_eq!(status(&format!("{line}\r\nHost: a.test\r\n\r\n")), wanted, "{line:?}");
        }
    }

    #[test]
    fn hosts_have_a_grammar() {
        for (host, wanted) in [
            ("a.test", 200),
            ("a.test:", 200),
            ("", 200),
            ("[::1]:80", 200),
            ("a.test:8x", 400),
            ("a, b", 400),
            ("a/b", 400),
            ("u@a", 400),
            ("[::1", 400),
            ("[]", 400),
            ("s\u{ef}te", 400),
        ] {
            assert_eq!(status(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")), wanted, "{host:?}");
        }
    }

    #[test]
    fn limits_are_told_apart() {
        let long = "u".repeat(1025);
        assert_eq!(status(&format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n")), 414);
        assert_eq!(status(&format!("GET /{long}")), 414, "before the line has ended");
        assert_eq!(status(&format!("GET /{long}\r\n")), 414, "nor has any other word of it");
        assert_eq!(status(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "v".repeat(4096))), 431);
        assert_eq!(status(&format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: v\r\n".repeat(20))), 431);
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _judged = inspect(&bytes, 0, LIMITS);
        }

        #[test]
        fn a_head_in_pieces_is_judged_like_a_whole_one(
            value in "[ -~\t]{0,40}", cut in 1_usize..60, target in "/[!-~]{0,20}",
        ) {
            let head = format!("GET {target} HTTP/1.1\r\nHost: a.test\r\nX-Y:{value}\r\n\r\n");
            let whole = judge(&head);
            let cut = cut.min(head.len() - 1);
            let pieces = match inspect(&head.as_bytes()[..cut], 0, LIMITS) {
                Ok(None) => inspect(head.as_bytes(), cut, LIMITS),
                early => early,
            };
            prop_assert_eq!(whole, pieces);
        }
    }
}
