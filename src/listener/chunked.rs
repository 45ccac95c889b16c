//! Follows the framing of a chunked body (RFC 9112, 7.1) to know where it ends, and refuses what is not exact.

use super::guard::{Refusal, is_token};

/// Bytes of one size line, extensions included.
const MAX_SIZE_LINE: usize = 16 * 1024;
/// Bytes of all trailer fields.
const MAX_TRAILERS: usize = 64 * 1024;

/// Where in a chunked body the next byte stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunked {
    at: At,
    /// Of the line that is being read.
    line: usize,
    trailers: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Size { size: u64, digits: u8 },
    Extension(u64),
    SizeLf(u64),
    Data(u64),
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
}

impl Chunked {
    pub(crate) const fn new() -> Self {
        Self { at: At::Size { size: 0, digits: 0 }, line: 0, trailers: 0 }
    }

    /// Takes `bytes`: `Ok(Some(n))` when the body ends after the first `n` of them.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        let mut position = 0;
        while let Some(byte) = bytes.get(position) {
            if let At::Data(left) = self.at {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - position);
                position += here;
                let left = left - here as u64;
                self.at = if left == 0 { At::DataCr } else { At::Data(left) };
                continue;
            }
            position += 1;
            if self.step(*byte)? {
                return Ok(Some(position));
            }
        }
        Ok(None)
    }

    /// Takes one byte of framing; true at the end of the body.
    fn step(&mut self, byte: u8) -> Result<bool, Refusal> {
        self.line += 1;
        if self.line > MAX_SIZE_LINE && matches!(self.at, At::Extension(_)) {
            return Err(Refusal::bad("a chunk's extension is too long"));
        }
        self.at = match (self.at, byte) {
            (At::Size { size, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = (byte as char).to_digit(16).map_or(0, u64::from);
                let significant = digits + u8::from(size > 0 || digit > 0 || digits == 0);
                if self.line > 32 || significant > 16 {
                    return Err(Refusal::bad("a chunk's size is too large"));
                }
                At::Size { size: size << 4 | digit, digits: significant.max(1) }
            }
            (At::Size { size, digits: 1.. } | At::Extension(size), b'\r') => At::SizeLf(size),
            (At::Size { size, digits: 1.. }, b';') | (At::Extension(size), b'\t' | b' '..=b'~' | 0x80..) => {
                At::Extension(size)
            }
            (At::SizeLf(0), b'\n') => At::TrailerStart,
            (At::SizeLf(size), b'\n') => At::Data(size),
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => {
                self.line = 0;
                At::Size { size: 0, digits: 0 }
            }
            (at, byte) => return self.trailer(at, byte),
        };
        Ok(false)
    }

    fn trailer(&mut self, at: At, byte: u8) -> Result<bool, Refusal> {
        self.trailers += 1;
        if self.trailers > MAX_TRAILERS {
            return Err(Refusal::bad("the request's trailers are too large"));
        }
        self.at = match (at, byte) {
            (At::TrailerStart, b'\r') => At::EndLf,
            (At::EndLf, b'\n') => return Ok(true),
            (At::TrailerStart | At::TrailerName, byte) if is_token(byte) => At::TrailerName,
            (At::TrailerName, b':') | (At::TrailerValue, b'\t' | b' '..=b'~' | 0x80..) => At::TrailerValue,
            (At::TrailerValue, b'\r') => At::TrailerLf,
            (At::TrailerLf, b'\n') => At::TrailerStart,
            _ => return Err(Refusal::bad("the request's chunked framing is malformed")),
        };
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn end(body: &str) -> Result<Option<usize>, Refusal> {
        Chunked::new().advance(body.as_bytes())
    }

    #[test]
    fn the_end_is_after_the_last_chunk_and_its_trailers() {
        for body in [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "000A;x=\"y\"\r\n0123456789\r\n00\r\nX-T: 1\r\nY:\r\n\r\n",
        ] {
            assert_eq!(end(&format!("{body}GET /")), Ok(Some(body.len())), "{body:?}");
        }
    }

    #[test]
    fn framing_is_exact() {
        for body in [
            "\r\n",
            ";x\r\n",
            "0x5\r\nhello",
            "+5\r\n",
            "5 \r\nhello",
            "5\nhello",
            "5\r\nhelloX\r\n",
            "5\r\nhello\n",
            "5;a\nb\r\n",
            "0\r\nX : y\r\n\r\n",
            "0\r\n folded\r\n\r\n",
            "0\r\nX: y\n\r\n",
            "0\n\n",
            "11111111111111111\r\n",
        ] {
            assert!(end(body).is_err(), "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn pieces_end_where_the_whole_does(
            chunks in prop::collection::vec("[a-z]{1,30}", 0..5), cut in any::<prop::sample::Index>(),
        ) {
            let chunks: Vec<String> = chunks.iter().map(|c| format!("{:x}\r\n{c}\r\n", c.len())).collect();
            let body = chunks.concat() + "0\r\n\r\n";
            let cut = cut.index(body.len());
            let mut framing = Chunked::new();
            prop_assert_eq!(framing.advance(&body.as_bytes()[..cut]), Ok(None));
            prop_assert_eq!(framing.advance(&body.as_bytes()[cut..]), Ok(Some(body.len() - cut)));
        }
    }
}
