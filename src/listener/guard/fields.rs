//! Field lines: their names and values, `Host`, and what says how long the body is.

use super::{Framing, HEAD_TOO_LARGE, Lines, Refusal, Set, TOO_MANY_FIELDS, is_token, request_line::Version};

/// From so many bytes on hyper refuses a name by itself, and nobody would hear of it.
const UNREADABLE: usize = 65_536;

/// Judges every field line, counts them, and learns the framing from those that say it.
pub(super) fn fields(lines: Lines<'_>, version: Version, limit: usize) -> Result<(usize, Framing), Refusal> {
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
                let before = length.replace(judge_length(value)?);
                once(before, TWO_LENGTHS)?;
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                let before = chunked.replace(transfer_encoding(value, version)?);
                once(before, "the request has two Transfer-Encoding fields")?;
            }
            UNREADABLE.. => return Err(HEAD_TOO_LARGE),
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

/// Even if they are equal: the next hop may count one of them alone.
pub(crate) const TWO_LENGTHS: &str = "the request has two Content-Length fields";

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
            let is_odd = |byte: &u8| matches!(byte, 0..=0x08 | 0x0a..=0x1f | 0x7f);
            // All of it is looked at, so that it can be many bytes at a time.
            if value.iter().fold(false, |odd, byte| odd | is_odd(byte)) {
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
                let port = digits.iter().try_fold(0_u16, |port, byte| {
                    let digit = byte.is_ascii_digit().then(|| u16::from(byte - b'0'))?;
                    port.checked_mul(10)?.checked_add(digit)
                });
                port.is_some()
            }
            _ => false,
        }
}

/// A byte of a `reg-name` (RFC 3986, 3.2.2), without the comma: two hosts are none.
fn in_reg_name(byte: u8) -> bool {
    const REG_NAME: Set = Set::of(b"-._~%!$&'()*+;=");
    REG_NAME.has(byte)
}

/// `1*DIGIT` (RFC 9110, 8.6), within what can be counted; a parser with a buffer of its own may not survive a thousand zeros.
pub(crate) fn judge_length(value: &[u8]) -> Result<u64, Refusal> {
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
