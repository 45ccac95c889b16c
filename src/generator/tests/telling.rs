//! What the generator says of itself, and what it never says.

use std::{
    io,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tracing_subscriber::layer::SubscriberExt as _;

use super::{post, small};
use crate::{
    compute::Compute,
    generator::{Generator, Metrics, Outcome, RouteName, settings::Contract, testing},
    shutdown::Shutdown,
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
    let metrics = Metrics::register(&mut Registry::default());
    let generator = Generator::open(
        testing::settings(),
        folder.path(),
        Shutdown::default(),
        metrics,
        Compute::default(),
        SystemTime::now,
    )
    .await
    .unwrap();
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
    let metrics = Metrics::register(&mut registry);
    let folder = tempfile::tempdir().unwrap();
    let generator = Generator::open(
        testing::settings(),
        folder.path(),
        Shutdown::default(),
        metrics,
        Compute::default(),
        SystemTime::now,
    )
    .await
    .unwrap();
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
