//! A task that ends in the middle of a job: what was paid is kept, and who waited is told where to ask.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use http::{StatusCode, header::LOCATION};
use prometheus_client::registry::Registry;

use super::{Shop, bytes, post, said, small};
use crate::{
    compute::Compute,
    generator::{Generator, Metrics, Outcome, metrics::Because, settings::Contract, testing},
    shutdown::Shutdown,
};

/// After how many looks at the clock who looks ends.
static LEFT: AtomicUsize = AtomicUsize::new(usize::MAX);

fn clock() -> SystemTime {
    assert_ne!(LEFT.fetch_sub(1, Ordering::Relaxed), 1, "on purpose");
    SystemTime::now()
}

async fn shop(compute: Compute, clock: fn() -> SystemTime) -> Shop {
    let life = Shutdown::default();
    life.begin();
    let data = Arc::new(tempfile::tempdir().unwrap());
    let metrics = Metrics::register(&mut Registry::default());
    let generator = Generator::open(testing::settings(), data.path(), life, metrics, compute, clock);
    Shop { generator: generator.await.unwrap(), data }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_ends_anywhere_loses_nothing() {
    let done = ("done".to_owned(), None);
    // Named by what the clock is asked for, and where the job stands then.
    for (looks, at_once, later) in [
        (1, vec![], vec![]),
        (2, vec![], vec![]),
        (3, vec![("drawing".to_owned(), None)], vec![done.clone()]),
        (4, vec![("storing".to_owned(), None)], vec![done.clone()]),
        (5, vec![done.clone()], vec![done]),
    ] {
        let shop = shop(Compute::default(), clock).await;
        let generator = shop.generator.clone();
        LEFT.store(looks, Ordering::Relaxed);
        let asking =
            tokio::spawn(
                async move { generator.answer(&Contract::Article, post(small().to_string())).await },
            );
        let answered = asking.await;
        LEFT.store(usize::MAX, Ordering::Relaxed);
        assert_eq!(shop.jobs(), at_once, "{looks}");
        if let Ok(Outcome::Answered(response)) = answered {
            let told = said(502, &response)["msg"].as_str().unwrap().to_owned();
            let place = response.headers()[LOCATION].to_str().unwrap();
            let (_, job) = place.rsplit_once('/').unwrap();
            assert!(told.contains(job) && told.contains("not known"), "{told}");
            shop.generator.0.saga.sweep().await;
            assert_eq!(shop.jobs(), later, "{looks}");
            assert!(shop.files("spool").is_empty(), "{looks}");
            assert_eq!(shop.files("images").len(), later.len());
            if !later.is_empty() {
                let response = shop.get(&format!("fg-{job}-0.png")).await;
                assert_eq!(response.status(), StatusCode::OK);
                assert!(bytes(response).await.starts_with(b"\x89PNG"));
            }
        } else {
            assert_eq!((looks, shop.files("spool").len()), (1, 0), "before there is a job");
        }
    }
}

/// The provider, the decoder, the spool, the store or the catalog: whoever it is for.
#[tokio::test(flavor = "multi_thread")]
async fn a_piece_of_work_that_ends_in_a_panic_is_a_failure_like_any() {
    let (mut stood, mut crashes) = (BTreeSet::new(), BTreeSet::new());
    for piece in 1.. {
        let compute = Compute::default();
        let shop = shop(compute.clone(), SystemTime::now).await;
        compute.end(piece);
        let outcome = shop.ask(&Contract::Article, &small()).await;
        if (1..=piece).contains(&compute.end(0)) {
            assert!(piece > 8, "so few pieces");
            break;
        }
        let response = match outcome {
            Outcome::Answered(response) => response,
            Outcome::Declined(declined) => declined.response,
            Outcome::Streamed(_) => panic!("nobody has asked for that"),
        };
        if response.status() != StatusCode::OK {
            let told = said(response.status().as_u16(), &response);
            assert!([502, 503].contains(&response.status().as_u16()), "{piece}: {told}");
        }
        stood.extend(shop.jobs());
        shop.generator.0.saga.sweep().await;
        // A spool whose removal ended so.
        shop.generator.0.saga.tidy(&testing::settings()).await;
        let (images, spooled) = match shop.jobs().pop() {
            None => (0, 0),
            Some((state, None)) if state == "done" => (1, 0),
            Some((state, Some(reason))) if state == "failed" => (0, usize::from(reason == "paid-invalid")),
            other => panic!("{piece}: {other:?}"),
        };
        assert_eq!((shop.files("images").len(), shop.files("spool").len()), (images, spooled), "{piece}");
        for of in ["provider", "image", "store"] {
            if shop.generator.0.saga.metrics.crashes.get_or_create(&Because { reason: of }).get() > 0 {
                crashes.insert(of);
            }
        }
        // Its place and its memory are free again.
        shop.answer(&Contract::Article, 200, &small()).await;
    }
    for (state, reason) in
        [("failed", Some("unknown")), ("failed", Some("paid-invalid")), ("storing", None), ("done", None)]
    {
        assert!(
            stood.contains(&(state.to_owned(), reason.map(str::to_owned))),
            "{state} {reason:?}: {stood:?}"
        );
    }
    assert_eq!(crashes, BTreeSet::from(["image", "provider", "store"]));
}
