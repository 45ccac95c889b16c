//! One sampled request on the work plane: from the end of its control to its record.

mod guard;
mod learning;
mod outcome;
mod reverse;
mod trial;

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use tokio::time::Instant;
use uuid::Uuid;

pub(crate) use self::{
    learning::calibrate,
    reverse::{declined, observed as of_candidate, reverse},
    trial::trial,
};
use super::{
    answer::Asked,
    archive::Sample,
    arms,
    calibration::PathStates,
    candidate::CapturedRequest,
    capture::{Captured, Content, End, Lease, Missing},
    compare::status,
    comparison::{ArmRecord, Class, Comparison, Direction, Outcome, Skip},
    epoch::Epoch,
    sample::Pseudonym,
    shadow::Shadow,
};
use crate::routing::Share;

/// Beyond the deadline of whoever is asked, before a record that never came is what was announced.
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
    /// The one that was current when it was sampled.
    pub(crate) epoch: Arc<Epoch>,
    pub(crate) id: Uuid,
    pub(crate) at: Timestamp,
    pub(crate) started: Instant,
    pub(crate) direction: Direction,
    pub(crate) rate: Share,
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
        self.shadow.run.metrics.count(&comparison.route, comparison.class);
        self.shadow.run.archive.keep(comparison, sample);
    }

    /// Writes that the pair was not run, and why.
    pub(crate) fn keep_unrun(&self, class: Class, control: &Control) {
        self.keep(self.record(class, arms::of_control(control)), None);
    }

    /// Writes that what the client got was looked at no further, and why.
    pub(crate) fn keep_left_out(&self, class: Class) {
        let class = if matches!(self.role, Role::Duplicate) { Class::DuplicateSubject } else { class };
        self.keep(self.record(class, arms::unanswered(Outcome::SkippedControl)), None);
    }

    /// Writes that a candidate's answer was not held against the control's, and why.
    pub(crate) fn keep_unasked(&self, class: Class, candidate: &Control) {
        self.keep(self.unasked(class, candidate), None);
    }

    /// The record of a candidate's answer that was not held against the control's.
    fn unasked(&self, class: Class, candidate: &Control) -> Comparison {
        let record = self.record(class, arms::unanswered(Outcome::SkippedControl));
        Comparison { candidate: Some(arms::of_control(candidate)), ..record }
    }

    /// Writes what stands if nothing more is heard of this request.
    fn announce(&self, comparison: Comparison) {
        let Shadow { run, plan, .. } = &*self.shadow;
        let due = run.now().checked_add(plan.deadline + GRACE).unwrap_or(Timestamp::MAX);
        run.archive.dispatched(comparison, due);
    }

    /// The record, as far as it is known without either body.
    fn record(&self, class: Class, control: ArmRecord) -> Comparison {
        let name = &self.epoch.name;
        Comparison {
            id: self.id,
            at: self.at,
            gateway: Arc::clone(&self.shadow.run.gateway),
            route: Arc::clone(&name.route),
            epoch: Arc::clone(&name.id),
            direction: self.direction,
            stratum: "-".to_owned(),
            sample_rate: self.rate.fraction(),
            subject: self.subject.map(|subject| subject.to_string()),
            request: "-".to_owned(),
            control,
            candidate: None,
            class,
            alarms: Vec::new(),
            differences: Vec::new(),
            images: Vec::new(),
            rules: Vec::new(),
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
            ..self.record(class, arms::priced(control, asked, self.shadow.plan.gate.control_usd_per_image))
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
