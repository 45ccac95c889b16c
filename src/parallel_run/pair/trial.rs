//! A trial: calls the candidate, and judges it once the control has ended too.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{Control, RequestBody, Sampled, guard::Guard, obstacle, outcome::conclude};
use crate::parallel_run::{
    answer::Asked,
    arms,
    calibration::PathStates,
    candidate::{self, CapturedRequest},
    capture::{Content, Lease},
    compare::status,
    comparison::{Class, Comparison, Outcome, Skip},
};

/// From the moment at which the candidate may begin to the pair's record.
pub(crate) async fn trial(
    sampled: Arc<Sampled>,
    states: Arc<PathStates>,
    request: Content,
    control: oneshot::Receiver<Control>,
    waiting: OwnedSemaphorePermit,
) {
    let guard = Guard::new(&sampled);
    let shadow = &sampled.shadow;
    let _at_work = shadow.run.pulse.at_work();
    let place = shadow.place().await;
    drop(waiting);
    let why = match &place {
        None => Some(Skip::Shutdown),
        Some(_) => (!shadow.keeps_up() || shadow.run.pulse.is_overdrawn()).then_some(Skip::Queue),
    };
    if let Some(why) = why {
        guard.disarm();
        let control = control.await.unwrap_or(Control::Gone);
        let class = obstacle(&sampled.role, &RequestBody::Absent, &control);
        return sampled.keep_unrun(class.unwrap_or(Class::Skipped(why)), &control);
    }
    let (request, lease) = sampled.request(request);
    let asked = shadow.asked(&request);
    Trial { sampled: &sampled, states, request, asked, guard }.run(lease, control).await;
}

/// A trial that has its place.
struct Trial<'s> {
    sampled: &'s Arc<Sampled>,
    states: Arc<PathStates>,
    request: CapturedRequest,
    asked: Asked,
    guard: Guard,
}

impl Trial<'_> {
    async fn run(self, request_lease: Lease, control: oneshot::Receiver<Control>) {
        let Self { sampled, request, asked, guard, .. } = &self;
        let shadow = &sampled.shadow;
        let price = shadow.candidate.price(request);
        let mut control = Awaited::Coming(control);
        if price.is_some() || asked.streamed {
            // What costs money waits for the control, whatever the plan says: strangers must not spend the budget. And what
            // is not comparable is not called for.
            let known = control.known().await;
            let reluctance = if price.is_some() { Reluctance::Priced } else { Reluctance::None };
            if let Some(class) = self.unrun(&known, reluctance) {
                return self.keep_unrun(class, &known);
            }
            control = Awaited::Known(known);
        }
        let reserved = match shadow.kept.purse.reserve(price, &shadow.plan, shadow.run.now()) {
            Ok(reserved) => reserved,
            Err(why) => {
                let known = control.known().await;
                let class = self.unrun(&known, Reluctance::None).unwrap_or(Class::Skipped(why));
                return self.keep_unrun(class, &known);
            }
        };
        let calling = candidate::run(
            Arc::clone(&shadow.candidate),
            request.clone(),
            price,
            shadow.bounds(),
            &shadow.run.lifetime,
        );
        let observed = async {
            let control = control.known().await;
            let class = self.unrun(&control, Reluctance::None);
            if class.is_none() {
                guard.disarm();
                self.announce(&control, price);
            }
            (control, class)
        };
        let pulse = &shadow.run.pulse;
        let before = pulse.lost();
        let timed = async {
            let run = calling.await;
            (pulse.lost().saturating_sub(before), run)
        };
        let ((control, class), (lost, run)) = tokio::join!(observed, timed);
        // Whatever it answered: who is only let off where he is slow would be called faster than he is.
        let class = class.or(shadow.is_spoilt(run.took, lost).then_some(Class::Skipped(Skip::Lagged)));
        guard.disarm();
        reserved.settle(run.cost_usd);

        let answer = match (control, class) {
            (Control::Answered(answer), None) => *answer,
            (control, class) => {
                let class = class.unwrap_or(Class::ControlFailed);
                let record = sampled.named_record(class, arms::of_control(&control), request, asked);
                let (candidate, alarms) = (Some(arms::of_candidate(&run)), run.alarms());
                return sampled.keep(Comparison { candidate, alarms, ..record }, None);
            }
        };
        let Self { sampled, states, request, asked, .. } = self;
        let (record, sample) = conclude(sampled, states, request, request_lease, answer, asked, run).await;
        sampled.keep(record, sample);
    }

    /// Why the pair cannot be run, now that the control is known.
    fn unrun(&self, control: &Control, reluctance: Reluctance) -> Option<Class> {
        let refused = match control {
            Control::Answered(answer) => status::outcome(answer.status.as_u16()) == Outcome::Refused,
            Control::Failed(_) | Control::Gone => false,
        };
        obstacle(&self.sampled.role, &RequestBody::Absent, control).or(match (refused, reluctance) {
            (true, Reluctance::Priced) => Some(Class::Skipped(Skip::Control)),
            // Who refuses has not begun to stream.
            (false, _) if self.asked.streamed => Some(Class::Incomparable),
            _ => None,
        })
    }

    fn keep_unrun(&self, class: Class, control: &Control) {
        self.guard.disarm();
        let why = match class {
            Class::Skipped(Skip::Budget) => Some(Outcome::SkippedBudget),
            Class::Skipped(Skip::Rate) => Some(Outcome::SkippedQueue),
            Class::Skipped(Skip::Control) | Class::ControlFailed => Some(Outcome::SkippedControl),
            _ => None,
        };
        let record = self.sampled.named_record(class, arms::of_control(control), &self.request, &self.asked);
        self.sampled.keep(Comparison { candidate: why.map(arms::unanswered), ..record }, None);
    }

    /// What stands if nothing more is heard of the candidate: it has failed, and cost its price.
    fn announce(&self, control: &Control, price: Option<f64>) {
        let Self { sampled, request, asked, .. } = self;
        let mut lost = arms::unanswered(Outcome::Transport);
        lost.cost_usd = Some(price.unwrap_or_default());
        let record = sampled.named_record(Class::CandidateFailed, arms::of_control(control), request, asked);
        sampled.announce(Comparison { candidate: Some(lost), ..record });
    }
}

/// How willingly the candidate is called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reluctance {
    None,
    /// It costs money.
    Priced,
}

/// The control's end, once somebody needs it.
enum Awaited {
    Coming(oneshot::Receiver<Control>),
    Known(Control),
}

impl Awaited {
    async fn known(self) -> Control {
        match self {
            Self::Coming(control) => control.await.unwrap_or(Control::Gone),
            Self::Known(control) => control,
        }
    }
}
