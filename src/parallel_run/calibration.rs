//! Learns, from the control alone, which paths of an answer are made up anew each time.
//!
//! A path is *noisy* where its values over different exchanges never recur and share a class, or where the control,
//! asked again, answered otherwise to two different requests: it is compared by shape, never ignored. Every other path
//! must be equal. Nothing here is ever a trial.

use std::{
    borrow::{Borrow, Cow},
    collections::{BTreeMap, BTreeSet, HashMap},
};

use bumpalo::Bump;
use http::header;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use self::{
    path::{Length, Path, Seen, Values},
    repeat::{Unlike, leaves, unlike_lists, words},
    visit::Visit,
};
use super::{
    answer::Answer,
    compare::{document, escaped, status, text},
    comparison::Outcome,
    document::Value,
};

pub mod class;
mod lines;
mod path;
mod repeat;
mod visit;

pub(crate) use self::lines::Line;
pub use class::ValueClass;

/// Path templates that are remembered; what comes later must be equal.
const MAX_PATHS: usize = 2_000;
/// Keys remembered of one object, and leaves looked at in one answer.
const MAX_LEAVES: usize = 20_000;

/// Bytes of a request's body in which is looked for what its answer says.
const MAX_ASKED: usize = 16 << 10;
/// Requests whose repeats must disagree at a path before the path is noisy: one may be a chance.
const DISAGREEING: u32 = 2;

/// What calibration decided about each path template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStates {
    /// Compared by shape, with the class that the control's values share, if they share one; all others by value.
    pub shapes: BTreeMap<String, Option<ValueClass>>,
    /// How long each of these was, where it was always of one length and its class says nothing of that.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lengths: BTreeMap<String, usize>,
    /// Lists without an order of which the control, asked again, gave more or less.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub longer: BTreeSet<String>,
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
    /// Of them, those in which it refused nothing.
    #[serde(default)]
    taught: u32,
    paths: BTreeMap<String, Path>,
    keys: BTreeMap<String, Values>,
    #[serde(default)]
    repeats: u32,
    /// Lists that the control, asked again, gave in another order or of another length, and how often.
    #[serde(default)]
    lists: BTreeMap<String, u32>,
    /// Those of them that were ever of another length.
    #[serde(default)]
    longer: BTreeSet<String>,
}

impl PathStates {
    /// Whether two values agree at a path that is compared by shape; `None` where it is not.
    pub(crate) fn agree(&self, path: &str, control: &Value<'_>, candidate: &Value<'_>) -> Option<bool> {
        // The control may contradict itself in no way that has a name.
        let Some(learned) = self.shapes.get(path)? else { return Some(true) };
        let alike = || class::alike(control, candidate);
        Some(match (learned.admits_value(control), learned.admits_value(candidate)) {
            (true, true) => {
                let lacks = |value| self.lengths.get(path).is_some_and(|length| !is_about(*length, value));
                learned.is_of_one_exchange(control, candidate) && (lacks(control) || !lacks(candidate))
            }
            (false, true) => alike() || !learned.is_time(),
            // Only where the control itself is not what was learned of it, its looks are all there is.
            (false, false) => alike(),
            (true, false) => false,
        })
    }
}

impl Learner {
    /// How many answers it has seen that are no refusals: what varies in these says nothing of the others.
    pub fn taught(&self) -> u32 {
        self.taught
    }

    /// Adds one control answer.
    pub fn observe(&mut self, answer: &Answer) {
        self.exchanges += 1;
        self.taught += u32::from(status::outcome(answer.status) == Outcome::Ok);
        let date = answer.headers.get(header::DATE).and_then(|date| date.to_str().ok());
        let target = answer.asked.target.to_string();
        let body = answer.asked.body.get(..MAX_ASKED).unwrap_or(&answer.asked.body);
        let mut visit = Visit {
            date: date.and_then(class::seconds_of_text),
            asked: [target.into(), String::from_utf8_lossy(body)],
            leaves: MAX_LEAVES,
            path: String::new(),
            learner: self,
        };
        let arena = Bump::new();
        if let Some(body) = document(answer, &arena) {
            visit.value(&body);
        } else if let Some(text) = text(answer) {
            visit.text(&text);
        }
    }

    /// Adds what the control answered when it was asked the same again, right after [`observe`](Self::observe).
    pub fn repeated(&mut self, first: &Answer, again: &Answer) {
        self.repeats += 1;
        let arena = Bump::new();
        match (document(first, &arena), document(again, &arena)) {
            (Some(first), Some(again)) => self.repeated_document(&first, &again),
            (None, None) => {
                if let (Some(first), Some(again)) = (text(first), text(again)) {
                    self.contradicted(&words(&first), &words(&again));
                }
            }
            _ => {}
        }
    }

    fn repeated_document(&mut self, first: &Value<'_>, again: &Value<'_>) {
        let (mut ours, mut theirs) = (HashMap::new(), HashMap::new());
        leaves(first, &mut String::new(), &mut ours);
        leaves(again, &mut String::new(), &mut theirs);
        self.contradicted(&ours, &theirs);
        let mut unlike = BTreeSet::new();
        unlike_lists(first, again, &mut String::new(), &mut unlike);
        let paths: BTreeSet<_> = unlike.iter().map(|(path, _)| path.clone()).collect();
        for path in paths {
            *self.lists.entry(path).or_default() += 1;
        }
        let longer = unlike.into_iter().filter(|(_, unlike)| *unlike == Unlike::Length);
        self.longer.extend(longer.map(|(path, _)| path));
    }

    /// Notes at which paths two answers to one request differ.
    fn contradicted<'v, V: Borrow<Value<'v>> + PartialEq>(
        &mut self,
        first: &HashMap<String, Vec<V>>,
        again: &HashMap<String, Vec<V>>,
    ) {
        let has_changed =
            |(path, values): &(&String, &Vec<V>)| again.get(*path).is_some_and(|others| others != *values);
        for (path, values) in first.iter().filter(has_changed) {
            if !self.paths.contains_key(path) && self.paths.len() >= MAX_PATHS {
                continue;
            }
            let seen = self.paths.entry(path.clone()).or_insert_with(Path::unseen);
            seen.disagreed += 1;
            for value in again.get(path).into_iter().flatten().chain(values) {
                seen.texts = seen.texts.and(value.borrow());
                seen.length = seen.length.and(value.borrow());
            }
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
            let class = class.or_else(|| path.counted.class());
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
        let shapes: BTreeMap<_, _> = made_up.chain(lists.map(|(path, _)| (path.clone(), None))).collect();
        let length = |(path, class): (&String, &Option<ValueClass>)| match self.paths.get(path)?.length {
            Length::One(length) if class.as_ref()?.has_length() => Some((path.clone(), length)),
            Length::One(_) | Length::Unseen | Length::Many => None,
        };
        PathStates {
            lengths: shapes.iter().filter_map(length).collect(),
            longer: self.longer.iter().filter(|path| shapes.contains_key(*path)).cloned().collect(),
            dynamic: self.keys.iter().filter(|(_, keys)| keys.vary()).map(|(path, _)| path.clone()).collect(),
            repeats: self.repeats,
            disagreed: disagreed.filter(|(_, n)| *n > 0).map(|(path, n)| (path.clone(), n)).collect(),
            numbers: numbers.map(|(path, _)| path.clone()).collect(),
            shapes,
        }
    }
}

/// Whether a text is about as long: a quarter of it may come or go, as where a number in it has a digit more.
fn is_about(length: usize, value: &Value<'_>) -> bool {
    value.as_str().is_some_and(|text| text.len().abs_diff(length) <= length / 4)
}

/// A key as a step of the templates under which is learned.
pub(crate) fn template_step(key: &str) -> Cow<'_, str> {
    if is_generated_key(key) { "*".into() } else { escaped(key) }
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
