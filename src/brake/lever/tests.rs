//! Two processes, here two levers and a watch, on one real folder.

use std::fs;

use super::*;
use crate::brake::{Watch, read};

fn clock() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap()
}

fn lever(folder: &Path) -> Lever {
    Lever::open(folder, clock).unwrap()
}

fn ana() -> Who {
    Who { name: "ana, by figueira brake".into(), generation: None }
}

fn pull(route: &str, at: Hold) -> Pull<'_> {
    Pull { route, at, reason: "looks odd" }
}

#[test]
fn what_one_pulls_another_sees_and_a_restart_too() {
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (lever(folder.path()), lever(folder.path()));
    let mut watch = Watch::new(there.store().clone()).unwrap();
    assert_eq!(watch.look().unwrap(), None);

    assert_eq!(here.pull(&pull("a", Hold::Shadow), &ana()).unwrap(), Pulled::Now { before: None });
    let seen = watch.look().unwrap().unwrap().clone();
    let brake = Brake {
        at: Hold::Shadow,
        since: clock(),
        by: ana().name.as_str().into(),
        reason: "looks odd".into(),
    };
    assert_eq!(seen.of("a").map(|held| &**held), Some(&brake));
    assert_eq!(watch.look().unwrap(), None, "told once");
    assert_eq!(read(folder.path()).unwrap(), seen);
    assert_eq!(*Watch::new(there.store().clone()).unwrap().brakes(), seen);

    assert_eq!(there.release("a", "mended", &ana()).unwrap(), Some(brake));
    assert!(watch.look().unwrap().unwrap().is_empty());
    assert_eq!(there.release("a", "mended", &ana()).unwrap(), None);
}

#[test]
fn a_pull_never_lets_go() {
    let folder = tempfile::tempdir().unwrap();
    let lever = lever(folder.path());
    lever.pull(&pull("a", Hold::Shadow), &ana()).unwrap();
    let lower = lever.pull(&pull("a", Hold::Monolith), &ana()).unwrap();
    assert_eq!(lower, Pulled::Now { before: Some(Hold::Shadow) });
    for at in Hold::ALL {
        assert!(
            matches!(lever.pull(&pull("a", at), &ana()).unwrap(), Pulled::Already(held) if held.at == Hold::Monolith)
        );
    }
}

#[test]
fn every_pull_and_release_is_kept_told_once_and_audited() {
    let folder = tempfile::tempdir().unwrap();
    let lever = lever(folder.path());
    lever.pull(&pull("a", Hold::Shadow), &ana()).unwrap();
    lever.pull(&pull("a", Hold::Shadow), &ana()).unwrap();
    lever.release("a", "mended", &Who { name: "eva, at 10.1.2.3".into(), generation: Some(7) }).unwrap();

    let moves = |events: &[super::super::Event]| {
        events.iter().map(|event| (event.before, event.after, event.reason.to_string())).collect::<Vec<_>>()
    };
    let expected =
        [(None, Some(Hold::Shadow), "looks odd".to_owned()), (Some(Hold::Shadow), None, "mended".to_owned())];
    assert_eq!(moves(&lever.store().take_untold().unwrap()), expected);
    assert_eq!(lever.store().take_untold().unwrap(), []);
    let newest_first: Vec<_> = expected.into_iter().rev().collect();
    assert_eq!(moves(&lever.store().history(9).unwrap()), newest_first);

    let audited = audit::Log::in_folder(folder.path()).last(9).unwrap();
    let words: Vec<_> = audited
        .iter()
        .map(|line| (line.from.as_deref(), line.to.as_deref(), &*line.who, line.generation))
        .collect();
    assert_eq!(
        words,
        [
            (Some("off"), Some("shadow"), "ana, by figueira brake", None),
            (Some("shadow"), Some("off"), "eva, at 10.1.2.3", Some(7)),
        ]
    );
}

#[test]
fn a_file_that_cannot_be_read_leaves_what_was_known() {
    let folder = tempfile::tempdir().unwrap();
    let lever = lever(folder.path());
    lever.pull(&pull("a", Hold::Shadow), &ana()).unwrap();
    let mut watch = Watch::new(lever.store().clone()).unwrap();

    let file = folder.path().join("brake.sqlite");
    let aside = folder.path().join("aside");
    for name in ["brake.sqlite-wal", "brake.sqlite-shm"] {
        fs::remove_file(folder.path().join(name)).ok();
    }
    fs::rename(&file, &aside).unwrap();
    fs::write(&file, "this is no database, though it is long enough to be taken for one ".repeat(40))
        .unwrap();
    watch.look().unwrap_err();
    assert_eq!(watch.brakes().of("a").unwrap().at, Hold::Shadow);

    fs::rename(&aside, &file).unwrap();
    watch.look().unwrap();
    assert_eq!(watch.brakes().of("a").unwrap().at, Hold::Shadow);
}

#[test]
fn deleting_the_file_releases_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let lever = lever(folder.path());
    lever.pull(&pull("a", Hold::Monolith), &ana()).unwrap();
    lever.pull(&pull("b", Hold::Monolith), &ana()).unwrap();
    let mut watch = Watch::new(lever.store().clone()).unwrap();
    for name in ["brake.sqlite", "brake.sqlite-wal", "brake.sqlite-shm"] {
        fs::remove_file(folder.path().join(name)).ok();
    }
    watch.look().unwrap();
    assert_eq!(watch.brakes().iter().count(), 2);
    assert_eq!(lever.store().brakes().unwrap(), *watch.brakes());
    // In the new file too, a release is a release.
    lever.release("a", "mended", &ana()).unwrap();
    watch.look().unwrap();
    assert_eq!(watch.brakes().iter().map(|(route, _)| route).collect::<Vec<_>>(), ["b"]);
}
