//! Kinds of values that are written as strings, each with its grammar.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use http::{HeaderName, Method};
use ipnet::IpNet;
use serde_json::{Value, json};

use super::{Item, Kind, Wrong, cannot_be};
use crate::routing::{Host, Pattern, Subject};

/// A string with a grammar.
pub(in crate::config) struct Text<T> {
    expects: &'static str,
    /// As a regular expression what an editor can see of the grammar; all that is taken fits it.
    spelled: &'static str,
    /// The value, or what is wrong with the text: completes a sentence that begins with the key.
    parse: fn(&str) -> Result<T, String>,
    /// The text of a value.
    write: fn(&T) -> String,
}

impl<T> Text<T> {
    pub(in crate::config) const fn new(
        expects: &'static str,
        parse: fn(&str) -> Result<T, String>,
        write: fn(&T) -> String,
    ) -> Self {
        Self { expects, spelled: "", parse, write }
    }

    /// The same, where an editor can see some of the grammar.
    pub(in crate::config) const fn spelled(self, spelled: &'static str) -> Self {
        Self { spelled, ..self }
    }

    /// The value, or what is wrong with `text`.
    pub(in crate::config) fn check(&self, text: &str) -> Result<T, String> {
        (self.parse)(text)
    }
}

impl<T> Kind for Text<T> {
    type Value = T;

    fn expects(&self) -> String {
        self.expects.to_owned()
    }

    fn read(&self, item: &Item<'_>) -> Result<T, Vec<Wrong>> {
        let text = item.get_ref().as_str().ok_or_else(|| vec![Wrong::type_of(item)])?;
        self.check(text).map_err(|because| vec![Wrong::new(item, because)])
    }

    fn schema(&self) -> Value {
        match self.spelled {
            "" => json!({ "type": "string" }),
            spelled => json!({ "type": "string", "pattern": spelled }),
        }
    }

    fn written(&self, value: &T) -> Option<Value> {
        Some((self.write)(value).into())
    }
}

/// Any text with something in it.
pub(in crate::config) const WORDS: Text<String> = Text {
    expects: "a text",
    spelled: r"\S",
    parse: |text| {
        if text.trim().is_empty() { Err("cannot be empty".to_owned()) } else { Ok(text.to_owned()) }
    },
    write: String::clone,
};

/// A time span.
pub(in crate::config) const DURATION: Text<Duration> = Text {
    expects: "a duration such as \"250ms\", \"30s\", \"5m\", \"24h\" or \"7d\"",
    spelled: r"^\+?0*[1-9][0-9]*(ms|s|m|h|d)$",
    parse: duration,
    write: duration_text,
};

/// Bytes.
pub(in crate::config) const SIZE: Text<usize> = Text {
    expects: "a size such as \"512B\", \"64KiB\", \"10MiB\" or \"1GiB\"",
    spelled: r"^\+?0*[1-9][0-9]*(B|KiB|MiB|GiB)$",
    parse: size,
    write: |bytes| size_text(*bytes),
};

/// Where to listen.
pub(in crate::config) const ADDRESS: Text<SocketAddr> = Text {
    expects: "an address such as \"127.0.0.1:8080\" or \"[::]:8080\"",
    spelled: r"^.+:[0-9]+$",
    parse: |text| text.parse().map_err(|_| cannot_be(text)),
    write: SocketAddr::to_string,
};

/// Whose addresses.
pub(in crate::config) const NETWORK: Text<IpNet> = Text {
    expects: "a network such as \"10.0.0.0/8\" or a single address",
    spelled: "",
    parse: |text| {
        let network = text.parse().or_else(|_| text.parse().map(|address: std::net::IpAddr| address.into()));
        network.map_err(|_| cannot_be(text))
    },
    write: IpNet::to_string,
};

/// A file or folder, not yet joined to the file's own folder.
pub(in crate::config) const FILE: Text<PathBuf> = Text {
    expects: "a path in the file system",
    spelled: r".",
    parse: |text| if text.is_empty() { Err("cannot be empty".to_owned()) } else { Ok(text.into()) },
    write: |path| path.display().to_string(),
};

/// What a `tracing` filter takes, its bare words being levels.
pub(in crate::config) const LEVEL: Text<String> = Text {
    expects: "\"error\", \"warn\", \"info\", \"debug\", \"trace\", or a list such as \"warn,figueira=debug\"",
    spelled: "",
    parse: level,
    write: String::clone,
};

/// A route's or an upstream's name.
pub(in crate::config) const NAME: Text<String> = Text {
    expects: "a name of a-z, 0-9 and -",
    spelled: r"^[a-z0-9-]+$",
    parse: |text| {
        let fits = !text.is_empty() && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if fits { Ok(text.to_owned()) } else { Err(cannot_be(text)) }
    },
    write: String::clone,
};

/// An HTTP method, in capitals as on the wire.
pub(in crate::config) const METHOD: Text<Method> = Text {
    expects: "a method such as \"GET\"",
    spelled: r"^[^a-z\s]+$",
    parse: |text| {
        let capitals = text.bytes().all(|byte| !byte.is_ascii_lowercase());
        text.parse().ok().filter(|_| capitals).ok_or_else(|| match text.to_ascii_uppercase() {
            upper if upper == text => cannot_be(text),
            upper => format!("{}: methods know their case, write \"{upper}\"", cannot_be(text)),
        })
    },
    write: Method::to_string,
};

/// A header's name, lower case.
pub(in crate::config) const HEADER: Text<HeaderName> = Text {
    expects: "a header's name",
    spelled: r"^\S+$",
    parse: |text| text.parse().map_err(|_| cannot_be(text)),
    write: HeaderName::to_string,
};

/// One host, all below one, or `*` for any; lower case.
pub(in crate::config) const HOST: Text<Host> = Text {
    expects: "a host without port, such as \"www.example.com\", \"*.example.com\", or \"*\"",
    spelled: "",
    parse: |text| {
        let (below, name) = text.strip_prefix("*.").map_or((None, text), |parent| (Some(()), parent));
        let lower = || name.trim_end_matches('.').to_ascii_lowercase().into();
        match below {
            None if text == "*" => Ok(Host::Any),
            _ if !is_host(name) => Err(cannot_be(text)),
            None => Ok(Host::Exact(lower())),
            Some(()) if name.starts_with('[') => Err(cannot_be(text)),
            Some(()) => Ok(Host::Below(lower())),
        }
    },
    write: Host::to_string,
};

/// A route's path.
pub(in crate::config) const PATTERN: Text<Pattern> = Text {
    expects: "a path such as \"/api/images\", \"/img/{id}\" or \"/files/{*rest}\"",
    spelled: r"^/",
    parse: |text| Pattern::new(text).map_err(|error| format!("{}: {error}", cannot_be(text))),
    write: Pattern::to_string,
};

/// A path of ours that others stand below.
pub(in crate::config) const WEB_PATH: Text<String> = Text {
    expects: "a path such as \"/figueira/images\"",
    spelled: r"^/[A-Za-z0-9/._~-]*[A-Za-z0-9._~-]$",
    parse: |text| {
        let fits = text.len() > 1 && text.starts_with('/') && !text.ends_with('/');
        let plain =
            text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~".contains(&b)) && !text.contains("//");
        if fits && plain { Ok(text.to_owned()) } else { Err(cannot_be(text)) }
    },
    write: String::clone,
};

/// Who a request belongs to.
pub(in crate::config) const SUBJECT: Text<Subject> = Text {
    expects: "\"cookie:NAME\", \"header:NAME\" or \"client-ip\"",
    spelled: r"^(client-ip|(cookie|header):\S+)$",
    parse: |text| {
        let subject = match text.split_once(':') {
            None if text == "client-ip" => Some(Subject::ClientIp),
            // A cookie's name is a token, as a header's is (RFC 6265, 4.1.1).
            Some(("cookie", name)) => name.parse().ok().map(|_: HeaderName| Subject::Cookie(name.into())),
            Some(("header", name)) => name.parse().ok().map(Subject::Header),
            _ => None,
        };
        subject.ok_or_else(|| cannot_be(text))
    },
    write: Subject::to_string,
};

/// A JSON pointer (RFC 6901), with `*` for any key or index; `/` is the whole document.
pub(in crate::config) const POINTER: Text<String> = Text {
    expects: "a JSON pointer such as \"/data/0/url\", with * for any key or index",
    spelled: r"^/",
    parse: |text| {
        let escapes = text.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
        if text.starts_with('/') && escapes { Ok(text.to_owned()) } else { Err(cannot_be(text)) }
    },
    write: String::clone,
};

fn duration(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let milliseconds = match text.get(number.len()..) {
        Some("ms") => 1,
        Some("s") => 1000,
        Some("m") => 60_000,
        Some("h") => 3_600_000,
        Some("d") => 86_400_000,
        _ => return Err(cannot_be(text)),
    };
    let count: u64 = number.parse().map_err(|_| cannot_be(text))?;
    // A century: what is added to an instant must not overflow it.
    match count.checked_mul(milliseconds) {
        Some(0) => Err("has to be more than zero".to_owned()),
        Some(total) if total <= 36_500 * 86_400_000 => Ok(Duration::from_millis(total)),
        _ => Err(format!("{}: that is more than a century", cannot_be(text))),
    }
}

fn size(text: &str) -> Result<usize, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: usize = match text.get(number.len()..) {
        Some("B") => 1,
        Some("KiB") => 1 << 10,
        Some("MiB") => 1 << 20,
        Some("GiB") => 1 << 30,
        Some("KB" | "kB" | "MB" | "GB") => {
            return Err(format!("{}: units are powers of 1024", cannot_be(text)));
        }
        _ => return Err(cannot_be(text)),
    };
    let count: usize = number.parse().map_err(|_| cannot_be(text))?;
    match count.checked_mul(unit) {
        Some(0) => Err("has to be more than zero".to_owned()),
        Some(bytes) if bytes <= 1 << 40 => Ok(bytes),
        _ => Err(format!("{}: that is more than 1024GiB", cannot_be(text))),
    }
}

/// In the largest unit that is still told apart at a glance.
fn duration_text(duration: &Duration) -> String {
    let milliseconds = duration.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (1000, "s")];
    let fits = |(unit, name): &(u128, &str)| {
        milliseconds.is_multiple_of(*unit) && (*name != "d" || milliseconds > *unit)
    };
    let (unit, name) = units.into_iter().find(fits).unwrap_or((1, "ms"));
    format!("{}{name}", milliseconds / unit)
}

/// In the largest unit that leaves no rest.
fn size_text(bytes: usize) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let (unit, name) = units.into_iter().find(|(unit, _)| bytes.is_multiple_of(*unit)).unwrap_or((1, "B"));
    format!("{}{name}", bytes / unit)
}

fn level(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let bare = text.split(',').map(str::trim).filter(|directive| !directive.contains(['=', '[']));
    // The filter's own parser panics on some texts beyond ASCII.
    if !text.is_ascii() {
        return Err(cannot_be(text));
    }
    if let Some(odd) = bare.into_iter().find(|word| !LEVELS.contains(word)) {
        return Err(cannot_be(odd));
    }
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(cannot_be(text)),
    }
}

fn is_host(text: &str) -> bool {
    let name = text.trim_end_matches('.');
    let is_ipv6 = name
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
    is_ipv6 || (!name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_have_units_and_ends() {
        for (text, expected) in [
            ("250ms", Some(Duration::from_millis(250))),
            ("30s", Some(Duration::from_secs(30))),
            ("7d", Some(Duration::from_hours(168))),
            ("36500d", Some(Duration::from_hours(36_500 * 24))),
            ("36501d", None),
            ("99999999999999999999s", None),
            ("0s", None),
            ("-1s", None),
            ("1.5s", None),
            ("30", None),
            ("s", None),
            ("30 s", None),
            ("30S", None),
            ("", None),
        ] {
            assert_eq!(duration(text).ok(), expected, "{text}");
        }
        for (text, expected) in [
            ("1B", Some(1)),
            ("64KiB", Some(65_536)),
            ("1024GiB", Some(1 << 40)),
            ("1025GiB", None),
            ("18446744073709551615GiB", None),
            ("0B", None),
            ("64K", None),
            ("64", None),
        ] {
            assert_eq!(size(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn an_editor_sees_of_a_grammar_what_is_taken() {
        let check = |spelled: &str, takes: &dyn Fn(&str) -> bool, fine: &[&str], wrong: &[&str]| {
            let pattern = regex::Regex::new(spelled).unwrap();
            for text in fine {
                assert!(takes(text) && pattern.is_match(text), "{spelled} {text:?}");
            }
            for text in wrong {
                assert!(!takes(text) && !pattern.is_match(text), "{spelled} {text:?}");
            }
        };
        let wrong = ["", "0s", "30", "30 s", "30S", "1.5s", "-1s", "1h30m"];
        check(DURATION.spelled, &|text| DURATION.check(text).is_ok(), &["250ms", "+1s", "007d"], &wrong);
        let wrong = ["", "0B", "64", "64K", "64KB", "1.5MiB"];
        check(SIZE.spelled, &|text| SIZE.check(text).is_ok(), &["1B", "64KiB", "10MiB", "1GiB"], &wrong);
        check(NAME.spelled, &|text| NAME.check(text).is_ok(), &["a", "fg-1"], &["", "A", "a_b", "a b"]);
        check(METHOD.spelled, &|text| METHOD.check(text).is_ok(), &["GET", "M-SEARCH"], &["", "get", "A B"]);
        check(
            SUBJECT.spelled,
            &|text| SUBJECT.check(text).is_ok(),
            &["cookie:s", "client-ip"],
            &["s", "header:"],
        );
        check(
            WEB_PATH.spelled,
            &|text| WEB_PATH.check(text).is_ok(),
            &["/a", "/a/b.c"],
            &["/", "a", "/a/", "/ü"],
        );
        check(POINTER.spelled, &|text| POINTER.check(text).is_ok(), &["/", "/a/*"], &["", "a"]);
    }

    #[test]
    fn hosts_levels_and_subjects_are_read_as_they_are_meant() {
        assert_eq!(HOST.check("WWW.Example.com."), Ok(Host::Exact("www.example.com".into())));
        assert_eq!(HOST.check("[::1]"), Ok(Host::Exact("[::1]".into())));
        assert_eq!(HOST.check("*.Example.com"), Ok(Host::Below("example.com".into())));
        assert_eq!(HOST.check("*"), Ok(Host::Any));
        for odd in ["", "a:80", "a/b", "[x]", "*.[::1]", "*.", "a.*", "*.*.a", "."] {
            assert!(HOST.check(odd).is_err(), "{odd}");
        }
        assert!(LEVEL.check("warn,figueira=debug").is_ok());
        assert!(LEVEL.check("inof").is_err());
        assert!(SUBJECT.check("cookie:a b").is_err());
        assert_eq!(
            SUBJECT.check("header:X-User").map(|subject| subject.to_string()),
            Ok("header:x-user".into())
        );
    }

    #[test]
    fn defaults_are_shown_as_people_write_them() {
        for text in ["250ms", "30s", "300s", "24h", "7d", "90d", "1500ms"] {
            assert_eq!(duration_text(&duration(text).unwrap()), text);
        }
        for text in ["1B", "64KiB", "50MiB", "1GiB", "1025B"] {
            assert_eq!(size_text(size(text).unwrap()), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(milliseconds in 1_u64..3_000_000_000, bytes in 1_usize..(1 << 40)) {
            let time = Duration::from_millis(milliseconds);
            proptest::prop_assert_eq!(duration(&duration_text(&time)), Ok(time));
            proptest::prop_assert_eq!(size(&size_text(bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_is_too_odd(text in ".{0,12}") {
            let (_, _, _) = (duration(&text), size(&text), level(&text));
            let (_, _, _) = (HOST.check(&text), SUBJECT.check(&text), PATTERN.check(&text));
        }
    }
}
