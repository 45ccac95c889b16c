//! Questions about the evidence, what is said of it, and people who would script the pages.

use std::{path::Path, sync::atomic::Ordering, time::SystemTime};

use bytes::Bytes;
use http::{
    HeaderMap, Version,
    header::{CONTENT_TYPE, HOST},
    request,
};
use http_body_util::{BodyExt, Full};
use serde_json::Value;

use super::*;
use crate::{
    admin::{Admin, Readiness, Sources},
    audit,
    evidence::{Ledger, ledger::Settings},
    parallel_run::{
        answer::{self, Answer as Given},
        archive::{Archive as _, EpochName, Sample},
        candidate::CapturedRequest,
        comparison::{
            Alarm, ArmRecord, Comparison, Difference, DifferenceKind, Direction, ImageRecord, Outcome,
            Severity,
        },
        testing,
    },
    report::summary::LiveCandidate,
    routing::{Canary, Candidate, Fallback, Host, Mode, Subject, pattern::Pattern},
    shutdown::Shutdown,
    telemetry::metrics::Metrics,
};

/// What somebody may send who hopes that an operator's browser runs it.
const HOSTILE: [&str; 8] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "'><svg onload=alert(1)>",
    "</style><script>alert(1)</script>",
    "</pre><iframe src=javascript:alert(1)>",
    "<!--<script>",
    "<a href=\"javascript:alert(1)\">x</a>",
    "<meta http-equiv=\"refresh\" content=\"0;url=//evil.example\">",
];

fn route() -> Route {
    Route {
        name: "images".into(),
        line: 1,
        methods: Vec::new(),
        path: Pattern::new("/api/images").unwrap(),
        host: Host::Any,
        conditions: Vec::new(),
        mode: Mode::Shadow,
        brake: None,
        candidate: Candidate::Generator,
        control: "monolith".into(),
        subject: Some(Subject::Cookie("session".into())),
        canary: Canary::default(),
        fallback: Fallback::WhenSafe,
        timeout: None,
    }
}

fn now() -> Timestamp {
    Timestamp::from_second(1_763_000_100).unwrap()
}

fn arm() -> ArmRecord {
    ArmRecord {
        outcome: Outcome::Ok,
        status: Some(200),
        first_byte: Some(Duration::from_millis(5)),
        total: Some(Duration::from_millis(20)),
        bytes: 10,
        media_type: Some(HOSTILE[0].into()),
        body_hash: None,
        cost_usd: Some(0.0),
    }
}

fn comparison(nth: u8, class: Class) -> Comparison {
    let at = Timestamp::from_second(1_763_000_000 + i64::from(nth)).unwrap();
    let millis = u64::try_from(at.as_millisecond()).unwrap();
    Comparison {
        id: uuid::Builder::from_unix_timestamp_millis(millis, &[nth; 10]).into_uuid(),
        at,
        gateway: HOSTILE[1].into(),
        route: "images".into(),
        epoch: "e1".into(),
        direction: Direction::Shadow,
        stratum: HOSTILE[2].into(),
        sample_rate: 1.0,
        subject: Some(format!("{nth:032x}")),
        request: "00".into(),
        control: arm(),
        candidate: Some(arm()),
        class,
        alarms: Vec::new(),
        differences: Vec::new(),
        images: Vec::new(),
        rules: Vec::new(),
    }
}

/// A mismatch with an alarm, all of its texts hostile, and its exchanges.
fn hostile() -> (Comparison, Sample) {
    let difference = |text: &&str| Difference {
        path: format!("/{text}"),
        kind: DifferenceKind::Value,
        control: Some((*text).into()),
        candidate: Some(format!("{text}!")),
        severity: Severity::Failure,
        rule: Some((*text).into()),
    };
    let image = |candidate| ImageRecord {
        candidate,
        index: 0,
        delivery: HOSTILE[3].into(),
        sniffed: Some("png".into()),
        declared: Some(HOSTILE[4].into()),
        width: 64,
        height: 64,
        color: "rgb8".into(),
        bytes: 5_000,
        decodes: true,
        entropy: 6.0,
        luma_deviation: 40.0,
        dominant: 0.1,
        hash: "00".into(),
        alpha: false,
        orientation: HOSTILE[3].into(),
        correlation: 0.9,
        difference_hash: Some(u64::MAX),
        thumbnail: Some(Bytes::from_static(b"\xff\xd8\xff\xe0 a small picture")),
    };
    let bad = Comparison {
        alarms: vec![Alarm::Blank],
        differences: HOSTILE.iter().map(difference).collect(),
        images: vec![image(false), image(true)],
        ..comparison(2, Class::Mismatch)
    };
    let given = || Given {
        status: 200,
        headers: HeaderMap::from_iter([(
            http::HeaderName::from_static("x-name"),
            HOSTILE[5].parse().unwrap(),
        )]),
        body: HOSTILE.join("\n").into(),
        images: Vec::new(),
        asked: answer::Asked::default(),
    };
    let request = CapturedRequest {
        id: bad.id,
        route: "images".into(),
        method: Method::POST,
        target: http::Uri::from_static("/api/images?%3Cscript%3E"),
        version: Version::HTTP_11,
        gained: [].into(),
        headers: HeaderMap::new(),
        body: serde_json::to_vec(&HOSTILE).unwrap().into(),
    };
    (bad, Sample::new(request, given(), Some(given()), Default::default()))
}

/// The evidence in this folder, the route's epoch begun.
fn ledger(folder: &Path) -> Ledger {
    let settings = Settings {
        data: folder.to_owned(),
        keep_samples: Duration::from_hours(24 * 3_650),
        keep_comparisons: Duration::from_hours(24 * 3_650),
        keep_unexported: 0,
        redact: Vec::new(),
    };
    let ledger = Ledger::open(settings, [1; 32], now).unwrap();
    let epoch = EpochName { route: "images".into(), id: "e1".into() };
    let basis = testing::plan().basis(None);
    ledger.resume(&epoch, &basis).unwrap().traffic.requests.fetch_add(9, Ordering::Relaxed);
    ledger
}

/// Three matches and a hostile pair, and an operator's listener before them.
fn admin() -> (tempfile::TempDir, Admin, Uuid) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path());
    for nth in [0, 1, 3] {
        ledger.keep(comparison(nth, Class::Match), None);
    }
    let (bad, sample) = hostile();
    let id = bad.id;
    ledger.keep(bad, Some(sample));
    ledger.close();
    let readiness = Arc::new(Readiness::new(Shutdown::default()));
    let metrics = Metrics::new(SystemTime::now());
    let planned: Planned = Box::new(|| {
        let candidate = LiveCandidate { requests: Some(7), errors: Some(2), fallbacks: Some(1) };
        vec![(route(), testing::plan(), Live { candidate, ..Live::default() })]
    });
    let reports = Reports::new(folder.path().to_owned(), planned, now);
    let address = "127.0.0.1:9901".parse().unwrap();
    let admin = Admin::new(address, None, readiness, metrics, Sources::none()).unwrap();
    (folder, admin.reporting(Arc::new(reports)), id)
}

struct Said {
    status: u16,
    policy: String,
    text: String,
}

async fn send(admin: &Admin, request: request::Builder, body: &str) -> Said {
    let request =
        request.header(HOST, "127.0.0.1:9901").body(Full::new(Bytes::from(body.to_owned()))).unwrap();
    let response = admin.serve(request, "127.0.0.1:5000".parse().unwrap()).await;
    let status = response.status().as_u16();
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    let text = response.into_body().collect().await.unwrap().to_bytes();
    Said { status, policy, text: String::from_utf8(text.to_vec()).unwrap() }
}

async fn get(admin: &Admin, path: &str) -> (u16, Value) {
    let said = send(admin, Request::get(path), "").await;
    (said.status, serde_json::from_str(&said.text).unwrap())
}

async fn say(admin: &Admin, method: Method, path: &str, body: &str) -> (u16, Value) {
    let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json");
    let said = send(admin, request, body).await;
    (said.status, serde_json::from_str(&said.text).unwrap())
}

#[tokio::test]
async fn reports_are_those_of_the_command() {
    let (_folder, admin, _) = admin();
    let (status, all) = get(&admin, "/api/reports").await;
    assert_eq!((status, &all["schema"], &all["routes"][0]["verdict"]), (200, &1.into(), &"BLOCKED".into()));
    let (_, one) = get(&admin, "/api/reports/images").await;
    assert_eq!((&one, &all["next"]), (&all["routes"][0], &Value::Null));
    let (_, last) = get(&admin, "/api/reports?limit=1&after=images").await;
    assert_eq!((&last["routes"], &last["next"]), (&json!([]), &Value::Null));
    for query in ["?limit=0", "?after=none", "?route=images"] {
        assert_eq!(get(&admin, &format!("/api/reports{query}")).await.0, 400, "{query}");
    }
    assert_eq!(
        (&one["pairs"], &one["failures"], &one["counts"]["requests"]),
        (&4.into(), &1.into(), &9.into())
    );
    assert_eq!(one["live"]["candidate"], json!({ "requests": 7, "errors": 2, "fallbacks": 1 }));
    let (_, history) = get(&admin, "/api/reports/images/history").await;
    let points = history["history"].as_array().unwrap();
    let counted: Vec<_> = points.iter().map(|point| (point["n"].as_u64(), point["x"].as_u64())).collect();
    assert_eq!(counted, [(1, 0), (2, 0), (3, 1), (4, 1)].map(|(n, x)| (Some(n), Some(x))));
    for path in
        ["/api/reports/none", "/api/reports/none/history", "/routes/none", "/routes/%3Cscript%3E/pairs"]
    {
        let (status, problem) = get(&admin, path).await;
        assert_eq!((status, &problem["status"]), (404, &404.into()), "{path}");
    }
}

/// A fleet tells what counts of a pair, and not what it was.
#[tokio::test]
async fn a_pair_that_another_gateway_has_seen_says_where_the_rest_is() {
    let (folder, admin, seen) = admin();
    let ours = comparison(7, Class::Mismatch);
    let control = ArmRecord { status: None, ..ours.control.clone() };
    let told = Comparison { gateway: "0ther".into(), control, ..ours };
    let id = told.id;
    let ledger = ledger(folder.path());
    ledger.keep(told, None);
    ledger.close();
    let page = async |id: Uuid| send(&admin, Request::get(format!("/comparisons/{id}")), "").await.text;
    let said = "Another gateway of the fleet, <code>0ther</code>, has seen it";
    assert!(page(id).await.contains(said) && !page(seen).await.contains("Another gateway"));
}

#[tokio::test]
async fn comparisons_come_in_pages_and_by_class() {
    let (_folder, admin, bad) = admin();
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let (status, page) = get(&admin, &format!("/api/comparisons?route=images&limit=2{after}")).await;
        assert_eq!(status, 200, "{page}");
        let ids = page["comparisons"].as_array().unwrap().iter();
        seen.extend(ids.map(|line| line["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["after"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().rev().is_sorted(), "the newest first");
    let (_, mismatches) = get(&admin, "/api/comparisons?class=mismatch").await;
    assert_eq!(mismatches["comparisons"].as_array().unwrap().len(), 1);
    assert_eq!(mismatches["comparisons"][0]["id"], bad.to_string());
    assert_eq!(get(&admin, "/api/comparisons?class=skipped").await.1["comparisons"], json!([]));
    assert_eq!(get(&admin, "/api/comparisons?route=other").await.0, 404);
    for query in ["class=nice", "limit=x", "limit=0", "after=x", "offset=3"] {
        assert_eq!(get(&admin, &format!("/api/comparisons?{query}")).await.0, 400, "{query}");
    }
    let (status, whole) = get(&admin, &format!("/api/comparisons/{bad}")).await;
    assert_eq!((status, whole["differences"].as_array().unwrap().len()), (200, HOSTILE.len()));
    assert_eq!(whole["kept"]["control"]["body"], HOSTILE.join("\n"));
    assert_eq!(whole["alarms"][0]["acknowledged"], Value::Null);
    for id in ["x", "00000000-0000-0000-0000-000000000000"] {
        assert_eq!(get(&admin, &format!("/api/comparisons/{id}")).await.0, 404, "{id}");
    }
}

#[tokio::test]
async fn an_alarm_blocks_until_somebody_says_why_it_need_not() {
    let (folder, admin, bad) = admin();
    let alarm = format!("/api/alarms/{bad}-blank/ack");
    assert_eq!(say(&admin, Method::POST, &alarm, "{}").await.0, 422);
    for reason in [r#"" ""#, r#""\u001b[2J""#, r#""a\nb: held at nothing""#] {
        let said = format!("{{\"reason\":{reason}}}");
        assert_eq!(say(&admin, Method::POST, &alarm, &said).await.0, 422, "{reason}");
    }
    let foreign = Request::post(&alarm)
        .header(CONTENT_TYPE, "application/json")
        .header("origin", "http://evil.example");
    assert_eq!(send(&admin, foreign, r#"{"reason":"x"}"#).await.status, 403);
    let form = Request::post(&alarm).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    assert_eq!(send(&admin, form, "reason=x").await.status, 415);
    assert_eq!(get(&admin, "/api/reports/images").await.1["verdict"], "BLOCKED");

    let (status, said) = say(&admin, Method::POST, &alarm, r#"{"reason":"a night scene"}"#).await;
    assert_eq!((status, &said["unacknowledged"]), (200, &0.into()));
    let (_, report) = get(&admin, "/api/reports/images").await;
    assert_ne!(report["verdict"], "BLOCKED");
    assert_eq!(report["alarms"][0]["acknowledged"]["reason"], "a night scene");
    let lines = audit::Log::in_folder(folder.path()).last(9).unwrap();
    let [line] = &lines[..] else { panic!("one line: {lines:?}") };
    assert_eq!(
        (line.what, line.why.as_deref(), line.route.as_deref().unwrap()),
        (audit::What::Alarm, Some("a night scene"), "images")
    );

    // What was said first stands, and is not written twice.
    let (_, again) = say(&admin, Method::POST, &alarm, r#"{"reason":"another"}"#).await;
    assert_eq!(again["acknowledged"]["reason"], "a night scene");
    assert_eq!(audit::Log::in_folder(folder.path()).last(9).unwrap().len(), 1);
    for unknown in [format!("{bad}-panic"), format!("{bad}-nothing"), "x".to_owned()] {
        let path = format!("/api/alarms/{unknown}/ack");
        assert_eq!(say(&admin, Method::POST, &path, r#"{"reason":"x"}"#).await.0, 404, "{unknown}");
    }
}

#[tokio::test]
async fn a_label_is_a_note_and_changes_no_count() {
    let (_folder, admin, bad) = admin();
    let (before, path) =
        (get(&admin, "/api/reports/images").await.1, format!("/api/comparisons/{bad}/label"));
    let (status, said) = say(&admin, Method::PUT, &path, r#"{"label":"fine by me"}"#).await;
    assert_eq!((status, &said["label"]["text"]), (200, &"fine by me".into()));
    assert_eq!(get(&admin, &format!("/api/comparisons/{bad}")).await.1["label"]["text"], "fine by me");
    let after = get(&admin, "/api/reports/images").await.1;
    assert_eq!((&before["counts"], &before["failures"]), (&after["counts"], &after["failures"]));
    assert_eq!(say(&admin, Method::PUT, &path, r#"{"label":null}"#).await.0, 200);
    assert_eq!(get(&admin, &format!("/api/comparisons/{bad}")).await.1["label"], Value::Null);
    let long = format!(r#"{{"label":"{}"}}"#, "x".repeat(81));
    assert_eq!(say(&admin, Method::PUT, &path, &long).await.0, 422);
    let nobody = "/api/comparisons/00000000-0000-0000-0000-000000000000/label";
    assert_eq!(say(&admin, Method::PUT, nobody, r#"{"label":"x"}"#).await.0, 404);
}

#[tokio::test]
async fn hostile_answers_heads_and_names_cannot_script_a_page() {
    let (_folder, admin, bad) = admin();
    let path = format!("/api/comparisons/{bad}/label");
    let label = json!({ "label": HOSTILE[6] }).to_string();
    assert_eq!(say(&admin, Method::PUT, &path, &label).await.0, 200);
    let pages = [
        ("/".to_owned(), 1),
        ("/routes/images".to_owned(), 1),
        ("/routes/images/pairs".to_owned(), 0),
        (format!("/comparisons/{bad}"), 1),
    ];
    for (path, scripts) in pages {
        let page = send(&admin, Request::get(&path), "").await;
        assert_eq!(page.status, 200, "{path}");
        assert!(page.policy.starts_with("default-src 'none'; style-src 'sha256-"), "{}", page.policy);
        assert_eq!(page.policy.contains("script-src 'sha256-"), scripts == 1, "{}", page.policy);
        assert_eq!(page.text.matches("<script").count(), scripts, "{path}: only our own");
        for hostile in HOSTILE {
            assert!(!page.text.contains(hostile), "{path} holds {hostile}");
        }
    }
    let page = send(&admin, Request::get(format!("/comparisons/{bad}")), "").await.text;
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "shown as what it is");
    assert!(page.contains("data:image/jpeg;base64,"), "with its pictures");
}

#[tokio::test]
async fn without_evidence_nothing_was_ever_sampled() {
    let (folder, admin, bad) = admin();
    drop(std::fs::remove_file(folder.path().join("evidence.sqlite")));
    assert_eq!(get(&admin, "/api/reports/images").await.1["verdict"], "NONE");
    assert_eq!(get(&admin, "/api/comparisons").await.1["comparisons"], json!([]));
    assert_eq!(get(&admin, &format!("/api/comparisons/{bad}")).await.0, 404);
    let ack = format!("/api/alarms/{bad}-blank/ack");
    assert_eq!(say(&admin, Method::POST, &ack, r#"{"reason":"x"}"#).await.0, 404);
}
