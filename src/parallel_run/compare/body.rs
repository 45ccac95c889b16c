//! Bodies: JSON and forms path by path, text line by line, anything else by its hash.

use std::borrow::Cow;

use bumpalo::Bump;
use http::header;
use indexmap::IndexMap;

use super::{Findings, Readable, header::media_type, json, lines};
use crate::{
    parallel_run::{
        answer::{Answer, Delivery},
        calibration::PathStates,
        comparison::DifferenceKind,
        document::{Object, Value},
        encoding::BYTE_ORDER_MARK,
        rules::{Pattern, Rules},
        settings::{Action, Plan},
    },
    text,
};

/// Where an answer names images.
pub(super) struct Named {
    pub(super) images: Vec<Pattern>,
    /// Those of the control that could not be had: all that is left of them is the shape of their names.
    pub(super) unseen: Vec<Pattern>,
}

pub(super) fn compare(
    plan: &Plan,
    states: &PathStates,
    control: &Answer,
    candidate: &Answer,
    findings: &mut Findings,
) -> Readable {
    let is_image = |answer: &Answer| answer.images.iter().any(|image| image.delivery == Delivery::Body);
    match (coding(control), coding(candidate)) {
        (None, Some(coding)) => {
            // What hides too much was not taken for an answer: this is broken, and nobody can read it.
            let theirs = format!("coded as {coding}, which cannot be taken off");
            findings.failure("body", DifferenceKind::Type, Some("plain"), Some(&theirs));
            return Readable::Yes;
        }
        (Some(_), None) => return Readable::No,
        _ if is_image(control) && is_image(candidate) => return Readable::Yes,
        // The same bytes are another text where they are said to be in other letters.
        _ if control.body == candidate.body
            && (control.body.is_ascii() || letters(control) == letters(candidate)) =>
        {
            return Readable::Yes;
        }
        (Some(_), Some(_)) => return Readable::No,
        (None, None) => {}
    }
    let named = control.images.iter().chain(&candidate.images).map(|image| image.path.as_str());
    let images = plan.images.iter().map(String::as_str).chain(named).map(Pattern::new).collect();
    let unseen = control.images.iter().filter(|image| image.bytes.is_err());
    let unseen = unseen.map(|image| Pattern::new(&image.path)).collect();
    let arena = Bump::new();
    match (document(control, &arena), document(candidate, &arena)) {
        (Some(ours), Some(theirs)) => {
            if !is_marked(control) && is_marked(candidate) {
                // Most readers of JSON take it for no JSON.
                findings.failure("body", DifferenceKind::Extra, None, Some("a byte order mark"));
            }
            let named = Named { images, unseen };
            json::compare(plan, states, &named, (&ours, &theirs), findings);
        }
        (None, None) => {
            let rules = Rules::new(&plan.rules);
            // No pointer leads into what is no document: a rule speaks for all of it.
            let rule = rules.of(&[]);
            if let Some(rule) = rule {
                findings.used(&rule.path);
            }
            match rule.map(|rule| &rule.action) {
                Some(Action::Ignore) => return Readable::Yes,
                Some(Action::Presence) if control.body.is_empty() == candidate.body.is_empty() => {
                    return Readable::Yes;
                }
                _ => {}
            }
            if let (Some(ours), Some(theirs)) = (text(control), text(candidate)) {
                lines::compare(rule, states, (&ours, &theirs), findings);
            } else if control.body != candidate.body {
                let (ours, theirs) = (described(control), described(candidate));
                lines::differ(rule, "body".to_owned(), DifferenceKind::Value, [&ours, &theirs], findings);
            }
        }
        (ours, theirs) => {
            let kind = |parsed: &Option<Value<'_>>| if parsed.is_some() { "json" } else { "not json" };
            findings.failure("body", DifferenceKind::Type, Some(kind(&ours)), Some(kind(&theirs)));
        }
    }
    Readable::Yes
}

/// The body as a document: JSON, or a form as an object of strings.
pub(crate) fn document<'b>(answer: &'b Answer, arena: &'b Bump) -> Option<Value<'b>> {
    let media_type = declared(answer);
    if media_type == "application/x-www-form-urlencoded" {
        return Some(Value::Object(form(&answer.body, arena)));
    }
    let body = answer.body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&answer.body);
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    let looks = matches!(first, Some(b'{' | b'['));
    let says = media_type == "application/json" || media_type.ends_with("+json");
    (says || looks).then(|| Value::read(body, arena)).flatten()
}

/// The values of each name, in their order.
fn form<'b>(body: &[u8], arena: &'b Bump) -> Object<'b> {
    let mut fields: IndexMap<String, Vec<Value<'b>>> = IndexMap::new();
    for (name, value) in text::fields(body) {
        fields.entry(name).or_default().push(Value::String(arena.alloc_str(&value)));
    }
    let member = |(name, values): (String, Vec<_>)| {
        (&*arena.alloc_str(&name), Value::Array(arena.alloc_slice_fill_iter(values)))
    };
    Object::new(fields.into_iter().map(member), arena)
}

fn is_marked(answer: &Answer) -> bool {
    answer.body.starts_with(BYTE_ORDER_MARK)
}

fn declared(answer: &Answer) -> String {
    let value = answer.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    media_type(value.unwrap_or_default())
}

/// The letters that a text is said to be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Letters {
    Utf8,
    Latin1,
    Unknown,
}

fn letters(answer: &Answer) -> Letters {
    let declared = answer.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let parameters = declared.unwrap_or_default().split(';').skip(1);
    let charset = parameters.filter_map(|parameter| parameter.split_once('=')).find_map(|(name, value)| {
        let is_charset = name.trim().eq_ignore_ascii_case("charset");
        is_charset.then(|| value.trim().trim_matches('"').to_ascii_lowercase())
    });
    match charset.as_deref() {
        Some("utf-8" | "utf8") => Letters::Utf8,
        Some("iso-8859-1" | "latin1" | "windows-1252") => Letters::Latin1,
        _ => Letters::Unknown,
    }
}

/// The body as text, where it is one, in the letters that it is said to be in.
pub(crate) fn text(answer: &Answer) -> Option<Cow<'_, str>> {
    let text = match letters(answer) {
        Letters::Latin1 => text::latin(&answer.body).into(),
        Letters::Utf8 | Letters::Unknown => Cow::Borrowed(std::str::from_utf8(&answer.body).ok()?),
    };
    (!text.contains('\0')).then_some(text)
}

/// The content coding that could not be taken off.
fn coding(answer: &Answer) -> Option<&str> {
    let coding = answer.headers.get(header::CONTENT_ENCODING)?.to_str().unwrap_or("any coding").trim();
    (!coding.is_empty() && !coding.eq_ignore_ascii_case("identity")).then_some(coding)
}

fn described(answer: &Answer) -> String {
    format!("{} bytes, sha256 {}", answer.body.len(), super::image::hash(&answer.body))
}
