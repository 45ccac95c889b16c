//! The evidence survives its process, adds up whatever the disk does, and tells nobody's secrets.

use std::{
    fs,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Uri, Version, header::COOKIE};
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, StatementStatus};
use tempfile::TempDir;
use uuid::Uuid;

use super::{
    Evidence, Ledger, LedgerError,
    ledger::{self, Settings},
    preview,
    read::{self, Pair, ReadError},
    sqlite::{self, Batch, Old},
};
use crate::parallel_run::{
    answer::{Answer, Asked, Delivery, FetchedImage},
    archive::{Archive, EpochName, Progress, Sample},
    candidate::CapturedRequest,
    comparison::{
        Alarm, ArmRecord, Class, Comparison, Difference, DifferenceKind, Direction, Outcome, Severity, Skip,
    },
    sample::{Lot, Pseudonyms},
};

mod failures;
mod pruning;
mod scanning;
mod whole;

pub(super) const LONG: Duration = Duration::from_mins(1);

pub(super) fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

pub(super) fn later(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

fn settings(data: &Path) -> Settings {
    Settings {
        data: data.to_owned(),
        keep_samples: Duration::from_hours(1),
        keep_comparisons: Duration::from_hours(2),
        keep_unexported: 0,
        redact: vec!["Cookie".to_owned()],
    }
}

pub(super) fn open(data: &Path) -> Ledger {
    Ledger::open(settings(data), rand::random(), now).unwrap()
}

pub(super) fn epoch(id: &str) -> EpochName {
    EpochName { route: "images".into(), id: id.into() }
}

fn arm(outcome: Outcome) -> ArmRecord {
    ArmRecord {
        outcome,
        status: Some(200),
        first_byte: Some(Duration::from_millis(3)),
        total: Some(Duration::from_millis(5)),
        bytes: 7,
        media_type: Some("application/json".to_owned()),
        body_hash: None,
        cost_usd: Some(0.5),
    }
}

pub(super) fn comparison(epoch: &EpochName, n: u32, class: Class) -> Comparison {
    let at = later(n.into());
    Comparison {
        id: Lot::draw(&n.to_string(), &epoch.route, &epoch.id).id(at),
        at,
        gateway: "gateway-1".into(),
        route: Arc::clone(&epoch.route),
        epoch: Arc::clone(&epoch.id),
        direction: Direction::Shadow,
        stratum: "64x64/1/local".to_owned(),
        sample_rate: 1.0,
        subject: Some(Pseudonyms::new([1; 32]).subject(&n.to_be_bytes()).to_string()),
        request: "-".to_owned(),
        control: arm(Outcome::Ok),
        candidate: Some(arm(Outcome::Ok)),
        class,
        alarms: Vec::new(),
        differences: Vec::new(),
        images: Vec::new(),
        rules: Vec::new(),
    }
}

/// The classes of an epoch's pairs at `time`, in their order.
fn classes(data: &Path, time: Timestamp) -> Vec<Class> {
    let evidence = Evidence::open(data, time).unwrap();
    let mut classes = Vec::new();
    let each = |pair: &Pair<'_>| (0..pair.times).for_each(|_| classes.push(pair.class));
    evidence.pairs(&evidence.current().unwrap()[0], each).unwrap();
    classes
}

pub(super) fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn what_is_kept_is_what_is_read_while_the_writer_goes_on() {
    let (data, epoch) = (folder(), epoch("e1"));
    let ledger = open(data.path());
    let traffic = ledger.resume(&epoch, "{}").unwrap().traffic;
    traffic.requests.fetch_add(9, std::sync::atomic::Ordering::Relaxed);
    let difference = Difference {
        path: "/data/*/url".to_owned(),
        kind: DifferenceKind::Shape,
        control: Some("a".to_owned()),
        candidate: None,
        severity: Severity::Failure,
        rule: Some("/data".to_owned()),
    };
    let mut mismatch = comparison(&epoch, 2, Class::Mismatch);
    mismatch.differences = vec![difference.clone(), Difference { path: "status".to_owned(), ..difference }];
    mismatch.alarms = vec![Alarm::Blank, Alarm::Panic];
    ledger.keep(comparison(&epoch, 1, Class::Match), None);
    ledger.keep(mismatch.clone(), None);
    assert!(ledger.sync(LONG));

    let evidence = Evidence::open(data.path(), later(10)).unwrap();
    let current = evidence.current().unwrap().remove(0);
    assert_eq!((current.route.as_str(), current.number, current.requests), ("images", 1, 9));
    let mut pairs = Vec::new();
    evidence
        .pairs(&current, |pair| {
            pairs.push((
                pair.id,
                pair.class,
                pair.at,
                pair.alarms.iter().map(|alarm| alarm.kind).collect::<Vec<_>>(),
            ));
        })
        .unwrap();
    assert_eq!(pairs[1], (mismatch.id, Class::Mismatch, later(2), mismatch.alarms));
    evidence
        .pairs(&current, |pair| {
            assert_eq!(
                (pair.control, pair.candidate),
                (Some(Duration::from_millis(5)), Some(Duration::from_millis(5)))
            );
            assert_eq!(
                (pair.stratum, pair.candidate_cost_usd, pair.subject.map(str::len)),
                ("64x64/1/local", Some(0.5), Some(32))
            );
        })
        .unwrap();
    let findings = evidence.findings(&current, 10).unwrap();
    let found = |path: &str| findings.iter().find(|finding| finding.path == path).unwrap();
    for difference in mismatch.differences {
        let finding = found(&difference.path);
        assert_eq!((finding.pairs, finding.severity), (1, difference.severity));
        assert_eq!(finding.examples, [(mismatch.id, difference)]);
    }

    ledger.keep(comparison(&epoch, 3, Class::Match), None);
    assert!(ledger.sync(LONG));
    let mut seen = 0;
    evidence.pairs(&current, |_| seen += 1).unwrap();
    assert_eq!(seen, 2, "a reader sees one moment");
    assert_eq!(classes(data.path(), later(10)).len(), 3);
}

#[test]
fn a_restart_takes_up_calibration_slots_and_key() {
    let (data, epoch) = (folder(), epoch("e1"));
    let (subject, other) = {
        let ledger = open(data.path());
        assert_eq!(ledger.resume(&epoch, "{}").unwrap().progress, None);
        ledger.learned(&epoch, Progress::Learning("{\"seen\":1}".to_owned()));
        ledger.keep(comparison(&epoch, 1, Class::Calibration), None);
        ledger.keep(comparison(&epoch, 2, Class::ControlFailed), None);
        ledger.keep(Comparison { subject: None, ..comparison(&epoch, 3, Class::Match) }, None);
        (ledger.pseudonyms().subject(b"ana"), comparison(&epoch, 2, Class::Match).subject.unwrap())
    };
    let ledger = open(data.path());
    assert_eq!(ledger.pseudonyms().subject(b"ana"), subject, "one person keeps one name");
    let resumed = ledger.resume(&epoch, "{}").unwrap();
    assert_eq!(resumed.progress, Some(Progress::Learning("{\"seen\":1}".to_owned())));
    let mut subjects = resumed.subjects;
    subjects.sort_by_key(|(subject, _)| subject.is_some());
    assert_eq!(subjects, [(None, 1), (Some(other.parse().unwrap()), 1)], "calibration takes no slot");

    ledger.learned(&epoch, Progress::Frozen("{\"shapes\":{},\"dynamic\":[]}".to_owned()));
    ledger.learned(&epoch, Progress::Learning("{\"seen\":2}".to_owned()));
    assert!(
        matches!(ledger.resume(&epoch, "{}").unwrap().progress, Some(Progress::Frozen(_))),
        "frozen is frozen"
    );
    let evidence = Evidence::open(data.path(), now()).unwrap();
    let current = evidence.current().unwrap().remove(0);
    assert!(evidence.states(&current).unwrap().is_some());
    assert_ne!(current.id, "e1", "the states are part of what the answers depend on");
}

#[test]
fn epochs_are_numbered_and_say_what_changed() {
    let data = folder();
    let ledger = open(data.path());
    ledger.resume(&epoch("e1"), r#"{"rules":[],"behaviour":"1"}"#).unwrap();
    ledger.resume(&epoch("e2"), r#"{"rules":[1],"behaviour":"1"}"#).unwrap();
    let evidence = Evidence::open(data.path(), now()).unwrap();
    let epochs = evidence.epochs_of("images").unwrap();
    assert_eq!(epochs.iter().map(|epoch| epoch.number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(evidence.changed(&epochs[0]).unwrap().len(), 0);
    assert_eq!(evidence.changed(&epochs[1]).unwrap(), ["rules"]);
    drop(ledger);
    let ledger = Ledger::open(settings(data.path()), rand::random(), || later(9)).unwrap();
    ledger.resume(&epoch("e1"), r#"{"rules":[],"behaviour":"1"}"#).unwrap();
    let evidence = Evidence::open(data.path(), later(9)).unwrap();
    assert_eq!(evidence.changed(&epochs[0]).unwrap(), ["rules"], "and back to the older ones");
    assert!(evidence.epochs_of("nowhere").unwrap().is_empty());
}

#[test]
fn a_candidate_that_is_never_heard_of_again_has_failed_when_it_was_due() {
    let (data, epoch) = (folder(), epoch("e1"));
    let ledger = open(data.path());
    ledger.resume(&epoch, "{}").unwrap();
    for n in [1, 2] {
        ledger.dispatched(comparison(&epoch, n, Class::CandidateFailed), later(300));
    }
    ledger.keep(comparison(&epoch, 2, Class::Match), None);
    assert!(ledger.sync(LONG));
    assert_eq!(classes(data.path(), later(10)), [Class::Match], "the other may still answer");
    assert_eq!(classes(data.path(), later(301)), [Class::CandidateFailed, Class::Match]);
}

/// A gateway looks at the verdict of each of its routes many times a minute.
#[test]
fn one_look_at_many_routes_prepares_its_questions_once() {
    let (data, epoch) = (folder(), epoch("e1"));
    let ledger = open(data.path());
    ledger.resume(&epoch, "{}").unwrap();
    ledger.keep(Comparison { alarms: vec![Alarm::Blank], ..comparison(&epoch, 1, Class::Mismatch) }, None);
    assert!(ledger.sync(LONG));
    let connection = sqlite::open_to_read(&data.path().join("evidence.sqlite")).unwrap();
    let (mut found, mut again) = (0, 0);
    for epoch in 1..=200 {
        let mut statement = connection.prepare_cached(read::ALARMS).unwrap();
        found += statement.query_map((epoch, [0; 16]), |_| Ok(())).unwrap().count();
        again = statement.get_status(StatementStatus::RePrepare);
    }
    assert_eq!((found, again), (1, 0));
}

fn sample(id: Uuid) -> Sample {
    let headers = HeaderMap::from_iter([(COOKIE, "session=secret".parse().unwrap())]);
    let image = FetchedImage {
        path: "/imagem".to_owned(),
        delivery: Delivery::Name,
        bytes: Ok(Bytes::from_static(b"pixels")),
        declared: None,
    };
    let control = Answer {
        status: 200,
        headers: headers.clone(),
        body: Bytes::from_static(b"{}"),
        images: vec![image],
        asked: Asked::default(),
    };
    let request = CapturedRequest {
        id,
        route: "images".into(),
        method: Method::POST,
        target: Uri::from_static("/api/images"),
        version: Version::HTTP_11,
        gained: [].into(),
        headers,
        body: Bytes::from_static(b"{\"prompt\":\"a fig\"}"),
    };
    Sample::new(request, control, None, Default::default())
}

#[test]
fn previews_and_repeats_are_kept_and_count_for_nothing() {
    let (data, epoch) = (folder(), epoch("e1"));
    let ledger = open(data.path());
    ledger.resume(&epoch, r#"{"version":"candidate 7"}"#).unwrap();
    let repeat =
        Comparison { direction: Direction::ControlRepeat, ..comparison(&epoch, 1, Class::Calibration) };
    ledger.keep(repeat, None);
    ledger.keep(Comparison { rules: vec!["/a".to_owned()], ..comparison(&epoch, 2, Class::Match) }, None);
    assert!(ledger.sync(LONG));
    let bad = Comparison {
        alarms: vec![Alarm::Blank],
        rules: vec!["/a".to_owned()],
        ..comparison(&epoch, 3, Class::Mismatch)
    };
    preview::keep(data.path(), "images", &bad).unwrap();
    let evidence = Evidence::open(data.path(), later(9)).unwrap();
    let current = evidence.current().unwrap().remove(0);
    assert_eq!(classes(data.path(), later(9)), [Class::Match]);
    let previews = evidence.pairs(&current, |_| ()).unwrap();
    assert_eq!((previews, evidence.findings(&current, 9).unwrap().len()), (1, 0));
    assert_eq!(evidence.rules(&current).unwrap(), [("/a".to_owned(), 1)].into());
    let mut alarms = 0;
    evidence.pairs(&current, |pair| alarms += pair.alarms.len()).unwrap();
    assert_eq!(alarms, 0);
    assert_eq!(ledger.version("images").unwrap().as_deref(), Some("candidate 7"));
    assert_eq!(ledger.version("nothing").unwrap(), None);
}

#[test]
fn what_was_spent_today_is_known_after_a_restart() {
    let (data, epoch) = (folder(), epoch("e1"));
    let ledger = open(data.path());
    ledger.resume(&epoch, "{}").unwrap();
    for n in 1..=3 {
        ledger.keep(comparison(&epoch, n, Class::Match), None);
    }
    let yesterday = later(-86_400);
    let id = Lot::draw("before", &epoch.route, &epoch.id).id(yesterday);
    ledger.keep(Comparison { id, at: yesterday, ..comparison(&epoch, 4, Class::Match) }, None);
    let users = Comparison { direction: Direction::Reverse, ..comparison(&epoch, 5, Class::Match) };
    ledger.keep(users, None);
    assert!(ledger.sync(LONG));
    drop(ledger);
    let spent = open(data.path()).resume(&self::epoch("e2"), "{}").unwrap().spent_today;
    assert!(
        (spent - 1.5).abs() < 1e-9,
        "{spent}: three of half a dollar, whatever the epoch, and not what users were drawn"
    );
}

/// A preview is another process' doing, and spends of the same day.
#[test]
fn what_previews_have_cost_today_is_known_while_the_gateway_runs() {
    let (data, epoch) = (folder(), epoch("e1"));
    let ledger = open(data.path());
    ledger.resume(&epoch, "{}").unwrap();
    ledger.keep(comparison(&epoch, 1, Class::Match), None);
    assert!(ledger.sync(LONG));
    assert!(ledger.previewed_today("images").unwrap().abs() < 1e-9);
    preview::keep(data.path(), "images", &comparison(&epoch, 2, Class::Match)).unwrap();
    assert!((ledger.previewed_today("images").unwrap() - 0.5).abs() < 1e-9);
    let resumed = ledger.resume(&epoch, "{}").unwrap();
    assert!((resumed.spent_today - 1.0).abs() < 1e-9 && (resumed.previewed_today - 0.5).abs() < 1e-9);
}
