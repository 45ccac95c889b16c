//! The line that a request leaves. There are more of these than of all others together, and what they say is known
//! beforehand: they are written as they are, where an event would be asked for one field after the other.

use std::time::Duration;

use tracing::{Level, dispatcher};

use super::{
    Format,
    line::{Lines, Reading, digits, escape, put, quote, thousandths},
};

/// The module that says what became of requests.
pub const TARGET: &str = "figueira::access";

/// Says `request`, at the level `INFO`, by the module `figueira::access`. A field that is none is left out.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "they are fields of docs/logging.md, under its names but for their units")]
pub struct Request<'a> {
    pub request_id: &'a str,
    pub client: &'a str,
    pub method: &'a str,
    pub host: Option<&'a str>,
    pub target: &'a str,
    pub version: Option<&'a str>,
    pub tls: Option<&'a str>,
    pub status: Option<u16>,
    pub bytes: u64,
    pub duration: Duration,
    pub upstream: Option<Duration>,
    pub answered_by: &'a str,
    pub route: Option<&'a str>,
    pub mode: Option<&'a str>,
    pub fallback: Option<&'a str>,
    pub generation: Option<u64>,
    pub invocation: Option<&'a str>,
    pub cut: bool,
    pub error: Option<&'a str>,
    pub visitor: Option<Visitor<'a>>,
}

/// What the combined format tells of a request beside: its line then stands in place of the event.
#[derive(Clone, Copy, Debug)]
pub struct Visitor<'a> {
    /// `Referer`, as it was sent.
    pub referer: Option<&'a [u8]>,
    /// `User-Agent`, as it was sent.
    pub user_agent: Option<&'a [u8]>,
}

impl Request<'_> {
    /// Writes it, where the log hears it.
    pub fn say(&self) {
        if !tracing::enabled!(target: TARGET, Level::INFO) {
            return;
        }
        dispatcher::get_default(|dispatch| {
            if let Some(lines) = dispatch.downcast_ref::<Lines>() {
                lines.write(|line, now, format| match (self.visitor, format) {
                    (Some(visitor), _) => self.combined(visitor, line, now),
                    (None, Format::Json) => self.json(line, now),
                    (None, Format::Text) => self.text(line, now),
                });
            }
        });
    }

    fn json(&self, line: &mut String, now: Reading<'_>) {
        line.push_str(r#"{"ts":""#);
        now.write(line, 1_000_000);
        line.push_str(r#"","level":"INFO","module":""#);
        line.push_str(TARGET);
        line.push_str(r#"","message":"request""#);
        self.fields(&mut Json(line));
        line.push_str("}\n");
    }

    fn text(&self, line: &mut String, now: Reading<'_>) {
        now.write(line, 1_000);
        line.push_str(" INFO  request");
        self.fields(&mut Text(line));
        line.push('\n');
    }

    /// `%h - - %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i"` of Apache's `LogFormat`, with the length of the body alone.
    fn combined(&self, visitor: Visitor<'_>, line: &mut String, now: Reading<'_>) {
        line.push_str(self.client);
        line.push_str(" - - [");
        now.write_civil(line);
        line.push_str("] \"");
        line.push_str(self.method);
        line.push(' ');
        escape(line, self.target);
        line.push(' ');
        line.push_str(self.version.unwrap_or_default());
        line.push_str("\" ");
        match self.status {
            Some(status) => digits(line, status.into()),
            None => line.push('-'),
        }
        line.push(' ');
        digits(line, self.bytes);
        for value in [visitor.referer, visitor.user_agent] {
            line.push_str(" \"");
            match value {
                Some(value) => escape(line, &String::from_utf8_lossy(value)),
                None => line.push('-'),
            }
            line.push('"');
        }
        line.push('\n');
    }

    fn fields(&self, pen: &mut impl Pen) {
        pen.text(r#","request_id":"#, Some(self.request_id));
        pen.word(r#","client":"#, Some(self.client));
        pen.word(r#","method":"#, Some(self.method));
        pen.text(r#","host":"#, self.host);
        pen.text(r#","target":"#, Some(self.target));
        pen.word(r#","version":"#, self.version);
        pen.word(r#","tls":"#, self.tls);
        pen.whole(r#","status":"#, self.status.map(u64::from));
        pen.whole(r#","bytes":"#, Some(self.bytes));
        pen.milliseconds(r#","duration_ms":"#, Some(self.duration));
        pen.milliseconds(r#","upstream_ms":"#, self.upstream);
        pen.word(r#","answered_by":"#, Some(self.answered_by));
        pen.text(r#","route":"#, self.route);
        pen.word(r#","mode":"#, self.mode);
        pen.word(r#","fallback":"#, self.fallback);
        pen.whole(r#","generation":"#, self.generation);
        pen.text(r#","invocation":"#, self.invocation);
        if self.cut {
            pen.key(r#","cut":"#).push_str("true");
        }
        pen.text(r#","error":"#, self.error);
    }
}

/// Writes fields in one format. A key is given as JSON has it, comma, quotes, colon and all, so that it is one copy.
trait Pen {
    fn key(&mut self, key: &'static str) -> &mut String;

    /// What anybody may have written.
    fn text(&mut self, key: &'static str, value: Option<&str>);

    /// One of our own words, a token or an address: nothing of it has to be escaped.
    fn word(&mut self, key: &'static str, value: Option<&str>);

    fn whole(&mut self, key: &'static str, value: Option<u64>) {
        if let Some(value) = value {
            digits(self.key(key), value);
        }
    }

    fn milliseconds(&mut self, key: &'static str, value: Option<Duration>) {
        if let Some(value) = value {
            let micros = value.as_secs() * 1_000_000 + (u64::from(value.subsec_nanos()) + 500) / 1_000;
            thousandths(self.key(key), micros);
        }
    }
}

struct Json<'l>(&'l mut String);

impl Pen for Json<'_> {
    fn key(&mut self, key: &'static str) -> &mut String {
        self.0.push_str(key);
        self.0
    }

    fn text(&mut self, key: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.key(key).push('"');
            escape(self.0, value);
            self.0.push('"');
        }
    }

    fn word(&mut self, key: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.key(key).push('"');
            self.0.push_str(value);
            self.0.push('"');
        }
    }
}

struct Text<'l>(&'l mut String);

impl Pen for Text<'_> {
    fn key(&mut self, key: &'static str) -> &mut String {
        let name = key.trim_start_matches(",\"").trim_end_matches("\":");
        put(self.0, format_args!(" {name}="));
        self.0
    }

    fn text(&mut self, key: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            let start = self.key(key).len();
            escape(self.0, value);
            quote(self.0, start);
        }
    }

    fn word(&mut self, key: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.key(key).push_str(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::{super::clock::Clock, *};

    fn request<'a>(target: &'a str, error: Option<&'a str>) -> Request<'a> {
        Request {
            request_id: "0192f0c1",
            client: "::1",
            method: "GET",
            host: Some("shop.example"),
            target,
            version: Some("HTTP/1.1"),
            tls: None,
            status: Some(200),
            bytes: 1024,
            duration: Duration::from_nanos(1_249_500),
            upstream: Some(Duration::from_millis(70)),
            answered_by: "control",
            route: Some("generate image"),
            mode: Some("shadow"),
            fallback: None,
            generation: Some(7),
            invocation: None,
            cut: error.is_some(),
            error,
            visitor: None,
        }
    }

    fn written(request: &Request<'_>, format: Format) -> String {
        let (mut line, mut clock) = (String::new(), Clock::new());
        let now = clock.read(Timestamp::UNIX_EPOCH);
        match format {
            Format::Json => request.json(&mut line, now),
            Format::Text => request.text(&mut line, now),
        }
        line
    }

    #[test]
    fn json_is_flat_and_typed() {
        assert_eq!(
            written(&request("/a?\"b\"", None), Format::Json),
            concat!(
                r#"{"ts":"1970-01-01T00:00:00.000000Z","level":"INFO","module":"figueira::access","message":"request","#,
                r#""request_id":"0192f0c1","client":"::1","method":"GET","host":"shop.example","target":"/a?\"b\"","#,
                r#""version":"HTTP/1.1","status":200,"bytes":1024,"duration_ms":1.25,"upstream_ms":70,"#,
                r#""answered_by":"control","route":"generate image","mode":"shadow","generation":7}"#,
                "\n"
            )
        );
    }

    #[test]
    fn text_reads_well() {
        assert_eq!(
            written(&request("/a", Some("it left")), Format::Text),
            concat!(
                "1970-01-01T00:00:00.000Z INFO  request request_id=0192f0c1 client=::1 method=GET host=shop.example ",
                "target=/a version=HTTP/1.1 status=200 bytes=1024 duration_ms=1.25 upstream_ms=70 answered_by=control ",
                "route=\"generate image\" mode=shadow generation=7 cut=true error=\"it left\"\n"
            )
        );
    }

    proptest! {
        #[test]
        fn nothing_breaks_out_of_a_line(value in any::<String>()) {
            let json = written(&request(&value, Some(&value)), Format::Json);
            prop_assert_eq!(json.matches('\n').count(), 1);
            let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(&parsed["target"], &value);
            prop_assert_eq!(&parsed["error"], &value);
            let text = written(&request(&value, Some(&value)), Format::Text);
            prop_assert!(!text.trim_end_matches('\n').chars().any(char::is_control));
        }
    }

    #[test]
    fn a_combined_line_is_one_that_others_read() {
        let visitor = Visitor { referer: None, user_agent: Some(b"a \"b\"\xff\n") };
        let (mut clock, mut line) = (Clock::new(), String::new());
        let now = clock.read("2026-01-09T08:07:06.5Z".parse::<Timestamp>().unwrap());
        request("/a?b=\"c", None).combined(visitor, &mut line, now);
        let wanted = r#"::1 - - [09/Jan/2026:08:07:06 +0000] "GET /a?b=\"c HTTP/1.1" 200 1024 "-" "a \"b\"\u{fffd}\n""#;
        assert_eq!(line, format!("{}\n", wanted.replace("\\u{fffd}", "\u{fffd}")));
        let unanswered = Request { status: None, ..request("/", None) };
        line.clear();
        unanswered.combined(Visitor { referer: Some(b"https://a/"), ..visitor }, &mut line, now);
        assert!(line.contains(r#""GET / HTTP/1.1" - 1024 "https://a/" "#), "{line}");
    }
}
