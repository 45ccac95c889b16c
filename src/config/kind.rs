//! The kinds of values that keys take: what a person has to write, and what it becomes.

mod text;

use std::{
    fmt::Display,
    ops::{Range, RangeInclusive},
};

use serde_json::{Value, json};
use toml::{Spanned, de::DeValue};

pub(super) use self::text::{
    ADDRESS, DURATION, FILE, HEADER, HOST, LEVEL, METHOD, NAME, NETWORK, PATTERN, POINTER, SIZE, SUBJECT,
    Text, WEB_PATH, WORDS,
};

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

    /// JSON Schema of what a person may write.
    fn schema(&self) -> Value;

    /// `value` as a person writes it; none for kinds whose values are never defaults.
    fn written(&self, _value: &Self::Value) -> Option<Value> {
        None
    }
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

/// The plainest complaint.
pub(super) fn cannot_be(text: &str) -> String {
    format!("cannot be \"{text}\"")
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

    fn schema(&self) -> Value {
        json!({ "type": "boolean" })
    }

    fn written(&self, value: &bool) -> Option<Value> {
        Some((*value).into())
    }
}

/// A day of the calendar, written without quotes.
pub(super) struct Day;

impl Kind for Day {
    type Value = jiff::civil::Date;

    fn expects(&self) -> String {
        "a date such as 2026-12-31, without quotes".to_owned()
    }

    fn read(&self, item: &Item<'_>) -> Result<jiff::civil::Date, Vec<Wrong>> {
        let DeValue::Datetime(when) = item.get_ref() else { return Err(vec![Wrong::type_of(item)]) };
        when.to_string().parse().map_err(|_| vec![Wrong::new(item, "is no day of the calendar")])
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "format": "date" })
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

    fn schema(&self) -> Value {
        json!({ "type": "integer", "minimum": self.written(self.0.start()), "maximum": self.written(self.0.end()) })
    }

    fn written(&self, value: &T) -> Option<Value> {
        value.to_string().parse().ok()
    }
}

/// A number within bounds.
pub(super) struct Number(pub(super) RangeInclusive<f64>);

impl Kind for Number {
    type Value = f64;

    fn expects(&self) -> String {
        if *self.0.end() < f64::MAX {
            format!("a number from {} to {}", self.0.start(), self.0.end())
        } else {
            format!("a number from {} on", self.0.start())
        }
    }

    fn read(&self, item: &Item<'_>) -> Result<f64, Vec<Wrong>> {
        let number = number(item.get_ref()).ok_or_else(|| vec![Wrong::type_of(item)])?;
        if self.0.contains(&number) {
            Ok(number)
        } else {
            Err(vec![Wrong::new(item, format!("cannot be {number}"))])
        }
    }

    fn schema(&self) -> Value {
        json!({ "type": "number", "minimum": self.0.start(), "maximum": self.0.end() })
    }

    fn written(&self, value: &f64) -> Option<Value> {
        Some((*value).into())
    }
}

/// One of a few words.
pub(super) struct Choice<T: 'static>(pub(super) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Kind for Choice<T> {
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

    fn schema(&self) -> Value {
        json!({ "enum": self.0.iter().map(|(word, _)| *word).collect::<Vec<_>>() })
    }

    fn written(&self, value: &T) -> Option<Value> {
        self.0.iter().find(|(_, meaning)| meaning == value).map(|(word, _)| (*word).into())
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

    fn schema(&self) -> Value {
        json!({ "anyOf": [self.0.schema(), { "const": "off" }] })
    }

    fn written(&self, value: &Self::Value) -> Option<Value> {
        value.as_ref().map_or_else(|| Some("off".into()), |value| self.0.written(value))
    }
}

/// Another kind, or `"forever"`.
pub(super) struct OrForever<K>(pub(super) K);

impl<K: Kind> Kind for OrForever<K> {
    type Value = Option<K::Value>;

    fn expects(&self) -> String {
        format!("{} or \"forever\"", self.0.expects())
    }

    fn read(&self, item: &Item<'_>) -> Result<Self::Value, Vec<Wrong>> {
        if item.get_ref().as_str() == Some("forever") { Ok(None) } else { self.0.read(item).map(Some) }
    }

    fn schema(&self) -> Value {
        json!({ "anyOf": [self.0.schema(), { "const": "forever" }] })
    }

    fn written(&self, value: &Self::Value) -> Option<Value> {
        value.as_ref().map_or_else(|| Some("forever".into()), |value| self.0.written(value))
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

    fn schema(&self) -> Value {
        json!({ "type": "array", "items": self.0.schema() })
    }

    fn written(&self, value: &Self::Value) -> Option<Value> {
        value.iter().map(|element| self.0.written(element)).collect()
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

    fn schema(&self) -> Value {
        json!({ "anyOf": [self.0.schema(), { "type": "array", "items": self.0.schema(), "minItems": 1 }] })
    }

    fn written(&self, value: &Self::Value) -> Option<Value> {
        List(&self.0).written(value)
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

    fn schema(&self) -> Value {
        (*self).schema()
    }

    fn written(&self, value: &Self::Value) -> Option<Value> {
        (*self).written(value)
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
