//! Each store by the one suite, and what is its own.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    time::{Duration, SystemTime},
};

use super::{Store, filesystem::Filesystem, suite};
use crate::{generator::plane::Plane, shutdown::Shutdown};

fn folder(path: &std::path::Path) -> Store {
    Store::Filesystem(Filesystem::open(path.into(), Plane::current(Shutdown::default())).unwrap())
}

#[tokio::test]
async fn a_folder_does_what_every_store_must() {
    let root = tempfile::tempdir().unwrap();
    suite::run(&folder(root.path())).await;
    let names =
        fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.into_iter().all(|name| !name.starts_with('.')), "no temporary file is left");
}

#[tokio::test]
async fn what_a_killed_process_left_is_swept() {
    let root = tempfile::tempdir().unwrap();
    let long_ago = SystemTime::now() - Duration::from_hours(2);
    for name in [".tmp-left", "whole.png"] {
        File::create(root.path().join(name)).unwrap().set_modified(long_ago).unwrap();
    }
    // Of a process that is alive.
    fs::write(root.path().join(".tmp-under-way"), "half").unwrap();
    folder(root.path()).tidy().await.unwrap();
    let names = fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<BTreeSet<_>>(), [".tmp-under-way", "whole.png"].map(Into::into).into());
}

#[tokio::test]
async fn what_was_discarded_goes_a_month_later() {
    let root = tempfile::tempdir().unwrap();
    let store = folder(root.path());
    store.tidy().await.unwrap();
    let day = Duration::from_hours(24);
    let written = |name: &str, days: u32| {
        let file = File::create(root.path().join(name)).unwrap();
        file.set_modified(SystemTime::now() - day * days).unwrap();
    };
    for name in ["old.png", "new.png"] {
        // Its age counts from when it was discarded.
        written(name, 400);
        store.discard(name).await.unwrap();
    }
    written("trash/old.png", 30);
    written("kept.png", 400);
    store.tidy().await.unwrap();
    let left = |path| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left(root.path().join("trash")).collect::<Vec<_>>(), ["new.png"]);
    assert!(root.path().join("kept.png").exists());
}

#[tokio::test]
async fn a_cut_file_is_not_read() {
    let root = tempfile::tempdir().unwrap();
    let store = folder(root.path());
    fs::write(root.path().join("a.png"), "0123456789").unwrap();
    assert!(store.read("a.png", 11, 0..11).await.is_err());
}

#[cfg(feature = "aws")]
mod s3 {
    use std::env;

    use aws_sdk_s3::{
        config::{Credentials, SharedCredentialsProvider},
        types::ServerSideEncryption,
    };

    use super::suite;
    use crate::{
        aws::{self, Aws},
        generator::{
            settings::{S3 as Settings, Sse},
            store::{Store, s3::S3},
        },
    };

    async fn bucket(url: String, bucket: &str, sse: Option<Sse>) -> Store {
        let aws = Aws {
            region: "us-east-1".into(),
            s3_endpoint_url: Some(url),
            dynamodb_endpoint_url: None,
            force_path_style: true,
        };
        let settings = Settings { bucket: bucket.into(), prefix: "images/".into(), sse };
        let key = Credentials::new("AKTESTAKTEST", "SKTESTSKTESTSKTEST", None, None, "test");
        let known = aws::for_objects(&aws).await.into_builder();
        let known = known.credentials_provider(SharedCredentialsProvider::new(key)).build();
        Store::S3(S3::with(&known, &aws, settings))
    }

    /// A server in this process, which checks checksums and signatures; its `If-None-Match` is not atomic.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_bucket_does_what_every_store_must() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("shop")).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut service = s3s::service::S3ServiceBuilder::new(s3s_fs::FileSystem::new(root.path()).unwrap());
        service.set_auth(s3s::auth::SimpleAuth::from_single("AKTESTAKTEST", "SKTESTSKTESTSKTEST"));
        let service = service.build();
        let serving = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let io = hyper_util::rt::TokioIo::new(socket);
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(io, service.clone());
                tokio::spawn(connection);
            }
        });
        suite::run(&bucket(url, "shop", None).await).await;
        serving.abort();
    }

    /// Against a server that somebody else starts: `FIGUEIRA_TEST_S3_URL`, with a bucket
    /// `FIGUEIRA_TEST_S3_BUCKET`, and the credentials of these tests.
    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs an S3 server: tests/real starts one"]
    async fn a_real_server_does_what_every_store_must() {
        let url = env::var("FIGUEIRA_TEST_S3_URL").expect("FIGUEIRA_TEST_S3_URL names no server");
        let name = env::var("FIGUEIRA_TEST_S3_BUCKET").expect("FIGUEIRA_TEST_S3_BUCKET names no bucket");
        let store = bucket(url, &name, None).await;
        suite::run(&store).await;
        suite::one_of_many_wins(&store).await;
    }

    /// Against such a server that knows encryption: what is written in whatever way is encrypted as the settings say.
    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs an S3 server: tests/real starts one"]
    async fn what_is_written_is_encrypted() {
        let url = env::var("FIGUEIRA_TEST_S3_URL").expect("FIGUEIRA_TEST_S3_URL names no server");
        let name = env::var("FIGUEIRA_TEST_S3_BUCKET").expect("FIGUEIRA_TEST_S3_BUCKET names no bucket");
        for (sse, expected) in
            [(Sse::Aes256, ServerSideEncryption::Aes256), (Sse::Kms, ServerSideEncryption::AwsKms)]
        {
            let bucket = bucket(url.clone(), &name, Some(sse)).await;
            let Store::S3(S3 { client, .. }) = &bucket else { panic!("it is a bucket") };
            suite::write_all_there_is(&bucket).await;
            let listed = client.list_objects_v2().bucket(&name).send().await.unwrap();
            let mut seen = Vec::new();
            for key in listed.contents().iter().map(|object| object.key().unwrap()) {
                let head = client.head_object().bucket(&name).key(key).send().await.unwrap();
                assert_eq!(head.server_side_encryption(), Some(&expected), "{key}");
                seen.push(key.to_owned());
                client.delete_object().bucket(&name).key(key).send().await.unwrap();
            }
            assert_eq!(seen, ["images/figueira-catalog", "images/kept.png", "images/trash/stray.png"]);
        }
    }
}
