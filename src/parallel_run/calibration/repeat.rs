//! What differs where the control was asked the same again.

use std::collections::{BTreeSet, HashMap};

use super::{Line, MAX_PATHS, lines::pieces, template_step};
use crate::parallel_run::{compare::is_reordered, document::Value};

/// All values of each path template, in their order.
pub(super) fn leaves<'v>(
    value: &'v Value<'v>,
    path: &mut String,
    found: &mut HashMap<String, Vec<&'v Value<'v>>>,
) {
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

/// The words of a text that look made up or have a digit, of each path in their order.
pub(super) fn words(text: &str) -> HashMap<String, Vec<Value<'_>>> {
    let mut found: HashMap<String, Vec<Value<'_>>> = HashMap::new();
    for piece in text.lines().flat_map(pieces) {
        for (path, word) in Line::with_digits(piece).words("") {
            found.entry(path).or_default().push(word.into());
        }
    }
    found
}

/// What is unlike in the lists of two answers to the same request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unlike {
    Order,
    Length,
}

/// The templates of those lists that are longer, or in another order, in one of two answers to the same request.
pub(super) fn unlike_lists(
    first: &Value<'_>,
    again: &Value<'_>,
    path: &mut String,
    found: &mut BTreeSet<(String, Unlike)>,
) {
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
            ours.iter().zip(*theirs).for_each(|(ours, theirs)| below("*", ours, theirs));
            let unlike = if ours.len() == theirs.len() {
                is_reordered(ours, theirs).then_some(Unlike::Order)
            } else {
                Some(Unlike::Length)
            };
            if let Some(unlike) = unlike.filter(|_| found.len() < MAX_PATHS) {
                found.insert((path.clone(), unlike));
            }
        }
        _ => {}
    }
}
