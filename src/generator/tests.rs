//! Whole generations, each in a data folder of its own: made, served, broken off, taken over.

mod contracts;
mod crashes;
mod faults;
mod keys;
mod killed;
mod paid;
mod panicking;
mod serving;
mod telling;

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::{
    ExternalOrigin, Generator, ImageAnswer, Metrics, OpenError, Outcome,
    settings::{Contract, PublicUrl},
    testing,
};
use crate::{compute::Compute, shutdown::Shutdown};

const KEEP_PAID: Duration = Duration::from_hours(24);

/// Waits for what nothing tells of, for a minute at most.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let comes = async {
        while !is_so().await {
            sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(timeout(Duration::from_mins(1), comes).await.is_ok(), "{what}");
}

/// A generator in a folder that goes away with it.
struct Shop {
    generator: Generator,
    data: Arc<TempDir>,
}

impl Shop {
    async fn open() -> Self {
        Self::reopen(Arc::new(tempfile::tempdir().unwrap())).await
    }

    async fn reopen(data: Arc<TempDir>) -> Self {
        let generator = open(data.path()).await.unwrap();
        Self { generator, data }
    }

    /// One that does not drain: it begins what was accepted, and its janitor comes by.
    async fn awake(data: Arc<TempDir>) -> Self {
        let life = Shutdown::default();
        let generator = open_within(data.path(), life, &mut Registry::default()).await.unwrap();
        Self { generator, data }
    }

    /// The next process in the same folder.
    async fn next(self) -> Self {
        let data = self.data.clone();
        drop(self);
        Self::reopen(data).await
    }

    async fn ask(&self, contract: &Contract, body: &Value) -> Outcome {
        self.generator.answer(contract, post(body.to_string())).await
    }

    /// The answer, which must be ours, with this status.
    async fn answer(&self, contract: &Contract, status: u16, body: &Value) -> Value {
        match self.ask(contract, body).await {
            Outcome::Answered(response) => said(status, &response),
            other => panic!("not answered whole: {other:?}"),
        }
    }

    async fn get(&self, name: &str) -> Response<super::ImageBody> {
        self.fetch(&Method::GET, name, &HeaderMap::new()).await
    }

    async fn fetch(&self, method: &Method, name: &str, headers: &HeaderMap) -> Response<super::ImageBody> {
        let serving = self.generator.serves(method, &format!("/figueira/images/{name}"), None).unwrap();
        match self.generator.image(serving, headers).await {
            ImageAnswer::Answered(response) => response,
            ImageAnswer::Monolith => panic!("public_url is all ours"),
        }
    }

    fn files(&self, folder: &str) -> BTreeSet<String> {
        let entries = fs::read_dir(self.data.path().join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// State and reason of every job, oldest first.
    fn jobs(&self) -> Vec<(String, Option<String>)> {
        let db = rusqlite::Connection::open(self.data.path().join("catalog.sqlite")).unwrap();
        let mut jobs = db.prepare("SELECT state, reason FROM jobs ORDER BY id").unwrap();
        jobs.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    }

    fn sql(&self, statement: &str) {
        rusqlite::Connection::open(self.data.path().join("catalog.sqlite"))
            .unwrap()
            .execute_batch(statement)
            .unwrap();
    }
}

async fn open(data: &Path) -> Result<Generator, OpenError> {
    // Draining, so that the janitor has gone home and only the tests' own sweeps touch what is parked.
    let life = Shutdown::default();
    life.begin();
    open_within(data, life, &mut Registry::default()).await
}

/// One that lives as long as `life`, and counts in `registry`.
async fn open_within(data: &Path, life: Shutdown, registry: &mut Registry) -> Result<Generator, OpenError> {
    let metrics = Metrics::register(registry);
    Generator::open(testing::settings(), data, life, metrics, Compute::default(), SystemTime::now).await
}

fn post(body: impl Into<Bytes>) -> Request<Bytes> {
    Request::post("/api/images")
        .header("content-type", "application/json")
        .extension(ExternalOrigin("http://shop.example".into()))
        .body(body.into())
        .unwrap()
}

fn said(status: u16, response: &Response<Bytes>) -> Value {
    let body: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(response.status().as_u16(), status, "{body}");
    body
}

async fn bytes(response: Response<super::ImageBody>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

fn small() -> Value {
    json!({ "prompt": "noite sobre o mar", "size": "256x256" })
}

#[tokio::test(flavor = "multi_thread")]
async fn all_images_are_kept_and_seen() {
    let shop = Shop::open().await;
    let body =
        shop.answer(&Contract::Article, 200, &json!({ "prompt": "mar", "n": 3, "size": "256x256" })).await;
    let names: Vec<&str> =
        body["imagens"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(body["imagem"], names[0]);
    assert_eq!(shop.files("images"), names.iter().map(|name| (*name).to_owned()).collect());
    assert!(shop.files("spool").is_empty());
    assert_eq!(shop.jobs(), [("done".to_owned(), None)]);
    let mut seen = BTreeSet::new();
    for name in names {
        let response = shop.get(name).await;
        assert_eq!(response.status(), StatusCode::OK);
        seen.insert(bytes(response).await);
    }
    assert_eq!(seen.len(), 3, "three different pictures");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_work_side_by_side_and_the_one_that_stays_finishes_what_the_other_left() {
    let leaving = Shop::open().await;
    let staying = Shop::reopen(leaving.data.clone()).await;
    leaving.answer(&Contract::Article, 200, &small()).await;
    // As if it had stopped in the middle, with everything stored.
    leaving.sql("UPDATE jobs SET state = 'storing'");
    staying.answer(&Contract::Article, 200, &small()).await;
    let both = staying.generator.0.saga.recover(KEEP_PAID).await.unwrap();
    assert_eq!(both.len(), 2);
    assert_eq!(
        staying.jobs(),
        [("storing".to_owned(), None), ("done".to_owned(), None)],
        "it is the other's"
    );

    drop(leaving);
    assert_eq!(staying.generator.0.saga.miss(both, KEEP_PAID).await.len(), 1);
    assert_eq!(staying.jobs(), [("done".to_owned(), None), ("done".to_owned(), None)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_half_stored_goes_at_once_where_nobody_else_stores() {
    let storing = Shop::open().await;
    let half = storing.data.path().join("images/.tmp-half");
    fs::write(&half, "half").unwrap();
    let next = Shop::reopen(storing.data.clone()).await;
    assert!(half.exists(), "it may be the other's");
    drop(storing);
    next.next().await;
    assert!(!half.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_another_version_keeps_for_itself_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let lock = std::fs::File::create(data.path().join("lock")).unwrap();
    lock.lock().unwrap();
    let error = open(data.path()).await.unwrap_err();
    assert!(matches!(&error, OpenError::InUse(path) if path == data.path()), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_stops_nothing() {
    let data = Arc::new(tempfile::tempdir().unwrap());
    let shutdown = Shutdown::default();
    let generator = open_within(data.path(), shutdown.clone(), &mut Registry::default()).await.unwrap();
    {
        let mut answer = Box::pin(generator.answer(&Contract::Article, post(small().to_string())));
        let waker = std::task::Waker::noop();
        assert!(answer.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    }
    shutdown.begin();
    assert!(shutdown.drained(std::time::Duration::from_secs(20)).await);
    drop(generator);
    let shop = Shop::reopen(data).await;
    assert_eq!(shop.jobs(), [("done".to_owned(), None)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_leaves_no_trace_but_its_images() {
    let shop = Shop::open().await;
    let rehearsal = shop.generator.rehearse(&Contract::Article, post(small().to_string())).await;
    let Outcome::Answered(response) = rehearsal.outcome else { panic!("declined") };
    let body = said(200, &response);
    let [image] = &rehearsal.images[..] else { panic!("one image") };
    assert_eq!(body["imagem"], image.name);
    assert_eq!(image.url, format!("http://shop.example/figueira/images/{}", image.name));
    assert!(image.bytes.starts_with(b"\x89PNG"));
    assert_eq!(shop.files("shadow"), BTreeSet::from([image.name.clone()]));
    assert!(shop.jobs().is_empty() && shop.files("images").is_empty() && shop.files("spool").is_empty());
    assert_eq!(shop.get(&image.name).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn images_of_shadows_go_by_themselves() {
    let shop = Shop::open().await;
    let folder = shop.data.path().join("shadow");
    for (name, age) in [("old.png", 24), ("young.png", 20)] {
        let file = fs::File::create(folder.join(name)).unwrap();
        file.set_modified(SystemTime::now() - std::time::Duration::from_hours(age)).unwrap();
    }
    shop.generator.0.saga.tidy(&testing::settings()).await;
    assert_eq!(shop.files("shadow"), BTreeSet::from(["young.png".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_is_seen_by_the_next_request() {
    let shop = Shop::open().await;
    let first = shop.answer(&Contract::Article, 200, &small()).await;
    let mut settings = testing::settings();
    settings.max_in_flight = 1;
    settings.public_url = PublicUrl::Path("/pictures".into());
    settings.name_prefix = "novo-".into();
    settings.keep_prompts = true;
    shop.generator.reconfigure(settings);
    let name = first["imagem"].as_str().unwrap();
    let serving = shop.generator.serves(&Method::GET, &format!("/pictures/{name}"), None).unwrap();
    let ImageAnswer::Answered(seen) = shop.generator.image(serving, &HeaderMap::new()).await else {
        panic!("public_url is all ours")
    };
    assert_eq!(seen.status(), StatusCode::OK, "its name is of before");
    assert!(shop.generator.serves(&Method::GET, &format!("/figueira/images/{name}"), None).is_none());
    let second = shop.answer(&Contract::Article, 200, &small()).await;
    assert!(second["imagem"].as_str().unwrap().starts_with("novo-"), "{second}");
    let db = rusqlite::Connection::open(shop.data.path().join("catalog.sqlite")).unwrap();
    let mut jobs = db.prepare("SELECT prompt FROM jobs ORDER BY id").unwrap();
    let kept: Vec<Option<String>> =
        jobs.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(kept, [None, Some("noite sobre o mar".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_erased_and_nobody_else() {
    let shop = Shop::open().await;
    let draw = async |tenant: &str| {
        let mut request = post(small().to_string());
        let grant = super::Grant { tenant: Some(tenant.into()), ..super::Grant::default() };
        request.extensions_mut().insert(grant);
        let Outcome::Answered(response) = shop.generator.answer(&Contract::Article, request).await else {
            panic!("declined")
        };
        said(200, &response)["imagem"].as_str().unwrap().to_owned()
    };
    let (first, second, other) = (draw("ana").await, draw("ana").await, draw("eva").await);
    let session = ["5f2c81".to_owned()];
    let erased = super::erase(&testing::settings(), shop.data.path(), "ana", &session).await.unwrap();
    assert_eq!((erased.jobs, erased.images, erased.keys, erased.open), (2, 2, 0, 0));
    assert_eq!(shop.files("images"), BTreeSet::from([other.clone()]));
    for name in [first, second] {
        assert_eq!(shop.get(&name).await.status(), StatusCode::NOT_FOUND);
    }
    assert_eq!(shop.get(&other).await.status(), StatusCode::OK);
    assert_eq!(
        super::erase(&testing::settings(), shop.data.path(), "ana", &session).await.unwrap(),
        super::Erased::default()
    );
}

/// Neither in a page that is free nor in the journal, while a gateway works there.
#[tokio::test(flavor = "multi_thread")]
async fn of_who_is_erased_nothing_is_left_on_the_disk() {
    let shop = Shop::open().await;
    let mut settings = testing::settings();
    settings.keep_prompts = true;
    shop.generator.reconfigure(settings);
    let is_anywhere = || {
        let of_catalog = shop.files("").into_iter().filter(|file| file.starts_with("catalog.sqlite"));
        let mut files = of_catalog.map(|file| fs::read(shop.data.path().join(file)).unwrap());
        files.any(|bytes| bytes.windows(6).any(|bytes| bytes == b"canary"))
    };
    for _ in 0..3 {
        let mut request = post(json!({ "prompt": "a canary on the sea", "size": "256x256" }).to_string());
        let grant = super::Grant { tenant: Some("ana".into()), ..super::Grant::default() };
        request.extensions_mut().insert(grant);
        let Outcome::Answered(_) = shop.generator.answer(&Contract::Article, request).await else {
            panic!("declined")
        };
    }
    assert!(is_anywhere());
    super::erase(&testing::settings(), shop.data.path(), "ana", &[]).await.unwrap();
    assert!(!is_anywhere());
}

/// Where nobody says who the tenant is, it is the route's subject.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_known_by_the_routes_subject_is_erased_by_it() {
    let shop = Shop::open().await;
    let draw = async |subject: &str, tenant: Option<&str>| {
        let mut request = post(small().to_string());
        request.extensions_mut().insert(super::Belonging(subject.as_bytes().to_vec()));
        let grant = super::Grant { tenant: tenant.map(Into::into), ..super::Grant::default() };
        request.extensions_mut().insert(grant);
        let Outcome::Answered(response) = shop.generator.answer(&Contract::Article, request).await else {
            panic!("declined")
        };
        said(200, &response)["imagem"].as_str().unwrap().to_owned()
    };
    let (by_name, by_session) = (draw("ana", None).await, draw("5f2c81", None).await);
    // Of another person at the same machine, whom the monolith has named.
    let (other, nobodys) = (draw("5f2c81", Some("eva")).await, draw("", None).await);
    let session = ["5f2c81".to_owned()];
    let erased = super::erase(&testing::settings(), shop.data.path(), "ana", &session).await.unwrap();
    assert_eq!((erased.jobs, erased.images), (2, 2));
    assert_eq!(shop.files("images"), BTreeSet::from([other, nobodys]));
    for name in [by_name, by_session] {
        assert_eq!(shop.get(&name).await.status(), StatusCode::NOT_FOUND);
    }
    let nothing = super::erase(&testing::settings(), shop.data.path(), "", &[]).await.unwrap();
    assert_eq!(nothing, super::Erased::default());
}
