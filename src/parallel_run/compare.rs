//! Judges one pair: a pure function of two answers, the route's rules and what calibration learned.
//!
//! Status first, then the contractual headers, the body path by path, and the images by what they are. Two artists
//! never draw the same pixels: no similarity of images is ever asked for.

pub mod status;
pub mod header;
mod body;
mod json;
mod lines;
pub mod image;

pub(crate) use self::{
    body::{document, text},
    json::{escaped, is_reordered},
};
use super::{
    answer::Answer,
    calibration::PathStates,
    comparison::{Alarm, Class, Difference, DifferenceKind, ImageRecord, Severity},
    settings::Plan,
};

/// What came of comparing two answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// Whether they agree.
    pub class: Class,
    /// Where they do not.
    pub differences: Vec<Difference>,
    /// Every image of both.
    pub images: Vec<ImageRecord>,
    /// What a person must see.
    pub alarms: Vec<Alarm>,
    /// The rules that spoke for a path of it, by theirs.
    pub rules: Vec<String>,
}

/// Differences kept of one pair: a wholly different answer is told by its first ones.
const MAX_DIFFERENCES: usize = 100;
/// Bytes kept of each side of a difference.
const MAX_SIDE: usize = 256;

/// Compares the candidate's answer with the control's.
pub fn compare(plan: &Plan, states: &PathStates, control: &Answer, candidate: &Answer) -> Judgement {
    let mut findings = Findings::default();
    let verdict = status::compare(control.status, candidate.status, &mut findings);
    let class = match verdict {
        status::Standing::ControlFailed => Some(Class::ControlFailed),
        status::Standing::CandidateFailed => Some(Class::CandidateFailed),
        // A refusal and a success have nothing more to tell each other.
        status::Standing::OneRefused => None,
        status::Standing::Comparable => {
            header::compare(&plan.headers, control, candidate, &mut findings);
            let body = body::compare(plan, states, control, candidate, &mut findings);
            let images = image::compare(&plan.image, control, candidate, &mut findings);
            let fails = findings.worst == Some(Severity::Failure);
            (body == Readable::No || images == Readable::No && !fails).then_some(Class::Incomparable)
        }
    };
    let class = class.unwrap_or(match findings.worst {
        Some(Severity::Failure) => Class::Mismatch,
        Some(Severity::Expected) => Class::Expected,
        Some(Severity::Info) | None => Class::Match,
    });
    let Findings { differences, images, alarms, rules, worst: _ } = findings;
    Judgement { class, differences, images, alarms, rules }
}

/// Whether what both arms gave could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Readable {
    Yes,
    /// Different bytes under a content coding, or of a kind of image that is not decoded here.
    No,
}

/// What the comparers find, in their order.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    differences: Vec<Difference>,
    images: Vec<ImageRecord>,
    alarms: Vec<Alarm>,
    rules: Vec<String>,
    /// Of all differences, also of those that were too many to be kept.
    worst: Option<Severity>,
}

impl Findings {
    /// A difference that fails the trial.
    fn failure(
        &mut self,
        path: impl Into<String>,
        kind: DifferenceKind,
        control: Option<&str>,
        candidate: Option<&str>,
    ) {
        self.add(path.into(), kind, [control, candidate], Severity::Failure, None);
    }

    fn info(
        &mut self,
        path: impl Into<String>,
        kind: DifferenceKind,
        control: Option<&str>,
        candidate: Option<&str>,
    ) {
        self.add(path.into(), kind, [control, candidate], Severity::Info, None);
    }

    /// Whether a difference of `severity` would add nothing to what is known.
    fn is_full(&self, severity: Severity) -> bool {
        self.differences.len() >= MAX_DIFFERENCES && self.worst >= Some(severity)
    }

    fn add(
        &mut self,
        path: String,
        kind: DifferenceKind,
        [control, candidate]: [Option<&str>; 2],
        severity: Severity,
        rule: Option<&str>,
    ) {
        self.worst = self.worst.max(Some(severity));
        if self.differences.len() < MAX_DIFFERENCES {
            let rule = rule.map(str::to_owned);
            let (control, candidate) = (control.map(cut), candidate.map(cut));
            self.differences.push(Difference { path, kind, control, candidate, severity, rule });
        }
    }

    /// Notes that the rule of this path spoke.
    fn used(&mut self, rule: &str) {
        if self.rules.iter().all(|known| known != rule) {
            self.rules.push(rule.to_owned());
        }
    }

    fn alarm(&mut self, alarm: Alarm) {
        if !self.alarms.contains(&alarm) {
            self.alarms.push(alarm);
        }
    }
}

/// At most [`MAX_SIDE`] bytes, ending at a character.
fn cut(text: &str) -> String {
    text.get(..text.floor_char_boundary(MAX_SIDE)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
