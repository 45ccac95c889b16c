//! One event as one flat line, JSON or text. Nothing that an event carries can break out of its line or its string.

use std::{
    fmt::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

pub(super) use super::clock::Reading;
use super::{Format, batch::Batch, pen};

/// Writes each event to a [`Batch`].
#[derive(Debug)]
pub(super) struct Lines {
    format: Shape,
    batch: Batch,
}

/// The format in force, shared with those who change it.
#[derive(Clone, Debug)]
pub(super) struct Shape(Arc<AtomicBool>);

impl Shape {
    pub(super) fn new(format: Format) -> Self {
        Self(Arc::new(AtomicBool::new(format == Format::Json)))
    }

    pub(super) fn set(&self, format: Format) {
        self.0.store(format == Format::Json, Relaxed);
    }

    fn get(&self) -> Format {
        if self.0.load(Relaxed) { Format::Json } else { Format::Text }
    }
}

impl Lines {
    pub(super) fn new(format: Shape, batch: Batch) -> Self {
        Self { format, batch }
    }

    /// Has one line appended to what it is given.
    pub(super) fn write(&self, line: impl FnOnce(&mut String, Reading<'_>, Format)) {
        pen::write(&self.batch, |text, now| line(text, now, self.format.get()));
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.write(|line, now, format| match format {
            Format::Json => json(line, now, event),
            Format::Text => text(line, now, event),
        });
    }
}

fn json(line: &mut String, now: Reading<'_>, event: &Event<'_>) {
    let metadata: &Metadata<'_> = event.metadata();
    line.push_str(r#"{"ts":""#);
    now.write(line, 1_000_000);
    line.push_str(r#"","level":""#);
    line.push_str(metadata.level().as_str());
    line.push_str(r#"","module":""#);
    line.push_str(metadata.target());
    line.push('"');
    event.record(&mut Json(line));
    line.push_str("}\n");
}

fn text(line: &mut String, now: Reading<'_>, event: &Event<'_>) {
    now.write(line, 1_000);
    put(line, format_args!(" {:<5}", event.metadata().level()));
    event.record(&mut Text(line));
    line.push('\n');
}

/// Writing to a string fails only where a value's own `Display` does; what it wrote until then stands.
pub(super) fn put(line: &mut String, arguments: fmt::Arguments<'_>) {
    line.write_fmt(arguments).ok();
}

struct Json<'a>(&'a mut String);

impl Json<'_> {
    fn key(&mut self, field: &Field) {
        self.0.push_str(",\"");
        self.0.push_str(field.name());
        self.0.push_str("\":");
    }

    fn bare(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        self.key(field);
        put(self.0, value);
    }
}

impl Visit for Json<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.key(field);
        if value.is_finite() {
            decimal(self.0, value);
        } else {
            self.0.push_str("null");
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.key(field);
        digits(self.0, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, format_args!("{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.key(field);
        self.0.push('"');
        escape(self.0, value);
        self.0.push('"');
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.key(field);
        self.0.push('"');
        write!(Escaped(self.0), "{value:?}").ok();
        self.0.push('"');
    }
}

/// A number as `{}` writes it. Nearly all are times to the thousandth, which need no search for the shortest form.
fn decimal(line: &mut String, value: f64) {
    let thousandths = (value * 1e3).round();
    let is_exact = (thousandths / 1e3).to_bits() == value.to_bits();
    if !is_exact || !(0.0..1e15).contains(&thousandths) || value.is_sign_negative() {
        return put(line, format_args!("{value}"));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number of at most fifteen digits"
    )]
    self::thousandths(line, thousandths as u64);
}

/// The same, of so many thousandths.
pub(super) fn thousandths(line: &mut String, count: u64) {
    digits(line, count / 1000);
    let part = count % 1000;
    if part > 0 {
        line.push('.');
        fraction(line, part, 1000);
        line.truncate(line.trim_end_matches('0').len());
    }
}

/// The same, of a whole one.
pub(super) fn digits(line: &mut String, value: u64) {
    line.push_str(itoa::Buffer::new().format(value));
}

/// So many parts of a `whole`, which is a power of ten, with all their digits.
pub(super) fn fraction(line: &mut String, parts: u64, whole: u64) {
    let mut text = itoa::Buffer::new();
    line.push_str(text.format(whole + parts).get(1..).unwrap_or_default());
}

struct Text<'a>(&'a mut String);

impl Visit for Text<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push(' ');
        if field.name() == "message" {
            write!(Escaped(self.0), "{value:?}").ok();
            return;
        }
        self.0.push_str(field.name());
        self.0.push('=');
        let start = self.0.len();
        write!(Escaped(self.0), "{value:?}").ok();
        quote(self.0, start);
    }
}

/// Puts quotes around what was written since `start`, where a reader could not tell its end.
pub(super) fn quote(line: &mut String, start: usize) {
    let written = line.get(start..).unwrap_or_default();
    if written.is_empty() || written.contains([' ', '=', '\\']) {
        line.insert(start, '"');
        line.push('"');
    }
}

/// Escapes what is written through it, as JSON does.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(self.0, text);
        Ok(())
    }
}

/// Appends `text` for use between quotes: quotes, backslashes and what is obeyed rather than shown are escaped.
pub(super) fn escape(line: &mut String, text: &str) {
    // 0xC2 leads the two-byte forms of C1, 0xE2 those of the marks.
    let odd = |byte: &u8| matches!(byte, 0..=0x1f | b'"' | b'\\' | 0x7f | 0xc2 | 0xe2);
    // All of it is looked at, so that it can be several bytes at a time.
    if !text.as_bytes().iter().fold(false, |found, byte| found | odd(byte)) {
        line.push_str(text);
        return;
    }
    for character in text.chars() {
        match character {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            obeyed if is_obeyed(obeyed) => put(line, format_args!("\\u{:04x}", u32::from(obeyed))),
            other => line.push(other),
        }
    }
}

/// Whether a terminal or a viewer of logs acts on `c`: control characters, C1 too; ends of lines and paragraphs; and
/// marks that turn the direction of what follows (UAX #9), so that it is read as something else.
fn is_obeyed(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use jiff::Timestamp;
    use proptest::prelude::*;
    use tracing_subscriber::layer::SubscriberExt;

    use super::{super::clock::Clock, *};

    /// Formats every event, at the beginning of time.
    struct Kept(Format, Arc<Mutex<String>>);

    impl<S: Subscriber> Layer<S> for Kept {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut line = self.1.lock().unwrap();
            match self.0 {
                Format::Json => json(&mut line, Clock::new().read(Timestamp::UNIX_EPOCH), event),
                Format::Text => text(&mut line, Clock::new().read(Timestamp::UNIX_EPOCH), event),
            }
        }
    }

    fn line(format: Format, speak: impl FnOnce()) -> String {
        let kept = Arc::new(Mutex::new(String::new()));
        let subscriber = tracing_subscriber::registry().with(Kept(format, kept.clone()));
        tracing::subscriber::with_default(subscriber, speak);
        kept.lock().unwrap().clone()
    }

    fn speak() {
        let host: Option<&str> = None;
        tracing::info!(status = 200_u16, ms = 1.25, bad = f64::NAN, ok = true, delta = -3, path = "/a \"b\"\n", peer = %"::1", host, "request");
    }

    #[test]
    fn json_is_flat_and_typed() {
        let line = line(Format::Json, speak);
        assert_eq!(
            line,
            concat!(
                r#"{"ts":"1970-01-01T00:00:00.000000Z","level":"INFO","module":"figueira::telemetry::log::line::tests","#,
                r#""message":"request","status":200,"ms":1.25,"bad":null,"ok":true,"delta":-3,"#,
                r#""path":"/a \"b\"\n","peer":"::1"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn text_reads_well() {
        let line = line(Format::Text, speak);
        assert_eq!(
            line,
            concat!(
                r#"1970-01-01T00:00:00.000Z INFO  request status=200 ms=1.25 bad=NaN ok=true delta=-3 "#,
                r#"path="/a \"b\"\n" peer=::1"#,
                "\n"
            )
        );
    }

    #[test]
    fn nothing_turns_a_line_around() {
        let value = "/a\u{202e}gpj.\u{2066}b\u{2028}c \u{2019}";
        let json = line(Format::Json, || tracing::info!(value, "said"));
        assert!(json.contains(r#""value":"/a\u202egpj.\u2066b\u2028c ’""#), "{json}");
        let text = line(Format::Text, || tracing::info!(value, "said"));
        assert!(text.contains(r#"value="/a\u202egpj.\u2066b\u2028c ’""#), "{text}");
    }

    proptest! {
        #[test]
        fn numbers_are_written_as_ever(
            micros in any::<u64>(), whole in any::<u64>(), odd in any::<f64>().prop_filter("finite", |n| n.is_finite()),
        ) {
            let mut line = String::new();
            #[expect(clippy::cast_precision_loss, reason = "what is lost is lost in both")]
            for value in [micros as f64 / 1e3, (micros % 100_000_000) as f64 / 1e3, odd, 0.0, -0.0, 0.1, 12.34, 1e15] {
                line.clear();
                decimal(&mut line, value);
                prop_assert_eq!(&line, &value.to_string());
            }
            line.clear();
            digits(&mut line, whole);
            prop_assert_eq!(&line, &whole.to_string());
        }

        #[test]
        fn nothing_breaks_out_of_a_line(value in any::<String>()) {
            let json = line(Format::Json, || tracing::info!(shown = %value, given = value.as_str(), "said {value}"));
            prop_assert_eq!(json.matches('\n').count(), 1);
            prop_assert!(!json.trim_end().chars().any(char::is_control));
            let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(&parsed["shown"], &value);
            prop_assert_eq!(&parsed["given"], &value);
            prop_assert_eq!(&parsed["message"], &format!("said {value}"));

            let text = line(Format::Text, || tracing::info!(given = value.as_str(), "{value}"));
            prop_assert!(!text.trim_end_matches('\n').chars().any(char::is_control));
        }
    }
}
