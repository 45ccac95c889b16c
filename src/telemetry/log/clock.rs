//! The time as the lines have it (RFC 3339), of which only the fraction is made anew for each.

use std::{fmt::Write, ops::Range};

use jiff::Timestamp;

use super::line::{fraction, put};

/// Remembers the second that it was read in last.
#[derive(Debug)]
pub(super) struct Clock {
    second: Option<i64>,
    /// `1970-01-01T00:00:00`
    text: String,
}

/// What a clock showed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading<'c> {
    second: &'c str,
    nanoseconds: u32,
}

impl Clock {
    pub(super) const fn new() -> Self {
        Self { second: None, text: String::new() }
    }

    pub(super) fn read(&mut self, now: Timestamp) -> Reading<'_> {
        // Of a time before 1970 the second and its fraction count backwards.
        let (second, nanoseconds) = match (now.as_second(), now.subsec_nanosecond()) {
            (second, part @ ..0) => (second - 1, part + 1_000_000_000),
            ahead => ahead,
        };
        if self.second != Some(second) {
            self.text.clear();
            let whole = Timestamp::from_second(second).unwrap_or(now);
            // A string takes whatever is written to it.
            write!(self.text, "{whole:.0}").ok();
            self.text.truncate(self.text.trim_end_matches('Z').len());
            self.second = Some(second);
        }
        Reading { second: &self.text, nanoseconds: u32::try_from(nanoseconds).unwrap_or_default() }
    }
}

impl Reading<'_> {
    /// With the second's fraction in so many parts, a power of ten.
    pub(super) fn write(&self, line: &mut String, parts: u32) {
        line.push_str(self.second);
        line.push('.');
        fraction(line, u64::from(self.nanoseconds / (1_000_000_000 / parts)), u64::from(parts));
        line.push('Z');
    }

    /// As web servers write it: `09/Jan/2026:08:07:06 +0000`.
    pub(super) fn write_civil(&self, line: &mut String) {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let part = |range: Range<usize>| self.second.get(range).unwrap_or_default();
        let month = part(5..7).parse().ok().and_then(|month: usize| MONTHS.get(month.checked_sub(1)?));
        let (day, month, year) = (part(8..10), month.copied().unwrap_or_default(), part(0..4));
        put(line, format_args!("{day}/{month}/{year}:{} +0000", part(11..19)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_reads_as_ever(moments in prop::collection::vec((-2_i64..3, 0..1_000_000_000_i32), 1..8), base in -1_000_000_000_i64..4_000_000_000) {
            let mut clock = Clock::new();
            for (second, nanosecond) in moments {
                let now = Timestamp::from_second(base + second).unwrap();
                let now = now.checked_add(jiff::SignedDuration::new(0, nanosecond)).unwrap();
                let mut line = String::new();
                clock.read(now).write(&mut line, 1_000_000);
                prop_assert_eq!(line, format!("{now:.6}"));
            }
        }
    }
}
