//! The control alone: teaches the epoch what varies. No candidate is called.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use uuid::Builder;

use super::{ControlAnswer, Sampled, guard::Guard};
use crate::parallel_run::{
    arms,
    candidate::{self, CapturedRequest},
    capture::{Content, Lease},
    compare::status,
    comparison::{Class, Comparison, Direction, Outcome},
    sample::Lot,
};

/// One exchange of calibration, from the end of its control to its record.
pub(crate) async fn calibrate(
    sampled: Arc<Sampled>,
    request: Content,
    control: ControlAnswer,
    _waiting: OwnedSemaphorePermit,
) {
    let (request, lease) = sampled.request(request);
    learn(sampled, request, lease, control).await;
}

/// The same, where the request is whole.
pub(super) async fn learn(
    sampled: Arc<Sampled>,
    request: CapturedRequest,
    request_lease: Lease,
    control: ControlAnswer,
) {
    let guard = Guard::new(&sampled);
    let shadow = &sampled.shadow;
    let again = if is_repeated(&sampled) {
        let control = Arc::clone(&shadow.control);
        Some(candidate::ask(control, request.clone(), shadow.bounds(), &shadow.run.lifetime).await)
    } else {
        None
    };
    let learning = Arc::clone(&sampled);
    let learned = shadow.run.on_cpu(&shadow.limits, move || {
        let _request_lease = request_lease;
        let shadow = &learning.shadow;
        let asked = shadow.asked(&request);
        let limit = shadow.limits.settings.max_body;
        let (answer, arm, _control_lease) = arms::whole(control, asked.clone(), limit);
        let repeat = again.map(|again| {
            let arm = arms::of_repeat(&again);
            let again = again.result.ok().and_then(|again| arms::answer(again, asked.clone(), limit));
            (again.map(|(again, _)| again), arm)
        });
        let other = repeat.as_ref().and_then(|(answer, _)| answer.as_ref());
        // An answer of another kind says nothing of what varies.
        let other = other.filter(|other| other.status == answer.status);
        let progress = learning.epoch.learn(&answer, other, shadow.plan.gate.calibration);
        // A site may refuse for long before it sells anything. What varies in that is learned too, but says nothing of the
        // rest, as little as how soon it comes.
        let is_refusal = status::outcome(answer.status) == Outcome::Refused;
        let class = if is_refusal { Class::ControlFailed } else { Class::Calibration };
        let record = learning.named_record(class, arm, &request, &asked);
        (record, repeat.map(|(_, arm)| arm), progress)
    });
    let learned = learned.await;
    guard.disarm();
    let Some((record, repeat, progress)) = learned else {
        return sampled.keep(sampled.record(Class::Incomparable, arms::unanswered(Outcome::Ok)), None);
    };
    if let Some(arm) = repeat {
        // Beside the one record of the request: what the control said when it was asked again is nobody's trial.
        let millis = u64::try_from(sampled.at.as_millisecond()).unwrap_or_default();
        let id = Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid();
        let direction = Direction::ControlRepeat;
        let class = Class::Calibration;
        let repeat = Comparison { id, direction, class, candidate: Some(arm), ..record.clone() };
        sampled.shadow.run.archive.keep(repeat, None);
    }
    sampled.keep(record, None);
    if let Some(progress) = progress {
        sampled.shadow.run.archive.learned(&sampled.epoch.name, progress);
    }
}

/// Drawn by bits that the sampling did not use.
fn is_repeated(sampled: &Sampled) -> bool {
    let name = &sampled.epoch.name;
    Lot::draw(&sampled.id.to_string(), &name.route, "repeat").is_within(sampled.shadow.plan.repeat_control)
}
