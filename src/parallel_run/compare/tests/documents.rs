//! Whatever the document: it agrees with itself however it is written, and one other value is found where it stands.

use proptest::prelude::*;

use super::*;
use crate::parallel_run::document::tests::{turn, written};

/// An answer that begins with `{`, and so is read as JSON.
fn body(text: &str) -> Value {
    json!({ "all": serde_json::from_str::<Value>(text).unwrap() })
}

/// The pointer of each scalar, the template of its path, and which of all it is.
fn scalars(value: &Value, pointer: &str, template: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::Array(elements) => elements.iter().enumerate().for_each(|(at, below)| {
            scalars(below, &format!("{pointer}/{at}"), &format!("{template}/*"), found);
        }),
        Value::Object(members) => members.iter().for_each(|(name, below)| {
            let name = name.replace('~', "~0").replace('/', "~1");
            scalars(below, &format!("{pointer}/{name}"), &format!("{template}/{name}"), found);
        }),
        _ => found.push((pointer.to_owned(), template.to_owned())),
    }
}

proptest! {
    #[test]
    fn it_agrees_with_itself_under_any_rule_and_whatever_was_learned(
        text in written(), others in proptest::collection::vec(written(), 0..4), rule in 0usize..6,
    ) {
        let control = body(&text);
        let mut candidate = control.clone();
        turn(&mut candidate);
        let bodies: Vec<_> = others.iter().map(|other| body(other)).collect();
        let action = [
            Action::Ignore,
            Action::Presence,
            Action::Shape,
            Action::Set,
            Action::Expected,
            Action::Tolerance { abs: 0.0, rel: 0.0 },
        ][rule].clone();
        let judgement = judge(&control, &candidate, &[("/all/*", action)], &learned(&bodies));
        prop_assert_eq!((judgement.class, judgement.differences.len()), (Class::Match, 0));
    }

    #[test]
    fn one_other_value_is_found_where_it_stands(text in written(), which in any::<prop::sample::Index>()) {
        let control = body(&text);
        let mut found = Vec::new();
        scalars(&control, "", "", &mut found);
        prop_assume!(!found.is_empty());
        let (pointer, template) = &found[which.index(found.len())];
        let mut candidate = control.clone();
        *candidate.pointer_mut(pointer).unwrap() = json!("another value");
        let judgement = judge(&control, &candidate, &[], &PathStates::default());
        prop_assert_eq!(judgement.class, Class::Mismatch);
        prop_assert_eq!(judgement.differences.len(), 1);
        prop_assert_eq!(&judgement.differences[0].path, template);
    }
}
