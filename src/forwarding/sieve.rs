//! The head of an upstream's answer on its way to hyper's parser: what that loses is remembered, a reason phrase beyond
//! ASCII (RFC 9112, 4), and what goes without saying is not shown to it, so that the other fields need not be copied to
//! leave that one behind.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use hyper::ext::ReasonPhrase;

/// Sees the bytes of a connection, and the head of the answer that began last.
#[derive(Clone, Debug, Default)]
pub(super) struct Sieve(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    at: At,
    /// What came so far of a line that ended in no piece yet, at most [`LONGEST`] bytes.
    line: Vec<u8>,
    reason: Option<ReasonPhrase>,
    /// What came in pieces in which the head did not end, in bytes.
    came: usize,
    /// The most of it.
    most: usize,
    /// Nothing of the exchange has been written.
    begins: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// At the status line, of an interim response or of the final one.
    StatusLine,
    /// Among the fields of an interim response.
    Interim,
    /// Behind the final status line.
    Fields(Persistence),
    /// Behind a field.
    MoreFields(Persistence),
    /// Behind the head.
    #[default]
    Over,
}

/// Whether a connection stays open where an answer says nothing of it (RFC 9112, 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Persistence {
    Implied,
    Asked,
}

/// A longer line has no phrase that anybody reads.
const LONGEST: usize = 1024;

impl Sieve {
    /// Heads may have so many bytes, those of interim responses and the final one together.
    pub(super) fn of(most: usize) -> Self {
        Self(Arc::new(Mutex::new(State { most, ..State::default() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer is due.
    pub(super) fn listen(&self) {
        let state = &mut *self.state();
        state.at = At::StatusLine;
        state.line.clear();
        state.reason = None;
        state.came = 0;
        state.begins = true;
    }

    /// Whether an answer has become due since this was asked.
    pub(super) fn begins(&self) -> bool {
        std::mem::take(&mut self.state().begins)
    }

    /// These bytes came, and are hyper's as they are left.
    ///
    /// # Errors
    /// After interim responses without end: hyper would read them for as long as they come, and nothing else would.
    pub(super) fn pass(&self, piece: &mut [u8]) -> io::Result<()> {
        let state = &mut *self.state();
        state.pass(piece);
        if state.at != At::Over {
            state.came = state.came.saturating_add(piece.len());
            if state.came > state.most {
                return Err(io::Error::other(format!("its heads have more than {} bytes", state.most)));
            }
        }
        Ok(())
    }

    /// The phrase of the final answer, where it is beyond ASCII.
    pub(super) fn reason(&self) -> Option<ReasonPhrase> {
        self.state().reason.take()
    }
}

impl State {
    fn pass(&mut self, piece: &mut [u8]) {
        let mut start = 0;
        while self.at != At::Over {
            let rest = piece.get(start..).unwrap_or_default();
            let end = memchr::memchr(b'\n', rest).map(|at| start + at + 1);
            let line = piece.get(start..end.unwrap_or(piece.len())).unwrap_or_default();
            if let (At::MoreFields(_), true, Some(end)) = (self.at, self.line.is_empty(), end)
                && speaks_for_itself(line)
            {
                start = end;
                continue;
            }
            let room = LONGEST.saturating_sub(self.line.len());
            let of_line = line.get(..room.min(line.len())).unwrap_or_default();
            let Some(end) = end else {
                self.line.extend_from_slice(of_line);
                return;
            };
            match self.at {
                At::MoreFields(persistence) if self.line.is_empty() && is_idle(line, persistence) => {
                    blank(piece, start, end);
                }
                At::Fields(persistence) | At::MoreFields(persistence) => {
                    let is_blank = self.line.iter().chain(of_line).all(u8::is_ascii_whitespace);
                    self.at = if is_blank { At::Over } else { At::MoreFields(persistence) };
                }
                _ => {
                    self.line.extend_from_slice(of_line);
                    self.line_ended();
                }
            }
            self.line.clear();
            start = end;
        }
    }

    fn line_ended(&mut self) {
        let line = self.line.trim_ascii_end();
        self.at = match (self.at, line.split_at_checked(b"HTTP/1.1 200".len())) {
            (At::Interim, _) if line.is_empty() => At::StatusLine,
            (At::Interim, _) => At::Interim,
            (_, Some(([b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', b'1', _, code], _)))
                if *code != b'1' =>
            {
                At::Interim
            }
            (_, Some((status, phrase))) => {
                if !phrase.is_ascii() && self.line.len() < LONGEST {
                    let phrase = Bytes::copy_from_slice(phrase.trim_ascii_start());
                    self.reason = ReasonPhrase::try_from(phrase).ok();
                }
                let is_new = status.starts_with(b"HTTP/1.1");
                At::Fields(if is_new { Persistence::Implied } else { Persistence::Asked })
            }
            _ => At::Over,
        };
    }
}

/// Whether a line is one of the many that are neither such a field nor the end of the head.
fn speaks_for_itself(line: &[u8]) -> bool {
    line.first().is_some_and(|first| first.is_ascii_alphabetic() && !matches!(first | 0x20, b'c' | b'k'))
}

/// Whether a field says no more than that the connection stays open, as it does by itself.
fn is_idle(line: &[u8], persistence: Persistence) -> bool {
    let named = |name: &[u8]| {
        let (named, value) = line.split_at_checked(name.len())?;
        value.strip_prefix(b":").filter(|_| named.eq_ignore_ascii_case(name)).map(<[u8]>::trim_ascii)
    };
    match line.first() {
        Some(b'C' | b'c') if persistence == Persistence::Implied => {
            named(b"connection").is_some_and(|value| value.eq_ignore_ascii_case(b"keep-alive"))
        }
        Some(b'K' | b'k') => named(b"keep-alive").is_some(),
        _ => false,
    }
}

/// Makes a field the white space behind the value of the one before it (RFC 9112, 5): nothing has to move for that.
fn blank(piece: &mut [u8], start: usize, end: usize) {
    let is_folded = piece.get(end).is_none_or(|next| matches!(next, b' ' | b'\t'));
    let ends_well = |at: usize| at.checked_sub(2).and_then(|from| piece.get(from..at)) == Some(b"\r\n");
    if !is_folded
        && ends_well(start)
        && ends_well(end)
        && let Some(field) = piece.get_mut(start - 2..end - 2)
    {
        field.fill(b' ');
    }
}

#[cfg(test)]
mod tests;
