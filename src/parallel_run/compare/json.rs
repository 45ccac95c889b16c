//! Bodies: JSON and forms path by path, text line by line, anything else by its hash.

use std::mem::Discriminant;

use http::header;
use serde_json::{Map, Value};

use super::{Findings, header::media_type};
use crate::parallel_run::{
    answer::{Answer, Delivery},
    calibration::{self, PathStates, ValueClass, class},
    comparison::{DifferenceKind, Severity},
    rules::{Pattern, Rules, Step},
    settings::{Action, Plan, Rule},
};

/// Whether the bodies could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readable {
    Yes,
    /// Different bytes under a content coding.
    No,
}

/// Arrays up to this long are searched for the same elements in another order.
const MAX_REORDERED: usize = 256;

pub(super) fn compare(
    plan: &Plan,
    states: &PathStates,
    control: &Answer,
    candidate: &Answer,
    findings: &mut Findings,
) -> Readable {
    let is_image = |answer: &Answer| answer.images.iter().any(|image| image.delivery == Delivery::Body);
    if control.body == candidate.body || is_image(control) && is_image(candidate) {
        return Readable::Yes;
    }
    if is_encoded(control) || is_encoded(candidate) {
        return Readable::No;
    }
    let named = control.images.iter().chain(&candidate.images).map(|image| image.path.as_str());
    let images = plan.images.iter().map(String::as_str).chain(named).map(Pattern::new).collect();
    let unseen = control.images.iter().filter(|image| image.bytes.is_err());
    let unseen = unseen.map(|image| Pattern::new(&image.path)).collect();
    match (document(control), document(candidate)) {
        (Some(ours), Some(theirs)) => {
            let rules = Rules::new(&plan.rules);
            let (path, template) = (Vec::new(), String::new());
            Walk { rules, states, images, unseen, path, template, findings }.values(&ours, &theirs);
        }
        (None, None) => {
            if let (Some(ours), Some(theirs)) = (text(control), text(candidate)) {
                lines(ours, theirs, findings);
            } else {
                let (ours, theirs) = (described(control), described(candidate));
                findings.failure("body", DifferenceKind::Value, Some(&ours), Some(&theirs));
            }
        }
        (ours, theirs) => {
            let kind = |parsed: &Option<Value>| if parsed.is_some() { "json" } else { "not json" };
            findings.failure("body", DifferenceKind::Type, Some(kind(&ours)), Some(kind(&theirs)));
        }
    }
    Readable::Yes
}

/// The body as a document: JSON, or a form as an object of strings.
pub(crate) fn document(answer: &Answer) -> Option<Value> {
    let media_type = declared(answer);
    if media_type == "application/x-www-form-urlencoded" {
        let mut fields = Map::new();
        for (key, value) in form_urlencoded::parse(&answer.body) {
            match fields.entry(key.into_owned()).or_insert_with(|| Value::Array(Vec::new())) {
                Value::Array(values) => values.push(Value::from(value.into_owned())),
                other => *other = Value::Null,
            }
        }
        return Some(Value::Object(fields));
    }
    let first = answer.body.iter().find(|byte| !byte.is_ascii_whitespace());
    let looks = matches!(first, Some(b'{' | b'['));
    let says = media_type == "application/json" || media_type.ends_with("+json");
    (says || looks).then(|| serde_json::from_slice(&answer.body).ok()).flatten()
}

/// A key as one step of a JSON pointer.
pub(crate) fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// One walk down two documents at once.
struct Walk<'a, 'v, 'f> {
    rules: Rules<'a>,
    states: &'a PathStates,
    images: Vec<Pattern>,
    /// Those of the control that could not be had: all that is left of them is the shape of their names.
    unseen: Vec<Pattern>,
    path: Vec<Step<'v>>,
    template: String,
    findings: &'f mut Findings,
}

impl<'v> Walk<'_, 'v, '_> {
    fn values(&mut self, control: &'v Value, candidate: &'v Value) {
        let rule = self.rules.of(&self.path);
        if rule.is_some_and(|rule| rule.action == Action::Ignore) {
            return;
        }
        if kind(control) != kind(candidate) {
            self.fail(DifferenceKind::Type, Some(control), Some(candidate), rule);
            return;
        }
        // What an image is called is nobody's business; what it shows is compared elsewhere.
        if control.is_string() && self.images.iter().any(|image| image.matches(&self.path)) {
            let unseen = self.unseen.iter().any(|image| image.matches(&self.path));
            if unseen && kind_of_name(control) != kind_of_name(candidate) {
                self.fail(DifferenceKind::Shape, Some(control), Some(candidate), rule);
            }
            return;
        }
        if rule.is_some_and(|rule| rule.action == Action::Shape) {
            if !class::alike(control, candidate) {
                self.fail(DifferenceKind::Shape, Some(control), Some(candidate), rule);
            }
            return;
        }
        match (control, candidate) {
            (Value::Object(ours), Value::Object(theirs)) => self.objects(ours, theirs),
            (Value::Array(ours), Value::Array(theirs)) => self.arrays(control, ours, candidate, theirs),
            _ => self.leaves(control, candidate),
        }
    }

    fn leaves(&mut self, control: &Value, candidate: &Value) {
        match self.states.shapes.get(&self.template) {
            Some(learned) => {
                let fits = ValueClass::of(candidate).is_some_and(|class| learned.admits(&class));
                let near = !learned.is_time() || class::alike(control, candidate);
                if !(fits && near || class::alike(control, candidate)) {
                    self.fail(DifferenceKind::Shape, Some(control), Some(candidate), None);
                }
            }
            None if control != candidate => {
                self.fail(DifferenceKind::Value, Some(control), Some(candidate), None);
            }
            None => {}
        }
    }

    fn objects(&mut self, control: &'v Map<String, Value>, candidate: &'v Map<String, Value>) {
        let dynamic = self.states.dynamic.contains(&self.template);
        let made_up = |key: &str| dynamic && calibration::is_generated_key(key);
        for (key, ours) in control.iter().filter(|(key, _)| !made_up(key)) {
            match candidate.get(key) {
                Some(theirs) => self.below(Step::Key(key), &escaped(key), |walk| walk.values(ours, theirs)),
                None => self.below(Step::Key(key), &escaped(key), |walk| walk.one_sided(Some(ours), None)),
            }
        }
        for (key, theirs) in candidate.iter().filter(|(key, _)| !made_up(key) && !control.contains_key(*key))
        {
            self.below(Step::Key(key), &escaped(key), |walk| walk.one_sided(None, Some(theirs)));
        }
        if dynamic {
            let ours: Vec<_> = control.iter().filter(|(key, _)| made_up(key)).collect();
            let theirs: Vec<_> = candidate.iter().filter(|(key, _)| made_up(key)).collect();
            self.lengths(ours.len(), theirs.len());
            for ((key, ours), (_, theirs)) in ours.into_iter().zip(theirs) {
                self.below(Step::Key(key), "*", |walk| walk.values(ours, theirs));
            }
        }
    }

    fn arrays(&mut self, control: &'v Value, ours: &'v [Value], candidate: &'v Value, theirs: &'v [Value]) {
        self.lengths(ours.len(), theirs.len());
        if is_reordered(ours, theirs) {
            self.fail(DifferenceKind::Order, Some(control), Some(candidate), None);
            return;
        }
        for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
            self.below(Step::Index(index), "*", |walk| walk.values(ours, theirs));
        }
    }

    fn lengths(&mut self, control: usize, candidate: usize) {
        if control != candidate {
            let (control, candidate) = (Value::from(control), Value::from(candidate));
            self.fail(DifferenceKind::Length, Some(&control), Some(&candidate), None);
        }
    }

    fn one_sided(&mut self, control: Option<&Value>, candidate: Option<&Value>) {
        let rule = self.rules.of(&self.path);
        if rule.is_none_or(|rule| rule.action != Action::Ignore) {
            let kind = if control.is_some() { DifferenceKind::Missing } else { DifferenceKind::Extra };
            self.fail(kind, control, candidate, rule);
        }
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

    fn fail(
        &mut self,
        kind: DifferenceKind,
        control: Option<&Value>,
        candidate: Option<&Value>,
        rule: Option<&Rule>,
    ) {
        let path = if self.template.is_empty() { "/" } else { &self.template };
        let (control, candidate) = (control.map(shown), candidate.map(shown));
        let sides = [control.as_deref(), candidate.as_deref()];
        self.findings.add(
            path.to_owned(),
            kind,
            sides,
            Severity::Failure,
            rule.map(|rule| rule.path.as_str()),
        );
    }
}

/// How a name is made, wherever it leads and whatever its extension.
fn kind_of_name(value: &Value) -> Option<Discriminant<ValueClass>> {
    ValueClass::of(value).as_ref().map(std::mem::discriminant)
}

fn kind(value: &Value) -> &'static str {
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
fn shown(value: &Value) -> String {
    match value {
        Value::Array(elements) => format!("array of {}", elements.len()),
        Value::Object(fields) => {
            let keys: Vec<_> = fields.keys().take(16).map(String::as_str).collect();
            format!("object with {}", keys.join(", "))
        }
        Value::String(text) if text.len() > super::MAX_SIDE => Value::from(super::cut(text)).to_string(),
        scalar => scalar.to_string(),
    }
}

fn is_reordered(ours: &[Value], theirs: &[Value]) -> bool {
    if ours.len() != theirs.len() || ours.len() > MAX_REORDERED || ours == theirs {
        return false;
    }
    let mut left: Vec<&Value> = theirs.iter().collect();
    ours.iter().all(|element| match left.iter().position(|other| *other == element) {
        Some(place) => {
            left.swap_remove(place);
            true
        }
        None => false,
    })
}

fn lines(control: &str, candidate: &str, findings: &mut Findings) {
    let (ours, theirs): (Vec<_>, Vec<_>) = (control.lines().collect(), candidate.lines().collect());
    let differ = |(_, (one, two)): &(usize, (&&str, &&str))| one.trim_end() != two.trim_end();
    for (index, (one, two)) in ours.iter().zip(&theirs).enumerate().filter(differ) {
        findings.failure(format!("line:{}", index + 1), DifferenceKind::Value, Some(one), Some(two));
    }
    if ours.len() != theirs.len() {
        let (ours, theirs) = (ours.len().to_string(), theirs.len().to_string());
        findings.failure("lines", DifferenceKind::Length, Some(&ours), Some(&theirs));
    }
}

fn declared(answer: &Answer) -> String {
    let value = answer.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    media_type(value.unwrap_or_default())
}

fn text(answer: &Answer) -> Option<&str> {
    std::str::from_utf8(&answer.body).ok().filter(|text| !text.contains('\0'))
}

fn is_encoded(answer: &Answer) -> bool {
    let coding = answer.headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    coding.is_some_and(|coding| !coding.trim().eq_ignore_ascii_case("identity"))
}

fn described(answer: &Answer) -> String {
    format!("{} bytes, sha256 {}", answer.body.len(), super::image::sha256_hex(&answer.body))
}
