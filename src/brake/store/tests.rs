//! Each store by the one suite, and what is a fleet's own.

use tokio::runtime::Runtime;

use super::{Place, Store, suite};

#[test]
fn a_file_does_what_every_store_must() {
    let runtime = Runtime::new().unwrap();
    let open = |folder: &tempfile::TempDir| {
        Store::open(&Place { data: folder.path().to_owned(), table: None }, runtime.handle()).unwrap()
    };
    suite::run(|| tempfile::tempdir().unwrap(), open);
}

/// Against a server that somebody else starts: `FIGUEIRA_TEST_DYNAMODB_URL`, with the credentials of the environment.
#[cfg(feature = "aws")]
mod shared {
    use std::sync::atomic::{AtomicU32, Ordering};

    use jiff::Timestamp;
    use tempfile::TempDir;
    use tokio::runtime::Runtime;

    use super::{Place, Store, suite};
    use crate::{
        aws::{Aws, SharedTable, table::Table},
        brake::{Pulled, Standing, Watch},
        routing::{Brake, Hold},
    };

    fn table(url: String, name: String) -> SharedTable {
        let aws = Aws {
            region: "us-east-1".into(),
            s3_endpoint_url: None,
            dynamodb_endpoint_url: Some(url),
            force_path_style: false,
        };
        SharedTable { aws, name }
    }

    fn server() -> String {
        std::env::var("FIGUEIRA_TEST_DYNAMODB_URL").expect("FIGUEIRA_TEST_DYNAMODB_URL names no server")
    }

    /// An empty table that nobody else uses.
    fn fresh(runtime: &Runtime) -> SharedTable {
        static TABLES: AtomicU32 = AtomicU32::new(0);
        let number = TABLES.fetch_add(1, Ordering::Relaxed);
        let table = table(server(), format!("brakes-{}-{number}", std::process::id()));
        create(runtime, &table);
        table
    }

    fn create(runtime: &Runtime, table: &SharedTable) {
        runtime.block_on(async { Table::of_records(table).await.create().await }).unwrap();
    }

    /// One gateway's store: a data folder, and the table of all.
    fn gateway(runtime: &Runtime, table: &SharedTable) -> (TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let place = Place { data: folder.path().to_owned(), table: Some(table.clone()) };
        let store = Store::open(&place, runtime.handle()).unwrap();
        (folder, store)
    }

    fn brake(at: Hold) -> Brake {
        let since = Timestamp::from_second(1_700_000_000).unwrap();
        Brake { at, since, by: "ana".into(), reason: "looks odd".into() }
    }

    #[test]
    #[ignore = "needs a DynamoDB server: tests/real starts one"]
    fn a_table_does_what_every_store_must() {
        let runtime = Runtime::new().unwrap();
        // Folders of their own, as gateways of a fleet have them.
        suite::run(
            || fresh(&runtime),
            |table| {
                let (folder, store) = gateway(&runtime, table);
                drop(folder.keep());
                store
            },
        );
        a_brake_outlasts_its_table(&runtime);
    }

    /// Deleting the table releases nothing, and in the new one a release is a release.
    fn a_brake_outlasts_its_table(runtime: &Runtime) {
        let table = fresh(runtime);
        let (_here, store) = gateway(runtime, &table);
        store.pull(&["a", "b"], &brake(Hold::Shadow)).unwrap();
        let watch = Watch::new(store.clone(), Timestamp::now()).unwrap();
        assert_eq!((watch.brakes().iter().count(), watch.standing()), (2, Standing::Current));

        let client = runtime.block_on(Table::of_records(&table)).client;
        runtime.block_on(client.delete_table().table_name(&table.name).send()).unwrap();
        assert!(store.brakes().is_err());
        create(runtime, &table);
        let (_there, other) = gateway(runtime, &table);
        assert!(other.brakes().unwrap().is_empty(), "who never saw them cannot know");
        assert_eq!(store.brakes().unwrap().iter().count(), 2);
        assert_eq!(other.brakes().unwrap().iter().count(), 2);
        other.release("a", Timestamp::now(), "eva", "mended").unwrap();
        assert_eq!(store.brakes().unwrap().iter().map(|(route, _)| route).collect::<Vec<_>>(), ["b"]);
    }

    /// Nobody listens at port 1.
    #[test]
    fn without_the_table_a_pull_holds_here_and_nothing_is_let_go() {
        let runtime = Runtime::new().unwrap();
        let table = table("http://127.0.0.1:1".to_owned(), "nowhere".to_owned());
        let (folder, store) = gateway(&runtime, &table);
        let mut watch = Watch::new(store.clone(), Timestamp::now()).unwrap();
        assert_eq!(watch.standing(), Standing::Unknown);
        assert_eq!(
            watch.brakes().of("any").map(|held| held.at),
            Some(Hold::Monolith),
            "who knows what is held?"
        );

        let pulled = store.pull(&["a"], &brake(Hold::Shadow)).unwrap();
        assert!(matches!(pulled[..], [Pulled::Here { before: None, .. }]), "{pulled:?}");
        assert!(watch.look().unwrap().iter().any(|(route, held)| route == "a" && held.at == Hold::Shadow));
        assert_eq!(store.take_untold().unwrap().len(), 1);
        store.release("a", Timestamp::now(), "eva", "mended").unwrap_err();
        store.brakes().unwrap_err();

        // A restart knows it too.
        let place = Place { data: folder.path().to_owned(), table: Some(table) };
        let store = Store::open(&place, runtime.handle()).unwrap();
        assert_eq!(store.held_here().unwrap().of("a").map(|held| held.at), Some(Hold::Shadow));
    }
}
