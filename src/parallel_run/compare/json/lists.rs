//! Lists: element by element in their order, as a set, or paired by a member.

use super::Walk;
use crate::parallel_run::{comparison::DifferenceKind, document::Value, rules::Step, settings::Rule};

/// Lists up to this long are searched for the same elements in another order.
pub(super) const MAX_REORDERED: usize = 256;

impl<'v> Walk<'_, 'v, '_> {
    pub(super) fn arrays(
        &mut self,
        control: &'v Value<'v>,
        ours: &'v [Value<'v>],
        candidate: &'v Value<'v>,
        theirs: &'v [Value<'v>],
    ) {
        let is_reordered = is_reordered(ours, theirs);
        // Unless the control gives it in another order, or of another length, by itself.
        if is_reordered || ours.len() != theirs.len() {
            let (has_no_order, varies) = {
                let path = self.learned();
                (self.states.shapes.contains_key(&*path), self.states.longer.contains(&*path))
            };
            if !varies {
                self.lengths(ours.len(), theirs.len());
            }
            if is_reordered && !has_no_order {
                self.fail(DifferenceKind::Order, Some(control), Some(candidate), None);
            }
        }
        if is_reordered {
            return;
        }
        for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
            self.below(Step::Index(index), "*", |walk| walk.values(ours, theirs));
        }
    }

    pub(super) fn lengths(&mut self, control: usize, candidate: usize) {
        if control != candidate {
            let (control, candidate) = (Value::from(control), Value::from(candidate));
            self.fail(DifferenceKind::Length, Some(&control), Some(&candidate), None);
        }
    }

    /// The same elements, each as often, in any order.
    pub(super) fn set(&mut self, ours: &'v [Value<'v>], theirs: &'v [Value<'v>], rule: Option<&Rule>) {
        let mut extra: Vec<&Value<'_>> = theirs.iter().collect();
        for (index, element) in ours.iter().enumerate() {
            match extra.iter().position(|other| *other == element) {
                Some(place) => drop(extra.swap_remove(place)),
                None => self.below(Step::Index(index), "*", |walk| {
                    walk.fail(DifferenceKind::Missing, Some(element), None, rule);
                }),
            }
        }
        for element in extra {
            self.below(Step::Index(ours.len()), "*", |walk| {
                walk.fail(DifferenceKind::Extra, None, Some(element), rule);
            });
        }
    }

    /// Objects paired by their member `key`, in any order; those without it, or with one that has been paired, are
    /// missing or extra.
    pub(super) fn list_by(
        &mut self,
        key: &str,
        ours: &'v [Value<'v>],
        theirs: &'v [Value<'v>],
        rule: Option<&Rule>,
    ) {
        let mut extra: Vec<&Value<'_>> = theirs.iter().collect();
        for (index, element) in ours.iter().enumerate() {
            let name = element.get(key);
            let same = |other: &&Value<'_>| name.is_some() && other.get(key) == name;
            let found = extra.iter().position(same).map(|place| extra.swap_remove(place));
            self.below(Step::Index(index), "*", |walk| match found {
                Some(other) => walk.values(element, other),
                None => walk.fail(DifferenceKind::Missing, Some(element), None, rule),
            });
        }
        for element in extra {
            self.below(Step::Index(ours.len()), "*", |walk| {
                walk.fail(DifferenceKind::Extra, None, Some(element), rule);
            });
        }
    }
}

/// Whether one has the elements of the other, in another order.
pub(crate) fn is_reordered(ours: &[Value<'_>], theirs: &[Value<'_>]) -> bool {
    if ours.len() != theirs.len() || ours.len() > MAX_REORDERED || ours == theirs {
        return false;
    }
    let mut left: Vec<&Value<'_>> = theirs.iter().collect();
    ours.iter().all(|element| match left.iter().position(|other| *other == element) {
        Some(place) => {
            left.swap_remove(place);
            true
        }
        None => false,
    })
}
