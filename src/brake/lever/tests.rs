//! Two processes, here two levers and a watch, on one real folder.

use std::{fs, path::Path, sync::LazyLock};

use tokio::runtime::Runtime;

use super::*;
use crate::brake::{Standing, Watch};

fn clock() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap()
}

/// On a runtime of its own, which lives for as long as the test process.
fn lever(folder: &Path) -> Lever {
    static PLANE: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
    let place = Place { data: folder.to_owned(), table: None };
    Lever::open(&place, PLANE.handle(), clock).unwrap()
}

fn watch(lever: &Lever) -> Watch {
    Watch::new(lever.store().clone(), clock()).unwrap()
}

fn ana() -> Who {
    Who { name: "ana, by figueira brake".into(), generation: None }
}

fn pull(lever: &Lever, route: &str, at: Hold) -> Pulled {
    lever.pull(&Pull { routes: &[route], at, reason: "looks odd" }, &ana()).unwrap().remove(0)
}

#[test]
fn what_one_pulls_another_sees_and_a_restart_too() {
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (lever(folder.path()), lever(folder.path()));
    let mut seeing = watch(&there);
    assert_eq!(seeing.look(), None);

    assert_eq!(pull(&here, "a", Hold::Shadow), Pulled::Now { before: None });
    let seen = seeing.look().unwrap().clone();
    let brake = Brake {
        at: Hold::Shadow,
        since: clock(),
        by: ana().name.as_str().into(),
        reason: "looks odd".into(),
    };
    assert_eq!(seen.of("a").map(|held| &**held), Some(&brake));
    assert_eq!(seeing.look(), None, "told once");
    assert_eq!(there.store().brakes().unwrap(), seen);
    assert_eq!(*watch(&there).brakes(), seen);

    assert_eq!(there.release("a", "mended", &ana()).unwrap(), Some(brake));
    assert!(seeing.look().unwrap().is_empty());
    assert_eq!(there.release("a", "mended", &ana()).unwrap(), None);
}

#[test]
fn every_pull_and_release_is_audited() {
    let folder = tempfile::tempdir().unwrap();
    let lever = lever(folder.path());
    let both = Pull { routes: &["a", "b"], at: Hold::Shadow, reason: "looks odd" };
    lever.pull(&both, &ana()).unwrap();
    assert!(matches!(lever.pull(&both, &ana()).unwrap()[..], [Pulled::Already(_), Pulled::Already(_)]));
    lever.release("a", "mended", &Who { name: "eva, at 10.1.2.3".into(), generation: Some(7) }).unwrap();

    let audited = audit::Log::in_folder(folder.path()).last(9).unwrap();
    let words: Vec<_> = audited
        .iter()
        .map(|line| {
            (line.route.as_deref(), line.from.as_deref(), line.to.as_deref(), &*line.who, line.generation)
        })
        .collect();
    assert_eq!(
        words,
        [
            (Some("a"), Some("off"), Some("shadow"), "ana, by figueira brake", None),
            (Some("b"), Some("off"), Some("shadow"), "ana, by figueira brake", None),
            (Some("a"), Some("shadow"), Some("off"), "eva, at 10.1.2.3", Some(7)),
        ]
    );
}

#[test]
fn a_file_that_cannot_be_read_leaves_what_was_known() {
    let folder = tempfile::tempdir().unwrap();
    let lever = lever(folder.path());
    pull(&lever, "a", Hold::Shadow);
    let mut seeing = watch(&lever);

    let file = folder.path().join("brake.sqlite");
    let aside = folder.path().join("aside");
    for name in ["brake.sqlite-wal", "brake.sqlite-shm"] {
        fs::remove_file(folder.path().join(name)).ok();
    }
    fs::rename(&file, &aside).unwrap();
    fs::write(&file, "this is no database, though it is long enough to be taken for one ".repeat(40))
        .unwrap();
    assert_eq!(seeing.look(), None);
    assert!(seeing.trouble().is_some());
    assert_eq!((seeing.brakes().of("a").unwrap().at, seeing.standing()), (Hold::Shadow, Standing::LastKnown));

    fs::rename(&aside, &file).unwrap();
    seeing.look();
    assert_eq!((seeing.brakes().of("a").unwrap().at, seeing.standing()), (Hold::Shadow, Standing::Current));
}

#[test]
fn deleting_the_file_releases_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let lever = lever(folder.path());
    pull(&lever, "a", Hold::Monolith);
    pull(&lever, "b", Hold::Monolith);
    let mut seeing = watch(&lever);
    for name in ["brake.sqlite", "brake.sqlite-wal", "brake.sqlite-shm"] {
        fs::remove_file(folder.path().join(name)).ok();
    }
    seeing.look();
    assert_eq!(seeing.brakes().iter().count(), 2);
    assert_eq!(lever.store().brakes().unwrap(), *seeing.brakes());
    // In the new file too, a release is a release.
    lever.release("a", "mended", &ana()).unwrap();
    seeing.look();
    assert_eq!(seeing.brakes().iter().map(|(route, _)| route).collect::<Vec<_>>(), ["b"]);
}
