//! What either arm answered, as it is compared and as it is recorded.

use std::collections::HashMap;

use super::{
    answer::{Answer, Asked},
    candidate::{CandidateAnswer, Fetched, Run, Timed},
    capture::{End, Lease, Missing},
    coding::{self, Stays},
    compare::status,
    comparison::{ArmRecord, Outcome},
    images::media_type,
    pair::{Control, ControlAnswer, ControlFault},
    sample::sha256_hex,
};

/// An arm that gave no answer.
pub(crate) fn unanswered(outcome: Outcome) -> ArmRecord {
    ArmRecord {
        outcome,
        status: None,
        first_byte: None,
        total: None,
        bytes: 0,
        media_type: None,
        body_hash: None,
        cost_usd: None,
    }
}

/// The control's side of a record, without the hash of its body.
pub(crate) fn of_control(control: &Control) -> ArmRecord {
    match control {
        Control::Gone | Control::Failed(ControlFault::Transport) => unanswered(Outcome::Transport),
        Control::Failed(ControlFault::Timeout) => unanswered(Outcome::Timeout),
        Control::Answered(answer) => of_answered(answer),
    }
}

fn of_answered(answer: &ControlAnswer) -> ArmRecord {
    let outcome = match (&answer.body.content, answer.body.end) {
        (_, End::Broken) => Outcome::Transport,
        (Err(Missing::TooLarge), _) => Outcome::TooLarge,
        _ => status::outcome(answer.status.as_u16()),
    };
    ArmRecord {
        status: Some(answer.status.as_u16()),
        first_byte: Some(answer.first_byte),
        total: Some(answer.total),
        bytes: answer.body.bytes,
        media_type: media_type(&answer.headers),
        ..unanswered(outcome)
    }
}

/// The control's answer in one piece, decoded to at most `limit` bytes, its record, and the memory that it holds.
pub(crate) fn whole(control: ControlAnswer, asked: Asked, limit: usize) -> (Answer, ArmRecord, Lease) {
    let record = of_answered(&control);
    let (body, lease) = control.body.content.unwrap_or_default().into_bytes();
    let record = ArmRecord { body_hash: Some(sha256_hex([&*body])), ..record };
    let status = control.status.as_u16();
    let mut answer = Answer { status, headers: control.headers, body, images: Vec::new(), asked };
    // What stays coded is incomparable, whyever it does.
    coding::take_off(&mut answer, limit).ok();
    (answer, record, lease)
}

/// The candidate's side of a record.
pub(crate) fn of_candidate(run: &Run) -> ArmRecord {
    match &run.result {
        // How long it took not to answer is no time of an answer's.
        Err(fault) => ArmRecord { cost_usd: run.known_cost(), ..unanswered(fault.outcome()) },
        Ok(answer) => ArmRecord {
            outcome: status::outcome(answer.status.as_u16()),
            status: Some(answer.status.as_u16()),
            first_byte: Some(answer.first_byte.unwrap_or(run.took)),
            total: Some(run.took),
            bytes: answer.body.len() as u64,
            media_type: media_type(&answer.headers),
            body_hash: Some(sha256_hex([&*answer.body])),
            cost_usd: run.known_cost(),
        },
    }
}

/// What the control answered to us alone.
pub(crate) fn of_repeat(again: &Timed) -> ArmRecord {
    match &again.result {
        Err(fault) => ArmRecord { total: Some(again.took), ..unanswered(fault.outcome()) },
        Ok(answer) => ArmRecord {
            status: Some(answer.status.as_u16()),
            first_byte: Some(answer.first_byte.unwrap_or(again.took)),
            total: Some(again.took),
            bytes: answer.body.len() as u64,
            media_type: media_type(&answer.headers),
            body_hash: Some(sha256_hex([&*answer.body])),
            ..unanswered(status::outcome(answer.status.as_u16()))
        },
    }
}

/// The candidate's answer, decoded, its images not yet looked for, and those that are at hand; `None` where it is more
/// than `limit` bytes.
pub(crate) fn answer(
    answer: CandidateAnswer,
    asked: Asked,
    limit: usize,
) -> Option<(Answer, HashMap<String, Fetched>)> {
    let CandidateAnswer { status, headers, body, images, .. } = answer;
    let mut answer = Answer { status: status.as_u16(), headers, body, images: Vec::new(), asked };
    match coding::take_off(&mut answer, limit) {
        Err(Stays::TooLarge) => None,
        Ok(()) | Err(Stays::Unreadable) => Some((answer, images)),
    }
}

/// The control's side of a record, with what `asked` cost it at `usd_per_image`: whoever answered drew as many images as
/// were asked for, one where the contract does not say.
pub(crate) fn priced(control: ArmRecord, asked: &Asked, usd_per_image: Option<f64>) -> ArmRecord {
    let drew = control.outcome == Outcome::Ok;
    let cost_usd = usd_per_image.filter(|_| drew).map(|usd| usd * f64::from(asked.n.unwrap_or(1)));
    ArmRecord { cost_usd, ..control }
}

/// Size, n and model; `-` for what the contract does not say.
pub(crate) fn stratum(asked: &Asked, model: &str) -> String {
    let size = asked.size.map_or_else(|| "-".to_owned(), |(width, height)| format!("{width}x{height}"));
    let n = asked.n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    format!("{size}/{n}/{model}")
}
