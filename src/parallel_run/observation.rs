//! One sampled request on the data plane: its two tees, and the moment at which it leaves for the work plane.

use std::{
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    calibration::PathStates,
    capture::{Captured, Content, End, Tee},
    comparison::{Class, Direction, Skip},
    pair::{self, Control, ControlAnswer, ControlFault, RequestBody, Role, Sampled, obstacle},
    settings::Start,
};

/// A request that is being watched. Dropping it, like dropping either tee, says that the client left.
pub struct Observation {
    watch: Arc<Watch>,
    /// Once the control's end is known, or another will tell it.
    is_settled: bool,
}

/// What both tees share.
struct Watch {
    sampled: Arc<Sampled>,
    stage: Mutex<Stage>,
    /// The candidate has left the request to the control.
    is_declined: AtomicBool,
    /// How long the client's body was waited for, in microseconds.
    sending: AtomicU64,
}

/// How far the pair has come.
enum Stage {
    /// Nothing was begun.
    Waiting(RequestBody),
    /// The candidate was begun at the request's end, and its task waits for the control's.
    Running(oneshot::Sender<Control>),
    /// The candidate was to begin, and there was no room.
    Crowded,
}

impl Observation {
    pub(crate) fn new(sampled: Sampled) -> Self {
        let stage = Mutex::new(Stage::Waiting(RequestBody::Absent));
        let (is_declined, sending) = (AtomicBool::new(false), AtomicU64::new(0));
        let watch = Watch { sampled: Arc::new(sampled), stage, is_declined, sending };
        Self { watch: Arc::new(watch), is_settled: false }
    }

    /// The client's body was waited for so long before it is watched: its own time, and not the arm's.
    pub fn has_waited(&self, sending: Duration) {
        self.watch.has_waited(sending);
    }

    /// The request's body, which was collected before.
    pub fn request_whole(&mut self, body: &Bytes) {
        let Sampled { shadow, role, .. } = &*self.watch.sampled;
        let captured = shadow.capture(role).of(body);
        self.watch.turn(|_| (Stage::Waiting(RequestBody::Ended(captured)), ()));
    }

    /// The candidate that was to answer the user leaves the request to the control: what comes is the control's.
    pub fn declined(&mut self) {
        self.watch.is_declined.store(true, Ordering::Relaxed);
    }

    /// Watches the request's body on its way to the control.
    pub fn request_body<B: Body<Data = Bytes>>(&mut self, body: B) -> Tee<B> {
        let watch = Arc::clone(&self.watch);
        watch.turn(|_| (Stage::Waiting(RequestBody::Passing), ()));
        let capture = watch.sampled.shadow.capture(&watch.sampled.role);
        Tee::new(body, capture, Box::new(move |body| watch.request_ended(body)))
    }

    /// Watches the answer on its way to the client: the control's, or in a reverse run the candidate's. Its head has just
    /// come. A client that reads slowly takes its own time, not the arm's.
    pub fn response<B: Body<Data = Bytes>>(mut self, response: Response<B>) -> Response<Tee<B>> {
        self.is_settled = true;
        let watch = Arc::clone(&self.watch);
        let first_byte = watch.took();
        let (head, body) = response.into_parts();
        let (status, headers) = (head.status, head.headers.clone());
        let capture = watch.sampled.shadow.capture(&watch.sampled.role);
        let on_end = move |body: Captured| {
            let total = watch.took().saturating_sub(body.waited.reader);
            let answer = ControlAnswer { status, headers, first_byte, total, body };
            watch.control_ended(Control::Answered(Box::new(answer)));
        };
        Response::from_parts(head, Tee::new(body, capture, Box::new(on_end)))
    }

    /// The control was asked whether the candidate may answer, and did not say yes: what the client gets is no answer of
    /// either arm to what it asked.
    pub fn refused(self) {
        self.left_out(Class::Skipped(Skip::Control));
    }

    /// What the client gets cannot be held against anything: it comes in pieces as they are made, or from the other arm,
    /// which has answered the same key before.
    pub fn incomparable(self) {
        self.left_out(Class::Incomparable);
    }

    fn left_out(mut self, class: Class) {
        self.is_settled = true;
        self.watch.left_out(class);
    }

    /// There is no answer: the client gets one of ours.
    pub fn control_failed(mut self, fault: ControlFault) {
        self.is_settled = true;
        self.watch.control_ended(Control::Failed(fault));
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        if !self.is_settled {
            self.watch.control_ended(Control::Gone);
        }
    }
}

impl Watch {
    /// Moves on to another stage.
    fn turn<T>(&self, step: impl FnOnce(Stage) -> (Stage, T)) -> T {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, result) = step(mem::replace(&mut *stage, Stage::Crowded));
        *stage = next;
        result
    }

    /// How long whoever answers has taken by now: without the time in which the client had not sent its request yet.
    fn took(&self) -> Duration {
        let sending = Duration::from_micros(self.sending.load(Ordering::Relaxed));
        self.sampled.started.elapsed().saturating_sub(sending)
    }

    fn has_waited(&self, sending: Duration) {
        let sending = u64::try_from(sending.as_micros()).unwrap_or(u64::MAX);
        self.sending.fetch_add(sending, Ordering::Relaxed);
    }

    /// With `start = "together"` the candidate begins now; else the body waits for the control.
    fn request_ended(&self, body: Captured) {
        let Sampled { shadow, role, .. } = &*self.sampled;
        self.has_waited(body.waited.source);
        let next = match (role, body) {
            (Role::Trial(states), Captured { end: End::Whole, content: Ok(content), .. })
                if shadow.plan.start == Start::Together =>
            {
                match self.place() {
                    Some(place) => Stage::Running(self.begin(states, content, place)),
                    None => Stage::Crowded,
                }
            }
            (_, body) => Stage::Waiting(RequestBody::Ended(body)),
        };
        self.turn(|_| (next, ()));
    }

    /// The pair goes to the work plane, or is dropped and recorded: in either case at once.
    fn control_ended(&self, control: Control) {
        let sampled = &self.sampled;
        match self.turn(|stage| (Stage::Crowded, stage)) {
            // A task that is gone has left its record.
            Stage::Running(task) => drop(task.send(control)),
            Stage::Crowded => {
                let class = obstacle(&sampled.role, &RequestBody::Absent, &control);
                sampled.keep_unrun(class.unwrap_or(Class::Skipped(Skip::Queue)), &control);
            }
            Stage::Waiting(request) if self.is_reverse() => {
                match pair::of_candidate(&sampled.role, &request, &control) {
                    Some(class) => sampled.keep_unasked(class, &control),
                    None => self.hand_over(request, control),
                }
            }
            Stage::Waiting(request) => match obstacle(&sampled.role, &request, &control) {
                Some(class) => sampled.keep_unrun(class, &control),
                None => self.hand_over(request, control),
            },
        }
    }

    /// Nothing is run, and nothing more is heard of what the client gets.
    fn left_out(&self, class: Class) {
        match self.turn(|stage| (Stage::Crowded, stage)) {
            // It hears that there will be no control, and leaves the record.
            Stage::Running(task) => drop(task),
            Stage::Waiting(_) | Stage::Crowded => self.sampled.keep_left_out(class),
        }
    }

    /// Whether what the client gets is the candidate's.
    fn is_reverse(&self) -> bool {
        self.sampled.direction == Direction::Reverse && !self.is_declined.load(Ordering::Relaxed)
    }

    fn hand_over(&self, request: RequestBody, control: Control) {
        let Some(place) = self.place() else {
            let class = Class::Skipped(Skip::Queue);
            return if self.is_reverse() {
                self.sampled.keep_unasked(class, &control);
            } else {
                self.sampled.keep_unrun(class, &control);
            };
        };
        let request = request.into_content();
        let (sampled, run) = (Arc::clone(&self.sampled), &self.sampled.shadow.run);
        match (&self.sampled.role, control) {
            (_, candidate) if self.is_reverse() => {
                run.pulse.wake();
                run.spawn(pair::reverse(sampled, request, candidate, place));
            }
            (_, Control::Answered(answer)) if sampled.direction == Direction::Reverse => {
                run.spawn(pair::declined(sampled, request, *answer, place));
            }
            (Role::Trial(states), control) => drop(self.begin(states, request, place).send(control)),
            (_, Control::Answered(answer)) => {
                run.spawn(pair::calibrate(sampled, request, *answer, place));
            }
            (_, control) => sampled.keep_unrun(Class::ControlFailed, &control),
        }
    }

    /// One of the places of those who wait, if one is free.
    fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.sampled.shadow.limits.waiting).try_acquire_owned().ok()
    }

    fn begin(
        &self,
        states: &Arc<PathStates>,
        request: Content,
        place: OwnedSemaphorePermit,
    ) -> oneshot::Sender<Control> {
        self.sampled.shadow.run.pulse.wake();
        let (ended, control) = oneshot::channel();
        let trial = pair::trial(Arc::clone(&self.sampled), Arc::clone(states), request, control, place);
        self.sampled.shadow.run.spawn(trial);
        ended
    }
}

impl std::fmt::Debug for Observation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Observation").field("id", &self.watch.sampled.id).finish_non_exhaustive()
    }
}
