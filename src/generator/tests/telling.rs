//! What the generator says of itself, and what it never says.

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt as _, net::TcpListener, runtime::Handle, time::Instant};
use tracing_subscriber::layer::SubscriberExt as _;

use super::{Shop, open_within, post, small, until};
use crate::{
    generator::{
        Carrying, Courier, Outcome, RouteName, Until,
        settings::{Contract, Credential, News, Notify},
        testing,
    },
    shutdown::Shutdown,
    tell::{self, Teller},
};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// One thread, so that the subscriber of this test sees every event.
#[tokio::test]
async fn a_job_is_one_event_without_its_prompt() {
    let lines = Lines::default();
    let seen = lines.clone();
    let format = tracing_subscriber::fmt::layer().json().with_writer(move || seen.clone());
    // While there is but one subscriber, tracing asks that of whichever thread comes to an event first, which may be
    // another test's that has none.
    let _another = tracing::Dispatch::new(tracing_subscriber::registry());
    let _subscriber = tracing::subscriber::set_default(tracing_subscriber::registry().with(format));
    let folder = tempfile::tempdir().unwrap();
    let generator = open_within(folder.path(), Shutdown::default(), &mut Registry::default()).await.unwrap();
    let mut request = post(json!({ "prompt": "canary on the sea", "size": "256x256" }).to_string());
    request.extensions_mut().insert(RouteName("generate-image".into()));
    let outcome = generator.answer(&Contract::Article, request).await;
    assert!(matches!(outcome, Outcome::Answered(_)));

    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(!text.contains("canary"), "{text}");
    let jobs: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| event["fields"]["job"].is_string())
        .collect();
    let [event] = &jobs[..] else { panic!("one event a job: {jobs:?}") };
    let fields = &event["fields"];
    assert_eq!((&fields["state"], &fields["route"]), (&json!("done"), &json!("generate-image")));
    assert_eq!((&fields["prompt_chars"], fields["prompt_sha256"].as_str().unwrap().len()), (&json!(17), 64));
    assert!(fields["duration_ms"].is_u64());
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_counted_by_how_they_ended() {
    let mut registry = Registry::default();
    let folder = tempfile::tempdir().unwrap();
    let generator = open_within(folder.path(), Shutdown::default(), &mut registry).await.unwrap();
    generator.answer(&Contract::Article, post(small().to_string())).await;
    generator.answer(&Contract::Article, post(json!({ "prompt": "x", "n": 11 }).to_string())).await;
    let mut settings = testing::settings();
    settings.max_image = 10;
    generator.reconfigure(settings);
    generator.answer(&Contract::Article, post(small().to_string())).await;
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        "figueira_generator_jobs_total{state=\"done\",reason=\"\"} 1",
        "figueira_generator_jobs_total{state=\"failed\",reason=\"paid-invalid\"} 1",
        "figueira_generator_declined_total{reason=\"beyond-tables\"} 1",
        "figueira_generator_in_flight 0",
        "figueira_generator_queued 0",
        "figueira_generator_draw_seconds_count 2",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
}

/// Of what is done, the monolith is told, unsigned.
fn notify() -> Notify {
    Notify {
        url: "/told".parse().unwrap(),
        upstream: "monolith".into(),
        on: vec![News::Done],
        wait: None,
        prompt: false,
        secret: None,
    }
}

/// A monolith that will not hear of anything, and says this.
#[derive(Debug)]
struct Refuses(Mutex<StatusCode>);

impl Courier for Refuses {
    fn carry<'a>(&'a self, upstream: &'a str, request: Request<Bytes>) -> Carrying<'a> {
        assert_eq!((upstream, request.uri().path()), ("monolith", "/told"));
        let said = *self.0.lock().unwrap();
        Box::pin(async move { Ok(said) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn news_that_are_refused_for_a_day_are_given_up_and_a_person_is_told() {
    let shop = Shop::open().await;
    let mut settings = testing::settings();
    settings.notify.insert("generate-image".into(), notify());
    shop.generator.reconfigure(settings);
    let hook = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", hook.local_addr().unwrap()).into();
    let hooks = vec![tell::Hook { url, on: BTreeSet::from([tell::Topic::DeadLetter]), secret: None }];
    let teller =
        Teller::new(hooks, Handle::current(), Shutdown::default(), tell::Metrics::default()).unwrap();
    let monolith = Arc::new(Refuses(Mutex::new(StatusCode::SERVICE_UNAVAILABLE)));
    shop.generator.tell_when_settling(monolith.clone(), teller);
    shop.generates().await;

    assert_eq!(shop.news_after_a_try().await, (true, true), "it is down");
    // For days, and then it is back.
    shop.sql("UPDATE jobs SET updated_ms = 1000, news_due_ms = 1000");
    *monolith.0.lock().unwrap() = StatusCode::GONE;
    assert_eq!(shop.news_after_a_try().await, (true, true), "it may be mended");
    shop.sql("UPDATE jobs SET news_refused_ms = 1000, news_due_ms = 1000");
    assert_eq!(shop.news_after_a_try().await, (true, false), "never again, and not forgotten");
    let (mut told, _) = hook.accept().await.unwrap();
    let mut text = String::new();
    while !text.contains("for a day the monolith could not be told") {
        let mut piece = [0; 4096];
        let read = told.read(&mut piece).await.unwrap();
        assert!(read > 0, "{text}");
        text.push_str(std::str::from_utf8(&piece[..read]).unwrap());
    }
    assert!(text.contains("figueira-event: dead-letter"), "{text}");
}

/// A monolith that is no upstream any more.
#[derive(Debug)]
struct Gone;

impl Courier for Gone {
    fn carry<'a>(&'a self, _: &'a str, _: Request<Bytes>) -> Carrying<'a> {
        Box::pin(async { Err("there is no such upstream".to_owned()) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn news_that_no_rule_names_any_more_are_given_up_where_nobody_takes_them_for_a_day() {
    for secret in [Some(Credential::fixed("canary".into())), None] {
        let shop = Shop::open().await;
        let mut settings = testing::settings();
        settings.notify.insert("generate-image".into(), Notify { secret, ..notify() });
        shop.generator.reconfigure(settings.clone());
        shop.is_told_by(Arc::new(Gone)).await;
        let day_of_refusals = "UPDATE jobs SET news_refused_ms = 1000, news_due_ms = 1000";
        shop.sql(day_of_refusals);
        assert_eq!(shop.news_after_a_try().await, (true, true), "it is only down");
        shop.generator.reconfigure(testing::settings());
        shop.sql("UPDATE jobs SET news_due_ms = 1000");
        assert_eq!(shop.news_after_a_try().await, (true, true), "the rule may be written again");
        shop.sql(day_of_refusals);
        assert_eq!(shop.news_after_a_try().await, (true, false), "never again, and not forgotten");
        assert_eq!(shop.generator.0.saga.metrics.notices("dead"), 1);
    }
}

/// A monolith that takes everything, and whether it was signed.
#[derive(Debug, Default)]
struct Verifies(Mutex<Vec<bool>>);

impl Courier for Verifies {
    fn carry<'a>(&'a self, _: &'a str, request: Request<Bytes>) -> Carrying<'a> {
        self.0.lock().unwrap().push(request.headers().contains_key("figueira-signature"));
        Box::pin(async { Ok(StatusCode::NO_CONTENT) })
    }
}

impl Shop {
    /// One generation of which the monolith is to be told, and that monolith, which hears of it when somebody settles.
    async fn with_news(&self) -> Arc<Verifies> {
        let monolith = Arc::new(Verifies::default());
        self.is_told_by(monolith.clone()).await;
        monolith
    }

    /// One generation of which somebody is to be told, and who tells when somebody settles.
    async fn is_told_by(&self, courier: Arc<dyn Courier>) {
        self.generator.tell_when_settling(courier, nobody_else());
        self.generates().await;
    }

    /// A generation by the route that is told of.
    async fn generates(&self) {
        let mut request = post(small().to_string());
        request.extensions_mut().insert(RouteName("generate-image".into()));
        self.generator.answer(&Contract::Article, request).await;
    }

    /// Whether there are news once all that is due was tried, and whether they will be tried again.
    async fn news_after_a_try(&self) -> (bool, bool) {
        let soon = Instant::now() + Duration::from_mins(1);
        self.generator.settle(Until(soon), soon).await;
        let db = rusqlite::Connection::open(self.data.path().join("catalog.sqlite")).unwrap();
        let left = "SELECT news IS NOT NULL, news_due_ms IS NOT NULL FROM jobs";
        db.query_row(left, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    }

    /// As if there had been so many generations like the first.
    fn has_generated(&self, jobs: usize) {
        for number in 1..jobs {
            self.sql(&format!(
                "CREATE TEMP TABLE one AS SELECT * FROM jobs LIMIT 1;
                 UPDATE one SET id = '01970000-0000-7000-8000-{number:012}';
                 INSERT INTO jobs SELECT * FROM one"
            ));
        }
    }
}

/// Hooks that hear of nothing.
fn nobody_else() -> Teller {
    Teller::new(Vec::new(), Handle::current(), Shutdown::default(), tell::Metrics::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_signed_is_never_told_unsigned_whatever_becomes_of_its_route() {
    let shop = Shop::open().await;
    let told_by = |routes: &[&str]| {
        let mut settings = testing::settings();
        for route in routes {
            let secret = Some(Credential::fixed("canary".into()));
            settings.notify.insert((*route).into(), Notify { secret, ..notify() });
        }
        shop.generator.reconfigure(settings);
    };
    told_by(&["generate-image"]);
    let monolith = shop.with_news().await;

    let settle = async || {
        shop.sql("UPDATE jobs SET news_due_ms = 1000");
        let soon = Instant::now() + Duration::from_mins(1);
        shop.generator.settle(Until(soon), soon).await;
        monolith.0.lock().unwrap().clone()
    };
    told_by(&[]);
    assert!(settle().await.is_empty(), "nobody knows the secret");
    told_by(&["renamed"]);
    assert_eq!(settle().await, [true]);
}

/// More than are looked at together.
#[tokio::test(flavor = "multi_thread")]
async fn who_settles_tells_all_that_is_due() {
    let shop = Shop::open().await;
    let mut settings = testing::settings();
    settings.notify.insert("generate-image".into(), notify());
    shop.generator.reconfigure(settings);
    let monolith = shop.with_news().await;
    shop.has_generated(70);
    let soon = Instant::now() + Duration::from_mins(1);
    shop.generator.settle(Until(soon), soon).await;
    assert_eq!(monolith.0.lock().unwrap().len(), 70);
}

/// A hook that hangs, but for the news of one job.
#[derive(Debug)]
struct Hangs(&'static str);

impl Courier for Hangs {
    fn carry<'a>(&'a self, _: &'a str, request: Request<Bytes>) -> Carrying<'a> {
        let is_it = request.headers()["figueira-delivery"].to_str().unwrap().starts_with(self.0);
        Box::pin(async move { if is_it { Ok(StatusCode::NO_CONTENT) } else { std::future::pending().await } })
    }
}

/// However many come after them.
#[tokio::test(flavor = "multi_thread")]
async fn news_that_have_waited_longest_have_their_turn() {
    const LONGEST: &str = "01970000-0000-7000-8000-000000000001";
    let shop = Shop::awake(Arc::new(tempfile::tempdir().unwrap())).await;
    let mut settings = testing::settings();
    settings.notify.insert("generate-image".into(), notify());
    shop.generator.reconfigure(settings);
    shop.generates().await;
    shop.has_generated(70);
    shop.sql(&format!("UPDATE jobs SET news_due_ms = 1000 WHERE id = '{LONGEST}'"));
    shop.generator.tell_by(Arc::new(Hangs(LONGEST)), nobody_else());
    let db = rusqlite::Connection::open(shop.data.path().join("catalog.sqlite")).unwrap();
    let is_told = "SELECT news IS NULL FROM jobs WHERE id = ?";
    until("its turn", async || db.query_row(is_told, [LONGEST], |row| row.get(0)).unwrap()).await;
}
