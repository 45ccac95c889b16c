//! Data folders that tell each other: what is told is what is heard, once, however often it is said.

use std::{path::Path, sync::atomic::Ordering};

use rusqlite::Connection;
use tempfile::TempDir;
use uuid::Uuid;

use super::rows::{self, Batch};
use crate::{
    evidence::{
        Evidence, erase,
        said::{self, AlarmId, Said},
        sqlite,
        tests::{LONG, comparison, epoch, folder, later, now, open},
    },
    parallel_run::{
        archive::{Archive, EpochName, Progress},
        comparison::{Alarm, Class, Comparison, Difference, DifferenceKind, Severity},
    },
};

fn file(data: &Path) -> Connection {
    sqlite::open(&data.join("evidence.sqlite")).unwrap()
}

/// A data folder of the fleet, with these pairs of `epoch`. It has learned for itself what varies.
fn gateway(epoch: &EpochName, pairs: impl IntoIterator<Item = Comparison>) -> TempDir {
    let data = folder();
    rows::enlist(&mut file(data.path())).unwrap();
    let ledger = open(data.path());
    let resumed = ledger.resume(epoch, "{\"rules\":1}").unwrap();
    let states = format!("{{\"shapes\":{{\"/{}\":\"uuid\"}},\"dynamic\":[]}}", Uuid::now_v7());
    ledger.learned(epoch, Progress::Frozen(states));
    for pair in pairs {
        resumed.traffic.requests.fetch_add(1, Ordering::Relaxed);
        ledger.keep(pair, None);
    }
    assert!(ledger.sync(LONG));
    ledger.close();
    data
}

fn alarming(epoch: &EpochName, n: u32) -> Comparison {
    Comparison { alarms: vec![Alarm::Blank], ..comparison(epoch, n, Class::Mismatch) }
}

/// What `from` has to tell is heard by `to`, and the table has taken it.
fn tell(from: &Path, to: &[&Path]) -> usize {
    let mut told = 0;
    while let Some((number, batch)) = rows::next(&mut file(from)).unwrap() {
        told += batch.comparisons.len();
        let origin = sqlite::origin(&file(from)).unwrap();
        // As it travels.
        let batch: Batch = serde_json::from_slice(&serde_json::to_vec(&batch).unwrap()).unwrap();
        for data in to {
            rows::hear(&mut file(data), &origin, number, Some(&batch)).unwrap();
            assert_eq!(rows::heard(&file(data), &origin).unwrap(), number);
        }
        rows::taken(&mut file(from), number, &batch).unwrap();
    }
    told
}

/// What a verdict is made of.
fn counted(data: &Path) -> (u64, Vec<String>) {
    let evidence = Evidence::open(data, later(100_000)).unwrap();
    let current = evidence.current().unwrap();
    let mut pairs = Vec::new();
    evidence.pairs(&current[0], |pair| pairs.push(format!("{pair:?}"))).unwrap();
    (current[0].requests, pairs)
}

#[test]
fn what_each_has_counted_is_what_all_have() {
    let epoch = epoch("e1");
    let one = gateway(&epoch, (0..5).map(|n| comparison(&epoch, n, Class::Match)));
    let other = gateway(&epoch, (5..9).map(|n| alarming(&epoch, n)));
    assert_eq!(tell(one.path(), &[other.path()]), 5);
    assert_eq!(tell(other.path(), &[one.path()]), 4, "what was heard is not told again");
    let (requests, pairs) = counted(one.path());
    assert_eq!((requests, pairs.len()), (9, 9));
    assert_eq!(counted(other.path()), (requests, pairs));
    let waits = |data: &Path| {
        let sql = "SELECT count(*) FROM outbound";
        file(data).query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!((waits(one.path()), waits(other.path())), (5, 4), "each exports its own");
}

#[test]
fn what_pairs_differ_in_is_told_with_an_example_until_its_person_is_erased() {
    let epoch = epoch("e1");
    let differs = |n, path: &str, severity| Comparison {
        differences: vec![Difference {
            path: path.to_owned(),
            kind: DifferenceKind::Value,
            control: Some("ana's".to_owned()),
            candidate: None,
            severity,
            rule: None,
        }],
        ..comparison(&epoch, n, Class::Mismatch)
    };
    let one = gateway(&epoch, (0..3).map(|n| differs(n, "/price", Severity::Info)));
    let other =
        gateway(&epoch, [differs(3, "/price", Severity::Failure), differs(4, "/name", Severity::Info)]);
    for _ in 0..2 {
        tell(one.path(), &[other.path()]);
        tell(other.path(), &[one.path()]);
    }
    let found = |data: &Path| {
        let evidence = Evidence::open(data, later(100)).unwrap();
        let findings = evidence.findings(&evidence.current().unwrap()[0], 9).unwrap();
        findings.into_iter().map(|of| (of.path, of.pairs, of.severity, of.examples.len())).collect::<Vec<_>>()
    };
    let line = |path: &str, pairs, severity, examples| (path.to_owned(), pairs, severity, examples);
    assert_eq!(
        found(one.path()),
        [line("/price", 4, Severity::Failure, 2), line("/name", 1, Severity::Info, 1)]
    );
    assert_eq!(
        found(other.path()),
        [line("/price", 4, Severity::Failure, 1), line("/name", 1, Severity::Info, 1)]
    );
    let evidence = Evidence::open(one.path(), later(100)).unwrap();
    let told = evidence.findings(&evidence.current().unwrap()[0], 9).unwrap().remove(1);
    let seen = differs(4, "/name", Severity::Info);
    assert_eq!(told.examples, [(seen.id, seen.differences[0].clone())]);
    // While somebody has a view, the journal cannot be emptied.
    drop(evidence);

    file(one.path()).execute("DELETE FROM comparison WHERE id = ?1", [seen.id.as_bytes()]).unwrap();
    assert_eq!(found(one.path())[1], line("/name", 1, Severity::Info, 0), "of whom nothing is known");
    erase::erase(one.path(), b"nobody here", now()).unwrap();
    let left = "SELECT count(*) FROM finding_elsewhere WHERE path = '/name' AND control IS NOT NULL";
    assert_eq!(file(one.path()).query_row(left, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
}

#[test]
fn what_is_told_or_heard_twice_counts_once() {
    let epoch = epoch("e1");
    let one = gateway(&epoch, (0..5).map(|n| comparison(&epoch, n, Class::Match)));
    let other = gateway(&epoch, []);
    let first = rows::next(&mut file(one.path())).unwrap().unwrap();
    // Cut off before it was known to be taken.
    let again = rows::next(&mut file(one.path())).unwrap().unwrap();
    assert_eq!(first, again);
    for (number, batch) in [first, again] {
        rows::hear(&mut file(other.path()), "one", number, Some(&batch)).unwrap();
        rows::taken(&mut file(one.path()), number, &batch).unwrap();
    }
    assert_eq!(counted(other.path()), counted(one.path()));
    assert_eq!(counted(other.path()).1.len(), 5);
    assert!(rows::next(&mut file(one.path())).unwrap().is_none());
    rows::enlist(&mut file(one.path())).unwrap();
    assert!(rows::next(&mut file(one.path())).unwrap().is_none(), "a restart tells nothing twice");
}

/// A gateway that is used up writes no comparison down, and all others have to know how many it skipped.
#[test]
fn what_is_counted_only_is_told_without_a_comparison() {
    let epoch = epoch("e1");
    let (one, other) = (gateway(&epoch, []), gateway(&epoch, []));
    let skip = |n: u64| {
        let ledger = open(one.path());
        ledger.resume(&epoch, "{\"rules\":1}").unwrap().traffic.skipped.fetch_add(n, Ordering::Relaxed);
        assert!(ledger.sync(LONG));
    };
    let skipped = |data: &Path| {
        let evidence = Evidence::open(data, later(100_000)).unwrap();
        let mut skipped = 0;
        evidence.pairs(&evidence.current().unwrap()[0], |pair| skipped += pair.times).unwrap();
        skipped
    };
    for (more, all) in [(12, 12), (30, 42)] {
        skip(more);
        assert_eq!(tell(one.path(), &[other.path()]), 0);
        assert_eq!((skipped(one.path()), skipped(other.path())), (all, all));
        assert!(rows::next(&mut file(one.path())).unwrap().is_none(), "until there are more");
    }
    assert!(rows::next(&mut file(other.path())).unwrap().is_none(), "what was heard is not told again");
}

#[test]
fn who_comes_late_begins_with_what_others_have_learned() {
    let epoch = epoch("e1");
    let one = gateway(&epoch, [comparison(&epoch, 1, Class::Match)]);
    let late = folder();
    rows::enlist(&mut file(late.path())).unwrap();
    tell(one.path(), &[late.path()]);
    let ledger = open(late.path());
    let resumed = ledger.resume(&epoch, "{\"rules\":1}").unwrap();
    assert!(matches!(resumed.progress, Some(Progress::Frozen(_))));
    assert_eq!(resumed.subjects.len(), 1, "whoever had a slot there has none here");
}

#[test]
fn what_is_said_of_an_alarm_is_heard_by_all_and_echoes_no_further() {
    let epoch = epoch("e1");
    let pair = alarming(&epoch, 1);
    let alarm = AlarmId { comparison: pair.id, kind: Alarm::Blank };
    let (one, other) = (gateway(&epoch, [pair]), gateway(&epoch, []));
    tell(one.path(), &[other.path()]);
    assert!(counted(one.path()).1[0].contains("acknowledged: None"));
    let ana = Said { at: now(), who: "ana".to_owned(), text: "seen it".to_owned() };
    said::acknowledge(other.path(), alarm, &ana).unwrap();
    assert_eq!(tell(other.path(), &[one.path()]), 1);
    assert!(counted(one.path()).1[0].contains("seen it"));
    assert_eq!(tell(one.path(), &[other.path()]), 0);
}
