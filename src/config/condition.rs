//! `headers`, `cookies` and `query` of a route: what a request has to carry to be taken.

use http::HeaderName;
use serde_json::{Value, json};
use toml::de::DeValue;

use super::kind::{Item, Kind, Wrong, cannot_be, nearest};
use crate::routing::condition::{Condition, Field, Test};

/// A table of names, each with what its value has to be.
pub(super) struct Conditions(fn(&str) -> Result<Field, String>);

/// The keys of a condition that is more than a value.
const KEYS: [&str; 3] = ["prefix", "regex", "present"];

impl Conditions {
    pub(super) const HEADERS: Self = Self(|name| {
        let header: HeaderName = name.parse().map_err(|_| format!("\"{name}\" is no header's name"))?;
        match header {
            http::header::HOST => Err("what the `Host` has to be is written as `host`".to_owned()),
            http::header::COOKIE => Err("cookies are asked for by their names, in `cookies`".to_owned()),
            header => Ok(Field::Header(header)),
        }
    });
    /// A cookie's name is a token, as a header's is (RFC 6265, 4.1.1).
    pub(super) const COOKIES: Self = Self(|name| match name.parse::<HeaderName>() {
        Ok(_) => Ok(Field::Cookie(name.into())),
        Err(_) => Err(format!("\"{name}\" is no cookie's name")),
    });
    pub(super) const QUERY: Self = Self(|name| match as_sent(name) {
        Ok(()) if !name.is_empty() && !name.contains(['=', '&', '#']) => Ok(Field::Query(name.into())),
        _ => Err(format!("\"{name}\" is no parameter's name as clients send it, percent-encoded")),
    });
}

impl Kind for Conditions {
    type Value = Vec<Condition>;

    fn expects(&self) -> String {
        "a table such as { NAME = \"value\" }, or in place of the value { prefix = \"v\" }, { regex = \"^v\" } or \
         { present = true }"
            .to_owned()
    }

    fn read(&self, item: &Item<'_>) -> Result<Vec<Condition>, Vec<Wrong>> {
        let table = item.get_ref().as_table().ok_or_else(|| vec![Wrong::type_of(item)])?;
        let (mut conditions, mut wrongs) = (Vec::<Condition>::with_capacity(table.len()), Vec::new());
        for (name, value) in table {
            let at_name = |because: String| Wrong {
                span: name.span(),
                what: format!("cannot be: {because}"),
                meant: None,
            };
            match (self.0(name.get_ref()).map_err(at_name), test(value)) {
                (Ok(field), Ok(_)) if conditions.iter().any(|known| known.field == field) => {
                    wrongs.push(at_name(format!("{} is asked for twice", name.get_ref())));
                }
                (Ok(Field::Query(_)), Ok(Test::Is(text) | Test::Begins(text))) if as_sent(&text).is_err() => {
                    let because =
                        format!("{}: a query is compared as it is sent, percent-encoded", cannot_be(&text));
                    wrongs.push(Wrong::new(value, because));
                }
                (Ok(field), Ok(test)) => conditions.push(Condition { field, test }),
                (field, test) => wrongs.extend(field.err().into_iter().chain(test.err())),
            }
        }
        if wrongs.is_empty() { Ok(conditions) } else { Err(wrongs) }
    }

    fn schema(&self) -> Value {
        let one = |key: &str, value: Value| json!({ "type": "object", "properties": { key: value }, "required": [key], "additionalProperties": false });
        let text = || json!({ "type": "string" });
        let tests = [
            text(),
            one("prefix", text()),
            one("regex", json!({ "type": "string", "format": "regex" })),
            one("present", json!({ "const": true })),
        ];
        json!({ "type": "object", "additionalProperties": { "anyOf": tests } })
    }
}

/// What a value has to be.
fn test(item: &Item<'_>) -> Result<Test, Wrong> {
    let table = match item.get_ref() {
        DeValue::String(text) => return Ok(Test::Is(text.as_ref().into())),
        DeValue::Table(table) => table,
        _ => return Err(Wrong::type_of(item)),
    };
    let mut entries = table.iter();
    let (Some((key, value)), None) = (entries.next(), entries.next()) else {
        return Err(Wrong::new(item, "has to ask for one thing"));
    };
    let text = value.get_ref().as_str().ok_or_else(|| Wrong::type_of(value));
    match &**key.get_ref() {
        "prefix" => text.map(|text| Test::Begins(text.into())),
        "regex" => Test::matching(text?)
            .map_err(|error| Wrong::new(value, format!("cannot be searched for: {error}"))),
        "present" => match value.get_ref().as_bool() {
            Some(true) => Ok(Test::Present),
            Some(false) => {
                Err(Wrong::new(value, "cannot be false: leave it out for a value that may be absent"))
            }
            None => Err(Wrong::type_of(value)),
        },
        other => {
            let meant = nearest(other, KEYS);
            Err(Wrong { span: key.span(), what: format!("has no key \"{other}\""), meant })
        }
    }
}

/// Whether `text` can stand in a query as clients send it.
fn as_sent(text: &str) -> Result<(), ()> {
    if text.bytes().all(|byte| byte.is_ascii_graphic()) { Ok(()) } else { Err(()) }
}
