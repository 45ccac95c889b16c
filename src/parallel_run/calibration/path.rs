//! What was seen at one path template: which values, of what class, and whether they came back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ValueClass, class, lines::outline_of, short_hash};
use crate::parallel_run::document::Value;

/// Values remembered of one path.
const MAX_VALUES: usize = 256;

/// What was seen at one path template.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Path {
    pub(super) values: Values,
    pub(super) class: Seen,
    /// Values that have a class by their looks, and such as are letters alone.
    #[serde(default)]
    pub(super) telling: u32,
    #[serde(default)]
    pub(super) of_letters: u32,
    /// Every value so far was a whole number.
    #[serde(default)]
    pub(super) whole: bool,
    #[serde(default)]
    pub(super) texts: Texts,
    #[serde(default)]
    pub(super) length: Length,
    #[serde(default)]
    pub(super) counted: Counted,
    /// Every time so far was near its answer's `Date`.
    pub(super) made_for_it: bool,
    /// Requests to which the control, asked again, gave another value.
    #[serde(default)]
    pub(super) disagreed: u32,
}

/// Whether what is seen counts on, as the number of an order does, one in each exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Counted {
    last: u64,
    exchange: u32,
    ups: u32,
    downs: u32,
    is_broken: bool,
}

impl Path {
    /// Nothing seen yet, so that nothing speaks against anything.
    pub(super) fn unseen() -> Self {
        Self { made_for_it: true, whole: true, texts: Texts::Unseen, ..Self::default() }
    }
}

impl Counted {
    /// So many must be greater than the one before.
    const ENOUGH: u32 = 12;

    pub(super) fn see(&mut self, value: &Value<'_>, exchange: u32) {
        let Some(count) = class::count(value).filter(|_| self.exchange != exchange) else {
            self.is_broken = true;
            return;
        };
        if self.last > 0 {
            self.ups += u32::from(count > self.last);
            self.downs += u32::from(count <= self.last);
        }
        (self.last, self.exchange) = (count, exchange);
    }

    /// While it may still be one.
    pub(super) fn is_one(&self) -> bool {
        !self.is_broken
    }

    /// Answers that overtake each other are seen in another order than they were counted in.
    pub(super) fn class(&self) -> Option<ValueClass> {
        let counts = self.is_one() && self.ups >= Self::ENOUGH && self.downs <= self.ups / 4;
        counts.then_some(ValueClass::Counter)
    }
}

/// How long all values are, if they are texts of one length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) enum Length {
    #[default]
    Unseen,
    One(usize),
    Many,
}

impl Length {
    pub(super) fn and(self, value: &Value<'_>) -> Self {
        match (self, value.as_str()) {
            (Self::Unseen, Some(text)) => Self::One(text.len()),
            (Self::One(length), Some(text)) if text.len() == length => self,
            _ => Self::Many,
        }
    }
}

/// What all values are, if they are texts: the first of these that holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) enum Texts {
    /// None was seen.
    Unseen,
    /// Of one outline.
    Outlined {
        outline: u64,
        is_word: bool,
    },
    Words,
    Filled,
    #[default]
    Any,
}

impl Texts {
    pub(super) fn and(self, value: &Value<'_>) -> Self {
        let Some(text) = value.as_str().filter(|text| !text.trim().is_empty()) else { return Self::Any };
        let is_a_word = class::is_word(text);
        match self {
            Self::Unseen => Self::Outlined { outline: outline_of(text), is_word: is_a_word },
            Self::Outlined { outline, is_word } if outline == outline_of(text) => {
                Self::Outlined { outline, is_word: is_word && is_a_word }
            }
            Self::Words | Self::Outlined { is_word: true, .. } if is_a_word => Self::Words,
            Self::Words | Self::Filled | Self::Outlined { .. } => Self::Filled,
            Self::Any => Self::Any,
        }
    }

    pub(super) fn class(self) -> Option<ValueClass> {
        match self {
            Self::Outlined { outline, .. } => Some(ValueClass::Outline(outline)),
            Self::Words => Some(ValueClass::Word),
            Self::Filled => Some(ValueClass::Filled),
            Self::Unseen | Self::Any => None,
        }
    }
}

/// The class that all values share.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) enum Seen {
    #[default]
    Nothing,
    Shared(ValueClass),
    Mixed,
}

/// Which values were seen, by hash, and whether one came back in a later exchange.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Values {
    first_seen: BTreeMap<u64, u32>,
    pub(super) exchanges: u32,
    last: u32,
    recurred: bool,
}

impl Values {
    pub(super) fn see(&mut self, value: impl FnOnce() -> String, exchange: u32) {
        if self.last != exchange {
            self.last = exchange;
            self.exchanges += 1;
        }
        // What came back once is not made up anew: nothing more is learned from it.
        if self.recurred {
            return;
        }
        let hash = short_hash(value().as_bytes());
        match self.first_seen.get(&hash) {
            Some(first) => self.recurred |= *first != exchange,
            None if self.first_seen.len() < MAX_VALUES => {
                self.first_seen.insert(hash, exchange);
            }
            None => {}
        }
    }

    pub(super) fn vary(&self) -> bool {
        self.exchanges >= 2 && !self.recurred
    }
}
