//! What becomes of a sampled request, whatever happens: it leaves exactly one record, and the right one.

use std::{
    collections::{HashMap, HashSet},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, Uri, Version, header::CONTENT_TYPE};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use super::{
    Archive, ArchiveError, BODIES, Candidate, ControlFault, EpochName, Facts, Handle, Images, Metrics,
    Observation, ParallelRun, Settings, Setup, Shadow, Shutdown, Subject, Surroundings, Timestamp,
    answer::Asked,
    archive::{Progress, Resumed, Sample},
    candidate::{
        BoxFuture, CandidateAnswer, CandidateFault, CapturedRequest, FetchFault, Fetched, ImageName,
    },
    comparison::{Alarm, Class, Comparison, Outcome, Skip},
    epoch,
    sample::Pseudonyms,
    settings::{Action, Plan, Rule, Start},
    testing,
};
use crate::routing::{Arm, Share};

const ROUTE: &str = "images";
const CONTROL: &str = r#"{"processamento":200}"#;

/// An archive in memory.
struct Shelf {
    pseudonyms: Pseudonyms,
    kept: watch::Sender<Vec<Comparison>>,
    dispatched: AtomicUsize,
    learned: Mutex<Vec<Progress>>,
    samples: AtomicUsize,
}

impl Archive for Shelf {
    fn resume(&self, _: &EpochName, _: &str) -> Result<Resumed, ArchiveError> {
        Ok(Resumed { progress: self.learned.lock().unwrap().last().cloned(), ..Resumed::default() })
    }

    fn pseudonyms(&self) -> &Pseudonyms {
        &self.pseudonyms
    }

    fn dispatched(&self, _: Comparison, _: Timestamp) {
        self.dispatched.fetch_add(1, Ordering::Relaxed);
    }

    fn keep(&self, comparison: Comparison, sample: Option<Sample>) {
        self.samples.fetch_add(usize::from(sample.is_some()), Ordering::Relaxed);
        self.kept.send_modify(|kept| kept.push(comparison));
    }

    fn learned(&self, _: &EpochName, progress: Progress) {
        self.learned.lock().unwrap().push(progress);
    }
}

/// What the candidate does when it is called.
enum Behaviour {
    Answer(StatusCode, &'static str),
    Panic,
    Hang,
    Refuse(CandidateFault),
}

struct Stand {
    behaviour: Behaviour,
    /// Calls so far.
    called: watch::Sender<usize>,
    /// A hanging candidate answers when this is true.
    released: watch::Sender<bool>,
}

impl Candidate for Stand {
    fn run(&self, _: CapturedRequest) -> BoxFuture<'_, Result<CandidateAnswer, CandidateFault>> {
        Box::pin(async move {
            self.called.send_modify(|calls| *calls += 1);
            let (status, body) = match &self.behaviour {
                Behaviour::Answer(status, body) => (*status, *body),
                Behaviour::Panic => panic!("the candidate's own fault"),
                Behaviour::Refuse(fault) => return Err(fault.clone()),
                Behaviour::Hang => {
                    self.released.subscribe().wait_for(|released| *released).await.unwrap();
                    (StatusCode::OK, CONTROL)
                }
            };
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, "application/json".parse().unwrap())]);
            let images = HashMap::new();
            Ok(CandidateAnswer {
                status,
                headers,
                body: body.into(),
                first_byte: None,
                images,
                cost_usd: 0.04,
            })
        })
    }

    fn asked(&self, request: &CapturedRequest) -> Asked {
        assert!(!request.body.starts_with(b"unreadable"), "no contract reads this");
        Asked { size: Some((64, 64)), n: Some(1), format: None }
    }

    fn model(&self) -> &'static str {
        "stand"
    }
}

impl Images for Stand {
    fn fetch<'a>(
        &'a self,
        _: Arm,
        name: ImageName<'a>,
        _: &'a CapturedRequest,
        _: usize,
    ) -> BoxFuture<'a, Result<Fetched, FetchFault>> {
        Box::pin(async move { Err(FetchFault::Refused(name.text.to_owned())) })
    }
}

/// One parallel run with one route, and what the test can reach of it.
struct Bench {
    run: ParallelRun,
    shelf: Arc<Shelf>,
    stand: Arc<Stand>,
    lifetime: Shutdown,
    plan: Plan,
    requests: AtomicUsize,
}

fn plan() -> Plan {
    Plan {
        max_in_flight: 1,
        deadline: Duration::from_mins(1),
        headers: vec!["content-type".to_owned()],
        gate: testing::bare_gate(),
        ..testing::plan()
    }
}

/// A body whose source fails at once.
struct Broken;

impl Body for Broken {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        Poll::Ready(Some(Err("reset")))
    }
}

impl Bench {
    fn new(plan: Plan, behaviour: Behaviour) -> Self {
        Self::with(plan, behaviour, settings())
    }

    fn with(plan: Plan, behaviour: Behaviour, settings: Settings) -> Self {
        let shelf = Arc::new(Shelf {
            pseudonyms: Pseudonyms::new([7; 32]),
            kept: watch::Sender::default(),
            dispatched: AtomicUsize::new(0),
            learned: Mutex::default(),
            samples: AtomicUsize::new(0),
        });
        let lifetime = Shutdown::default();
        let around = Surroundings {
            plane: Handle::current(),
            lifetime: lifetime.clone(),
            archive: Arc::clone(&shelf) as Arc<dyn Archive>,
            metrics: Metrics::register(&mut Registry::default()),
            clock: Timestamp::now,
            gateway: "test".into(),
        };
        let stand = Stand { behaviour, called: watch::Sender::default(), released: watch::Sender::default() };
        let run = ParallelRun::new(settings, around);
        Self { run, shelf, stand: Arc::new(stand), lifetime, plan, requests: AtomicUsize::new(0) }
    }

    fn shadow(&self) -> Arc<Shadow> {
        let setup = Setup {
            route: ROUTE.into(),
            plan: self.plan.clone(),
            behaviour: "stand/1".to_owned(),
            contract: "article".to_owned(),
            candidate: Arc::clone(&self.stand) as Arc<dyn Candidate>,
            images: Arc::clone(&self.stand) as Arc<dyn Images>,
        };
        self.run.shadow(setup).unwrap()
    }

    /// A worker asks whether its next request is to be watched.
    fn observe(&self, shadow: &Arc<Shadow>, subject: Subject<'_>) -> Option<Observation> {
        let request_id = format!("request-{}", self.requests.fetch_add(1, Ordering::Relaxed));
        let (target, headers) = (Uri::from_static("/api/images?a=1"), HeaderMap::new());
        let (method, version) = (&Method::POST, Version::HTTP_11);
        shadow.observe(&Facts {
            request_id: &request_id,
            subject,
            method,
            target: &target,
            version,
            headers: &headers,
        })
    }

    /// A whole exchange with its control, read to its end by the client.
    async fn exchange(
        &self,
        shadow: &Arc<Shadow>,
        subject: Subject<'_>,
        request: &'static str,
        control: Response<&'static str>,
    ) {
        let mut observation = self.observe(shadow, subject).unwrap();
        read(observation.request_body(Full::from(request))).await;
        read(observation.response(control.map(Full::<Bytes>::from)).into_body()).await;
    }

    /// The records, once there are `n`.
    async fn records(&self, n: usize) -> Vec<Comparison> {
        let mut kept = self.shelf.kept.subscribe();
        let records = kept.wait_for(|kept| kept.len() >= n).await.unwrap().clone();
        assert_eq!(records.len(), n);
        records
    }

    /// The only record.
    async fn record(&self) -> Comparison {
        self.records(1).await.remove(0)
    }

    async fn called(&self, n: usize) {
        self.stand.called.subscribe().wait_for(|calls| *calls >= n).await.unwrap();
    }
}

fn settings() -> Settings {
    Settings {
        queue: 8,
        workers: 2,
        max_body: 64 * 1024,
        keep_samples: Duration::ZERO,
        keep_comparisons: Duration::ZERO,
        redact: Vec::new(),
    }
}

fn ok(body: &'static str) -> Response<&'static str> {
    Response::builder().header(CONTENT_TYPE, "application/json").body(body).unwrap()
}

fn agreeing() -> Behaviour {
    Behaviour::Answer(StatusCode::OK, CONTROL)
}

async fn read<B: Body<Data = Bytes> + Unpin>(body: B) -> Bytes {
    body.collect().await.map_err(|_| "broken").unwrap().to_bytes()
}

#[tokio::test]
async fn a_pair_that_agrees_is_a_match() {
    let bench = Bench::new(plan(), agreeing());
    bench.exchange(&bench.shadow(), Subject::Known(b"ana"), "{}", ok(CONTROL)).await;
    let record = bench.record().await;
    assert_eq!((record.class, record.stratum.as_str()), (Class::Match, "64x64/1/stand"));
    assert_eq!(record.subject, Some(Pseudonyms::new([7; 32]).subject(b"ana").to_string()));
    let target = "/api/images?a=1";
    assert_eq!(record.request, Pseudonyms::new([7; 32]).request("POST", target, b"{}").to_string());
    let candidate = record.candidate.unwrap();
    assert_eq!((record.control.outcome, candidate.outcome), (Outcome::Ok, Outcome::Ok));
    assert_eq!(record.control.body_hash, candidate.body_hash);
    assert!(record.control.total >= record.control.first_byte);
    assert_eq!(bench.shelf.dispatched.load(Ordering::Relaxed), 1, "announced before it was called");
    assert_eq!(bench.shelf.samples.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_pair_that_disagrees_is_a_mismatch() {
    let bench = Bench::new(plan(), Behaviour::Answer(StatusCode::OK, r#"{"processamento":500}"#));
    bench.exchange(&bench.shadow(), Subject::Unconfigured, "{}", ok(CONTROL)).await;
    let record = bench.record().await;
    assert_eq!(record.class, Class::Mismatch);
    assert_eq!(record.differences.len(), 1);
    assert_eq!(record.differences[0].path, "/processamento");
}

#[tokio::test]
async fn the_first_exchanges_teach_and_call_no_candidate() {
    let mut plan = plan();
    plan.gate.calibration = 2;
    let bench = Bench::new(plan, agreeing());
    let shadow = bench.shadow();
    for n in 1..=3 {
        bench.exchange(&shadow, Subject::Known(b"ana"), "{}", ok(CONTROL)).await;
        bench.records(n).await;
    }
    let classes: Vec<Class> = bench.records(3).await.iter().map(|record| record.class).collect();
    assert_eq!(classes, [Class::Calibration, Class::Calibration, Class::Match]);
    assert_eq!(*bench.stand.called.borrow(), 1);
    let learned = bench.shelf.learned.lock().unwrap();
    assert!(matches!(learned.as_slice(), [Progress::Learning(_), Progress::Frozen(_)]));
}

#[tokio::test]
async fn a_restart_goes_on_with_what_was_learned() {
    let mut plan = plan();
    plan.gate.calibration = 2;
    let before = Bench::new(plan.clone(), agreeing());
    before.exchange(&before.shadow(), Subject::Unconfigured, "{}", ok(CONTROL)).await;
    before.records(1).await;

    let after = Bench::new(plan, agreeing());
    after.shelf.learned.lock().unwrap().clone_from(&before.shelf.learned.lock().unwrap());
    let shadow = after.shadow();
    after.exchange(&shadow, Subject::Unconfigured, "{}", ok(CONTROL)).await;
    assert_eq!(after.record().await.class, Class::Calibration);
    after.exchange(&shadow, Subject::Unconfigured, "{}", ok(CONTROL)).await;
    assert_eq!(after.records(2).await[1].class, Class::Match, "one exchange before and one after are two");
}

#[tokio::test]
async fn a_panic_is_the_candidates_failure_and_an_alarm() {
    let bench = Bench::new(plan(), Behaviour::Panic);
    bench.exchange(&bench.shadow(), Subject::Unconfigured, "{}", ok(CONTROL)).await;
    let record = bench.record().await;
    assert_eq!((record.class, record.alarms.as_slice()), (Class::CandidateFailed, [Alarm::Panic].as_slice()));
    assert_eq!(record.candidate.unwrap().outcome, Outcome::Panic);
}

#[tokio::test]
async fn a_candidate_that_hangs_has_failed_at_its_deadline() {
    let bench = Bench::new(Plan { deadline: Duration::from_millis(5), ..plan() }, Behaviour::Hang);
    bench.exchange(&bench.shadow(), Subject::Unconfigured, "{}", ok(CONTROL)).await;
    let record = bench.record().await;
    assert_eq!((record.class, record.candidate.unwrap().outcome), (Class::CandidateFailed, Outcome::Timeout));
}

#[tokio::test]
async fn an_error_of_the_candidate_is_its_failure_and_a_used_budget_is_not() {
    let bench = Bench::new(plan(), Behaviour::Answer(StatusCode::BAD_GATEWAY, "{}"));
    bench.exchange(&bench.shadow(), Subject::Unconfigured, "{}", ok(CONTROL)).await;
    let record = bench.record().await;
    assert_eq!(
        (record.class, record.candidate.unwrap().outcome),
        (Class::CandidateFailed, Outcome::HttpError)
    );

    let bench = Bench::new(plan(), Behaviour::Refuse(CandidateFault::Budget));
    bench.exchange(&bench.shadow(), Subject::Unconfigured, "{}", ok(CONTROL)).await;
    let record = bench.record().await;
    assert_eq!(
        (record.class, record.candidate.unwrap().outcome),
        (Class::Skipped(Skip::Budget), Outcome::SkippedBudget)
    );
}

#[tokio::test]
async fn a_control_that_is_not_ok_is_no_trial_and_calls_nobody() {
    let bench = Bench::new(plan(), agreeing());
    let shadow = bench.shadow();
    let mut error = ok("");
    *error.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    bench.exchange(&shadow, Subject::Unconfigured, "{}", error).await;
    bench.observe(&shadow, Subject::Unconfigured).unwrap().control_failed(ControlFault::Timeout);
    let broken = bench.observe(&shadow, Subject::Unconfigured).unwrap().response(Response::new(Broken));
    assert_eq!(broken.into_body().collect().await.unwrap_err(), "reset");
    let records = bench.records(3).await;
    assert!(records.iter().all(|record| record.class == Class::ControlFailed && record.candidate.is_none()));
    let outcomes: Vec<Outcome> = records.iter().map(|record| record.control.outcome).collect();
    assert_eq!(outcomes, [Outcome::HttpError, Outcome::Timeout, Outcome::Transport]);
    assert_eq!(*bench.stand.called.borrow(), 0);
}

#[tokio::test]
async fn a_refusal_is_part_of_the_contract() {
    let bench = Bench::new(plan(), Behaviour::Answer(StatusCode::BAD_REQUEST, "{}"));
    let mut refusal = ok("{}");
    *refusal.status_mut() = StatusCode::BAD_REQUEST;
    bench.exchange(&bench.shadow(), Subject::Unconfigured, "{}", refusal).await;
    let record = bench.record().await;
    assert_eq!((record.class, record.control.outcome), (Class::Match, Outcome::Refused));
}

#[tokio::test]
async fn a_client_that_leaves_is_recorded() {
    let bench = Bench::new(plan(), agreeing());
    let shadow = bench.shadow();
    drop(bench.observe(&shadow, Subject::Unconfigured));
    drop(
        bench.observe(&shadow, Subject::Unconfigured).unwrap().response(ok(CONTROL).map(Full::<Bytes>::from)),
    );
    let records = bench.records(2).await;
    assert_eq!(records[0].class, Class::Skipped(Skip::ClientGone), "before there was an answer");
    assert_eq!(records[1].class, Class::Incomparable, "in the middle of it");
    assert_eq!(*bench.stand.called.borrow(), 0);
}

#[tokio::test]
async fn a_candidate_that_was_called_is_not_cancelled_when_the_client_leaves() {
    let bench = Bench::new(Plan { start: Start::Together, ..plan() }, Behaviour::Hang);
    let mut observation = bench.observe(&bench.shadow(), Subject::Unconfigured).unwrap();
    read(observation.request_body(Full::from("{}"))).await;
    bench.called(1).await;
    drop(observation);
    bench.stand.released.send_replace(true);
    let record = bench.record().await;
    assert_eq!(record.class, Class::Skipped(Skip::ClientGone));
    assert_eq!(record.candidate.unwrap().outcome, Outcome::Ok, "it ran to its end");
}

#[tokio::test]
async fn together_begins_before_the_control_has_answered() {
    let bench = Bench::new(Plan { start: Start::Together, ..plan() }, agreeing());
    let mut observation = bench.observe(&bench.shadow(), Subject::Unconfigured).unwrap();
    read(observation.request_body(Full::from("{}"))).await;
    bench.called(1).await;
    read(observation.response(ok(CONTROL).map(Full::<Bytes>::from)).into_body()).await;
    assert_eq!(bench.record().await.class, Class::Match);
}

#[tokio::test]
async fn what_finds_no_place_is_dropped_the_newest_first() {
    let bench = Bench::with(plan(), Behaviour::Hang, Settings { queue: 1, ..settings() });
    let shadow = bench.shadow();
    bench.exchange(&shadow, Subject::Known(b"called"), "{}", ok(CONTROL)).await;
    bench.called(1).await;
    bench.exchange(&shadow, Subject::Known(b"waiting"), "{}", ok(CONTROL)).await;
    bench.exchange(&shadow, Subject::Known(b"dropped"), "{}", ok(CONTROL)).await;
    let record = bench.record().await;
    assert_eq!(record.class, Class::Skipped(Skip::Queue));
    assert_eq!(record.subject, Some(Pseudonyms::new([7; 32]).subject(b"dropped").to_string()));
    bench.stand.released.send_replace(true);
    assert!(bench.records(3).await[1..].iter().all(|record| record.class == Class::Match));
}

#[tokio::test]
async fn no_more_candidates_run_than_the_route_allows() {
    let bench = Bench::new(Plan { max_in_flight: 2, ..plan() }, Behaviour::Hang);
    let shadow = bench.shadow();
    for _ in 0..5 {
        bench.exchange(&shadow, Subject::Unconfigured, "{}", ok(CONTROL)).await;
    }
    bench.called(2).await;
    tokio::task::yield_now().await;
    assert_eq!(*bench.stand.called.borrow(), 2);
    // A reload in between gives no more places.
    bench.exchange(&bench.shadow(), Subject::Unconfigured, "{}", ok(CONTROL)).await;
    tokio::task::yield_now().await;
    assert_eq!(*bench.stand.called.borrow(), 2);
    bench.stand.released.send_replace(true);
    bench.records(6).await;
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_incomparable_and_reaches_the_client_whole() {
    static LARGE: [u8; 64 * 1024 + 1] = [b'x'; 64 * 1024 + 1];
    let bench = Bench::new(plan(), agreeing());
    let shadow = bench.shadow();
    let observation = bench.observe(&shadow, Subject::Unconfigured).unwrap();
    let passed = read(observation.response(Response::new(Full::from(LARGE.as_slice()))).into_body()).await;
    assert_eq!(passed, LARGE.as_slice());
    let mut observation = bench.observe(&shadow, Subject::Unconfigured).unwrap();
    read(observation.request_body(Full::from(LARGE.as_slice()))).await;
    read(observation.response(ok(CONTROL).map(Full::<Bytes>::from)).into_body()).await;
    let records = bench.records(2).await;
    assert!(records.iter().all(|record| record.class == Class::Incomparable));
    assert_eq!((records[0].control.outcome, records[0].control.bytes), (Outcome::TooLarge, 64 * 1024 + 1));
}

#[tokio::test]
async fn each_subject_has_its_share_and_the_nameless_share_one() {
    let bench = Bench::new(plan(), agreeing());
    let shadow = bench.shadow();
    let subjects = [Subject::Known(b"ana"), Subject::Known(b"ana"), Subject::Anonymous, Subject::Anonymous];
    for (n, subject) in subjects.into_iter().enumerate() {
        bench.exchange(&shadow, subject, "{}", ok(CONTROL)).await;
        bench.records(n + 1).await;
    }
    let classes: Vec<Class> = bench.records(4).await.iter().map(|record| record.class).collect();
    assert_eq!(classes, [Class::Match, Class::DuplicateSubject, Class::Match, Class::DuplicateSubject]);
    assert_eq!(*bench.stand.called.borrow(), 2);
}

#[tokio::test]
async fn where_no_subject_is_configured_every_pair_counts() {
    let bench = Bench::new(plan(), agreeing());
    let shadow = bench.shadow();
    for _ in 0..3 {
        bench.exchange(&shadow, Subject::Unconfigured, "{}", ok(CONTROL)).await;
    }
    let classes: Vec<Class> = bench.records(3).await.iter().map(|record| record.class).collect();
    assert_eq!(classes, [Class::Match; 3]);
}

#[tokio::test]
async fn a_shutdown_drops_those_who_wait_and_lets_the_called_end() {
    let bench = Bench::new(plan(), Behaviour::Hang);
    let shadow = bench.shadow();
    bench.exchange(&shadow, Subject::Unconfigured, "{}", ok(CONTROL)).await;
    bench.called(1).await;
    bench.exchange(&shadow, Subject::Unconfigured, "{}", ok(CONTROL)).await;
    bench.lifetime.begin();
    assert_eq!(bench.record().await.class, Class::Skipped(Skip::Shutdown));
    bench.stand.released.send_replace(true);
    assert!(bench.lifetime.drained(Duration::from_mins(1)).await);
    assert_eq!(bench.records(2).await[1].class, Class::Match);
}

#[tokio::test]
async fn a_broken_contract_costs_its_pair_and_nothing_else() {
    let bench = Bench::new(plan(), agreeing());
    let shadow = bench.shadow();
    bench.exchange(&shadow, Subject::Unconfigured, "unreadable", ok(CONTROL)).await;
    assert_eq!(bench.record().await.class, Class::Incomparable);
    bench.exchange(&shadow, Subject::Unconfigured, "{}", ok(CONTROL)).await;
    assert_eq!(bench.records(2).await[1].class, Class::Match);
}

#[tokio::test]
async fn memory_that_is_lent_out_costs_pairs_and_comes_back() {
    static BODY: [u8; 4096] = [b' '; 4096];
    let bench =
        Bench::with(plan(), Behaviour::Hang, Settings { queue: 2 * BODIES, max_body: 4096, ..settings() });
    let shadow = bench.shadow();
    let held: Vec<_> = (0..=BODIES)
        .map(|_| {
            let observation = bench.observe(&shadow, Subject::Unconfigured).unwrap();
            let mut body =
                observation.response(Response::new(Full::<Bytes>::from(BODY.as_slice()))).into_body();
            let mut cx = Context::from_waker(std::task::Waker::noop());
            assert!(Pin::new(&mut body).poll_frame(&mut cx).is_ready());
            body
        })
        .collect();
    assert_eq!(bench.record().await.class, Class::Skipped(Skip::Lagged), "one more than there is room for");
    drop(held);
    bench.stand.released.send_replace(true);
    bench.records(BODIES + 1).await;
    bench.exchange(&shadow, Subject::Unconfigured, "{}", ok(CONTROL)).await;
    assert_ne!(bench.records(BODIES + 2).await[BODIES + 1].class, Class::Skipped(Skip::Lagged));
}

#[tokio::test]
async fn a_share_is_drawn_by_the_requests_id_and_the_rest_costs_nothing() {
    let plan = Plan { sample: Share::from_fraction(0.5).unwrap(), ..plan() };
    let (bench, again) = (Bench::new(plan.clone(), agreeing()), Bench::new(plan, agreeing()));
    let drawn = |bench: &Bench| {
        let shadow = bench.shadow();
        (0..64).map(|_| bench.observe(&shadow, Subject::Unconfigured).is_some()).collect::<Vec<bool>>()
    };
    let lots = drawn(&bench);
    assert_eq!(lots, drawn(&again), "another process draws the same");
    let sampled = lots.iter().filter(|lot| **lot).count();
    assert!((16..=48).contains(&sampled), "{sampled}");
    let ids: HashSet<_> = bench.records(sampled).await.iter().map(|record| record.id).collect();
    assert_eq!(ids.len(), sampled, "every sampled request leaves a record of its own");
}

#[tokio::test]
async fn only_what_the_answers_depend_on_begins_an_epoch() {
    let id = |plan: &Plan, behaviour| epoch::id(&epoch::basis(behaviour, "article", plan));
    let first = id(&plan(), "stand/1");
    let mut gates = plan();
    (gates.gate.per_subject, gates.gate.max_failure_rate, gates.gate.calibration) = (9, 0.2, 50);
    (gates.sample, gates.max_in_flight, gates.deadline) = (Share::NONE, 9, Duration::ZERO);
    assert_eq!(id(&gates, "stand/1"), first);

    let rule = Rule { path: "/created".to_owned(), action: Action::Shape, reason: "time".to_owned() };
    let mut surer = plan();
    surer.gate.confidence = 0.99;
    let others = [
        id(&plan(), "stand/2"),
        id(&Plan { rules: vec![rule], ..plan() }, "stand/1"),
        id(&Plan { headers: Vec::new(), ..plan() }, "stand/1"),
        id(&surer, "stand/1"),
    ];
    let distinct: HashSet<_> = others.iter().chain([&first]).collect();
    assert_eq!(distinct.len(), 5);
}
