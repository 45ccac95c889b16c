//! The kinds of values that keys take: what each is called, and how its text becomes a value.

use std::{
    fmt::Display,
    net::SocketAddr,
    ops::{Range, RangeInclusive},
    path::PathBuf,
    time::Duration,
};

use http::{HeaderName, Method};
use ipnet::IpNet;
use toml::{Spanned, de::DeValue};

use crate::routing::{Pattern, Subject};

/// A value in the file, with its place.
pub(super) type Item<'d> = Spanned<DeValue<'d>>;

/// A kind of value.
pub(super) trait Kind {
    /// What it becomes.
    type Value;

    /// What a person has to write, as in "takes ...".
    fn expects(&self) -> String;

    /// Reads it, or says everything that is wrong with it.
    fn read(&self, item: &Item<'_>) -> Result<Self::Value, Vec<Wrong>>;
}

/// One thing that is wrong with a value.
pub(super) struct Wrong {
    pub(super) span: Range<usize>,
    /// Completes a sentence that begins with the key.
    pub(super) what: String,
    /// What was probably meant.
    pub(super) meant: Option<&'static str>,
}

impl Wrong {
    pub(super) fn new(item: &Item<'_>, what: impl Into<String>) -> Self {
        Self { span: item.span(), what: what.into(), meant: None }
    }

    /// Another type was expected.
    pub(super) fn type_of(item: &Item<'_>) -> Self {
        let found = match item.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        Self::new(item, format!("cannot be {found}"))
    }
}

/// The number in an integer or a float.
pub(super) fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Integer(integer) =>
        {
            #[expect(clippy::cast_precision_loss, reason = "compared with small numbers")]
            i128::from_str_radix(integer.as_str(), integer.radix()).ok().map(|integer| integer as f64)
        }
        DeValue::Float(float) => float.as_str().parse().ok(),
        _ => None,
    }
}

/// A string with a grammar.
pub(super) struct Text<T> {
    expects: &'static str,
    /// The value, or what is wrong with the text: completes a sentence that begins with the key.
    parse: fn(&str) -> Result<T, String>,
}

impl<T> Text<T> {
    pub(super) const fn new(expects: &'static str, parse: fn(&str) -> Result<T, String>) -> Self {
        Self { expects, parse }
    }

    /// The value, or what is wrong with `text`.
    pub(super) fn check(&self, text: &str) -> Result<T, String> {
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
}

/// `true` or `false`.
pub(super) struct Flag;

impl Kind for Flag {
    type Value = bool;

    fn expects(&self) -> String {
        "true or false".to_owned()
    }

    fn read(&self, item: &Item<'_>) -> Result<bool, Vec<Wrong>> {
        item.get_ref().as_bool().ok_or_else(|| vec![Wrong::type_of(item)])
    }
}

/// A whole number within bounds.
pub(super) struct Whole<T>(pub(super) RangeInclusive<T>);

impl<T: TryFrom<i128> + PartialOrd + Display> Kind for Whole<T> {
    type Value = T;

    fn expects(&self) -> String {
        format!("a whole number from {} to {}", self.0.start(), self.0.end())
    }

    fn read(&self, item: &Item<'_>) -> Result<T, Vec<Wrong>> {
        let integer = item.get_ref().as_integer().ok_or_else(|| vec![Wrong::type_of(item)])?;
        i128::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .and_then(|number| T::try_from(number).ok())
            .filter(|number| self.0.contains(number))
            .ok_or_else(|| vec![Wrong::new(item, format!("cannot be {}", integer.as_str()))])
    }
}

/// A number within bounds.
pub(super) struct Number(pub(super) RangeInclusive<f64>);

impl Kind for Number {
    type Value = f64;

    fn expects(&self) -> String {
        format!("a number from {} to {}", self.0.start(), self.0.end())
    }

    fn read(&self, item: &Item<'_>) -> Result<f64, Vec<Wrong>> {
        let number = number(item.get_ref()).ok_or_else(|| vec![Wrong::type_of(item)])?;
        if self.0.contains(&number) {
            Ok(number)
        } else {
            Err(vec![Wrong::new(item, format!("cannot be {number}"))])
        }
    }
}

/// One of a few words.
pub(super) struct Choice<T: 'static>(pub(super) &'static [(&'static str, T)]);

impl<T: Copy> Kind for Choice<T> {
    type Value = T;

    fn expects(&self) -> String {
        let words: Vec<_> = self.0.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        words.split_last().map_or_else(String::new, |(last, others)| match others {
            [] => last.clone(),
            _ => format!("{} or {last}", others.join(", ")),
        })
    }

    fn read(&self, item: &Item<'_>) -> Result<T, Vec<Wrong>> {
        let text = item.get_ref().as_str().ok_or_else(|| vec![Wrong::type_of(item)])?;
        let found = self.0.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        found.ok_or_else(|| {
            let meant = nearest(text, self.0.iter().map(|(word, _)| *word));
            vec![Wrong { meant, ..Wrong::new(item, cannot_be(text)) }]
        })
    }
}

/// Another kind, or `"off"`.
pub(super) struct OrOff<K>(pub(super) K);

impl<K: Kind> Kind for OrOff<K> {
    type Value = Option<K::Value>;

    fn expects(&self) -> String {
        format!("{} or \"off\"", self.0.expects())
    }

    fn read(&self, item: &Item<'_>) -> Result<Self::Value, Vec<Wrong>> {
        if item.get_ref().as_str() == Some("off") { Ok(None) } else { self.0.read(item).map(Some) }
    }
}

/// A list of another kind.
pub(super) struct List<K>(pub(super) K);

impl<K: Kind> Kind for List<K> {
    type Value = Vec<K::Value>;

    fn expects(&self) -> String {
        format!("a list, each element {}", self.0.expects())
    }

    fn read(&self, item: &Item<'_>) -> Result<Self::Value, Vec<Wrong>> {
        let list = item.get_ref().as_array().ok_or_else(|| vec![Wrong::type_of(item)])?;
        let (mut values, mut wrongs) = (Vec::with_capacity(list.len()), Vec::new());
        for element in list {
            match self.0.read(element) {
                Ok(value) => values.push(value),
                Err(more) => wrongs.extend(more),
            }
        }
        if wrongs.is_empty() { Ok(values) } else { Err(wrongs) }
    }
}

/// A list, or a single element without its brackets.
pub(super) struct OneOrMore<K>(pub(super) K);

impl<K: Kind> Kind for OneOrMore<K> {
    type Value = Vec<K::Value>;

    fn expects(&self) -> String {
        format!("{}, or a list of such", self.0.expects())
    }

    fn read(&self, item: &Item<'_>) -> Result<Self::Value, Vec<Wrong>> {
        let Some(list) = item.get_ref().as_array() else { return self.0.read(item).map(|value| vec![value]) };
        if list.is_empty() {
            return Err(vec![Wrong::new(item, "cannot be an empty list")]);
        }
        List(&self.0).read(item)
    }
}

impl<K: Kind> Kind for &K {
    type Value = K::Value;

    fn expects(&self) -> String {
        (*self).expects()
    }

    fn read(&self, item: &Item<'_>) -> Result<Self::Value, Vec<Wrong>> {
        (*self).read(item)
    }
}

/// The candidate that a person who wrote `text` most probably meant.
pub(super) fn nearest<'c>(text: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(text, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// Any text with something in it.
pub(super) const WORDS: Text<String> = Text {
    expects: "a text",
    parse: |text| {
        if text.trim().is_empty() { Err("cannot be empty".to_owned()) } else { Ok(text.to_owned()) }
    },
};

/// A time span.
pub(super) const DURATION: Text<Duration> =
    Text { expects: "a duration such as \"250ms\", \"30s\", \"5m\", \"24h\" or \"7d\"", parse: duration };

/// Bytes.
pub(super) const SIZE: Text<usize> =
    Text { expects: "a size such as \"512B\", \"64KiB\", \"10MiB\" or \"1GiB\"", parse: size };

/// Where to listen.
pub(super) const ADDRESS: Text<SocketAddr> = Text {
    expects: "an address such as \"127.0.0.1:8080\" or \"[::]:8080\"",
    parse: |text| text.parse().map_err(|_| cannot_be(text)),
};

/// Whose addresses.
pub(super) const NETWORK: Text<IpNet> = Text {
    expects: "a network such as \"10.0.0.0/8\" or a single address",
    parse: |text| {
        let network = text.parse().or_else(|_| text.parse().map(|address: std::net::IpAddr| address.into()));
        network.map_err(|_| cannot_be(text))
    },
};

/// A file or folder, not yet joined to the file's own folder.
pub(super) const FILE: Text<PathBuf> = Text {
    expects: "a path in the file system",
    parse: |text| if text.is_empty() { Err("cannot be empty".to_owned()) } else { Ok(text.into()) },
};

/// What a `tracing` filter takes, its bare words being levels.
pub(super) const LEVEL: Text<String> = Text {
    expects: "\"error\", \"warn\", \"info\", \"debug\", \"trace\", or a list such as \"warn,figueira=debug\"",
    parse: level,
};

/// A route's or an upstream's name.
pub(super) const NAME: Text<String> = Text {
    expects: "a name of a-z, 0-9 and -",
    parse: |text| {
        let fits = !text.is_empty() && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if fits { Ok(text.to_owned()) } else { Err(cannot_be(text)) }
    },
};

/// An HTTP method, in capitals as on the wire.
pub(super) const METHOD: Text<Method> = Text {
    expects: "a method such as \"GET\"",
    parse: |text| {
        let capitals = text.bytes().all(|byte| !byte.is_ascii_lowercase());
        text.parse().ok().filter(|_| capitals).ok_or_else(|| match text.to_ascii_uppercase() {
            upper if upper == text => cannot_be(text),
            upper => format!("{}: methods know their case, write \"{upper}\"", cannot_be(text)),
        })
    },
};

/// A header's name, lower case.
pub(super) const HEADER: Text<HeaderName> =
    Text { expects: "a header's name", parse: |text| text.parse().map_err(|_| cannot_be(text)) };

/// An exact host, lower case, or `*` for any.
pub(super) const HOST: Text<Option<Box<str>>> = Text {
    expects: "a host without port, such as \"www.example.com\", or \"*\"",
    parse: |text| match text {
        "*" => Ok(None),
        _ if is_host(text) => Ok(Some(text.trim_end_matches('.').to_ascii_lowercase().into())),
        _ => Err(cannot_be(text)),
    },
};

/// A route's path.
pub(super) const PATTERN: Text<Pattern> = Text {
    expects: "a path such as \"/api/images\", \"/img/{id}\" or \"/files/{*rest}\"",
    parse: |text| Pattern::new(text).map_err(|error| format!("{}: {error}", cannot_be(text))),
};

/// A path of ours that others stand below.
pub(super) const WEB_PATH: Text<String> = Text {
    expects: "a path such as \"/figueira/images\"",
    parse: |text| {
        let fits = text.len() > 1 && text.starts_with('/') && !text.ends_with('/');
        let plain =
            text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~".contains(&b)) && !text.contains("//");
        if fits && plain { Ok(text.to_owned()) } else { Err(cannot_be(text)) }
    },
};

/// Who a request belongs to.
pub(super) const SUBJECT: Text<Subject> = Text {
    expects: "\"cookie:NAME\", \"header:NAME\" or \"client-ip\"",
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
};

/// A JSON pointer (RFC 6901), with `*` for any key or index.
pub(super) const POINTER: Text<String> = Text {
    expects: "a JSON pointer such as \"/data/0/url\", with * for any key or index",
    parse: |text| if text.starts_with('/') { Ok(text.to_owned()) } else { Err(cannot_be(text)) },
};

/// The plainest complaint.
pub(super) fn cannot_be(text: &str) -> String {
    format!("cannot be \"{text}\"")
}

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

fn level(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let bare = text.split(',').map(str::trim).filter(|directive| !directive.contains(['=', '[']));
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
