//! What `routes.toml` may hold one day and this version does not do. It is refused by name, never silently ignored;
//! a key written at its default is accepted. Doing one of these things begins with taking its line out of here.

use toml::de::DeValue;

use super::kind::{Item, number};

/// How a key is ahead of its time.
pub(super) enum Later {
    /// Any value but this one, in TOML.
    But(&'static str),
    /// This text.
    Value(&'static str),
}

use Later::{But, Value};

/// By the path of a key; `*` stands for a name that the operator chose.
const LATER: &[(&str, Later)] = &[("log.otlp", But("'off'")), ("route.mode", Value("learn"))];

/// Why the value of a key is refused, if it is.
pub(super) struct NotYet {
    /// What is not in this version.
    pub(super) what: String,
    /// What can stand there instead.
    pub(super) instead: Option<String>,
}

/// Whether this version does what `value` asks for under `key`, at `path`.
pub(super) fn refusal(path: &str, key: &str, value: &Item<'_>) -> Option<NotYet> {
    let text = value.get_ref().as_str();
    entries(path).find_map(|later| {
        let (what, instead) = match *later {
            But(default) if is(value, default) => return None,
            But(default) => (
                format!("`{key}`"),
                Some(format!("leave it out, or at its default: {key} = {}", default.replace('\'', "\""))),
            ),
            Value(refused) if text == Some(refused) => (format!("`{key} = \"{refused}\"`"), None),
            Value(_) => return None,
        };
        Some(NotYet { what, instead })
    })
}

/// The paths of all keys that may only stand at their defaults, and these in TOML.
pub(super) fn held() -> impl Iterator<Item = (&'static str, &'static str)> {
    LATER.iter().filter_map(|(path, later)| match later {
        But(default) => Some((*path, *default)),
        Value(_) => None,
    })
}

/// True when `path` is a key of the contract that this version does not read.
pub(super) fn knows(path: &str) -> bool {
    entries(path).next().is_some()
}

/// The keys of the contract right below `path` that this version does not read.
pub(super) fn keys_below(path: &str) -> impl Iterator<Item = &'static str> {
    LATER.iter().filter_map(move |(entry, _)| {
        let below = if path.is_empty() { entry } else { entry.strip_prefix(path)?.strip_prefix('.')? };
        below.split('.').next()
    })
}

fn entries(path: &str) -> impl Iterator<Item = &'static Later> {
    LATER.iter().filter(move |(entry, _)| *entry == path).map(|(_, later)| later)
}

/// Whether `value` is what `toml` says.
fn is(value: &Item<'_>, toml: &str) -> bool {
    DeValue::parse(toml).is_ok_and(|expected| same(value.get_ref(), expected.get_ref()))
}

fn same(a: &DeValue<'_>, b: &DeValue<'_>) -> bool {
    match (a, b) {
        (DeValue::Array(a), DeValue::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| same(a.get_ref(), b.get_ref()))
        }
        (DeValue::Table(a), DeValue::Table(b)) => {
            a.len() == b.len()
                && a.iter().zip(b.iter()).all(|((key, a), (other, b))| {
                    key.get_ref() == other.get_ref() && same(a.get_ref(), b.get_ref())
                })
        }
        (DeValue::String(a), DeValue::String(b)) => a == b,
        (DeValue::Boolean(a), DeValue::Boolean(b)) => a == b,
        _ => match (number(a), number(b)) {
            (Some(a), Some(b)) => a.total_cmp(&b).is_eq(),
            _ => false,
        },
    }
}
