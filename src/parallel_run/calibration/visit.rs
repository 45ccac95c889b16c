//! One walk over one answer of the control.

use std::borrow::Cow;

use super::{
    Learner, Line, MAX_PATHS, ValueClass, class, is_generated_key,
    lines::pieces,
    path::{Path, Seen},
};
use crate::parallel_run::{
    compare::escaped,
    document::{Object, Value},
};

/// Seconds between an answer's `Date` and a time in its body that was made for it.
const MADE_FOR_IT: u64 = 300;
/// The same on the clock of another zone than UTC, where chance would have it more often.
const MADE_IN_A_ZONE: u64 = 10;
/// Zones are a multiple of quarters of an hour from UTC, and at most so far.
const ZONES: i64 = 900;
const FARTHEST_ZONE: i64 = 14 * 3600;

/// One walk over one answer.
pub(super) struct Visit<'a> {
    pub(super) learner: &'a mut Learner,
    pub(super) path: String,
    pub(super) date: Option<i64>,
    /// What the request says.
    pub(super) asked: [Cow<'a, str>; 2],
    pub(super) leaves: usize,
}

impl Visit<'_> {
    pub(super) fn value(&mut self, value: &Value<'_>) {
        match value {
            Value::Object(map) => self.object(map),
            Value::Array(elements) => {
                for element in *elements {
                    self.below("*", element);
                }
            }
            // Absent and null say nothing about the values that do come; shape compares nullness.
            Value::Null => {}
            Value::Bool(_) | Value::Number(_) => self.leaf(value),
            Value::String(text) => {
                self.leaf(value);
                if ValueClass::of_text(text).is_none() && !Line::of(text).is_bare() {
                    self.text(text);
                }
            }
        }
    }

    fn object(&mut self, map: &Object<'_>) {
        for (key, value) in map.iter() {
            if !is_generated_key(key) {
                self.below(&escaped(key), value);
                continue;
            }
            if self.learner.keys.len() < MAX_PATHS || self.learner.keys.contains_key(&self.path) {
                let exchange = self.learner.exchanges;
                self.learner.keys.entry(self.path.clone()).or_default().see(|| key.to_owned(), exchange);
            }
            self.below("*", value);
        }
    }

    fn below(&mut self, step: &str, value: &Value<'_>) {
        let length = self.path.len();
        self.path.push('/');
        self.path.push_str(step);
        self.value(value);
        self.path.truncate(length);
    }

    /// The words of a text, below the path at which it stands.
    pub(super) fn text(&mut self, text: &str) {
        let within = std::mem::take(&mut self.path);
        // Texts of a document that are never the same twice leave room for its members.
        let most = if within.is_empty() { MAX_PATHS } else { MAX_PATHS / 2 };
        for piece in text.lines().flat_map(pieces) {
            for (path, word) in Line::of(piece).words(&within) {
                if self.learner.paths.len() < most || self.learner.paths.contains_key(&path) {
                    self.path = path;
                    self.leaf(&word.into());
                }
            }
        }
        self.path = within;
    }

    fn leaf(&mut self, value: &Value<'_>) {
        let Some(left) = self.leaves.checked_sub(1) else { return };
        self.leaves = left;
        let Learner { exchanges, paths, .. } = &mut *self.learner;
        if !paths.contains_key(&self.path) {
            if paths.len() >= MAX_PATHS {
                return;
            }
            paths.insert(self.path.clone(), Path::unseen());
        }
        let Some(path) = paths.get_mut(&self.path) else { return };
        path.texts = path.texts.and(value);
        path.length = path.length.and(value);
        let fine = ValueClass::of_near_time(value, self.date);
        let is_now =
            |off: i64| off.unsigned_abs() <= MADE_FOR_IT || value.as_str().is_some() && is_a_zones(off);
        let near = |date| fine.is_some() || class::seconds(value).is_some_and(|time| is_now(time - date));
        path.made_for_it = path.made_for_it && self.date.is_some_and(near);
        path.whole =
            path.whole && matches!(value, Value::Number(number) if number.is_i64() || number.is_u64());
        let class = ValueClass::of(value).inspect(|_| path.telling += 1).or_else(|| {
            let class = ValueClass::of_letters(value);
            path.of_letters += u32::from(class.is_some());
            class
        });
        path.counted.see(value, *exchanges);
        let class = fine.or(class).filter(|class| class.is_time() || !says(&self.asked, value));
        path.class = match (std::mem::take(&mut path.class), class) {
            (Seen::Nothing, Some(class)) => Seen::Shared(class),
            (Seen::Shared(shared), Some(class)) => shared.join(class).map_or(Seen::Mixed, Seen::Shared),
            (Seen::Mixed, _) | (_, None) => Seen::Mixed,
        };
        // Of other values nothing can be said, whether they come back or not.
        if path.class != Seen::Mixed || path.whole || path.counted.is_one() {
            path.values.see(|| value.to_string(), *exchanges);
        }
    }
}

/// Whether the request said it before its answer: an order's name in the answer to who asks for the order is not made up.
fn says(asked: &[Cow<'_, str>], value: &Value<'_>) -> bool {
    let said = |text: &str| asked.iter().any(|asked| asked.contains(text));
    match value {
        Value::String(text) => said(text),
        Value::Number(number) => said(&number.to_string()),
        _ => false,
    }
}

/// Whether a clock that is so far `off` may be another zone's: most texts do not say whose time they tell.
fn is_a_zones(off: i64) -> bool {
    let zone = (off + ZONES / 2).div_euclid(ZONES) * ZONES;
    zone.abs() <= FARTHEST_ZONE && (off - zone).unsigned_abs() <= MADE_IN_A_ZONE
}
