//! From the ledger's file to the report, as another process sees it.

use std::{path::Path, time::Duration};

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    evidence::{
        ledger::{Ledger, Settings},
        past,
        read::Evidence,
        sqlite::{self, Old},
    },
    parallel_run::{
        archive::{Archive as _, EpochName, Progress},
        comparison::{
            Alarm, ArmRecord, Class, Comparison, Difference, DifferenceKind, Direction, Outcome, Severity,
        },
        settings::{Gate, Plan},
        verdict::State,
    },
    report::summary::RouteReport,
    routing::Route,
};

const START: i64 = 1_763_000_000;

pub(super) fn at(second: u64) -> Timestamp {
    Timestamp::from_second(START + i64::try_from(second).unwrap()).unwrap()
}

fn arm(millis: u64) -> ArmRecord {
    ArmRecord {
        outcome: Outcome::Ok,
        status: Some(200),
        first_byte: Some(Duration::from_millis(millis)),
        total: Some(Duration::from_millis(millis)),
        bytes: 10,
        media_type: Some("application/json".into()),
        body_hash: None,
        cost_usd: Some(0.0),
    }
}

pub(super) fn pair(second: u64, name: &EpochName, class: Class) -> Comparison {
    let millis = u64::try_from(at(second).as_millisecond()).unwrap();
    Comparison {
        id: uuid::Builder::from_unix_timestamp_millis(millis, &[7; 10]).into_uuid(),
        at: at(second),
        gateway: "edge-1".into(),
        route: name.route.clone(),
        epoch: name.id.clone(),
        direction: Direction::Shadow,
        stratum: "1024x1024/1/local".into(),
        sample_rate: 1.0,
        subject: Some(format!("{second:032x}")),
        request: "00".into(),
        control: arm(200),
        candidate: (class != Class::Calibration).then(|| arm(20)),
        class,
        alarms: vec![],
        differences: vec![],
        images: vec![],
        rules: vec![],
    }
}

#[test]
fn what_the_ledger_kept_is_what_the_report_says() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        data: folder.path().to_owned(),
        keep_samples: Duration::from_hours(1),
        keep_comparisons: Duration::from_hours(24 * 90),
        keep_unexported: 0,
        redact: vec![],
    };
    let ledger = Ledger::open(settings, [1; 32], || at(0)).unwrap();
    let name = EpochName { route: "generate-image".into(), id: "e1".into() };
    let (route, plan) = (super::assess::tests::a_route("generate-image"), super::assess::tests::a_plan(0));
    let seen = ledger.resume(&name, &plan.basis(None)).unwrap().traffic;
    seen.requests.fetch_add(500, std::sync::atomic::Ordering::Relaxed);
    for second in 0..20 {
        ledger.keep(pair(second, &name, Class::Calibration), None);
    }
    ledger.learned(&name, Progress::Frozen(r#"{"shapes":{"/id":"uuid"},"dynamic":[]}"#.into()));
    for second in 20..378 {
        ledger.keep(pair(second, &name, Class::Match), None);
    }
    assert!(ledger.sync(Duration::from_secs(10)));

    let report = |now: u64| {
        let evidence = Evidence::open(folder.path(), at(now)).unwrap();
        super::build(Some(&evidence), [(&route, &plan)], at(now)).unwrap().routes.remove(0)
    };
    let safe = report(400);
    assert_eq!((safe.verdict, safe.pairs, safe.failures), (State::Safe, 358, 0), "{:?}", safe.missing);
    assert_eq!((safe.counts.requests, safe.counts.sampled, safe.counts.calibration), (Some(500), 378, 20));
    assert_eq!((safe.counts.subjects, &safe.gateways[..]), (358, &["edge-1".to_owned()][..]));
    assert_eq!((safe.latency_ms.control.p95, safe.latency_ms.candidate.p95), (Some(200.0), Some(20.0)));
    assert_eq!(report(15 * 24 * 3600).verdict, State::Stale);

    let mut bad = pair(380, &name, Class::Mismatch);
    bad.alarms.push(Alarm::Blank);
    bad.differences.push(Difference {
        path: "/id".into(),
        kind: DifferenceKind::Type,
        control: Some("\"a\"".into()),
        candidate: Some("1".into()),
        severity: Severity::Failure,
        rule: None,
    });
    let id: Uuid = bad.id;
    ledger.keep(bad, None);
    assert!(ledger.sync(Duration::from_secs(10)));
    let blocked = report(400);
    assert_eq!((blocked.verdict, blocked.pairs, blocked.failures), (State::Blocked, 359, 1));
    let [difference] = &blocked.differences[..] else { panic!("one difference") };
    assert_eq!((difference.path.as_str(), difference.kind, difference.state), ("/id", "type", "shape"));
    assert_eq!(difference.examples[0].comparison, id.to_string());
    assert_eq!(
        (blocked.alarms[0].kind, blocked.alarms[0].comparison.as_str()),
        ("blank", id.to_string().as_str())
    );

    // None of it was compared by the rules of a file that has others.
    let changed = Plan { rules: vec![], ..plan.clone() };
    let evidence = Evidence::open(folder.path(), at(400)).unwrap();
    let other = super::build(Some(&evidence), [(&route, &changed)], at(400)).unwrap().routes.remove(0);
    assert_eq!((other.verdict, other.pairs, other.epoch.is_none()), (State::None, 0, true));
    let standings = super::standings(Some(&evidence), [(&route, &changed)], at(400)).unwrap();
    assert_eq!(standings[0].verdict, State::None);

    // Another version of the same answers is told by the answers alone.
    let newer = EpochName { id: "e2".into(), ..name.clone() };
    ledger.resume(&newer, &plan.basis(Some("candidate 7"))).unwrap();
    ledger.keep(pair(382, &newer, Class::Match), None);
    assert!(ledger.sync(Duration::from_secs(10)));
    assert_eq!(report(400).epoch.map(|epoch| epoch.number), Some(2));
    ledger.close();
}

/// The evidence in `folder`, of pairs of these classes, one a second.
fn written(folder: &Path, name: &EpochName, plan: &Plan, classes: &[(Class, u64)]) {
    let settings = Settings {
        data: folder.to_owned(),
        keep_samples: Duration::from_hours(1),
        keep_comparisons: Duration::from_hours(24 * 90),
        keep_unexported: 0,
        redact: vec![],
    };
    let ledger = Ledger::open(settings, [1; 32], || at(0)).unwrap();
    ledger.resume(name, &plan.basis(None)).unwrap();
    let all = classes.iter().flat_map(|(class, n)| (0..*n).map(|_| *class));
    for (second, class) in (0..).zip(all) {
        ledger.keep(pair(second, name, class), None);
        assert!(second % 256 != 255 || ledger.sync(Duration::from_secs(10)));
    }
    ledger.close();
}

fn reported(folder: &Path, route: &Route, plan: &Plan) -> RouteReport {
    let evidence = Evidence::open(folder, at(1_000)).unwrap();
    let report = super::build(Some(&evidence), [(route, plan)], at(1_000)).unwrap().routes.remove(0);
    let standing = super::standings(Some(&evidence), [(route, plan)], at(1_000)).unwrap().remove(0);
    assert_eq!((standing.verdict, &standing.reasons), (report.verdict, &report.reasons));
    report
}

/// `n` of the oldest have had their time.
fn pruned(folder: &Path, n: usize) {
    let mut file = sqlite::open(&folder.join("evidence.sqlite")).unwrap();
    assert_eq!(sqlite::prune(&mut file, at(2_000), Old::All, n).unwrap(), n);
}

#[test]
fn what_is_proved_outlives_the_pairs_that_proved_it() {
    let (folder, name) =
        (tempfile::tempdir().unwrap(), EpochName { route: "generate-image".into(), id: "e1".into() });
    let (route, plan) = (super::assess::tests::a_route("generate-image"), super::assess::tests::a_plan(0));
    written(
        folder.path(),
        &name,
        &plan,
        &[(Class::Calibration, 20), (Class::Mismatch, 2), (Class::Match, 398)],
    );
    let before = reported(folder.path(), &route, &plan);
    let reason = "failures: 2 of the first 2 trials failed, which is more than 1 % (95 % sure)";
    assert_eq!((before.verdict, &before.reasons[..]), (State::Unsafe, &[reason.to_owned()][..]));
    assert!(before.log10_e_unsafe < 0.0, "all of them together would not prove it");

    let evidence = Evidence::open(folder.path(), at(1_000)).unwrap();
    let standing = super::standings(Some(&evidence), [(&route, &plan)], at(1_000)).unwrap().remove(0);
    let (epoch, proved) = standing.proved.unwrap();
    drop(evidence);
    past::keep(folder.path(), &epoch, &proved).unwrap();
    let json = |report: &RouteReport| serde_json::to_value(report).unwrap();
    let before = json(&before);
    assert_eq!(json(&reported(folder.path(), &route, &plan)), before, "what is kept changes nothing");
    for n in [10, 30, 380] {
        pruned(folder.path(), n);
        let after = json(&reported(folder.path(), &route, &plan));
        let same = [
            "verdict",
            "verdict_since",
            "reasons",
            "window",
            "pairs",
            "failures",
            "e_safe",
            "e_unsafe",
            "upper_bound",
            "worst_case",
            "strata",
            "cost_usd",
        ];
        for key in same {
            assert_eq!(after[key], before[key], "{key}");
        }
        for key in ["sampled", "calibration", "trials", "matched", "failures"] {
            assert_eq!(after["counts"][key], before["counts"][key], "{key}");
        }
        assert_eq!(after["gates"][1], before["gates"][1], "latency");
    }
    let evidence = Evidence::open(folder.path(), at(1_000)).unwrap();
    let again = super::standings(Some(&evidence), [(&route, &plan)], at(1_000)).unwrap().remove(0);
    assert_eq!(again.proved, None, "it is kept already");

    // Two of two are no proof of more than one half.
    let lenient = Plan { gate: Gate { max_failure_rate: 0.5, ..plan.gate.clone() }, ..plan };
    assert_ne!(reported(folder.path(), &route, &lenient).verdict, State::Unsafe);
}

/// Where the beginning were forgotten, a window would move over the trials until it happens to hold few failures.
#[test]
fn failures_are_not_forgotten() {
    let (folder, name) =
        (tempfile::tempdir().unwrap(), EpochName { route: "generate-image".into(), id: "e1".into() });
    let (route, plan) = (super::assess::tests::a_route("generate-image"), super::assess::tests::a_plan(0));
    let classes = [(Class::Calibration, 20), (Class::Match, 100), (Class::Mismatch, 1), (Class::Match, 360)];
    written(folder.path(), &name, &plan, &classes);
    assert_eq!(reported(folder.path(), &route, &plan).verdict, State::Collecting);
    pruned(folder.path(), 121);
    let after = reported(folder.path(), &route, &plan);
    assert_eq!((after.verdict, after.pairs, after.failures), (State::Collecting, 461, 1));
}
