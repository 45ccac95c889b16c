//! What a report over a million comparisons takes, from the file to the verdict; what it takes to follow that verdict,
//! while nothing and while something is new; and what it costs new ones that these are removed for their age.
//!
//! The evidence is written by the ledger, as a gateway writes it, into a folder that is removed: some 600 MB.

use std::{
    path::Path,
    sync::LazyLock,
    time::{Duration, Instant},
};

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
    report::{self, Standings},
};
use jiff::Timestamp;

const COMPARISONS: u64 = 1_000_000;
/// Half of what the ledger's queue holds.
const BATCH: u64 = 512;
const START: i64 = 1_763_000_000_000;
/// A month of comparisons, ten a second.
const MONTH: u64 = 30 * 24 * 3_600 * 10;

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

/// The binary's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
    prune();
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
        cost_usd: Some(0.04),
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

fn settings(data: &Path, keep_comparisons: Duration) -> Settings {
    let keep_samples = Duration::from_hours(1);
    let keep_unexported = 0;
    Settings { data: data.to_owned(), keep_samples, keep_comparisons, keep_unexported, redact: Vec::new() }
}

#[expect(clippy::expect_used, reason = "without its evidence there is nothing to measure")]
fn write() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder for the evidence");
    let settings = settings(folder.path(), Duration::from_hours(24 * 3_650));
    let ledger = Ledger::open(settings, [7; 32], || at(0)).expect("a ledger");
    let epoch = EpochName { route: "generate-image".into(), id: "e1".into() };
    ledger.resume(&epoch, &basis()).expect("an epoch");
    for n in 0..COMPARISONS {
        ledger.keep(comparison(n, &epoch), None);
        if n % BATCH == BATCH - 1 {
            assert!(ledger.sync(Duration::from_secs(30)), "the disk is stuck");
        }
    }
    ledger.close();
    folder
}

/// One record after the other is given and waited for, while all that is old goes.
#[expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench may stop where its premises fail, and prints"
)]
fn prune() {
    let folder = EVIDENCE.path();
    let file = rusqlite::Connection::open(folder.join("evidence.sqlite")).expect("the evidence");
    let count = || -> i64 {
        file.query_row("SELECT count(*) FROM comparison", [], |row| row.get(0)).expect("a count")
    };
    let old = count();
    let epoch = EpochName { route: "generate-image".into(), id: "e1".into() };
    let began = Instant::now();
    let later = || at(MONTH + COMPARISONS);
    let ledger = Ledger::open(settings(folder, Duration::from_hours(24)), [7; 32], later).expect("a ledger");
    ledger.resume(&epoch, &basis()).expect("the epoch");
    let mut waits = Vec::new();
    let is_left = || -> bool {
        let sql = "SELECT EXISTS (SELECT 1 FROM comparison WHERE at < ?1)";
        file.query_row(sql, [at(MONTH).as_millisecond()], |row| row.get(0)).expect("an answer")
    };
    while is_left() {
        let given = Instant::now();
        ledger.keep(comparison(MONTH + COMPARISONS + waits.len() as u64, &epoch), None);
        assert!(ledger.sync(Duration::from_secs(30)), "the disk is stuck");
        waits.push(given.elapsed());
    }
    let took = began.elapsed();
    ledger.close();
    assert_eq!(usize::try_from(count()), Ok(waits.len()), "all that was given is there");
    waits.sort_unstable();
    let at = |percent: usize| waits.get((waits.len() * percent / 100).min(waits.len() - 1)).expect("a wait");
    println!("{old} comparisons removed in {took:.1?}; meanwhile {} were written, one by one", waits.len());
    println!(
        "  from giving one to its commit   p50 {:.1?}, p99 {:.1?}, most {:.1?}",
        at(50),
        at(99),
        at(100)
    );
}

#[expect(clippy::expect_used, reason = "without it there is nothing to measure")]
fn rules() -> Config {
    config::parse(RULES, Path::new("routes.toml")).expect("rules")
}

fn basis() -> String {
    rules().plans.first().map(|plan| plan.basis(None)).unwrap_or_default()
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

/// The evidence once more, for who adds to it.
#[expect(clippy::expect_used, reason = "without it there is nothing to measure")]
fn copied(data: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a folder for the copy");
    for file in
        std::fs::read_dir(data).expect("the evidence").flatten().filter(|entry| entry.path().is_file())
    {
        std::fs::copy(file.path(), copy.path().join(file.file_name())).expect("a copy");
    }
    copy
}

/// Who follows its verdict, and has read all of it.
struct Follower {
    rules: Config,
    evidence: Evidence,
    standings: Standings,
}

impl Follower {
    #[expect(clippy::expect_used, reason = "without it there is nothing to measure")]
    fn begin(data: &Path) -> Self {
        let evidence = Evidence::open(data, at(COMPARISONS)).expect("the evidence");
        let mut follower = Self { rules: rules(), evidence, standings: Standings::default() };
        follower.look();
        follower
    }

    #[expect(clippy::expect_used, reason = "without it there is nothing to measure")]
    fn look(&mut self) {
        let now = at(2 * COMPARISONS);
        self.evidence.look_again(now).expect("another view");
        let routes = self.rules.routes.routes().iter().zip(&self.rules.plans);
        let standings = self.standings.look(Some(&self.evidence), routes, |_| None, now);
        self.evidence.look_away().expect("the view is let go");
        black_box(standings.expect("a verdict"));
    }
}

#[divan::bench(sample_count = 100)]
fn of_a_verdict_of_which_nothing_was_written(bencher: Bencher<'_, '_>) {
    let follower = Follower::begin(EVIDENCE.path());
    bencher.bench_local(|| assert_eq!(follower.evidence.has_news().ok(), Some(false)));
}

#[divan::bench(sample_count = 100)]
fn of_a_verdict_of_which_nothing_is_new(bencher: Bencher<'_, '_>) {
    let mut follower = Follower::begin(EVIDENCE.path());
    bencher.bench_local(|| follower.look());
}

#[expect(clippy::expect_used, reason = "without it there is nothing to measure")]
#[divan::bench(sample_count = 100, sample_size = 1)]
fn of_a_verdict_of_which_twenty_pairs_are_new(bencher: Bencher<'_, '_>) {
    let copy = copied(EVIDENCE.path());
    let mut follower = Follower::begin(copy.path());
    let ledger = Ledger::open(settings(copy.path(), Duration::from_hours(24 * 3_650)), [7; 32], || at(0))
        .expect("a ledger");
    let epoch = EpochName { route: "generate-image".into(), id: "e1".into() };
    ledger.resume(&epoch, &basis()).expect("the epoch");
    let mut new = COMPARISONS..;
    bencher
        .with_inputs(|| {
            for n in new.by_ref().take(20) {
                ledger.keep(comparison(n, &epoch), None);
            }
            assert!(ledger.sync(Duration::from_secs(30)), "the disk is stuck");
        })
        .bench_local_values(|()| follower.look());
    ledger.close();
}
