//! What a report over a million comparisons takes, from the file to the verdict.
//!
//! The evidence is written by the ledger, as a gateway writes it, into a folder that is removed: some 600 MB.

use std::{sync::LazyLock, time::Duration};

use divan::{Bencher, black_box};
use figueira::{
    config::{self, Config},
    evidence::{Evidence, Ledger, ledger::Settings},
    parallel_run::{
        archive::{Archive, EpochName},
        comparison::{
            ArmRecord, Class, Comparison, Difference, DifferenceKind, Direction, Outcome, Severity,
        },
    },
    report,
};
use jiff::Timestamp;

const COMPARISONS: u64 = 1_000_000;
/// Half of what the ledger's queue holds.
const BATCH: u64 = 512;
const START: i64 = 1_763_000_000_000;

const RULES: &str = r#"
[monolith]
url = "http://127.0.0.1:1"

[[route]]
name = "generate-image"
path = "/api/images"
mode = "shadow"
contract = "article"
subject = "cookie:session"
"#;

/// Written once, for all measurements.
static EVIDENCE: LazyLock<tempfile::TempDir> = LazyLock::new(write);

fn main() {
    divan::main();
    drop(std::fs::remove_dir_all(EVIDENCE.path()));
}

fn at(n: u64) -> Timestamp {
    Timestamp::from_millisecond(START + i64::try_from(n * 100).unwrap_or_default()).unwrap_or_default()
}

fn arm(millis: u64) -> ArmRecord {
    let time = Some(Duration::from_millis(millis));
    ArmRecord {
        outcome: Outcome::Ok,
        status: Some(200),
        first_byte: time,
        total: time,
        bytes: 118,
        media_type: Some("application/json".into()),
        body_hash: Some("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef".into()),
        cost_usd: 0.04,
    }
}

/// One in a thousand fails, each has a difference for information, and each is of a subject of its own.
fn comparison(n: u64, epoch: &EpochName) -> Comparison {
    let class = match n {
        0..20 => Class::Calibration,
        n if n % 1_000 == 0 => Class::Mismatch,
        _ => Class::Match,
    };
    let millis = u64::try_from(at(n).as_millisecond()).unwrap_or_default();
    let mut random = [0; 10];
    random[2..].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    Comparison {
        id: uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid(),
        at: at(n),
        gateway: "edge-1".into(),
        route: epoch.route.clone(),
        epoch: epoch.id.clone(),
        direction: Direction::Shadow,
        stratum: if n.is_multiple_of(3) { "1024x1024/1/local" } else { "512x512/1/local" }.into(),
        sample_rate: 1.0,
        subject: Some(format!(
            "{:032x}",
            u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834)
        )),
        request: "00112233445566778899aabbccddeeff".into(),
        control: arm(1_200 + n * 7_919 % 900),
        candidate: (class != Class::Calibration).then(|| arm(300 + n * 6_151 % 700)),
        class,
        alarms: Vec::new(),
        differences: vec![Difference {
            path: "image:0".into(),
            kind: DifferenceKind::Image,
            control: Some("no alpha".into()),
            candidate: Some("alpha".into()),
            severity: if class == Class::Mismatch { Severity::Failure } else { Severity::Info },
            rule: None,
        }],
        images: Vec::new(),
        rules: Vec::new(),
    }
}

#[expect(clippy::expect_used, reason = "without its evidence there is nothing to measure")]
fn write() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder for the evidence");
    let settings = Settings {
        data: folder.path().to_owned(),
        keep_samples: Duration::from_hours(1),
        keep_comparisons: Duration::from_hours(24 * 3_650),
        redact: Vec::new(),
    };
    let ledger = Ledger::open(settings, [7; 32], || at(0)).expect("a ledger");
    let epoch = EpochName { route: "generate-image".into(), id: "e1".into() };
    ledger.resume(&epoch, "{}").expect("an epoch");
    for n in 0..COMPARISONS {
        ledger.keep(comparison(n, &epoch), None);
        if n % BATCH == BATCH - 1 {
            assert!(ledger.sync(Duration::from_secs(30)), "the disk is stuck");
        }
    }
    ledger.close();
    folder
}

#[expect(clippy::expect_used, reason = "without it there is nothing to measure")]
fn rules() -> Config {
    config::parse(RULES, std::path::Path::new("routes.toml")).expect("rules")
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn of_a_million_comparisons(bencher: Bencher<'_, '_>) {
    let (folder, rules) = (EVIDENCE.path(), rules());
    bencher.bench_local(|| {
        let now = at(COMPARISONS);
        let evidence = Evidence::open(folder, now).ok();
        let routes = rules.routes.routes().iter().zip(&rules.plans);
        let report = report::build(evidence.as_ref(), routes, now).ok();
        let pairs = report.and_then(|report| report.routes.first().map(|route| route.counts.sampled));
        assert_eq!(pairs, Some(COMPARISONS));
        black_box(pairs)
    });
}
