//! Disks and catalogs that fail, really.

use std::{collections::BTreeSet, fs, slice, sync::Arc, time::Duration};

use http::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{Shop, bytes, small};
use crate::generator::{
    Outcome,
    metrics::Why,
    settings::{Contract, Settings},
    testing,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_is_retried_from_the_spool() {
    let shop = Shop::open().await;
    let images = shop.data.path().join("images");
    fs::remove_dir(&images).unwrap();
    fs::write(&images, "a file where the folder was").unwrap();

    let Outcome::Answered(response) = shop.ask(&Contract::Article, &small()).await else {
        panic!("declined")
    };
    let body = super::said(503, &response);
    assert!(body["msg"].as_str().unwrap().contains("is kept"), "{body}");
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(response.headers()["x-should-retry"], "false", "it is paid for");
    assert_eq!(shop.jobs(), [("storing".to_owned(), None)]);
    let job = shop.files("spool").pop_first().unwrap();
    let name = format!("fg-{job}-0.png");
    assert_eq!(shop.get(&name).await.status(), StatusCode::NOT_FOUND, "not committed, so unknown");

    shop.generator.0.saga.sweep().await;
    assert_eq!(shop.jobs(), [("storing".to_owned(), None)], "still broken, still kept");

    fs::remove_file(&images).unwrap();
    fs::create_dir(&images).unwrap();
    shop.generator.0.saga.sweep().await;
    assert_eq!(shop.jobs(), [("done".to_owned(), None)]);
    assert!(shop.files("spool").is_empty());
    let response = shop.get(&name).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(bytes(response).await.starts_with(b"\x89PNG"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_cannot_take_the_images_is_seen_before_the_claim() {
    let shop = Shop::open().await;
    let spool = shop.data.path().join("spool");
    fs::remove_dir(&spool).unwrap();
    fs::write(&spool, "a file where the folder was").unwrap();
    let Outcome::Declined(declined) = shop.ask(&Contract::OpenAi, &small()).await else { panic!("answered") };
    assert_eq!(declined.why, Why::BeforeClaim);
    assert_eq!(super::said(503, &declined.response)["error"]["type"], "server_error");
    assert!(declined.response.headers().contains_key("retry-after"));
    assert!(shop.jobs().is_empty() && shop.files("images").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_that_takes_no_claim_lets_the_monolith_answer() {
    let shop = Shop::open().await;
    shop.sql("CREATE TRIGGER full BEFORE INSERT ON jobs BEGIN SELECT RAISE(ABORT, 'disk full'); END");
    let Outcome::Declined(declined) = shop.ask(&Contract::Article, &small()).await else {
        panic!("answered")
    };
    assert_eq!(declined.why, Why::BeforeClaim);
    assert!(shop.jobs().is_empty() && shop.files("spool").is_empty() && shop.files("images").is_empty());
}

/// Of the first nobody knows whether it was claimed; of those after it, that they were not.
#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_that_is_down_leaves_one_request_in_doubt_and_no_more() {
    let shop = Shop::open().await;
    shop.sql("ALTER TABLE jobs RENAME TO gone");
    shop.answer(&Contract::Article, 503, &small()).await;
    for _ in 0..2 {
        let Outcome::Declined(declined) = shop.ask(&Contract::Article, &small()).await else {
            panic!("answered")
        };
        assert_eq!(declined.why, Why::BeforeClaim);
    }
    assert_eq!(shop.files("spool").len(), 1, "of the one in doubt");
    shop.sql("ALTER TABLE gone RENAME TO jobs");
    shop.answer(&Contract::Article, 200, &small()).await;
    assert_eq!(shop.jobs(), [("done".to_owned(), None)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_fails_is_made_later() {
    let shop = Shop::open().await;
    shop.sql("CREATE TRIGGER full BEFORE UPDATE ON jobs WHEN new.state = 'done' BEGIN SELECT RAISE(ABORT, 'disk full'); END");
    let body = shop.answer(&Contract::Article, 503, &small()).await;
    assert_eq!(body["processamento"], 503);
    let name = shop.files("images").pop_first().unwrap();
    assert_eq!(shop.get(&name).await.status(), StatusCode::NOT_FOUND, "stored, not committed");
    shop.sql("DROP TRIGGER full");
    shop.generator.0.saga.sweep().await;
    assert_eq!(shop.jobs(), [("done".to_owned(), None)]);
    assert_eq!(shop.get(&name).await.status(), StatusCode::OK);
}

/// A record that is not taken while the images are, as it was by a catalog that is down for a moment.
const NOT_STORING: &str = "CREATE TRIGGER full BEFORE UPDATE ON jobs WHEN new.state = 'storing' BEGIN SELECT RAISE(ABORT, 'disk full'); END";

#[tokio::test(flavor = "multi_thread")]
async fn what_was_drawn_while_its_record_could_not_be_written_is_stored_later() {
    let shop = Shop::open().await;
    let unknown = "UPDATE jobs SET state = 'failed', reason = 'unknown' WHERE state = 'drawing'";
    // In the second round another gateway gives it up meanwhile.
    for meanwhile in ["", unknown] {
        shop.sql(NOT_STORING);
        let body = shop.answer(&Contract::Article, 503, &small()).await;
        assert!(body["msg"].as_str().unwrap().contains("is kept"), "{body}");
        shop.generator.0.saga.sweep().await;
        assert_eq!(shop.jobs().last().unwrap().0, "drawing", "still broken, still kept");
        let job = shop.files("spool").pop_first().unwrap();
        shop.sql(meanwhile);
        shop.generator.0.saga.tidy(&testing::settings()).await;
        shop.sql("DROP TRIGGER full");
        shop.generator.0.saga.sweep().await;
        assert_eq!(shop.jobs().last().unwrap(), &("done".to_owned(), None), "{meanwhile}");
        assert!(shop.files("spool").is_empty());
        assert_eq!(shop.get(&format!("fg-{job}-0.png")).await.status(), StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_process_stores_what_the_last_one_had_drawn_and_not_recorded() {
    let unknown = "UPDATE jobs SET state = 'failed', reason = 'unknown'";
    // In the second round another gateway has given it up before there is a next process.
    for meanwhile in ["", unknown] {
        let shop = Shop::open().await;
        shop.sql(NOT_STORING);
        let two = json!({ "prompt": "mar", "n": 2, "size": "256x256" });
        shop.answer(&Contract::Article, 503, &two).await;
        shop.sql("DROP TRIGGER full");
        shop.sql(meanwhile);
        let shop = shop.next().await;
        assert_eq!(shop.jobs(), [("done".to_owned(), None)]);
        assert!(shop.files("spool").is_empty());
        for name in shop.files("images") {
            assert!(bytes(shop.get(&name).await).await.starts_with(b"\x89PNG"));
        }
        assert_eq!(shop.files("images").len(), 2);
    }
}

/// A request for images that take their time, and its job as soon as it is claimed.
async fn slow(shop: &Arc<Shop>) -> (JoinHandle<(u16, Value)>, String) {
    let before = shop.jobs().len();
    let ask = json!({ "prompt": "cidade", "n": 4, "size": "1024x1024" });
    let asking = tokio::spawn({
        let shop = shop.clone();
        async move {
            let Outcome::Answered(response) = shop.ask(&Contract::Article, &ask).await else {
                panic!("declined")
            };
            (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap())
        }
    });
    super::until("it is on record", async || shop.jobs().len() != before).await;
    (asking, shop.files("spool").pop_first().expect("it has a place in the spool"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_spool_does_not_take_is_stored_all_the_same() {
    let shop = Arc::new(Shop::open().await);
    let (asking, job) = slow(&shop).await;
    fs::remove_dir_all(shop.data.path().join("spool").join(job)).unwrap();
    let (status, body) = asking.await.unwrap();
    assert_eq!((status, body["imagens"].as_array().unwrap().len()), (200, 4), "{body}");
    assert_eq!(shop.jobs(), [("done".to_owned(), None)]);
    assert!(bytes(shop.get(body["imagem"].as_str().unwrap()).await).await.starts_with(b"\x89PNG"));

    // Nor the store: then they are gone, and nobody is told otherwise.
    let (asking, job) = slow(&shop).await;
    fs::remove_dir_all(shop.data.path().join("spool").join(job)).unwrap();
    let images = shop.data.path().join("images");
    fs::rename(&images, shop.data.path().join("elsewhere")).unwrap();
    let (status, body) = asking.await.unwrap();
    assert_eq!(status, 503);
    assert!(!body["msg"].as_str().unwrap().contains("kept"), "{body}");
    fs::rename(shop.data.path().join("elsewhere"), &images).unwrap();
    shop.generator.0.saga.sweep().await;
    assert_eq!(shop.jobs()[1], ("failed".to_owned(), Some("paid-lost".to_owned())));
    assert_eq!(shop.files("images").len(), 4, "the first one's");

    // Nor the catalog.
    shop.sql(NOT_STORING);
    let (asking, job) = slow(&shop).await;
    fs::remove_dir_all(shop.data.path().join("spool").join(job)).unwrap();
    let (status, body) = asking.await.unwrap();
    assert_eq!(status, 503);
    assert!(!body["msg"].as_str().unwrap().contains("kept"), "{body}");
    shop.sql("DROP TRIGGER full");
    shop.generator.0.saga.sweep().await;
    assert_eq!(shop.jobs()[2], ("failed".to_owned(), Some("unknown".to_owned())));
}

/// Somebody else has put it there, and no retry frees the name.
#[tokio::test(flavor = "multi_thread")]
async fn where_a_name_holds_something_else_the_job_has_failed_and_what_was_paid_stays_in_the_spool() {
    let lost = ("failed".to_owned(), Some("paid-lost".to_owned()));
    // In the second round the store is down when they are drawn, and they are come back to.
    for is_down in [false, true] {
        let shop = Arc::new(Shop::open().await);
        let (images, elsewhere) = (shop.data.path().join("images"), shop.data.path().join("elsewhere"));
        let (asking, job) = slow(&shop).await;
        let name = format!("fg-{job}-2.png");
        fs::write(images.join(&name), "another's").unwrap();
        if is_down {
            fs::rename(&images, &elsewhere).unwrap();
        }
        let (status, body) = asking.await.unwrap();
        let saga = &shop.generator.0.saga;
        if is_down {
            assert_eq!(status, 503, "{body}");
            fs::rename(&elsewhere, &images).unwrap();
            saga.sweep().await;
        } else {
            assert_eq!((status, &body["msg"]), (502, &json!("the image could not be generated")));
        }
        assert_eq!(shop.jobs(), slice::from_ref(&lost));
        assert_eq!(shop.files("images"), BTreeSet::from([name.clone()]), "what was stored of it is deleted");
        assert!(saga.parked.is_empty(), "nobody comes back to it");

        saga.tidy(&testing::settings()).await;
        let spooled = shop.files(&format!("spool/{job}"));
        assert_eq!(spooled.iter().filter(|name| name.starts_with("fg-")).count(), 4, "{spooled:?}");
        saga.tidy(&Settings { keep_paid: Duration::from_nanos(1), ..testing::settings() }).await;
        assert!(shop.files("spool").is_empty(), "had its time");
        saga.let_go(job.parse().unwrap()).await.unwrap();
        assert_eq!(fs::read(images.join(&name)).unwrap(), b"another's");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_another_took_over_is_not_touched() {
    let shop = Shop::open().await;
    shop.sql(
        "CREATE TRIGGER taken AFTER UPDATE ON jobs WHEN new.state = 'storing'
              BEGIN UPDATE jobs SET fence = fence + 1 WHERE id = new.id; END",
    );
    shop.answer(&Contract::Article, 503, &small()).await;
    shop.generator.0.saga.sweep().await;
    assert_eq!(shop.jobs(), [("storing".to_owned(), None)], "the fence is another's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_that_is_down_is_no_false_404() {
    let shop = Shop::open().await;
    let body = shop.answer(&Contract::Article, 200, &small()).await;
    let name = body["imagem"].as_str().unwrap();
    shop.sql("ALTER TABLE objects RENAME TO elsewhere");
    let response = shop.get(name).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key("retry-after"));
    shop.sql("ALTER TABLE elsewhere RENAME TO objects");
    fs::remove_file(shop.data.path().join("images").join(name)).unwrap();
    assert_eq!(shop.get(name).await.status(), StatusCode::SERVICE_UNAVAILABLE, "committed, so it exists");
    shop.sql("ALTER TABLE jobs RENAME TO elsewhere");
    let place = format!("/figueira/jobs/{}", uuid::Uuid::from_u128(7));
    let poll = shop.generator.polls(&http::Method::GET, &place).unwrap();
    let response = shop.generator.job(poll).await.unwrap_err().answer(None);
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_queue_the_monolith_may_answer() {
    let shop = Shop::open().await;
    let mut settings = testing::settings();
    (settings.max_in_flight, settings.queue) = (0, 0);
    shop.generator.reconfigure(settings);
    let Outcome::Declined(declined) = shop.ask(&Contract::Article, &small()).await else {
        panic!("answered")
    };
    assert_eq!(declined.why, Why::QueueFull);
    super::said(503, &declined.response);
    assert!(declined.response.headers().contains_key("retry-after"));
    assert!(shop.jobs().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_sound_image_is_neither_stored_nor_answered() {
    let shop = Shop::open().await;
    let mut settings = testing::settings();
    settings.max_image = 100;
    shop.generator.reconfigure(settings);
    shop.answer(&Contract::Article, 502, &small()).await;
    assert_eq!(shop.jobs(), [("failed".to_owned(), Some("paid-invalid".to_owned()))]);
    assert!(shop.files("images").is_empty());
    let job = shop.files("spool").pop_first().unwrap();
    let kept = fs::read(shop.data.path().join("spool").join(job).join("paid-0")).unwrap();
    assert!(kept.starts_with(b"\x89PNG"), "it was paid for");

    let saga = &shop.generator.0.saga;
    saga.tidy(&testing::settings()).await;
    assert_eq!(shop.files("spool").len(), 1);
    let mut settings = testing::settings();
    settings.keep_paid = Duration::from_nanos(1);
    saga.tidy(&settings).await;
    assert!(shop.files("spool").is_empty(), "had its time");
}

/// A catalog that takes no step.
const NOTHING: &str = "CREATE TRIGGER full BEFORE UPDATE ON jobs BEGIN SELECT RAISE(ABORT, 'disk full'); END";

#[tokio::test(flavor = "multi_thread")]
async fn what_was_paid_stays_where_its_record_comes_later() {
    let shop = Shop::open().await;
    let mut settings = testing::settings();
    settings.max_image = 100;
    shop.generator.reconfigure(settings);
    shop.sql(NOTHING);
    let told = shop.answer(&Contract::Article, 502, &small()).await["msg"].as_str().unwrap().to_owned();
    let job = shop.files("spool").pop_first().expect("it is kept");
    assert!(told.contains("no usable image") && told.contains(&job), "{told}");
    assert_eq!(shop.jobs(), [("drawing".to_owned(), None)]);
    let saga = &shop.generator.0.saga;
    saga.sweep().await;
    shop.sql("DROP TRIGGER full");
    saga.sweep().await;
    assert_eq!(shop.jobs(), [("failed".to_owned(), Some("paid-invalid".to_owned()))]);
    // A record whose answer was lost is found as it was meant.
    saga.parked.add(shop.files("spool").pop_first().unwrap().parse().unwrap());
    saga.sweep().await;
    let job = shop.files("spool").pop_first().expect("it is kept");
    let kept = fs::read(shop.data.path().join("spool").join(job).join("paid-0")).unwrap();
    assert!(kept.starts_with(b"\x89PNG"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_is_not_on_record_is_recorded_later() {
    // By us, or by the next process; in the second round another gateway has given it up meanwhile.
    let unknown = "UPDATE jobs SET state = 'failed', reason = 'unknown', ordered = NULL";
    for (meanwhile, next) in [("", false), (unknown, false), ("", true), (unknown, true)] {
        let shop = Shop::awake(Arc::new(tempfile::tempdir().unwrap())).await;
        let mut settings = testing::settings();
        // There is no place, so that whoever was promised images has waited in vain.
        (settings.deadline, settings.max_in_flight) = (Duration::from_millis(1), 0);
        shop.generator.reconfigure(settings);
        shop.sql(NOTHING);
        let mut later = super::post(small().to_string());
        later.headers_mut().insert("prefer", "respond-async".parse().unwrap());
        let Outcome::Answered(promised) = shop.generator.answer(&Contract::Article, later).await else {
            panic!("declined")
        };
        let job = super::said(202, &promised)["job"].as_str().unwrap().to_owned();
        let kept = shop.data.path().join("spool").join(&job).join("failed.json");
        super::until("the spool says it", async || kept.exists()).await;
        shop.sql(&format!("DROP TRIGGER full; {meanwhile}"));
        let shop = if next { shop.next().await } else { shop };
        let refused = [("failed".to_owned(), Some("refused".to_owned()))];
        let recorded = async {
            while shop.jobs() != refused || !shop.files("spool").is_empty() {
                shop.generator.0.saga.sweep().await;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let recorded = tokio::time::timeout(Duration::from_mins(1), recorded).await;
        recorded.unwrap_or_else(|_| panic!("{meanwhile} {next}: {:?}", shop.jobs()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_of_an_answer_is_counted_until_its_last_byte_has_left() {
    let shop = Shop::open().await;
    let free = || shop.generator.0.live.load().admission.memory().free_kib();
    let all = free();
    let mut ask = small();
    ask["response_format"] = "b64_json".into();
    let Outcome::Answered(response) = shop.ask(&Contract::OpenAi, &ask).await else { panic!("declined") };
    let body = response.into_body();
    assert_eq!(all - free(), body.len().div_ceil(1024));
    let half = body.clone().split_off(body.len() / 2);
    drop(body);
    assert!(free() < all, "a part of it is still on its way");
    drop(half);
    assert_eq!(free(), all);

    // Only what an answer carries is in memory.
    shop.answer(&Contract::Article, 200, &small()).await;
    assert_eq!(free(), all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_a_job_as_unknown() {
    let shop = Shop::open().await;
    let mut settings = testing::settings();
    settings.deadline = Duration::from_millis(1);
    shop.generator.reconfigure(settings);
    let body = shop
        .answer(&Contract::OpenAi, 504, &json!({ "prompt": "cidade", "n": 10, "size": "1024x1024" }))
        .await;
    assert_eq!(body["error"]["code"], "timeout");
    assert_eq!(shop.jobs(), [("failed".to_owned(), Some("unknown".to_owned()))]);
}
