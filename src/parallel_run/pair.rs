//! One sampled request on the work plane: from the end of its control to its record.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use tokio::{
    sync::{OwnedSemaphorePermit, oneshot},
    time::Instant,
};
use uuid::Uuid;

use super::{
    answer::Asked,
    archive::Sample,
    arms,
    calibration::PathStates,
    candidate::{self, CandidateFault, CapturedRequest, Run},
    capture::{Captured, Content, End, Lease, Missing},
    compare::{self, Judgement, status},
    comparison::{Alarm, ArmRecord, Class, Comparison, Direction, Outcome, Skip},
    sample::Pseudonym,
    shadow::Shadow,
};
use crate::routing::Arm;

/// Beyond the candidate's deadline, before a record that never came counts as a failure.
const GRACE: Duration = Duration::from_mins(5);

/// What was decided when the request was sampled, before anything was known of its outcome.
#[derive(Clone, Debug)]
pub(crate) enum Role {
    /// The control alone, to learn its noise. Exchanges under way when enough has been learned stay what they are: no
    /// candidate was begun for them, and to make trials of those that end late would choose trials by their outcome.
    /// So an epoch counts up to as many more than its gate asks for as run at once, and they teach nothing.
    Calibration,
    /// A trial, judged by these states.
    Trial(Arc<PathStates>),
    /// Its subject has had its share.
    Duplicate,
}

/// A sampled request.
pub(crate) struct Sampled {
    pub(crate) shadow: Arc<Shadow>,
    pub(crate) id: Uuid,
    pub(crate) at: Timestamp,
    pub(crate) started: Instant,
    pub(crate) role: Role,
    pub(crate) subject: Option<Pseudonym>,
    pub(crate) request: CapturedRequest,
}

/// What became of the control.
#[derive(Debug)]
pub(crate) enum Control {
    Answered(Box<ControlAnswer>),
    Failed(ControlFault),
    /// The client left before there was an answer.
    Gone,
}

/// The control's answer, as the tee saw it.
#[derive(Debug)]
pub(crate) struct ControlAnswer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) first_byte: Duration,
    pub(crate) total: Duration,
    pub(crate) body: Captured,
}

/// Why there is no answer of the control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlFault {
    /// Too late.
    Timeout,
    /// It could not be reached, or broke the exchange.
    Transport,
}

/// How much is known of the request's body when the control has ended.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// There was none to watch.
    Absent,
    /// It had not ended.
    Passing,
    /// It had.
    Ended(Captured),
}

impl RequestBody {
    /// What was kept of it.
    pub(crate) fn into_content(self) -> Content {
        match self {
            Self::Ended(Captured { content: Ok(content), .. }) => content,
            Self::Absent | Self::Passing | Self::Ended(_) => Content::default(),
        }
    }
}

impl Sampled {
    /// Writes the one record of this request.
    pub(crate) fn keep(&self, comparison: Comparison, sample: Option<Sample>) {
        self.shadow.run.metrics.count(&comparison);
        self.shadow.run.archive.keep(comparison, sample);
    }

    /// Writes that the pair was not run, and why.
    pub(crate) fn keep_unrun(&self, class: Class, control: &Control) {
        self.keep(self.record(class, arms::of_control(control)), None);
    }

    /// The record, as far as it is known without either body.
    fn record(&self, class: Class, control: ArmRecord) -> Comparison {
        let name = &self.shadow.epoch.name;
        Comparison {
            id: self.id,
            at: self.at,
            gateway: Arc::clone(&self.shadow.run.gateway),
            route: Arc::clone(&name.route),
            epoch: Arc::clone(&name.id),
            direction: Direction::Shadow,
            stratum: "-".to_owned(),
            sample_rate: self.shadow.plan.sample.fraction(),
            subject: self.subject.map(|subject| subject.to_string()),
            request: "-".to_owned(),
            control,
            candidate: None,
            class,
            alarms: Vec::new(),
            differences: Vec::new(),
            images: Vec::new(),
        }
    }

    /// The request with its body.
    fn request(&self, body: Content) -> (CapturedRequest, Lease) {
        let (body, lease) = body.into_bytes();
        (CapturedRequest { body, ..self.request.clone() }, lease)
    }

    /// The record, with what the whole request tells.
    fn named_record(
        &self,
        class: Class,
        control: ArmRecord,
        request: &CapturedRequest,
        asked: &Asked,
    ) -> Comparison {
        let names = self.shadow.run.archive.pseudonyms();
        let name = names.request(request.method.as_str(), &request.target.to_string(), &request.body);
        Comparison {
            stratum: arms::stratum(asked, self.shadow.candidate.model()),
            request: name.to_string(),
            ..self.record(class, control)
        }
    }
}

/// Why a pair cannot be run, if it cannot: the class that its record gets.
pub(crate) fn obstacle(role: &Role, request: &RequestBody, control: &Control) -> Option<Class> {
    let answer = match control {
        _ if matches!(role, Role::Duplicate) => return Some(Class::DuplicateSubject),
        Control::Gone => return Some(Class::Skipped(Skip::ClientGone)),
        Control::Failed(_) => return Some(Class::ControlFailed),
        Control::Answered(answer) => answer,
    };
    if status::outcome(answer.status.as_u16()) == Outcome::HttpError || answer.body.end == End::Broken {
        return Some(Class::ControlFailed);
    }
    let request = match request {
        RequestBody::Absent => None,
        RequestBody::Passing => Some(Class::Incomparable),
        RequestBody::Ended(body) => unusable(body),
    };
    request.or_else(|| unusable(&answer.body))
}

fn unusable(body: &Captured) -> Option<Class> {
    match (&body.content, body.end) {
        (Err(Missing::Crowded), _) => Some(Class::Skipped(Skip::Lagged)),
        (Err(Missing::TooLarge | Missing::Unwanted), _) | (Ok(_), End::Cut | End::Broken) => {
            Some(Class::Incomparable)
        }
        (Ok(_), End::Whole) => None,
    }
}

/// Control alone: teaches the epoch what varies. No candidate is called.
pub(crate) async fn calibrate(
    sampled: Arc<Sampled>,
    request: Content,
    control: ControlAnswer,
    _waiting: OwnedSemaphorePermit,
) {
    let guard = Guard::new(&sampled);
    let learning = Arc::clone(&sampled);
    let learned = sampled.shadow.run.on_cpu(&sampled.shadow.limits, move || {
        let (request, _request_lease) = learning.request(request);
        let asked = learning.shadow.candidate.asked(&request);
        let limit = learning.shadow.limits.settings.max_body;
        let (answer, arm, _control_lease) = arms::whole(control, asked.clone(), limit);
        let progress = learning.shadow.epoch.learn(&answer, learning.shadow.plan.gate.calibration);
        (learning.named_record(Class::Calibration, arm, &request, &asked), progress)
    });
    let learned = learned.await;
    guard.disarm();
    let Some((record, progress)) = learned else {
        return sampled.keep(sampled.record(Class::Incomparable, arms::unanswered(Outcome::Ok)), None);
    };
    sampled.keep(record, None);
    if let Some(progress) = progress {
        sampled.shadow.run.archive.learned(&sampled.shadow.epoch.name, progress);
    }
}

/// A trial: calls the candidate, and judges it once the control has ended too.
pub(crate) async fn trial(
    sampled: Arc<Sampled>,
    states: Arc<PathStates>,
    request: Content,
    control: oneshot::Receiver<Control>,
    waiting: OwnedSemaphorePermit,
) {
    let guard = Guard::new(&sampled);
    let shadow = &sampled.shadow;
    let place = tokio::select! {
        biased;
        () = shadow.run.lifetime.draining() => None,
        place = Arc::clone(&shadow.in_flight).acquire_owned() => place.ok(),
    };
    drop(waiting);
    let Some(_place) = place else {
        guard.disarm();
        let control = control.await.unwrap_or(Control::Gone);
        let class = obstacle(&sampled.role, &RequestBody::Absent, &control);
        return sampled.keep_unrun(class.unwrap_or(Class::Skipped(Skip::Shutdown)), &control);
    };

    let (request, request_lease) = sampled.request(request);
    let asked = shadow.candidate.asked(&request);
    let calling = candidate::run(
        Arc::clone(&shadow.candidate),
        request.clone(),
        shadow.plan.deadline,
        &shadow.run.lifetime,
    );
    let observed = async {
        let control = control.await.unwrap_or(Control::Gone);
        let class = obstacle(&sampled.role, &RequestBody::Absent, &control);
        if class.is_none() {
            guard.disarm();
            let lost = arms::unanswered(Outcome::Transport);
            let record =
                sampled.named_record(Class::CandidateFailed, arms::of_control(&control), &request, &asked);
            let due = shadow.run.now().checked_add(shadow.plan.deadline + GRACE).unwrap_or(Timestamp::MAX);
            shadow.run.archive.dispatched(Comparison { candidate: Some(lost), ..record }, due);
        }
        (control, class)
    };
    let ((control, class), run) = tokio::join!(observed, calling);
    guard.disarm();

    let answer = match (control, class) {
        (Control::Answered(answer), None) => *answer,
        (control, class) => {
            let class = class.unwrap_or(Class::ControlFailed);
            let record = sampled.named_record(class, arms::of_control(&control), &request, &asked);
            return sampled.keep(Comparison { candidate: Some(arms::of_candidate(&run)), ..record }, None);
        }
    };
    let (record, sample) = conclude(&sampled, states, request, request_lease, answer, asked, run).await;
    sampled.keep(record, sample);
}

/// Compares two ended arms, the control ok.
async fn conclude(
    sampled: &Arc<Sampled>,
    states: Arc<PathStates>,
    request: CapturedRequest,
    request_lease: Lease,
    control: ControlAnswer,
    asked: Asked,
    run: Run,
) -> (Comparison, Option<Sample>) {
    let shadow = &sampled.shadow;
    let arm = arms::of_candidate(&run);
    let limit = shadow.limits.settings.max_body;
    let (mut control, control_arm, control_lease) = arms::whole(control, asked.clone(), limit);
    let leases = [request_lease, control_lease];
    let mut record = sampled.named_record(Class::CandidateFailed, control_arm, &request, &asked);
    record.candidate = Some(arm);

    let (mut candidate, at_hand) = match run.result {
        Ok(answer) => arms::answer(answer, asked, limit),
        Err(fault) => {
            tracing::info!(route = %request.route, comparison = %record.id, error = %fault, "candidate without an answer");
            match fault {
                CandidateFault::Budget => record.class = Class::Skipped(Skip::Budget),
                CandidateFault::Panic(_) => record.alarms.push(Alarm::Panic),
                CandidateFault::Timeout | CandidateFault::Transport(_) | CandidateFault::TooLarge => {}
            }
            return (record, Some(Sample::new(request, control, None, leases)));
        }
    };
    let nothing = HashMap::new();
    (control.images, candidate.images) = tokio::join!(
        shadow.images_of(Arm::Control, &control, &nothing, &request),
        shadow.images_of(Arm::Candidate, &candidate, &at_hand, &request),
    );
    let plan = Arc::clone(&shadow.plan);
    let judged = shadow.run.on_cpu(&shadow.limits, move || {
        (compare::compare(&plan, &states, &control, &candidate), control, candidate)
    });
    let Some((Judgement { differences, images, alarms, class }, control, candidate)) = judged.await else {
        return (Comparison { class: Class::Incomparable, ..record }, None);
    };
    let record = Comparison { class, alarms, differences, images, ..record };
    (record, Some(Sample::new(request, control, Some(candidate), leases)))
}

/// Sees to it that a request leaves its record even if its task is dropped before the candidate was called.
struct Guard {
    sampled: Arc<Sampled>,
    armed: AtomicBool,
}

impl Guard {
    fn new(sampled: &Arc<Sampled>) -> Self {
        Self { sampled: Arc::clone(sampled), armed: AtomicBool::new(true) }
    }

    /// From here on the record is somebody else's.
    fn disarm(&self) {
        self.armed.store(false, Ordering::Relaxed);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if *self.armed.get_mut() {
            let class =
                if std::thread::panicking() { Class::Incomparable } else { Class::Skipped(Skip::Shutdown) };
            self.sampled.keep(self.sampled.record(class, arms::unanswered(Outcome::Transport)), None);
        }
    }
}
