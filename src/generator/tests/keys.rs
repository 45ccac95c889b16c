//! The same key again, and what a day may cost.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Shop, post, said, small};
use crate::{
    generator::{
        Belonging, Outcome, RouteName, Until,
        metrics::{Because, Why},
        reconcile::{Compared, Unreconciled},
        settings::{
            Contract::{self, Article, OpenAi},
            Idempotency, KeyPlace, Running, Settings,
        },
        testing,
    },
    routing::Arm,
};

fn settings(running: Running) -> Settings {
    let mut settings = testing::settings();
    let key = KeyPlace::Header("idempotency-key".parse().unwrap());
    settings.idempotency.insert("generate-image".into(), Idempotency { key, running });
    settings
}

async fn shop(running: Running) -> Shop {
    let shop = Shop::open().await;
    shop.generator.reconfigure(settings(running));
    shop
}

fn keyed(key: &str, whose: &str, body: &Value) -> Request<Bytes> {
    let mut request = post(body.to_string());
    request.headers_mut().insert("idempotency-key", key.parse().unwrap());
    request.extensions_mut().insert(RouteName("generate-image".into()));
    request.extensions_mut().insert(Belonging(whose.as_bytes().to_vec()));
    request
}

async fn ask(shop: &Shop, contract: &Contract, request: Request<Bytes>, status: u16) -> (Value, bool) {
    match shop.generator.answer(contract, request).await {
        Outcome::Answered(response) => {
            let replayed = response.headers().get("idempotent-replayed").is_some_and(|value| value == "true");
            (said(status, &response), replayed)
        }
        Outcome::Declined(declined) => panic!("declined: {declined:?}"),
        Outcome::Streamed(_) => panic!("streamed"),
    }
}

/// A site's key is no parameter of the Images API, and its clients send it all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_the_body_is_no_strange_parameter() {
    let shop = Shop::open().await;
    let mut settings = testing::settings();
    let idempotency = Idempotency { key: KeyPlace::Json("/pedido/id".into()), running: Running::Wait };
    settings.idempotency.insert("generate-image".into(), idempotency);
    shop.generator.reconfigure(settings);
    let with = |member: &str| {
        let body = json!({ "prompt": "mar", "size": "256x256", member: { "id": 17 } });
        keyed("", "maria", &body)
    };
    let (first, _) = ask(&shop, &OpenAi, with("pedido"), 200).await;
    let (second, replayed) = ask(&shop, &OpenAi, with("pedido"), 200).await;
    assert_eq!((second["data"].clone(), replayed), (first["data"].clone(), true));
    let Outcome::Declined(strange) = shop.generator.answer(&OpenAi, with("seed")).await else {
        panic!("answered")
    };
    assert_eq!(said(400, &strange.response)["error"]["code"], "unknown_parameter");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_gets_the_same_images() {
    let shop = shop(Running::Wait).await;
    let (first, replayed) = ask(&shop, &Article, keyed("1", "maria", &small()), 200).await;
    assert!(!replayed);
    let (second, replayed) = ask(&shop, &Article, keyed("1", "maria", &small()), 200).await;
    assert_eq!((second, replayed), (first.clone(), true));
    let (others, replayed) = ask(&shop, &Article, keyed("1", "joao", &small()), 200).await;
    assert_ne!(others["imagem"], first["imagem"], "another one's key");
    assert!(!replayed);
    let (refused, _) =
        ask(&shop, &Article, keyed("1", "maria", &json!({ "prompt": "mar", "size": "256x256" })), 422).await;
    assert!(refused["msg"].as_str().unwrap().contains("another request"), "{refused}");
    assert_eq!(shop.jobs().len(), 2);

    // The hash is over what was asked, not over the bytes.
    let spelled = json!({ "size": "256x256", "n": 1, "prompt": "noite sobre o mar" });
    assert_eq!(ask(&shop, &Article, keyed("1", "maria", &spelled), 200).await, (first, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_answer_can_travel_whole() {
    let shop = shop(Running::Wait).await;
    let body = json!({ "prompt": "sun", "size": "256x256", "n": 2, "response_format": "b64_json" });
    let (first, _) = ask(&shop, &OpenAi, keyed("1", "maria", &body), 200).await;
    let (second, replayed) = ask(&shop, &OpenAi, keyed("1", "maria", &body), 200).await;
    assert!(replayed && first["data"][1]["b64_json"].as_str().unwrap().len() > 100);
    assert_eq!(first["data"], second["data"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_at_once_are_one() {
    let shop = Arc::new(shop(Running::Wait).await);
    let asks = (0..100).map(|_| {
        let shop = shop.clone();
        tokio::spawn(async move { ask(&shop, &Article, keyed("1", "maria", &small()), 200).await.0 })
    });
    let mut answers = Vec::new();
    for answer in asks.collect::<Vec<_>>() {
        answers.push(answer.await.unwrap());
    }
    assert_eq!(shop.jobs().len(), 1);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_of_two_can_be_turned_away() {
    let shop = Arc::new(shop(Running::Refuse).await);
    let slow = json!({ "prompt": "cidade", "n": 10, "size": "1024x1024" });
    let first = tokio::spawn({
        let (shop, slow) = (shop.clone(), slow.clone());
        async move { ask(&shop, &Article, keyed("1", "maria", &slow), 200).await }
    });
    super::until("the first is on record", async || !shop.jobs().is_empty()).await;
    let Outcome::Answered(response) = shop.generator.answer(&Article, keyed("1", "maria", &slow)).await
    else {
        panic!("declined")
    };
    assert_eq!(response.status(), StatusCode::CONFLICT);
    assert!(response.headers().contains_key("retry-after"));
    first.await.unwrap();
    assert!(ask(&shop, &Article, keyed("1", "maria", &slow), 200).await.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_told_again_and_what_was_refused_is_tried_again() {
    let shop = shop(Running::Wait).await;
    ask(&shop, &Article, keyed("1", "maria", &small()), 200).await;
    shop.sql("UPDATE jobs SET state = 'failed', reason = 'unknown'");
    let (told, replayed) = ask(&shop, &Article, keyed("1", "maria", &small()), 502).await;
    assert!(replayed && told["msg"].is_string());
    assert_eq!(shop.jobs().len(), 1, "never a new call");
    shop.sql("UPDATE jobs SET reason = 'refused'");
    assert!(!ask(&shop, &Article, keyed("1", "maria", &small()), 200).await.1);
    assert_eq!(shop.jobs().len(), 2);
    shop.sql("UPDATE jobs SET state = 'handed-over', reason = NULL");
    let outcome = shop.generator.answer(&Article, keyed("1", "maria", &small())).await;
    assert!(matches!(outcome, Outcome::Declined(declined) if declined.why == Why::KeyOfControl));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_stays_with_the_arm_that_had_it_first() {
    let shop = shop(Running::Wait).await;
    let arm_of = async |key: &str, arm| shop.generator.arm_of(&keyed(key, "maria", &small()), arm).await;
    assert_eq!(arm_of("1", Arm::Control).await, Arm::Control);
    assert_eq!(arm_of("1", Arm::Candidate).await, Arm::Control);
    let outcome = shop.generator.answer(&Article, keyed("1", "maria", &small())).await;
    assert!(matches!(outcome, Outcome::Declined(declined) if declined.why == Why::KeyOfControl));
    assert!(shop.jobs().is_empty());

    ask(&shop, &Article, keyed("2", "maria", &small()), 200).await;
    assert_eq!(arm_of("2", Arm::Control).await, Arm::Candidate, "also after a rollback");
    assert_eq!(arm_of("2", Arm::Control).await, Arm::Candidate);
}

/// The site is not to be down for those who send keys because the new part is.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_catalog_cannot_be_asked_a_key_goes_where_its_route_leads() {
    let shop = shop(Running::Wait).await;
    let request = || keyed("1", "maria", &small());
    ask(&shop, &Article, request(), 200).await;
    shop.sql("ALTER TABLE claims RENAME TO elsewhere");
    assert_eq!(shop.generator.arm_of(&request(), Arm::Control).await, Arm::Control);
    ask(&shop, &Article, request(), 503).await;
    shop.sql("ALTER TABLE elsewhere RENAME TO claims");
    assert_eq!(shop.generator.arm_of(&request(), Arm::Control).await, Arm::Candidate);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_left_to_the_monolith_stays_there() {
    let shop = shop(Running::Wait).await;
    let request = || keyed("1", "maria", &small());
    let is_the_monoliths = async || {
        let outcome = shop.generator.answer(&Article, request()).await;
        matches!(outcome, Outcome::Declined(declined) if declined.why == Why::KeyOfControl)
    };
    assert!(shop.generator.leave(&request()).await && shop.generator.leave(&request()).await);
    assert!(is_the_monoliths().await && shop.jobs().is_empty());
    assert_eq!(shop.generator.arm_of(&request(), Arm::Candidate).await, Arm::Control);

    // What was begun may be paid for; what was refused was not.
    ask(&shop, &Article, keyed("2", "maria", &small()), 200).await;
    assert!(!shop.generator.leave(&keyed("2", "maria", &small())).await);
    shop.sql("UPDATE jobs SET state = 'failed', reason = 'unknown'");
    assert!(!shop.generator.leave(&keyed("2", "maria", &small())).await);
    shop.sql("UPDATE jobs SET reason = 'refused'");
    assert!(shop.generator.leave(&keyed("2", "maria", &small())).await);
    // Without a key there is nothing to leave, and without the catalog nobody knows.
    assert!(shop.generator.leave(&post(small().to_string())).await);
    shop.sql("ALTER TABLE claims RENAME TO elsewhere");
    assert!(!shop.generator.leave(&keyed("3", "maria", &small())).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_in_doubt_that_was_written_is_refused_and_its_key_free() {
    let shop = shop(Running::Wait).await;
    ask(&shop, &Article, keyed("1", "maria", &small()), 200).await;
    let name = shop.files("images").pop_first().unwrap();
    let job = Uuid::try_parse(&name[3..39]).unwrap();
    for standing in ["state = 'drawing', reason = NULL", "state = 'failed', reason = 'unknown'"] {
        // As it would be found had its write not been confirmed, and had another gateway given it up.
        shop.sql(&format!("DELETE FROM objects; UPDATE jobs SET {standing}"));
        let saga = &shop.generator.0.saga;
        saga.doubts.add(job);
        shop.sql("ALTER TABLE jobs RENAME TO elsewhere");
        saga.sweep().await;
        shop.sql("ALTER TABLE elsewhere RENAME TO jobs");
        saga.sweep().await;
        assert_eq!(shop.jobs(), [("failed".to_owned(), Some("refused".to_owned()))]);
    }
    assert!(!ask(&shop, &Article, keyed("1", "maria", &small()), 200).await.1, "a new job");
    // One that is not there is waited for.
    shop.generator.0.saga.doubt(Uuid::from_u128(7)).await;
    shop.generator.0.saga.sweep().await;
    assert_eq!((shop.jobs().len(), shop.files("spool").len()), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubt_outlives_its_process() {
    let refused = [("failed".to_owned(), Some("refused".to_owned()))];
    let mut shop = shop(Running::Wait).await;
    ask(&shop, &Article, keyed("1", "maria", &small()), 200).await;
    shop.sql("DELETE FROM objects");
    let id: String = shop.files("images").pop_first().unwrap()[3..39].into();
    let job = Uuid::try_parse(&id).unwrap();
    // Written before the process died, be it for a client who does not wait; and given up by another gateway since.
    for standing in ["'drawing', reason = NULL", "'accepted', reason = NULL", "'failed', reason = 'unknown'"]
    {
        shop.sql(&format!("UPDATE jobs SET state = {standing}"));
        shop.generator.0.saga.doubt(job).await;
        shop = shop.next().await;
        assert_eq!(shop.jobs(), refused, "{standing}");
        assert!(shop.files("spool").is_empty());
    }
    // Written only while the next one is at work.
    let late = Uuid::from_u128(7);
    shop.generator.0.saga.doubt(late).await;
    shop = shop.next().await;
    shop.generator.0.saga.tidy(&testing::settings()).await;
    assert_eq!(shop.files("spool").len(), 1, "it may still come");
    shop.sql(&format!(
        "PRAGMA foreign_keys = OFF; UPDATE jobs SET state = 'drawing', reason = NULL, id = '{late}'"
    ));
    shop.generator.0.saga.sweep().await;
    assert_eq!(shop.jobs(), refused);
    assert!(shop.files("spool").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_answer_takes_memory_until_it_has_left() {
    let shop = shop(Running::Wait).await;
    let live = shop.generator.0.live.load_full();
    let all = live.admission.memory().free_kib();
    let body = json!({ "prompt": "sun", "size": "256x256", "n": 2, "response_format": "b64_json" });
    drop(ask(&shop, &OpenAi, keyed("1", "maria", &body), 200).await);
    assert_eq!(live.admission.memory().free_kib(), all);
    let Outcome::Answered(replayed) = shop.generator.answer(&OpenAi, keyed("1", "maria", &body)).await else {
        panic!("declined")
    };
    assert_eq!(replayed.headers()["idempotent-replayed"], "true");
    assert_eq!(all - live.admission.memory().free_kib(), replayed.body().len().div_ceil(1024));
    drop(replayed);
    assert_eq!(live.admission.memory().free_kib(), all);

    // While there is none, whoever wants the images themselves waits for his time, and who wants their names does not.
    let metrics = &shop.generator.0.saga.metrics;
    let soon = Instant::now() + Duration::from_mins(1);
    let everything = live.admission.room(u64::MAX, soon, metrics).await.unwrap();
    let mut hasty = keyed("1", "maria", &body);
    hasty.extensions_mut().insert(Until(Instant::now()));
    let (busy, _) = ask(&shop, &OpenAi, hasty, 503).await;
    assert_eq!(busy["error"]["code"], "queue_full");
    drop(everything);
    assert!(ask(&shop, &OpenAi, keyed("1", "maria", &body), 200).await.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobodys_key_is_no_key() {
    let shop = shop(Running::Wait).await;
    ask(&shop, &Article, keyed("1", "", &small()), 200).await;
    assert!(!ask(&shop, &Article, keyed("1", "", &small()), 200).await.1);
    assert_eq!(shop.jobs().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_catalog_a_key_is_answered_by_nobody() {
    let shop = shop(Running::Wait).await;
    shop.sql("ALTER TABLE claims RENAME TO elsewhere");
    let (told, _) = ask(&shop, &Article, keyed("1", "maria", &small()), 503).await;
    assert!(told["msg"].as_str().unwrap().contains("not known"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_had_its_time_is_let_go_and_strangers_are_put_aside() {
    let shop = Shop::open().await;
    let kept = shop.answer(&Article, 200, &small()).await["imagem"].as_str().unwrap().to_owned();
    let old = shop.answer(&Article, 200, &small()).await["imagem"].as_str().unwrap().to_owned();
    shop.sql(&format!("UPDATE jobs SET updated_ms = 1000 WHERE id = '{}'", &old[3..39]));
    let saga = &shop.generator.0.saga;
    saga.tidy(&testing::settings()).await;
    assert_eq!(shop.jobs().len(), 2, "for ever");
    let mut settings = testing::settings();
    settings.keep_images = Some(Duration::from_hours(24));
    saga.tidy(&settings).await;
    assert_eq!(shop.files("images"), std::collections::BTreeSet::from([kept.clone()]));
    assert_eq!(shop.get(&old).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(shop.get(&kept).await.status(), StatusCode::OK);

    // An object that no record knows, two days old; and one that is young.
    let images = shop.data.path().join("images");
    let (stray, young) = (kept.replace("-0.png", "-1.png"), kept.replace("-0.png", "-2.png"));
    for name in [&stray, &young] {
        std::fs::write(images.join(name), "x").unwrap();
    }
    let long_ago = std::time::SystemTime::now() - Duration::from_hours(48);
    std::fs::File::options().write(true).open(images.join(&stray)).unwrap().set_modified(long_ago).unwrap();
    assert_eq!(saga.compare().await.unwrap(), Compared::Marked, "the first time only says whose it is");
    assert_eq!(saga.compare().await.unwrap(), Compared::Moved(1));
    assert_eq!(saga.compare().await.unwrap(), Compared::Moved(0));
    assert!(images.join("trash").join(&stray).exists() && images.join(&young).exists());
    std::fs::write(images.join("figueira-catalog"), "another").unwrap();
    assert!(matches!(saga.compare().await.unwrap_err(), Unreconciled::Stranger { .. }));
    saga.reconcile().await;
    assert_eq!(saga.metrics.reconciliations.get_or_create(&Because { reason: "stranger" }).get(), 1);
}
