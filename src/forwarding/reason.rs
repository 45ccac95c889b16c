//! The reason phrase of an upstream's answer, where hyper's parser loses it: it may hold bytes beyond ASCII (RFC 9112, 4),
//! and sites that speak another language than English send them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hyper::ext::ReasonPhrase;

/// Hears the bytes of a connection, and remembers the reason phrase of the answer that began last.
#[derive(Clone, Debug, Default)]
pub(super) struct Reason(Arc<Mutex<Heard>>);

#[derive(Debug, Default)]
struct Heard {
    at: At,
    /// What came so far of a line that ended in no piece yet.
    line: Vec<u8>,
    phrase: Option<ReasonPhrase>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// At the status line, of an interim response or of the final one.
    StatusLine,
    /// Among the fields of an interim response.
    Fields,
    /// Behind the final status line.
    #[default]
    Over,
}

/// A longer line has no phrase that anybody reads.
const LONGEST: usize = 1024;

impl Reason {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer is due.
    pub(super) fn listen(&self) {
        let mut heard = self.heard();
        heard.at = At::StatusLine;
        heard.line.clear();
        heard.phrase = None;
    }

    /// These bytes came.
    pub(super) fn hear(&self, bytes: &[u8]) {
        self.heard().hear(bytes);
    }

    /// The phrase of the final answer, where it is beyond ASCII.
    pub(super) fn take(&self) -> Option<ReasonPhrase> {
        self.heard().phrase.take()
    }
}

impl Heard {
    fn hear(&mut self, mut bytes: &[u8]) {
        while self.at != At::Over {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let (of_line, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
            if self.line.len() + of_line.len() > LONGEST {
                self.at = At::Over;
                return;
            }
            self.line.extend_from_slice(of_line);
            if end.is_none() {
                return;
            }
            bytes = rest;
            self.line_ended();
            self.line.clear();
        }
    }

    fn line_ended(&mut self) {
        let line = self.line.trim_ascii_end();
        match self.at {
            At::StatusLine => match line.split_at_checked(b"HTTP/1.1 200".len()) {
                Some(([b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', b'1', _, code], _))
                    if *code != b'1' =>
                {
                    self.at = At::Fields;
                }
                Some((_, phrase)) if !phrase.is_ascii() => {
                    let phrase = Bytes::copy_from_slice(phrase.trim_ascii_start());
                    (self.at, self.phrase) = (At::Over, ReasonPhrase::try_from(phrase).ok());
                }
                _ => self.at = At::Over,
            },
            At::Fields if line.is_empty() => self.at = At::StatusLine,
            At::Fields | At::Over => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phrase(pieces: &[&[u8]]) -> Option<Vec<u8>> {
        let reason = Reason::default();
        reason.listen();
        for piece in pieces {
            reason.hear(piece);
        }
        reason.take().map(|phrase| phrase.as_bytes().to_vec())
    }

    #[test]
    fn a_phrase_beyond_ascii_is_remembered() {
        let line = "HTTP/1.1 404 N\u{e3}o encontrado\r\nA: b\r\n\r\n".as_bytes();
        let wanted = Some("N\u{e3}o encontrado".as_bytes().to_vec());
        assert_eq!(phrase(&[line]), wanted);
        for cut in 1..line.len() {
            assert_eq!(phrase(&[&line[..cut], &line[cut..]]), wanted, "cut at {cut}");
        }
        assert_eq!(phrase(&[b"HTTP/1.1 103 x\r\nA: b\r\n\r\nHTTP/1.1 100 \xe9\r\n\r\n", line]), wanted);
    }

    #[test]
    fn nothing_is_heard_but_the_answers_own_line() {
        assert_eq!(phrase(&[b"HTTP/1.1 404 Not Found\r\n\r\nHTTP/1.1 200 caf\xe9\r\n"]), None);
        assert_eq!(phrase(&[b"HTTP/1.1 200 \r\n\r\n", b"HTTP/1.1 200 caf\xe9\r\n"]), None);
        assert_eq!(phrase(&[b"HTTP/1.1 200 a\xe9\0\r\n"]), None, "no phrase at all");
        assert_eq!(phrase(&[&b"\xe9".repeat(2000), b"\r\n"]), None, "too long");
        let reason = Reason::default();
        reason.hear(b"HTTP/1.1 200 caf\xe9\r\n");
        assert!(reason.take().is_none(), "nothing was asked");
    }
}
