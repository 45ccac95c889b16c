//! What becomes of a sampled request, whatever happens: it leaves exactly one record, and the right one.

mod acting;
mod judged;
mod unrun;

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
use http::{
    HeaderMap, Method, Response, StatusCode, Uri, Version,
    header::{CONTENT_ENCODING, CONTENT_TYPE, COOKIE},
};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use super::{
    Archive, ArchiveError, BODIES, Candidate, Control, ControlFault, EpochName, Facts, Handle, Images,
    Metrics, Observation, ParallelRun, Settings, Setup, Shadow, Shutdown, Subject, Surroundings, Timestamp,
    Versions,
    answer::Asked,
    archive::{Progress, Resumed, Sample, Traffic},
    candidate::{
        BoxFuture, CandidateAnswer, CandidateFault, CapturedRequest, FetchFault, Fetched, ImageName,
    },
    comparison::{Alarm, Class, Comparison, Direction, Outcome, Skip},
    epoch,
    sample::Pseudonyms,
    settings::{Action, Answers, Plan, Reverse, Rule, Start},
    testing,
};
use crate::{
    compute::Compute,
    routing::{Arm, Share},
    schedstat::Crews,
};

const ROUTE: &str = "images";
const CONTROL: &str = r#"{"processamento":200}"#;

/// An archive in memory.
struct Shelf {
    pseudonyms: Pseudonyms,
    kept: watch::Sender<Vec<Comparison>>,
    dispatched: Mutex<Vec<Comparison>>,
    traffic: Arc<Traffic>,
    learned: Mutex<Vec<Progress>>,
    samples: AtomicUsize,
}

impl Archive for Shelf {
    fn resume(&self, _: &EpochName, _: &str) -> Result<Resumed, ArchiveError> {
        let progress = self.learned.lock().unwrap().last().cloned();
        Ok(Resumed { progress, traffic: Arc::clone(&self.traffic), ..Resumed::default() })
    }

    fn pseudonyms(&self) -> &Pseudonyms {
        &self.pseudonyms
    }

    fn dispatched(&self, comparison: Comparison, _: Timestamp) {
        self.dispatched.lock().unwrap().push(comparison);
    }

    fn previewed_today(&self, _: &str) -> Result<f64, ArchiveError> {
        Ok(0.0)
    }

    fn version(&self, _: &str) -> Result<Option<String>, ArchiveError> {
        Ok(None)
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
    Compressed(&'static str),
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
    /// What the control says to us alone.
    again: Mutex<Result<(StatusCode, &'static str), CandidateFault>>,
    /// What a call may cost.
    price: Mutex<Option<f64>>,
}

impl Control for Stand {
    fn ask(&self, _: CapturedRequest, _: usize) -> BoxFuture<'_, Result<CandidateAnswer, CandidateFault>> {
        let again = self.again.lock().unwrap().clone();
        Box::pin(async move { again.map(|(status, body)| answer(status, body)) })
    }
}

fn answer(status: StatusCode, body: &'static str) -> CandidateAnswer {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, "application/json".parse().unwrap())]);
    let images = HashMap::new();
    CandidateAnswer { status, headers, body: body.into(), first_byte: None, images, cost_usd: 0.04 }
}

impl Candidate for Stand {
    fn run(&self, _: CapturedRequest, _: usize) -> BoxFuture<'_, Result<CandidateAnswer, CandidateFault>> {
        Box::pin(async move {
            self.called.send_modify(|calls| *calls += 1);
            let (status, body) = match &self.behaviour {
                Behaviour::Answer(status, body) => (*status, *body),
                Behaviour::Compressed(body) => {
                    let mut answer = answer(StatusCode::OK, "");
                    answer.headers.insert(CONTENT_ENCODING, "zstd".parse().unwrap());
                    return Ok(CandidateAnswer {
                        body: zstd::encode_all(body.as_bytes(), 3).unwrap().into(),
                        ..answer
                    });
                }
                Behaviour::Panic => panic!("the candidate's own fault"),
                Behaviour::Refuse(fault) => return Err(fault.clone()),
                Behaviour::Hang => {
                    self.released.subscribe().wait_for(|released| *released).await.unwrap();
                    (StatusCode::OK, CONTROL)
                }
            };
            Ok(answer(status, body))
        })
    }

    fn asked(&self, request: &CapturedRequest) -> Asked {
        assert!(!request.body.starts_with(b"unreadable"), "no contract reads this");
        let streamed = request.body.starts_with(b"stream");
        Asked { size: Some((64, 64)), n: Some(1), streamed, ..Asked::default() }
    }

    fn model(&self) -> &'static str {
        "stand"
    }

    fn price(&self, _: &CapturedRequest) -> Option<f64> {
        *self.price.lock().unwrap()
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
    direction: Direction,
    versions: Versions,
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
            dispatched: Mutex::default(),
            traffic: Arc::default(),
            learned: Mutex::default(),
            samples: AtomicUsize::new(0),
        });
        let lifetime = Shutdown::default();
        let around = Surroundings {
            plane: Handle::current(),
            crews: Crews::default(),
            compute: Compute::default(),
            lifetime: lifetime.clone(),
            archive: Arc::clone(&shelf) as Arc<dyn Archive>,
            metrics: Metrics::register(&mut Registry::default()),
            clock: Timestamp::now,
            gateway: "test".into(),
        };
        let stand = Stand {
            behaviour,
            called: watch::Sender::default(),
            released: watch::Sender::default(),
            again: Mutex::new(Ok((StatusCode::OK, CONTROL))),
            price: Mutex::new(None),
        };
        let run = ParallelRun::new(settings, around);
        let (direction, requests) = (Direction::Shadow, AtomicUsize::new(0));
        let (stand, versions) = (Arc::new(stand), Versions::default());
        Self { run, shelf, stand, lifetime, plan, direction, versions, requests }
    }

    fn shadow(&self) -> Arc<Shadow> {
        let setup = Setup {
            route: ROUTE.into(),
            plan: self.plan.clone(),
            versions: self.versions.clone(),
            candidate: Arc::clone(&self.stand) as Arc<dyn Candidate>,
            control: Arc::clone(&self.stand) as Arc<dyn Control>,
            images: Arc::clone(&self.stand) as Arc<dyn Images>,
        };
        self.run.shadow(setup).unwrap()
    }

    /// A worker asks whether its next request is to be watched.
    fn observe(&self, shadow: &Arc<Shadow>, subject: Subject<'_>) -> Option<Observation> {
        let request_id = format!("request-{}", self.requests.fetch_add(1, Ordering::Relaxed));
        let (target, headers) = (Uri::from_static("/api/images?a=1"), HeaderMap::new());
        let (method, version) = (&Method::POST, Version::HTTP_11);
        let facts = Facts {
            request_id: &request_id,
            subject,
            method,
            target: &target,
            version,
            headers: &headers,
            gained: &[],
        };
        shadow.observe(&facts, self.direction)
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
        max_lag: Duration::MAX,
        max_share: None,
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
