//! What every catalog must do, tried on the one that there is.

use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, SystemTime},
};

use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};
use uuid::Uuid;

use super::{Advance, Catalog, CatalogError, Lease, NewJob, Object, Transition, sqlite::Sqlite};
use crate::{
    generator::{
        digest::Digest,
        order::Size,
        plane::Plane,
        state::{State, Step, tests::any_step},
    },
    shutdown::Shutdown,
};

const HERE: Uuid = Uuid::from_u128(1);
const NEXT: Uuid = Uuid::from_u128(2);
const AT: SystemTime = SystemTime::UNIX_EPOCH;

fn catalog(folder: &tempfile::TempDir) -> Catalog {
    let plane = Plane::current(Shutdown::default());
    Catalog::Sqlite(Sqlite::open(&folder.path().join("catalog.sqlite"), plane).unwrap())
}

fn job(id: u128) -> NewJob {
    NewJob {
        id: Uuid::from_u128(id),
        scope: "images".into(),
        key: id.to_string(),
        request: Digest::of(b"request"),
        claim_expires: AT + Duration::from_mins(1),
        provider: "local",
        prompt_sha256: Digest::of(b"prompt"),
        prompt_chars: 6,
        prompt: None,
        count: 1,
        size: Size { width: 256, height: 256 },
        owner: HERE,
        at: AT,
    }
}

fn object(job: Uuid) -> Object {
    Object {
        name: format!("fg-{job}-0.png"),
        media_type: "image/png".into(),
        bytes: 3,
        sha256: Digest::of(b"png"),
    }
}

fn transition(step: Step, job: Uuid) -> Transition {
    match step {
        Step::Store => Transition::Store(vec![object(job)]),
        Step::Commit => Transition::Commit,
        Step::Fail(reason) => Transition::Fail(reason),
        Step::Undo => Transition::Undo,
        Step::Lose => Transition::Lose,
    }
}

#[tokio::test]
async fn claim_and_job_are_written_together_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(&folder);
    let lease = catalog.claim(job(1)).await.unwrap();
    assert_eq!(lease, Lease { job: Uuid::from_u128(1), state: State::Drawing, owner: HERE, fence: 0 });
    let same_key = NewJob { key: "1".into(), ..job(2) };
    assert!(catalog.claim(same_key).await.is_err());
    assert_eq!(
        catalog.record(Uuid::from_u128(2)).await.unwrap(),
        None,
        "the job of a refused claim is not there"
    );
}

#[tokio::test]
async fn expired_claims_are_forgotten_and_their_jobs_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(&folder);
    catalog.claim(job(1)).await.unwrap();
    assert_eq!(catalog.forget_claims(AT).await.unwrap(), 0);
    assert_eq!(catalog.forget_claims(AT + Duration::from_mins(2)).await.unwrap(), 1);
    assert!(catalog.record(Uuid::from_u128(1)).await.unwrap().is_some());
    catalog.claim(NewJob { key: "1".into(), ..job(2) }).await.unwrap();
}

#[tokio::test]
async fn a_file_of_a_later_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(catalog(&folder));
    let path = folder.path().join("catalog.sqlite");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.pragma_update(None, "user_version", 9).unwrap();
    let error = Sqlite::open(&path, Plane::current(Shutdown::default())).unwrap_err();
    assert!(matches!(error, CatalogError::Newer { found: 9, known: 1 }), "{error}");
}

#[tokio::test]
async fn records_are_synced_to_a_write_ahead_log() {
    let folder = tempfile::tempdir().unwrap();
    let _open = catalog(&folder);
    let db = rusqlite::Connection::open(folder.path().join("catalog.sqlite")).unwrap();
    let mode: String = db.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

/// What two boots may try on two jobs: a step under a lease seen earlier, or a take-over.
#[derive(Clone, Debug)]
enum Try {
    Step { job: u128, step: Step, stale: bool },
    TakeOver { owner: Uuid },
}

fn any_try() -> impl Strategy<Value = Try> {
    (any::<bool>(), any::<bool>(), any_step(), 0..8_u8).prop_map(|(first, stale, step, kind)| {
        if kind == 0 {
            Try::TakeOver { owner: if first { HERE } else { NEXT } }
        } else {
            Try::Step { job: if first { 1 } else { 2 }, step, stale }
        }
    })
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(40))]

    /// The catalog does what the pure machine says, for whoever holds the job, and nothing for anybody else; a name is
    /// visible exactly while its job is done.
    #[test]
    fn the_record_follows_the_machine(tries in proptest::collection::vec(any_try(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let catalog = catalog(&folder);
            let mut now = BTreeMap::new();
            let mut before = BTreeMap::new();
            for id in [1, 2] {
                let lease = catalog.claim(job(id)).await.unwrap();
                now.insert(id, lease);
                before.insert(id, lease);
            }
            for attempt in tries {
                match attempt {
                    Try::TakeOver { owner } => {
                        let taken = catalog.take_over(owner, HashSet::from([owner]), AT).await.unwrap();
                        let mut expected = HashSet::new();
                        for (id, lease) in &mut now {
                            let open = !matches!(lease.state, State::Done | State::Failed);
                            if open && lease.owner != owner {
                                before.insert(*id, *lease);
                                *lease = Lease { owner, fence: lease.fence + 1, ..*lease };
                                expected.insert(lease.job);
                            }
                        }
                        prop_assert_eq!(taken, expected);
                    }
                    Try::Step { job, step, stale } => {
                        let lease = if stale { before[&job] } else { now[&job] };
                        let moved = catalog.advance(lease, transition(step, lease.job), AT).await.unwrap();
                        let next = lease.state.after(step).filter(|_| lease == now[&job]);
                        let expected = next.map_or(Advance::Refused, |state| Advance::Moved(Lease { state, ..lease }));
                        prop_assert_eq!(moved, expected);
                        if let Advance::Moved(lease) = moved {
                            before.insert(job, now[&job]);
                            now.insert(job, lease);
                        }
                    }
                }
                for lease in now.values() {
                    let record = catalog.record(lease.job).await.unwrap().unwrap();
                    prop_assert_eq!(record.lease, *lease);
                    let visible = catalog.visible(object(lease.job).name).await.unwrap();
                    prop_assert_eq!(visible, (lease.state == State::Done).then(|| object(lease.job)));
                }
            }
            Ok(())
        })?;
    }
}
