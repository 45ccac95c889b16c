//! Judges one pair: a pure function of two answers, the route's rules and what calibration learned.
//!
//! Status first, then the contractual headers, the body path by path, and the images by what they are. Two artists
//! never draw the same pixels: no similarity of images is ever asked for.

pub mod status;
pub mod header;
pub mod json;
pub mod image;

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
            header::compare(&plan.headers, &control.headers, &candidate.headers, &mut findings);
            let body = json::compare(plan, states, control, candidate, &mut findings);
            image::compare(&plan.image, control, candidate, &mut findings);
            (body == json::Readable::No).then_some(Class::Incomparable)
        }
    };
    let failed = findings.differences.iter().any(|difference| difference.severity == Severity::Failure);
    let class = class.unwrap_or(if failed { Class::Mismatch } else { Class::Match });
    Judgement { class, differences: findings.differences, images: findings.images, alarms: findings.alarms }
}

/// What the comparers find, in their order.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    differences: Vec<Difference>,
    images: Vec<ImageRecord>,
    alarms: Vec<Alarm>,
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

    fn add(
        &mut self,
        path: String,
        kind: DifferenceKind,
        [control, candidate]: [Option<&str>; 2],
        severity: Severity,
        rule: Option<&str>,
    ) {
        if self.differences.len() < MAX_DIFFERENCES {
            let rule = rule.map(str::to_owned);
            let (control, candidate) = (control.map(cut), candidate.map(cut));
            self.differences.push(Difference { path, kind, control, candidate, severity, rule });
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
