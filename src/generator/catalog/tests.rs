//! Each catalog by the one suite, and what is its own.

use std::time::SystemTime;

use uuid::Uuid;

use super::{Catalog, CatalogError, sqlite::Sqlite, suite};
use crate::{
    generator::{
        plane::Plane,
        state::{Reason, Standing, State},
    },
    shutdown::Shutdown,
};

const NAME: Uuid = Uuid::from_u128(7);

fn open(folder: &tempfile::TempDir) -> Result<Catalog, CatalogError> {
    let plane = Plane::current(Shutdown::default());
    Sqlite::open(&folder.path().join("catalog.sqlite"), NAME, plane).map(Catalog::Sqlite)
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_does_what_every_catalog_must() {
    let folders = std::sync::Mutex::new(Vec::new());
    suite::run(async || {
        let folder = tempfile::tempdir().unwrap();
        let catalog = open(&folder).unwrap();
        folders.lock().unwrap().push(folder);
        catalog
    })
    .await;
}

#[tokio::test]
async fn a_file_of_a_later_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(&folder).unwrap());
    let db = rusqlite::Connection::open(folder.path().join("catalog.sqlite")).unwrap();
    db.pragma_update(None, "user_version", 9).unwrap();
    let error = open(&folder).unwrap_err();
    assert!(matches!(error, CatalogError::Newer { found: 9, known: 3 }), "{error}");
}

#[tokio::test]
async fn a_file_of_the_first_version_keeps_its_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let db = rusqlite::Connection::open(folder.path().join("catalog.sqlite")).unwrap();
    db.execute_batch(include_str!("schema/1.sql")).unwrap();
    let (done, drawing) = (Uuid::from_u128(1), Uuid::from_u128(2));
    for (job, state) in [(done, "done"), (drawing, "drawing")] {
        db.execute_batch(&format!(
            "INSERT INTO jobs VALUES ('{job}', '{state}', NULL, 'local', 'abc', 6, NULL, 1, 256, 256, '{NAME}', 0, 1, 2);
             INSERT INTO claims VALUES ('images', '{job}', '{job}', 'abc', 99999999999999);
             INSERT INTO objects VALUES ('fg-{job}-0.png', '{job}', 0, 'image/png', 3, 'abc');"
        ))
        .unwrap();
    }
    db.pragma_update(None, "user_version", 1).unwrap();
    drop(db);
    let catalog = open(&folder).unwrap();
    let record = catalog.record(done).await.unwrap().unwrap();
    assert_eq!((record.lease.standing, &*record.route), (State::Done.into(), "images"));
    assert!(catalog.visible(format!("fg-{done}-0.png")).await.unwrap().is_some());
    let [seen] = catalog.open_jobs().await.unwrap()[..] else { panic!("one job is open") };
    let owner = super::Owner { gateway: NAME, boot: NAME };
    catalog.take_over(seen, owner, SystemTime::now()).await.unwrap();
    let record = catalog.record(drawing).await.unwrap().unwrap();
    assert_eq!(record.lease.standing, Standing::failed(Reason::Unknown));
    assert_eq!(catalog.identity().await.unwrap(), NAME);
}

#[tokio::test]
async fn records_are_synced_to_a_write_ahead_log() {
    let folder = tempfile::tempdir().unwrap();
    let _open = open(&folder).unwrap();
    let db = rusqlite::Connection::open(folder.path().join("catalog.sqlite")).unwrap();
    let mode: String = db.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

/// Against a server that somebody else starts: `FIGUEIRA_TEST_DYNAMODB_URL`, with the credentials of the environment.
#[cfg(feature = "aws")]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a DynamoDB server: tests/real starts one"]
async fn dynamodb_does_what_every_catalog_must() {
    use super::dynamodb::DynamoDb;
    use crate::aws::{
        Aws, SharedTable,
        table::{Created, Table},
    };
    let url =
        std::env::var("FIGUEIRA_TEST_DYNAMODB_URL").expect("FIGUEIRA_TEST_DYNAMODB_URL names no server");
    let aws = Aws {
        region: "us-east-1".into(),
        s3_endpoint_url: None,
        dynamodb_endpoint_url: Some(url),
        force_path_style: false,
    };
    let tables = std::sync::atomic::AtomicU32::new(0);
    suite::run(async || {
        let number = tables.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let shared = SharedTable { aws: aws.clone(), name: format!("jobs-{number}") };
        let table = Table::of_records(&shared).await;
        assert_eq!(table.create().await.unwrap(), Created::New);
        assert_eq!(table.create().await.unwrap(), Created::AlreadyThere);
        Catalog::DynamoDb(DynamoDb::new(&shared).await)
    })
    .await;
}
