//! What a route asks of a request beyond method, host and path: headers, cookies, parameters of the query.
//!
//! Of a field that comes more than once, the first counts; values are compared as they came, without decoding. So a
//! condition is a question about one value, and it can be told whether two conditions exclude each other.

use std::fmt;

use http::HeaderName;
use regex::bytes::{Regex, RegexBuilder};

use super::{Head, subject};

/// One thing that is asked of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Of which value.
    pub field: Field,
    /// What it has to be.
    pub test: Test,
}

/// A value in a request's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// Of this header, without the space around it.
    Header(HeaderName),
    /// Of this cookie.
    Cookie(Box<str>),
    /// Of this parameter of the query; empty where it is given no value.
    Query(Box<str>),
}

/// What a value has to be.
#[derive(Clone, Debug)]
pub enum Test {
    /// Anything, as long as it is there.
    Present,
    /// These bytes.
    Is(Box<str>),
    /// What begins so.
    Begins(Box<str>),
    /// What this expression is found in.
    Matches(Regex),
}

/// What one expression may take up once compiled, in bytes.
const LARGEST_PROGRAM: usize = 256 << 10;
/// What one may use while it searches, in bytes; beyond it, it is slower and still linear.
const LARGEST_CACHE: usize = 1 << 20;

impl Condition {
    /// Whether `head` is what it asks for.
    pub(super) fn holds(&self, head: &Head<'_>) -> bool {
        self.field.of(head).is_some_and(|value| self.test.holds(value))
    }
}

/// Names that betray a secret in the value beside them.
const TELLING: [&str; 9] =
    ["token", "secret", "password", "passwd", "api_key", "api-key", "apikey", "credential", "authorization"];

/// Whether `name` is one that secrets are kept under.
pub fn is_telling(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    TELLING.iter().any(|word| name.contains(word))
}

impl Field {
    fn name(&self) -> &str {
        match self {
            Self::Header(name) => name.as_str(),
            Self::Cookie(name) | Self::Query(name) => name,
        }
    }

    /// The value that counts.
    pub(super) fn of<'h>(&self, head: &Head<'h>) -> Option<&'h [u8]> {
        match self {
            Self::Header(name) => Some(head.headers.get(name)?.as_bytes().trim_ascii()),
            Self::Cookie(name) => subject::cookie(head.headers, name),
            Self::Query(name) => parameter(head.query?, name),
        }
    }
}

/// The first parameter called `name`.
fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q [u8]> {
    let value = query.split('&').find_map(|pair| match pair.strip_prefix(name)? {
        "" => Some(""),
        rest => rest.strip_prefix('='),
    })?;
    Some(value.as_bytes())
}

impl Test {
    /// What `pattern` is found in, anywhere unless it is anchored; linear in the value's length. An error says what is
    /// wrong with it.
    pub fn matching(pattern: &str) -> Result<Self, String> {
        RegexBuilder::new(pattern)
            .size_limit(LARGEST_PROGRAM)
            .dfa_size_limit(LARGEST_CACHE)
            .build()
            .map(Self::Matches)
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => "it is too large once compiled".to_owned(),
                // The last line says it; those before show the expression once more.
                error => error.to_string().lines().last().unwrap_or_default().replace("error: ", ""),
            })
    }

    fn holds(&self, value: &[u8]) -> bool {
        match self {
            Self::Present => true,
            Self::Is(wanted) => value == wanted.as_bytes(),
            Self::Begins(start) => value.starts_with(start.as_bytes()),
            Self::Matches(pattern) => pattern.is_match(value),
        }
    }

    /// True when each value of this is surely one of `other`.
    fn implies(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Present) => true,
            (Self::Is(value), test) => test.holds(value.as_bytes()),
            (Self::Begins(long), Self::Begins(short)) => long.starts_with(&**short),
            (a, b) => a == b,
        }
    }

    /// True when surely no value is both this and `other`.
    fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Is(value), test) | (test, Self::Is(value)) => !test.holds(value.as_bytes()),
            (Self::Begins(a), Self::Begins(b)) => !a.starts_with(&**b) && !b.starts_with(&**a),
            _ => false,
        }
    }

    /// More for what says more: `a.implies(b)`, and not the other way round, means that `a` weighs more.
    fn weight(&self) -> usize {
        match self {
            Self::Present => 1,
            Self::Matches(_) => 2,
            Self::Begins(start) => start.len() + 3,
            Self::Is(_) => 1 << 32,
        }
    }
}

/// How much all of `conditions` say; see [`implies`].
pub(super) fn weight(conditions: &[Condition]) -> usize {
    conditions.iter().map(|condition| condition.test.weight()).sum()
}

/// True when a request for which all that is `known` holds is surely one for which all that is `asked` does.
pub(super) fn implies(known: &[Condition], asked: &[Condition]) -> bool {
    asked
        .iter()
        .all(|asked| known.iter().any(|known| known.field == asked.field && known.test.implies(&asked.test)))
}

/// True when surely no request is one for which all of both hold.
pub(super) fn exclude(ours: &[Condition], theirs: &[Condition]) -> bool {
    ours.iter()
        .any(|our| theirs.iter().any(|their| our.field == their.field && our.test.excludes(&their.test)))
}

impl PartialEq for Test {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Present, Self::Present) => true,
            (Self::Is(a), Self::Is(b)) | (Self::Begins(a), Self::Begins(b)) => a == b,
            (Self::Matches(a), Self::Matches(b)) => a.as_str() == b.as_str(),
            _ => false,
        }
    }
}

impl Eq for Test {}

/// As in `routes.toml`; what is asked of a field that secrets are kept in is not shown.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.test {
            Test::Is(_) | Test::Begins(_) | Test::Matches(_) if is_telling(self.field.name()) => {
                write!(f, "{} = (hidden)", self.field)
            }
            test => write!(f, "{} = {test}", self.field),
        }
    }
}

/// The key in `routes.toml`.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "headers.{name}"),
            Self::Cookie(name) => write!(f, "cookies.{name}"),
            Self::Query(name) => write!(f, "query.{name}"),
        }
    }
}

/// The value in `routes.toml`.
impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present => f.write_str("{ present = true }"),
            Self::Is(value) => write!(f, "{value:?}"),
            Self::Begins(start) => write!(f, "{{ prefix = {start:?} }}"),
            Self::Matches(pattern) => write!(f, "{{ regex = '{pattern}' }}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Method};
    use proptest::{prelude::*, sample::select};

    use super::*;

    fn head<'h>(method: &'h Method, query: Option<&'h str>, headers: &'h HeaderMap) -> Head<'h> {
        Head { method, host: "h", path: "/", query, headers, client: [192, 0, 2, 7].into() }
    }

    #[test]
    fn the_first_value_of_a_name_counts() {
        let headers: HeaderMap = [("x-a", " 1 "), ("x-a", "2"), ("cookie", "b=3; b=4")]
            .into_iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_static(value)))
            .collect();
        let query = Some("ab=0&a=5&a=6&c&d=&e=%31");
        let head = head(&Method::GET, query, &headers);
        for (field, expected) in [
            (Field::Header("x-a".parse().unwrap()), Some("1")),
            (Field::Header("x-b".parse().unwrap()), None),
            (Field::Cookie("b".into()), Some("3")),
            (Field::Query("a".into()), Some("5")),
            (Field::Query("b".into()), None),
            (Field::Query("c".into()), Some("")),
            (Field::Query("d".into()), Some("")),
            (Field::Query("e".into()), Some("%31")),
        ] {
            assert_eq!(field.of(&head), expected.map(str::as_bytes), "{field}");
        }
        assert_eq!(Field::Query("a".into()).of(&Head { query: None, ..head }), None);
    }

    #[test]
    fn an_expression_is_bounded_and_its_mistake_is_told() {
        assert_eq!(
            Test::matching("a{2,1}").unwrap_err(),
            "invalid repetition count range, the start must be <= the end"
        );
        assert_eq!(Test::matching(r"\w{4000}").unwrap_err(), "it is too large once compiled");
        assert!(Test::matching("^v[12]$").unwrap().holds(b"v2"));
        assert!(Test::matching("(?-u)\\xff").unwrap().holds(b"a\xff"), "bytes, not only text");
    }

    fn tests() -> Vec<Test> {
        let text = ["", "a", "b", "aa", "ab", "ba"];
        let mut all = vec![Test::Present];
        all.extend(text.map(|value| Test::Is(value.into())));
        all.extend(text.map(|value| Test::Begins(value.into())));
        all.extend(["a", "^a", "b$", "^$"].map(|pattern| Test::matching(pattern).unwrap()));
        all
    }

    proptest! {
        #[test]
        fn what_is_said_of_two_tests_is_true_of_every_value(
            a in select(tests()), b in select(tests()), value in "[ab]{0,3}",
        ) {
            let (holds_a, holds_b) = (a.holds(value.as_bytes()), b.holds(value.as_bytes()));
            prop_assert!(!a.implies(&b) || !holds_a || holds_b, "{} {} {}", a, b, value);
            prop_assert!(!(a.excludes(&b) && holds_a && holds_b), "{} {} {}", a, b, value);
            prop_assert_eq!(a.excludes(&b), b.excludes(&a));
            prop_assert!(!a.implies(&b) || b.implies(&a) || a.weight() > b.weight(), "{} {}", a, b);
        }
    }
}
