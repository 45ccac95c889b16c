//! What every store must do: one suite, run against each. It gets an empty one.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncReadExt as _;

use super::{Held, Store, StoreError};
use crate::generator::{catalog::Object, digest::Digest};

fn object(name: &str, bytes: &[u8]) -> Object {
    Object {
        name: name.into(),
        media_type: "image/png".into(),
        bytes: u64::try_from(bytes.len()).unwrap(),
        sha256: Digest::of(bytes),
    }
}

async fn put(store: &Store, name: &str, bytes: &'static [u8]) -> Result<(), StoreError> {
    store.put(&object(name, bytes), Bytes::from_static(bytes)).await
}

async fn read(store: &Store, name: &str, length: u64, range: std::ops::Range<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.read(name, length, range).await.unwrap().read_to_end(&mut bytes).await.unwrap();
    bytes
}

/// Runs all of it.
pub(super) async fn run(store: &Store) {
    a_name_is_given_once(store).await;
    whole_and_in_part(store).await;
    large_ones_too(store).await;
    what_is_discarded_is_kept_aside(store).await;
    the_marker_is_written_once(store).await;
    one_url_reads_one_object(store).await;
}

async fn a_name_is_given_once(store: &Store) {
    put(store, "a.png", b"one").await.unwrap();
    put(store, "a.png", b"one").await.unwrap();
    let taken = put(store, "a.png", b"two").await.unwrap_err();
    assert!(matches!(&taken, StoreError::Taken { name } if name == "a.png"), "{taken:?}");
    assert_eq!(store.held("a.png", &Digest::of(b"one")).await.unwrap(), Held::Same);
    assert_eq!(store.held("a.png", &Digest::of(b"two")).await.unwrap(), Held::Other);
    store.delete("a.png").await.unwrap();
    store.delete("a.png").await.unwrap();
    assert_eq!(store.held("a.png", &Digest::of(b"one")).await.unwrap(), Held::Nothing);
    assert!(store.read("a.png", 3, 0..3).await.is_err());
}

async fn whole_and_in_part(store: &Store) {
    put(store, "b.png", b"0123456789").await.unwrap();
    assert_eq!(read(store, "b.png", 10, 0..10).await, b"0123456789");
    assert_eq!(read(store, "b.png", 10, 3..6).await, b"345");
    assert_eq!(read(store, "b.png", 10, 9..10).await, b"9");
    store.delete("b.png").await.unwrap();
}

async fn large_ones_too(store: &Store) {
    let bytes: Bytes = (0..6_000_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let large = object("large.png", &bytes);
    store.put(&large, bytes.clone()).await.unwrap();
    assert_eq!(store.held("large.png", &large.sha256).await.unwrap(), Held::Same);
    assert_eq!(read(store, "large.png", large.bytes, 0..large.bytes).await, bytes);
    store.delete("large.png").await.unwrap();
}

async fn what_is_discarded_is_kept_aside(store: &Store) {
    put(store, "kept.png", b"kept").await.unwrap();
    put(store, "stray.png", b"stray").await.unwrap();
    let names = async || {
        let mut names: Vec<_> = store.list().await.unwrap().into_iter().map(|listed| listed.name).collect();
        names.sort();
        names
    };
    assert_eq!(names().await, ["kept.png", "stray.png"]);
    let written = store.list().await.unwrap()[0].written;
    assert!(written.elapsed().unwrap_or_default() < Duration::from_mins(10), "{written:?}");
    store.discard("stray.png").await.unwrap();
    assert_eq!(names().await, ["kept.png"], "the trash is not listed");
    assert_eq!(store.held("stray.png", &Digest::of(b"stray")).await.unwrap(), Held::Nothing);
    assert_eq!(store.held("trash/stray.png", &Digest::of(b"stray")).await.unwrap(), Held::Same);
    store.delete("kept.png").await.unwrap();
}

/// An image, one that is put aside, and the marker.
#[cfg(feature = "aws")]
pub(super) async fn write_all_there_is(store: &Store) {
    put(store, "kept.png", b"kept").await.unwrap();
    put(store, "stray.png", b"stray").await.unwrap();
    store.discard("stray.png").await.unwrap();
    store.mark("first").await.unwrap();
}

async fn the_marker_is_written_once(store: &Store) {
    assert_eq!(store.marker().await.unwrap(), None);
    store.mark("first").await.unwrap();
    store.mark("second").await.unwrap();
    assert_eq!(store.marker().await.unwrap().as_deref(), Some("first"));
    assert!(store.list().await.unwrap().is_empty(), "the marker is no image");
}

async fn one_url_reads_one_object(store: &Store) {
    put(store, "c.png", b"seen").await.unwrap();
    let Some(url) = store.presigned("c.png", Duration::from_mins(1)).await.unwrap() else { return };
    let seen = reqwest::get(&url).await.unwrap();
    assert_eq!(
        (seen.status().as_u16(), &seen.headers()["content-type"]),
        (200, &"image/png".parse().unwrap())
    );
    assert_eq!(seen.bytes().await.unwrap(), "seen");
    let other = reqwest::get(url.replace("c.png", "d.png")).await.unwrap();
    assert_eq!(other.status().as_u16(), 403, "signed for one name");
}

/// Where `If-None-Match` is atomic: of many at once, with other bytes each, one has the name.
#[cfg(feature = "aws")]
pub(super) async fn one_of_many_wins(store: &Store) {
    let tries = (0..16_u8).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            let bytes = vec![n; 1000];
            store.put(&object("raced.png", &bytes), bytes.into()).await
        })
    });
    let mut won = 0;
    for attempt in tries.collect::<Vec<_>>() {
        match attempt.await.unwrap() {
            Ok(()) => won += 1,
            Err(error) => assert!(matches!(error, StoreError::Taken { .. } | StoreError::S3(_)), "{error:?}"),
        }
    }
    assert_eq!(won, 1);
}
