//! Times, as machines count them and as people and platforms write them.

use jiff::Timestamp;
use serde_json::Number;

use super::ValueClass;
use crate::parallel_run::document::Value;

/// 2001-09-09 to 2100-01-01: what a number must lie in to be taken for a time.
pub(super) const PLAUSIBLE_SECONDS: std::ops::Range<i64> = 1_000_000_000..4_102_444_800;
/// Times that people read: their outline, and as `strftime` has them.
const WRITTEN: [(&str, &str); 11] = [
    ("0/0/0 0:0:0", "%d/%m/%Y %H:%M:%S"),
    ("0/0/0 0:0:0", "%m/%d/%Y %H:%M:%S"),
    ("0/0/0 0:0:0 a", "%m/%d/%Y %I:%M:%S %p"),
    ("0/0/0 0:0", "%d/%m/%Y %H:%M"),
    ("0.0.0 0:0:0", "%d.%m.%Y %H:%M:%S"),
    ("0/0/0 0:0:0", "%Y/%m/%d %H:%M:%S"),
    ("a a 0 0:0:0 0", "%a %b %e %H:%M:%S %Y"),
    ("a a 0 0 0:0:0 a-0", "%a %b %d %Y %H:%M:%S GMT%z"),
    ("a a 0 0 0:0:0 a+0", "%a %b %d %Y %H:%M:%S GMT%z"),
    ("0a0a", "%Y%m%dT%H%M%SZ"),
    ("0", "%Y%m%d%H%M%S"),
];
/// How .NET writes milliseconds in JSON, perhaps with a zone behind them.
const DOT_NET: &str = "/Date()/";
const LONGEST_WRITTEN: usize = 80;
/// Seconds between an answer's `Date` and a time of day in its body that was made for it.
const NEAR_CLOCK: i64 = 10;
const DAY: i64 = 86_400;
/// Zones are a multiple of quarters of an hour from UTC.
const ZONE: i64 = 900;
/// Seconds since 1970, where the value is a time.
pub(crate) fn seconds(value: &Value<'_>) -> Option<i64> {
    let class = ValueClass::of(value)?;
    let digits = || match value {
        Value::Number(number) => whole(number),
        Value::String(text) => text.parse().ok().or_else(|| fraction(text)),
        _ => None,
    };
    match class {
        ValueClass::DateTime => value.as_str().and_then(seconds_of_text),
        ValueClass::Written(_) => value.as_str().and_then(written).map(|(_, seconds)| seconds),
        ValueClass::EpochSeconds => digits(),
        ValueClass::EpochMillis => digits().map(|millis| millis.div_euclid(1000)),
        _ => None,
    }
}

/// RFC 3339 or RFC 9110's date, in seconds since 1970.
pub(crate) fn seconds_of_text(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let instant = match bytes {
        // 2026-11-23T20:24:00Z, 2026-11-23 20:24:00: a zone may be missing.
        [
            b'0'..=b'9',
            b'0'..=b'9',
            b'0'..=b'9',
            b'0'..=b'9',
            b'-',
            _,
            _,
            b'-',
            _,
            _,
            b'T' | b't' | b' ',
            ..,
        ] => text.parse::<Timestamp>().ok().or_else(|| {
            let civil: jiff::civil::DateTime = text.parse().ok()?;
            jiff::tz::Offset::UTC.to_timestamp(civil).ok()
        }),
        [b'A'..=b'Z', _, _, b',', b' ', ..] => {
            jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
        }
        _ => None,
    };
    instant.map(Timestamp::as_second)
}

/// A time in one of the [`WRITTEN`] formats: which, and its seconds since 1970 if it is UTC's.
pub(super) fn written(text: &str) -> Option<(&'static str, i64)> {
    if let Some(millis) = text.strip_prefix("/Date(").and_then(|rest| rest.strip_suffix(")/")) {
        let digits = millis.split(['+', '-']).next().unwrap_or_default();
        let seconds = digits.parse::<i64>().ok()?.div_euclid(1000);
        return PLAUSIBLE_SECONDS.contains(&seconds).then_some((DOT_NET, seconds));
    }
    // Most texts are told to be none by their length, or their digits.
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    if text.len() > LONGEST_WRITTEN || !(11..=18).contains(&digits) {
        return None;
    }
    // A zone may have its name behind it: (Coordinated Universal Time).
    let bare = text.split(" (").next().unwrap_or(text);
    // To be told that a text is of no such format is dear, and most are of none.
    let outline = outline(bare);
    let mut formats = WRITTEN.into_iter().filter(|(of, _)| *of == outline).map(|(_, format)| format);
    formats.find_map(|format| {
        let told = jiff::fmt::strtime::parse(format, bare).ok()?;
        let instant =
            told.to_timestamp().or_else(|_| jiff::tz::Offset::UTC.to_timestamp(told.to_datetime()?));
        let seconds = instant.ok()?.as_second();
        PLAUSIBLE_SECONDS.contains(&seconds).then_some((format, seconds))
    })
}

/// `0` for digits, `a` for letters, a space for several, and all else as it is.
fn outline(text: &str) -> String {
    let mut outline = String::with_capacity(text.len());
    for character in text.chars() {
        let kind = match character {
            '0'..='9' => '0',
            'a'..='z' | 'A'..='Z' => 'a',
            other => other,
        };
        if !(matches!(kind, '0' | 'a' | ' ') && outline.ends_with(kind)) {
            outline.push(kind);
        }
    }
    outline
}

/// Seconds since midnight of `20:24:00`, with a fraction or without.
pub(crate) fn clock(text: &str) -> Option<i64> {
    let [hours, minutes, seconds] = *text.split(':').collect::<Vec<_>>().as_slice() else { return None };
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let number = |digits: &str, most: i64| {
        let number = digits.parse::<i64>().ok()?;
        (digits.len() == 2 && are_digits(digits) && number <= most).then_some(number)
    };
    are_digits(fraction).then_some(())?;
    Some(number(hours, 23)? * 3600 + number(minutes, 59)? * 60 + number(seconds, 60)?)
}

/// Whether a time of day is that of a moment, in whatever zone.
pub(super) fn is_clock_of(clock: i64, moment: i64) -> bool {
    around(clock - moment, ZONE) <= NEAR_CLOCK
}

/// Seconds between two times of day, whether midnight is between them or not.
pub(super) fn between_clocks(one: i64, two: i64) -> i64 {
    around(one - two, DAY)
}

/// How far it is from one to the other on a dial of so many seconds.
fn around(difference: i64, dial: i64) -> i64 {
    let on = difference.rem_euclid(dial);
    on.min(dial - on)
}

/// The whole seconds of digits with a fraction, as microseconds are written that no number could hold.
pub(super) fn fraction(text: &str) -> Option<i64> {
    let (seconds, fraction) = text.split_once('.')?;
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (are_digits(seconds) && are_digits(fraction)).then(|| seconds.parse().ok())?
}

/// Seconds since 1970 of a number that may be of microseconds or of nanoseconds.
pub(super) fn fine_seconds(value: &Value<'_>) -> Option<i64> {
    let Value::Number(number) = value else { return None };
    let number = whole(number)?;
    [1_000_000, 1_000_000_000]
        .map(|unit| number.div_euclid(unit))
        .into_iter()
        .find(|seconds| PLAUSIBLE_SECONDS.contains(seconds))
}

/// Without its fraction: many languages give the time as a number of seconds that has one.
#[expect(
    clippy::cast_possible_truncation,
    reason = "what is no 64-bit integer becomes the nearest, which is no time"
)]
pub(super) fn whole(number: &Number) -> Option<i64> {
    number.as_i64().or_else(|| number.as_f64().map(|number| number as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_read_and_goes_round() {
        assert_eq!(clock("20:24:01.5"), Some(73_441));
        for text in ["24:00:00", "20:60:00", "2:24:00", "20:24", "20:24:00:00", "20:24:0x", "20:24:00.x"] {
            assert_eq!(clock(text), None, "{text}");
        }
        assert_eq!(between_clocks(10, 86_390), 20);
        let evening = 1_795_465_441;
        assert!(is_clock_of(73_441, evening) && is_clock_of(73_441 - 3 * 3600, evening));
        assert!(!is_clock_of(73_441 + 60, evening));
    }

    #[test]
    fn times_that_people_read_are_of_their_format() {
        let format = |text: &str| match ValueClass::of_text(text) {
            Some(ValueClass::Written(format)) => (format, seconds(&Value::from(text)).unwrap()),
            other => panic!("{text}: {other:?}"),
        };
        for (text, written) in [
            ("23/11/2026 20:24:00", "%d/%m/%Y %H:%M:%S"),
            ("11/23/2026 08:24:00 PM", "%m/%d/%Y %I:%M:%S %p"),
            ("23.11.2026 20:24:00", "%d.%m.%Y %H:%M:%S"),
            ("2026/11/23 20:24:00", "%Y/%m/%d %H:%M:%S"),
            ("Mon Nov 23 20:24:00 2026", "%a %b %e %H:%M:%S %Y"),
            ("Mon Nov 23 2026 17:24:00 GMT-0300 (Brasilia Standard Time)", "%a %b %d %Y %H:%M:%S GMT%z"),
            ("20261123T202400Z", "%Y%m%dT%H%M%SZ"),
            ("20261123202400", "%Y%m%d%H%M%S"),
            ("/Date(1795465440123)/", "/Date()/"),
            ("/Date(1795465440123+0000)/", "/Date()/"),
        ] {
            assert_eq!(format(text), (written.to_owned(), 1_795_465_440), "{text}");
        }
        let sunday = "Sun Nov  1 00:00:00 2026";
        assert_eq!(format(sunday).0, "%a %b %e %H:%M:%S %Y");
        assert_eq!(ValueClass::of_text("1795465440.000247"), Some(ValueClass::EpochSeconds));
        assert_eq!(seconds(&Value::from("1795465440.000247")), Some(1_795_465_440));
        assert!(
            !ValueClass::DateTime.admits(&ValueClass::Written("%Y%m%dT%H%M%SZ".into())),
            "another format"
        );
    }
}
