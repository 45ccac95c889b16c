//! Learns, from the control alone, which paths of an answer are made up anew each time.
//!
//! A path is *noisy* where its values over different exchanges never recur and share a class, or where the control,
//! asked again, answered otherwise to two different requests: it is compared by shape, never ignored. Every other path
//! must be equal. Nothing here is ever a trial.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use http::header;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    answer::Answer,
    compare::{document, escaped, is_reordered, text},
    document::{Object, Value},
};

pub mod class;
mod lines;

pub(crate) use self::lines::Line;
pub use class::ValueClass;

/// Path templates that are remembered; what comes later must be equal.
const MAX_PATHS: usize = 2_000;
/// Values remembered of one path.
const MAX_VALUES: usize = 256;
/// Keys remembered of one object, and leaves looked at in one answer.
const MAX_LEAVES: usize = 20_000;
/// Seconds between an answer's `Date` and a time in its body that was made for it.
const MADE_FOR_IT: u64 = 300;
/// The same on the clock of another zone than UTC, where chance would have it more often.
const MADE_IN_A_ZONE: u64 = 10;
/// Zones are a multiple of quarters of an hour from UTC, and at most so far.
const ZONES: i64 = 900;
const FARTHEST_ZONE: i64 = 14 * 3600;

/// Requests whose repeats must disagree at a path before the path is noisy: one may be a chance.
const DISAGREEING: u32 = 2;

/// What calibration decided about each path template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStates {
    /// Compared by shape, with the class that the control's values share, if they share one; all others by value.
    pub shapes: BTreeMap<String, Option<ValueClass>>,
    /// Objects whose generated keys never recurred: such a key is `*`.
    pub dynamic: BTreeSet<String>,
    /// Requests for which the control was asked twice.
    #[serde(default)]
    pub repeats: u32,
    /// Of these, how many disagreed at each path.
    #[serde(default)]
    pub disagreed: BTreeMap<String, u32>,
    /// Whole numbers that never recurred: each is counted on, as an order's number is.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub numbers: BTreeSet<String>,
}

/// Sees control answers one at a time; what it holds is bounded, and can be kept as JSON.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Learner {
    exchanges: u32,
    paths: BTreeMap<String, Path>,
    keys: BTreeMap<String, Values>,
    #[serde(default)]
    repeats: u32,
    /// Lists that the control, asked again, gave in another order or of another length, and how often.
    #[serde(default)]
    lists: BTreeMap<String, u32>,
}

/// What was seen at one path template.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Path {
    values: Values,
    class: Seen,
    /// Values that have a class by their looks, and such as are letters alone.
    #[serde(default)]
    telling: u32,
    #[serde(default)]
    of_letters: u32,
    /// Every value so far was a whole number.
    #[serde(default)]
    whole: bool,
    #[serde(default)]
    texts: Texts,
    /// Every time so far was near its answer's `Date`.
    made_for_it: bool,
    /// Requests to which the control, asked again, gave another value.
    #[serde(default)]
    disagreed: u32,
}

/// What all values are, if they are texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
enum Texts {
    Words,
    Filled,
    #[default]
    Any,
}

impl Texts {
    fn and(self, value: &Value<'_>) -> Self {
        match (self, value.as_str()) {
            (Self::Words, Some(text)) if class::is_word(text) => Self::Words,
            (Self::Words | Self::Filled, Some(text)) if !text.trim().is_empty() => Self::Filled,
            _ => Self::Any,
        }
    }

    fn class(self) -> Option<ValueClass> {
        match self {
            Self::Words => Some(ValueClass::Word),
            Self::Filled => Some(ValueClass::Filled),
            Self::Any => None,
        }
    }
}

/// The class that all values share.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
enum Seen {
    #[default]
    Nothing,
    Shared(ValueClass),
    Mixed,
}

/// Which values were seen, by hash, and whether one came back in a later exchange.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Values {
    first_seen: BTreeMap<u64, u32>,
    exchanges: u32,
    last: u32,
    recurred: bool,
}

impl Values {
    fn see(&mut self, value: impl FnOnce() -> String, exchange: u32) {
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

    fn vary(&self) -> bool {
        self.exchanges >= 2 && !self.recurred
    }
}

impl PathStates {
    /// Whether two values agree at a path that is compared by shape; `None` where it is not.
    pub(crate) fn agree(&self, path: &str, control: &Value<'_>, candidate: &Value<'_>) -> Option<bool> {
        // The control may contradict itself in no way that has a name.
        let Some(learned) = self.shapes.get(path)? else { return Some(true) };
        let alike = class::alike(control, candidate);
        Some(match (learned.admits_value(control), learned.admits_value(candidate)) {
            (true, true) => learned.is_of_one_exchange(control, candidate),
            (false, true) => alike || !learned.is_time(),
            // Only where the control itself is not what was learned of it, its looks are all there is.
            (false, false) => alike,
            (true, false) => false,
        })
    }
}

impl Learner {
    /// How many answers it has seen.
    pub fn exchanges(&self) -> u32 {
        self.exchanges
    }

    /// Adds one control answer.
    pub fn observe(&mut self, answer: &Answer) {
        self.exchanges += 1;
        let date = answer.headers.get(header::DATE).and_then(|date| date.to_str().ok());
        let mut visit = Visit {
            date: date.and_then(class::seconds_of_text),
            leaves: MAX_LEAVES,
            path: String::new(),
            learner: self,
        };
        if let Some(body) = document(answer) {
            visit.value(&body);
        } else if let Some(text) = text(answer) {
            text.lines().for_each(|line| visit.line(line));
        }
    }

    /// Adds what the control answered when it was asked the same again, right after [`observe`](Self::observe).
    pub fn repeated(&mut self, first: &Answer, again: &Answer) {
        self.repeats += 1;
        let (Some(first), Some(again)) = (document(first), document(again)) else { return };
        let (mut ours, mut theirs) = (HashMap::new(), HashMap::new());
        leaves(&first, &mut String::new(), &mut ours);
        leaves(&again, &mut String::new(), &mut theirs);
        for (path, values) in ours {
            if let Some(seen) = self.paths.get_mut(&path)
                && theirs.get(&path).is_some_and(|others| *others != values)
            {
                seen.disagreed += 1;
            }
        }
        let mut unlike = BTreeSet::new();
        unlike_lists(&first, &again, &mut String::new(), &mut unlike);
        for path in unlike {
            *self.lists.entry(path).or_default() += 1;
        }
    }

    /// What it has learned, from now on the same.
    pub fn freeze(&self) -> PathStates {
        let contradicts_itself = |disagreed: u32| disagreed >= DISAGREEING;
        let shape = |path: &Path| -> Option<Option<ValueClass>> {
            let class = match &path.class {
                Seen::Shared(class) if path.telling >= path.of_letters => Some(class.clone()),
                Seen::Shared(_) | Seen::Nothing | Seen::Mixed => None,
            };
            // Two answers of one second tell the same time.
            let tells_its_time = path.made_for_it && path.values.exchanges >= 2;
            let is_made_up =
                class.as_ref().is_some_and(|class| path.values.vary() || class.is_time() && tells_its_time);
            let class = class.or_else(|| path.texts.class());
            (contradicts_itself(path.disagreed) || is_made_up).then_some(class)
        };
        let made_up = self.paths.iter().filter_map(|(path, seen)| Some((path.clone(), shape(seen)?)));
        let lists = self.lists.iter().filter(|(_, disagreed)| contradicts_itself(**disagreed));
        let disagreed = self.paths.iter().map(|(path, seen)| (path, seen.disagreed));
        let disagreed = disagreed.chain(self.lists.iter().map(|(path, disagreed)| (path, *disagreed)));
        let numbers = self.paths.iter().filter(|(_, seen)| seen.whole && seen.values.vary());
        PathStates {
            shapes: made_up.chain(lists.map(|(path, _)| (path.clone(), None))).collect(),
            dynamic: self.keys.iter().filter(|(_, keys)| keys.vary()).map(|(path, _)| path.clone()).collect(),
            repeats: self.repeats,
            disagreed: disagreed.filter(|(_, n)| *n > 0).map(|(path, n)| (path.clone(), n)).collect(),
            numbers: numbers.map(|(path, _)| path.clone()).collect(),
        }
    }
}

/// All values of each path template, in their order.
fn leaves<'v>(value: &'v Value<'v>, path: &mut String, found: &mut HashMap<String, Vec<&'v Value<'v>>>) {
    let mut below = |step: &str, value: &'v Value<'v>| {
        let length = path.len();
        path.push('/');
        path.push_str(step);
        leaves(value, path, found);
        path.truncate(length);
    };
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter() {
                below(&template_step(key), value);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| below("*", element)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            if found.len() < MAX_PATHS || found.contains_key(path) {
                found.entry(path.clone()).or_default().push(value);
            }
        }
    }
}

/// The templates of those lists that are longer, or in another order, in one of two answers to the same request.
fn unlike_lists(first: &Value<'_>, again: &Value<'_>, path: &mut String, found: &mut BTreeSet<String>) {
    let mut below = |step: &str, first: &Value<'_>, again: &Value<'_>| {
        let length = path.len();
        path.push('/');
        path.push_str(step);
        unlike_lists(first, again, path, found);
        path.truncate(length);
    };
    match (first, again) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for (key, ours) in ours.iter() {
                if let Some(theirs) = theirs.get(key) {
                    below(&template_step(key), ours, theirs);
                }
            }
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.iter().zip(theirs).for_each(|(ours, theirs)| below("*", ours, theirs));
            if found.len() < MAX_PATHS && (ours.len() != theirs.len() || is_reordered(ours, theirs)) {
                found.insert(path.clone());
            }
        }
        _ => {}
    }
}

/// A key as a step of the templates under which is learned.
pub(crate) fn template_step(key: &str) -> Cow<'_, str> {
    if is_generated_key(key) { "*".into() } else { escaped(key) }
}

/// One walk over one answer.
struct Visit<'a> {
    learner: &'a mut Learner,
    path: String,
    date: Option<i64>,
    leaves: usize,
}

impl Visit<'_> {
    fn value(&mut self, value: &Value<'_>) {
        match value {
            Value::Object(map) => self.object(map),
            Value::Array(elements) => {
                for element in elements {
                    self.below("*", element);
                }
            }
            // Absent and null say nothing about the values that do come; shape compares nullness.
            Value::Null => {}
            Value::Bool(_) | Value::Number(_) | Value::String(_) => self.leaf(value),
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

    fn line(&mut self, line: &str) {
        for (path, word) in Line::of(line.trim_end()).words() {
            self.path = path;
            self.leaf(&word.into());
        }
    }

    fn leaf(&mut self, value: &Value<'_>) {
        let Some(left) = self.leaves.checked_sub(1) else { return };
        self.leaves = left;
        let Learner { exchanges, paths, .. } = &mut *self.learner;
        if !paths.contains_key(&self.path) {
            if paths.len() >= MAX_PATHS {
                return;
            }
            let path = Path { made_for_it: true, whole: true, texts: Texts::Words, ..Path::default() };
            paths.insert(self.path.clone(), path);
        }
        let Some(path) = paths.get_mut(&self.path) else { return };
        path.texts = path.texts.and(value);
        let fine = ValueClass::of_fine_time(value, self.date);
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
        let class = class.or(fine);
        path.class = match (std::mem::take(&mut path.class), class) {
            (Seen::Nothing, Some(class)) => Seen::Shared(class),
            (Seen::Shared(shared), Some(class)) => shared.join(class).map_or(Seen::Mixed, Seen::Shared),
            (Seen::Mixed, _) | (_, None) => Seen::Mixed,
        };
        // Of other values nothing can be said, whether they come back or not.
        if path.class != Seen::Mixed || path.whole {
            path.values.see(|| value.to_string(), *exchanges);
        }
    }
}

/// Whether a clock that is so far `off` may be another zone's: most texts do not say whose time they tell.
fn is_a_zones(off: i64) -> bool {
    let zone = (off + ZONES / 2).div_euclid(ZONES) * ZONES;
    zone.abs() <= FARTHEST_ZONE && (off - zone).unsigned_abs() <= MADE_IN_A_ZONE
}

/// Whether a key looks made up, so that it may be dynamic.
pub(crate) fn is_generated_key(key: &str) -> bool {
    match ValueClass::of_text(key) {
        Some(ValueClass::GeneratedName(extension)) => extension.is_some(),
        Some(_) => true,
        None => false,
    }
}

fn short_hash(value: &[u8]) -> u64 {
    let digest = Sha256::digest(value);
    digest.iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}
