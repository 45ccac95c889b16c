//! Two documents, path by path: by the route's rules, by what calibration learned, and else by equality.

mod lists;

use std::{borrow::Cow, mem::Discriminant};

pub(crate) use self::lists::is_reordered;
use super::{Findings, body::Named};
use crate::parallel_run::{
    calibration::{self, PathStates, ValueClass, class},
    comparison::{DifferenceKind, Severity},
    document::{Object, Value},
    rules::{Rules, Step},
    settings::{Action, Beside, Plan, Rule},
};

/// Compares two documents of one pair.
pub(super) fn compare(
    plan: &Plan,
    states: &PathStates,
    named: &Named,
    (control, candidate): (&Value<'_>, &Value<'_>),
    findings: &mut Findings,
) {
    let rules = Rules::new(&plan.rules);
    let (path, template) = (Vec::new(), String::new());
    let beside = plan.beside;
    Walk { rules, states, beside, named, path, template, expected: None, findings }
        .values(control, candidate);
}

/// A key as one step of a JSON pointer.
pub(crate) fn escaped(key: &str) -> Cow<'_, str> {
    if key.contains(['~', '/']) { key.replace('~', "~0").replace('/', "~1").into() } else { key.into() }
}

/// One walk down two documents at once.
struct Walk<'a, 'v, 'f> {
    rules: Rules<'a>,
    states: &'a PathStates,
    beside: Beside,
    named: &'a Named,
    path: Vec<Step<'v>>,
    template: String,
    /// The rule that expects whatever differs from here on down.
    expected: Option<&'a Rule>,
    findings: &'f mut Findings,
}

impl<'a, 'v> Walk<'a, 'v, '_> {
    fn values(&mut self, control: &'v Value<'v>, candidate: &'v Value<'v>) {
        let rule = self.rule();
        if let Some(Rule { action: Action::Expected, .. }) = rule {
            let outer = self.expected;
            self.expected = outer.or(rule);
            self.judge(control, candidate, None);
            self.expected = outer;
        } else {
            self.judge(control, candidate, rule);
        }
    }

    /// The rule that speaks for this path, noted as used.
    fn rule(&mut self) -> Option<&'a Rule> {
        let rule = self.rules.of(&self.path)?;
        self.findings.used(&rule.path);
        Some(rule)
    }

    fn judge(&mut self, control: &'v Value<'v>, candidate: &'v Value<'v>, rule: Option<&'a Rule>) {
        // What is equal agrees by every rule, and by all that can be learned.
        if control.is_scalar() && control == candidate {
            return;
        }
        let action = rule.map(|rule| &rule.action);
        if matches!(action, Some(Action::Ignore | Action::Presence)) {
            return;
        }
        if kind(control) != kind(candidate) {
            return self.fail(DifferenceKind::Type, Some(control), Some(candidate), rule);
        }
        // What an image is called is nobody's business; what it shows is compared elsewhere.
        if matches!(control, Value::String(_)) && self.is_image() {
            let unseen = self.named.unseen.iter().any(|image| image.matches(&self.path));
            if unseen && kind_of_name(control) != kind_of_name(candidate) {
                self.fail(DifferenceKind::Shape, Some(control), Some(candidate), rule);
            }
            return;
        }
        match (action, control, candidate) {
            (Some(Action::Shape), ..) => {
                if !class::alike(control, candidate) {
                    self.fail(DifferenceKind::Shape, Some(control), Some(candidate), rule);
                }
            }
            (Some(Action::Regex(pattern)), ..) => {
                let fits = |value: &Value<'_>| {
                    value
                        .as_str()
                        .map_or_else(|| pattern.is_match(&value.to_string()), |text| pattern.is_match(text))
                };
                if control != candidate && !(fits(control) && fits(candidate)) {
                    self.fail(DifferenceKind::Shape, Some(control), Some(candidate), rule);
                }
            }
            (Some(Action::Tolerance { abs, rel }), Value::Number(_), Value::Number(_)) => {
                let (ours, theirs) = (control.as_f64(), candidate.as_f64());
                let near = ours
                    .zip(theirs)
                    .is_some_and(|(ours, theirs)| (ours - theirs).abs() <= abs.max(rel * ours.abs()));
                if !near {
                    self.fail(DifferenceKind::Value, Some(control), Some(candidate), rule);
                }
            }
            (Some(Action::Set), Value::Array(ours), Value::Array(theirs)) => self.set(ours, theirs, rule),
            (Some(Action::ListBy(key)), Value::Array(ours), Value::Array(theirs)) => {
                self.list_by(key, ours, theirs, rule);
            }
            (_, Value::Object(ours), Value::Object(theirs)) => self.objects(ours, theirs),
            (_, Value::Array(ours), Value::Array(theirs)) => self.arrays(control, ours, candidate, theirs),
            _ => self.leaves(control, candidate, rule),
        }
    }

    fn is_image(&self) -> bool {
        self.named.images.iter().any(|image| image.matches(&self.path))
    }

    fn leaves(&mut self, control: &Value<'_>, candidate: &Value<'_>, rule: Option<&Rule>) {
        let kind = {
            let path = self.learned();
            match self.states.agree(&path, control, candidate) {
                Some(true) => return,
                Some(false) => DifferenceKind::Shape,
                None if self.agree_in_text(&path, control, candidate) => return,
                None => DifferenceKind::Value,
            }
        };
        self.fail(kind, Some(control), Some(candidate), rule);
    }

    /// Whether both are texts that look like nothing as a whole, and differ in nothing but what is made up in them.
    fn agree_in_text(&self, path: &str, control: &Value<'_>, candidate: &Value<'_>) -> bool {
        let is_text = |text: &&str| ValueClass::of_text(text).is_none();
        let texts = control.as_str().filter(is_text).zip(candidate.as_str().filter(is_text));
        texts.is_some_and(|(one, two)| self.states.agree_in_text(path, one, two))
    }

    fn objects(&mut self, control: &'v Object<'v>, candidate: &'v Object<'v>) {
        let dynamic = !self.states.dynamic.is_empty() && self.states.dynamic.contains(&*self.learned());
        let made_up = |key: &str| dynamic && calibration::is_generated_key(key);
        for (place, (key, ours)) in control.iter().enumerate().filter(|(_, (key, _))| !made_up(key)) {
            match candidate.get_near(place, key) {
                Some(theirs) => self.below(Step::Key(key), &escaped(key), |walk| walk.values(ours, theirs)),
                None => self.below(Step::Key(key), &escaped(key), |walk| walk.one_sided(Some(ours), None)),
            }
        }
        let is_new = |(place, (key, _)): &(usize, (&str, &Value<'_>))| {
            !made_up(key) && control.get_near(*place, key).is_none()
        };
        for (_, (key, theirs)) in candidate.iter().enumerate().filter(is_new) {
            self.below(Step::Key(key), &escaped(key), |walk| walk.one_sided(None, Some(theirs)));
        }
        if dynamic {
            let mut ours: Vec<_> = control.iter().filter(|(key, _)| made_up(key)).collect();
            let mut theirs: Vec<_> = candidate.iter().filter(|(key, _)| made_up(key)).collect();
            self.lengths(ours.len(), theirs.len());
            // Keys that are made up anew may be written in any order.
            if theirs.len() <= lists::MAX_REORDERED {
                ours.retain(|(_, value)| {
                    let same = theirs.iter().position(|(_, other)| other == value);
                    same.map(|place| theirs.remove(place)).is_none()
                });
            }
            for ((key, ours), (_, theirs)) in ours.into_iter().zip(theirs) {
                self.below(Step::Key(key), "*", |walk| walk.values(ours, theirs));
            }
        }
    }

    fn one_sided(&mut self, control: Option<&Value<'_>>, candidate: Option<&Value<'_>>) {
        let rule = self.rule();
        if matches!(rule, Some(Rule { action: Action::Ignore, .. })) {
            return;
        }
        let kind = if control.is_some() { DifferenceKind::Missing } else { DifferenceKind::Extra };
        let is_told =
            self.beside == Beside::Told && rule.is_none() && control.is_some() && !self.is_image() && {
                let path = &*self.learned();
                self.states.shapes.contains_key(path) || self.states.numbers.contains(path)
            };
        if is_told {
            return self.findings.info(self.template.as_str(), kind, control.map(shown).as_deref(), None);
        }
        self.fail(kind, control, candidate, rule);
    }

    /// The template under which this path was learned: a key that looks made up is any key there, whether such keys
    /// recur or not.
    fn learned(&self) -> Cow<'_, str> {
        let is_generated =
            |step: &Step<'_>| matches!(step, Step::Key(key) if calibration::is_generated_key(key));
        if !self.path.iter().any(is_generated) {
            return Cow::Borrowed(&self.template);
        }
        let mut template = String::new();
        for step in &self.path {
            template.push('/');
            match step {
                Step::Key(key) => template.push_str(&calibration::template_step(key)),
                Step::Index(_) => template.push('*'),
            }
        }
        Cow::Owned(template)
    }

    fn below(&mut self, step: Step<'v>, name: &str, walk: impl FnOnce(&mut Self)) {
        let length = self.template.len();
        self.template.push('/');
        self.template.push_str(name);
        self.path.push(step);
        walk(self);
        self.path.pop();
        self.template.truncate(length);
    }

    /// A difference at this path; it counts unless a rule expects it.
    fn fail(
        &mut self,
        kind: DifferenceKind,
        control: Option<&Value<'_>>,
        candidate: Option<&Value<'_>>,
        rule: Option<&Rule>,
    ) {
        let path = if self.template.is_empty() { "/" } else { &self.template };
        let expects = |rule: &&Rule| rule.action == Action::Expected;
        let (severity, rule) = match self.expected.or(rule.filter(expects)) {
            Some(expected) => (Severity::Expected, Some(expected)),
            None => (Severity::Failure, rule),
        };
        if self.findings.is_full(severity) {
            return;
        }
        let (control, candidate) = (control.map(shown), candidate.map(shown));
        let sides = [control.as_deref(), candidate.as_deref()];
        self.findings.add(path.to_owned(), kind, sides, severity, rule.map(|rule| rule.path.as_str()));
    }
}

/// How a name is made, wherever it leads and whatever its extension.
fn kind_of_name(value: &Value<'_>) -> Option<Discriminant<ValueClass>> {
    ValueClass::of(value).as_ref().map(std::mem::discriminant)
}

fn kind(value: &Value<'_>) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Enough of a value to tell it: a whole document is never written out for its first 256 bytes.
fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Array(elements) => format!("array of {}", elements.len()),
        Value::Object(fields) => {
            let keys: Vec<_> = fields.iter().take(16).map(|(key, _)| key).collect();
            format!("object with {}", keys.join(", "))
        }
        Value::String(text) if text.len() > super::MAX_SIDE => Value::from(&*super::cut(text)).to_string(),
        scalar => scalar.to_string(),
    }
}
