//! A process that died in each state, and the next one that finds its records.

use std::{fs, sync::Arc};

use http::StatusCode;
use tempfile::TempDir;
use uuid::Uuid;

use super::{Shop, bytes, small};
use crate::generator::{Outcome, settings::Contract};

/// What a finished job left, taken back to a moment before its end.
struct Left {
    data: Arc<TempDir>,
    job: Uuid,
    name: String,
    image: Vec<u8>,
}

impl Left {
    /// As a boot would leave it that died in `state`.
    async fn in_state(state: &str) -> Self {
        let shop = Shop::open().await;
        let body = shop.answer(&Contract::Article, 200, &small()).await;
        let name = body["imagem"].as_str().unwrap().to_owned();
        shop.sql(&format!("UPDATE jobs SET state = '{state}', reason = NULL"));
        if state == "drawing" {
            shop.sql("DELETE FROM objects");
        }
        let status = if state == "done" { StatusCode::OK } else { StatusCode::NOT_FOUND };
        assert_eq!(shop.get(&name).await.status(), status, "{state}: seen if committed, else unknown");
        let image = fs::read(shop.data.path().join("images").join(&name)).unwrap();
        let job = Uuid::try_parse(&name[3..39]).unwrap();
        Self { data: shop.data.clone(), job, name, image }
    }

    fn forget_object(&self) {
        fs::remove_file(self.data.path().join("images").join(&self.name)).unwrap();
    }

    fn spool(&self, bytes: &[u8]) {
        let folder = self.data.path().join("spool").join(self.job.to_string());
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(&self.name), bytes).unwrap();
    }

    /// The next boot, after which nothing may be left open or spooled.
    async fn boot(&self, state: &str, reason: Option<&str>) -> Shop {
        let shop = Shop::reopen(self.data.clone()).await;
        assert_eq!(shop.jobs(), [(state.to_owned(), reason.map(str::to_owned))]);
        assert!(shop.files("spool").is_empty());
        shop
    }

    async fn is_seen(&self, shop: &Shop) {
        let response = shop.get(&self.name).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(bytes(response).await, self.image);
    }

    async fn is_gone(&self, shop: &Shop) {
        assert_eq!(shop.get(&self.name).await.status(), StatusCode::NOT_FOUND);
        assert!(shop.files("images").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn drawing_is_given_up() {
    let left = Left::in_state("drawing").await;
    left.forget_object();
    left.spool(b"half an ima");
    let shop = left.boot("failed", Some("unknown")).await;
    left.is_gone(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drawing_whose_paid_answer_is_kept_is_recorded_so_and_it_stays() {
    let left = Left::in_state("drawing").await;
    left.forget_object();
    let folder = left.data.path().join("spool").join(left.job.to_string());
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("paid-0"), "no image").unwrap();
    let paid = [("failed".to_owned(), Some("paid-invalid".to_owned()))];
    for _ in 0..2 {
        let shop = Shop::reopen(left.data.clone()).await;
        assert_eq!(shop.jobs(), paid);
        assert_eq!(fs::read(folder.join("paid-0")).unwrap(), b"no image");
        left.is_gone(&shop).await;
    }
    // Another gateway was faster to give it up, and knows no spool.
    let db = rusqlite::Connection::open(left.data.path().join("catalog.sqlite")).unwrap();
    db.execute("UPDATE jobs SET reason = 'unknown'", []).unwrap();
    let shop = Shop::reopen(left.data.clone()).await;
    assert_eq!(shop.jobs(), [("failed".to_owned(), Some("unknown".to_owned()))]);
    assert!(folder.join("paid-0").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn storing_goes_forward_when_every_object_is_there() {
    let left = Left::in_state("storing").await;
    let shop = left.boot("done", None).await;
    left.is_seen(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn storing_goes_forward_from_the_spool() {
    let left = Left::in_state("storing").await;
    left.forget_object();
    left.spool(&left.image);
    let shop = left.boot("done", None).await;
    left.is_seen(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn storing_with_neither_is_undone() {
    let left = Left::in_state("storing").await;
    left.forget_object();
    left.spool(b"cut");
    let shop = left.boot("failed", Some("paid-lost")).await;
    left.is_gone(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn undoing_deletes_again() {
    let left = Left::in_state("undoing").await;
    let shop = left.boot("failed", Some("paid-lost")).await;
    left.is_gone(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn done_stays_done_and_strangers_in_the_spool_are_swept() {
    let left = Left::in_state("done").await;
    left.spool(b"of a job that came to rest");
    let shop = left.boot("done", None).await;
    left.is_seen(&shop).await;
}

/// Who drains begins nothing.
#[tokio::test(flavor = "multi_thread")]
async fn accepted_stays_so_in_a_drain_and_is_begun_by_the_next_process() {
    let data = Arc::new(tempfile::tempdir().unwrap());
    let shop = Shop::reopen(data.clone()).await;
    let mut later = super::post(small().to_string());
    later.headers_mut().insert("prefer", "respond-async".parse().unwrap());
    let Outcome::Answered(promised) = shop.generator.answer(&Contract::Article, later).await else {
        panic!("declined")
    };
    super::said(202, &promised);
    shop.generator.0.jobs.wait().await;
    assert_eq!(shop.jobs(), [("accepted".to_owned(), None)]);
    assert!(shop.files("spool").is_empty());
    drop(shop);
    let next = Shop::awake(data).await;
    next.generator.keep_promises();
    let done = [("done".to_owned(), None)];
    super::until("what was promised", async || next.jobs() == done).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accepted_is_begun_and_its_order_forgotten() {
    let left = Left::in_state("drawing").await;
    left.forget_object();
    let boot = async |ordered: &str| {
        let db = rusqlite::Connection::open(left.data.path().join("catalog.sqlite")).unwrap();
        db.execute("UPDATE jobs SET state = 'accepted', reason = NULL, ordered = ?", [ordered]).unwrap();
        drop(db);
        let shop = Shop::awake(left.data.clone()).await;
        for begun in shop.generator.resume(None) {
            begun.await.unwrap();
        }
        assert!(shop.files("spool").is_empty());
        shop
    };
    let shop = boot("no order of ours").await;
    assert_eq!(shop.jobs(), [("failed".to_owned(), Some("refused".to_owned()))]);
    drop(shop);
    let shop = boot(
        r#"{"prompt":"noite sobre o mar","count":1,"size":"256x256","media_type":"image/png","compression":100,
            "options":{"quality":null,"background":null,"moderation":null,"style":null,"user":null}}"#,
    )
    .await;
    assert_eq!(shop.jobs(), [("done".to_owned(), None)]);
    left.is_seen(&shop).await;
    let db = rusqlite::Connection::open(left.data.path().join("catalog.sqlite")).unwrap();
    let kept: Option<String> = db.query_row("SELECT ordered FROM jobs", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, None);
}
