//! The other way round: the candidate has answered the user, and the control is asked what it would have said.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    Class, Control, ControlAnswer, ControlFault, RequestBody, Role, Sampled, guard::Guard, learning,
    outcome::conclude, unusable,
};
use crate::parallel_run::{
    arms,
    candidate::{self, CandidateAnswer, CandidateFault, Run, Timed},
    capture::{Captured, Content, End, Lease, Waited},
    compare::status,
    comparison::{Comparison, Outcome, Skip},
};

/// Why a pair whose candidate has ended cannot be run, if it cannot. A candidate that failed is no obstacle: it is what
/// is to be found out.
pub(crate) fn observed(role: &Role, request: &RequestBody, candidate: &Control) -> Option<Class> {
    if matches!(role, Role::Duplicate) {
        return Some(Class::DuplicateSubject);
    }
    if matches!(candidate, Control::Gone) {
        return Some(Class::Skipped(Skip::ClientGone));
    }
    let request = match request {
        RequestBody::Absent => None,
        RequestBody::Passing => Some(Class::Incomparable),
        RequestBody::Ended(body) => unusable(body),
    };
    request.or_else(|| match candidate {
        // A tunnel has begun, and nobody can say what passed through it.
        Control::Answered(answer) if answer.status == StatusCode::SWITCHING_PROTOCOLS => {
            Some(Class::Incomparable)
        }
        Control::Answered(answer) if answer.body.end != End::Broken => unusable(&answer.body),
        Control::Answered(_) | Control::Failed(_) | Control::Gone => None,
    })
}

/// Asks the control, and judges what the user was answered.
pub(crate) async fn reverse(
    sampled: Arc<Sampled>,
    request: Content,
    candidate: Control,
    waiting: OwnedSemaphorePermit,
) {
    let guard = Guard::new(&sampled);
    let shadow = &sampled.shadow;
    let _at_work = shadow.run.pulse.at_work();
    // Should the process end before the control has answered, the request was sampled, and nothing is proved by it.
    sampled.announce(sampled.unasked(Class::Skipped(Skip::Shutdown), &candidate));
    let place = shadow.place().await;
    drop(waiting);
    let Some(_place) = place else {
        guard.disarm();
        return sampled.keep_unasked(Class::Skipped(Skip::Shutdown), &candidate);
    };
    if let Err(why) = shadow.kept.purse.reserve(None, &shadow.plan, shadow.run.now()) {
        guard.disarm();
        return sampled.keep_unasked(Class::Skipped(why), &candidate);
    }
    let (request, lease) = sampled.request(request);
    let (asking, before) = (Arc::clone(&shadow.control), shadow.run.pulse.lost());
    let Timed { result, took } =
        candidate::ask(asking, request.clone(), shadow.bounds(), &shadow.run.lifetime).await;
    if shadow.is_spoilt(took, shadow.run.pulse.lost().saturating_sub(before)) {
        guard.disarm();
        return sampled.keep_unasked(Class::Skipped(Skip::Lagged), &candidate);
    }
    let asked = shadow.asked(&request);
    let price = shadow.candidate.price(&request).unwrap_or_default();
    let (candidate, _candidate_lease) = run_of(candidate, price);
    let control = match result {
        Ok(answer) if status::outcome(answer.status.as_u16()) != Outcome::HttpError => {
            control_of(answer, took)
        }
        failed => {
            guard.disarm();
            let class = match failed {
                Err(CandidateFault::TooLarge) => Class::Incomparable,
                _ => Class::ControlFailed,
            };
            let control = arms::of_repeat(&Timed { result: failed, took });
            let record = sampled.named_record(class, control, &request, &asked);
            return sampled
                .keep(Comparison { candidate: Some(arms::of_candidate(&candidate)), ..record }, None);
        }
    };
    match &sampled.role {
        Role::Trial(states) => {
            let (record, sample) =
                conclude(&sampled, Arc::clone(states), request, lease, control, asked, candidate).await;
            guard.disarm();
            sampled.keep(record, sample);
        }
        Role::Calibration | Role::Duplicate => {
            guard.disarm();
            learning::learn(Arc::clone(&sampled), request, lease, control).await;
        }
    }
}

/// The candidate left the request to the control, whose answer the user got: a failure, where the control was ok.
pub(crate) async fn declined(
    sampled: Arc<Sampled>,
    request: Content,
    control: ControlAnswer,
    _waiting: OwnedSemaphorePermit,
) {
    let (request, lease) = sampled.request(request);
    let asked = sampled.shadow.asked(&request);
    let Role::Trial(states) = &sampled.role else {
        return learning::learn(Arc::clone(&sampled), request, lease, control).await;
    };
    let guard = Guard::new(&sampled);
    // What is left to the control was not drawn, and cost nothing.
    let result = Err(CandidateFault::Transport("left to the control".to_owned()));
    let run = Run { result, took: Duration::ZERO, cost_usd: 0.0 };
    let (record, sample) = conclude(&sampled, Arc::clone(states), request, lease, control, asked, run).await;
    guard.disarm();
    sampled.keep(record, sample);
}

/// What the user was answered, as if it had been called for, at its price; the memory is held as long as the lease.
fn run_of(candidate: Control, cost_usd: f64) -> (Run, Lease) {
    let lost = |fault| (Run { result: Err(fault), took: Duration::ZERO, cost_usd }, Lease::default());
    match candidate {
        Control::Failed(ControlFault::Timeout) => lost(CandidateFault::Timeout),
        Control::Failed(ControlFault::Transport) | Control::Gone => {
            lost(CandidateFault::Transport("no answer".to_owned()))
        }
        Control::Answered(answer) if answer.body.end == End::Broken => {
            lost(CandidateFault::Transport("a broken answer".to_owned()))
        }
        Control::Answered(answer) => {
            let ControlAnswer { status, headers, first_byte, total, body } = *answer;
            let (body, lease) = body.content.unwrap_or_default().into_bytes();
            let images = std::collections::HashMap::new();
            let first_byte = Some(first_byte);
            let answer = CandidateAnswer { status, headers, body, first_byte, images, cost_usd };
            (Run { result: Ok(answer), took: total, cost_usd }, lease)
        }
    }
}

fn control_of(answer: CandidateAnswer, took: Duration) -> ControlAnswer {
    let CandidateAnswer { status, headers, body, first_byte, .. } = answer;
    let bytes = body.len() as u64;
    let (content, waited) = (Ok(Content::unlent(body)), Waited::default());
    let body = Captured { end: End::Whole, bytes, content, waited };
    ControlAnswer { status, headers, first_byte: first_byte.unwrap_or(took), total: took, body }
}
