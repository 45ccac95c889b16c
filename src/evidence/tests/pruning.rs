//! What has had its time goes, and holds nobody up while it does.

use super::*;
use crate::evidence::{AlarmId, Said, said};

#[test]
fn what_is_too_old_goes_with_all_that_hangs_on_it() {
    let (data, epoch) = (folder(), epoch("e1"));
    let first = open(data.path());
    first.resume(&epoch, "{}").unwrap();
    let mut old = comparison(&epoch, 0, Class::Mismatch);
    old.alarms = vec![Alarm::Blank];
    let before = now() - SignedDuration::from_hours(3);
    (old.at, old.id) = (before, Lot::draw("old", "images", "e1").id(before));
    first.keep(old.clone(), Some(sample(old.id)));
    first.keep(comparison(&epoch, 1, Class::Match), None);
    drop(first);
    // It blocks its route until somebody has looked at it, however old it is.
    drop(open(data.path()));
    assert_eq!(classes(data.path(), later(10)), [Class::Mismatch, Class::Match]);
    let alarm = AlarmId { comparison: old.id, kind: Alarm::Blank };
    said::acknowledge(data.path(), alarm, &Said { at: now(), who: "ana".into(), text: "seen".into() })
        .unwrap();
    // Pruned as soon as it opens, before its first record is written.
    let second = open(data.path());
    second.keep(comparison(&epoch, 2, Class::Match), None);
    drop(second);
    let third = open(data.path());
    assert!(third.sync(LONG));
    assert_eq!(classes(data.path(), later(10)), [Class::Match, Class::Match]);
    let connection = Connection::open(data.path().join("evidence.sqlite")).unwrap();
    let alarms: i64 = connection.query_row("SELECT count(*) FROM alarm", [], |row| row.get(0)).unwrap();
    assert_eq!(alarms, 0);
    assert_eq!(fs::read_dir(data.path().join("samples/images")).unwrap().count(), 0);
}

/// Previews were never counted: when they go they take nothing along, and who counts anew leaves them out.
#[test]
fn previews_that_go_leave_what_real_pairs_differ_in() {
    let (data, epoch) = (folder(), epoch("e1"));
    let ledger = open(data.path());
    ledger.resume(&epoch, "{}").unwrap();
    let differing = |n: u32| {
        let difference = Difference {
            path: "/v".to_owned(),
            kind: DifferenceKind::Value,
            control: Some("1".to_owned()),
            candidate: Some("2".to_owned()),
            severity: Severity::Failure,
            rule: None,
        };
        Comparison { differences: vec![difference], ..comparison(&epoch, n, Class::Mismatch) }
    };
    (10..18).for_each(|n| ledger.keep(differing(n), None));
    drop(ledger);
    (0..5).for_each(|n| preview::keep(data.path(), "images", &differing(n)).unwrap());
    let mut connection = sqlite::open(&data.path().join("evidence.sqlite")).unwrap();
    let pairs = || -> Vec<u64> {
        let evidence = Evidence::open(data.path(), later(100)).unwrap();
        let epoch = evidence.current().unwrap().remove(0);
        evidence.findings(&epoch, 9).unwrap().iter().map(|finding| finding.pairs).collect()
    };
    assert_eq!(pairs(), [8]);
    connection.execute("DELETE FROM finding", []).unwrap();
    sqlite::count_findings(&connection).unwrap();
    assert_eq!(pairs(), [8], "counted anew");
    assert_eq!(sqlite::prune(&mut connection, later(5), Old::All, 9).unwrap(), 5);
    assert_eq!(pairs(), [8]);
    assert_eq!(sqlite::prune(&mut connection, later(12), Old::All, 9).unwrap(), 2);
    assert_eq!(pairs(), [6], "real ones do take theirs along");
}

#[test]
fn what_is_too_old_goes_piece_by_piece_the_oldest_first() {
    let (data, epoch) = (folder(), epoch("e1"));
    let ledger = open(data.path());
    ledger.resume(&epoch, "{}").unwrap();
    (0..5).for_each(|n| ledger.keep(comparison(&epoch, n, Class::Match), None));
    drop(ledger);
    let mut connection = sqlite::open(&data.path().join("evidence.sqlite")).unwrap();
    let left = |connection: &Connection| -> Vec<i64> {
        let mut statement = connection.prepare("SELECT at FROM comparison ORDER BY id").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let times = |range: std::ops::Range<i64>| range.map(|n| later(n).as_millisecond()).collect::<Vec<_>>();
    assert_eq!(sqlite::prune(&mut connection, later(4), Old::All, 3).unwrap(), 3);
    assert_eq!(left(&connection), times(3..5));
    assert_eq!(sqlite::prune(&mut connection, later(4), Old::All, 3).unwrap(), 1);
    assert_eq!(left(&connection), times(4..5));
}

#[test]
fn much_that_is_too_old_keeps_no_record_waiting() {
    const OLD: u32 = 2_000;
    let (data, epoch) = (folder(), epoch("e1"));
    let first = open(data.path());
    first.resume(&epoch, "{}").unwrap();
    drop(first);
    let before = now() - SignedDuration::from_hours(3);
    let mut connection = sqlite::open(&data.path().join("evidence.sqlite")).unwrap();
    let mut batch = Batch::begin(&mut connection).unwrap();
    for n in 0..OLD {
        let id = Lot::draw(&n.to_string(), "images", "e1").id(before);
        batch.comparison(&Comparison { id, ..comparison(&epoch, n, Class::Match) }, None).unwrap();
    }
    batch.commit().unwrap();
    let count = |sql| -> u32 { connection.query_row(sql, [], |row| row.get(0)).unwrap() };
    let ledger = open(data.path());
    let mut given = 0;
    // What is given while the old goes is written in between, record by record.
    while count("SELECT count(*) FROM comparison") > given || given < 10 {
        ledger.keep(comparison(&epoch, given, Class::Match), None);
        assert!(ledger.sync(LONG));
        // Nor does a reload wait for the file until it gives up.
        ledger.resume(&epoch, "{}").unwrap();
        given += 1;
    }
    assert_eq!(classes(data.path(), later(i64::from(given))).len(), usize::try_from(given).unwrap());
    assert_eq!(count("SELECT count(*) FROM unrecorded"), 0);
}

#[test]
fn what_waits_for_the_lake_stays_until_it_is_there_or_is_too_much() {
    let (data, epoch) = (folder(), epoch("e1"));
    let (before, at_most) = (later(-20_000), |keep_unexported| {
        let settings = Settings {
            data: data.path().to_owned(),
            keep_samples: LONG,
            keep_comparisons: Duration::from_hours(2),
            keep_unexported,
            redact: Vec::new(),
        };
        let ledger = Ledger::open(settings, rand::random(), now).unwrap();
        ledger.resume(&epoch, "{}").unwrap();
        // What is too old has gone by the time that a record is written.
        ledger.keep(comparison(&epoch, 0, Class::Match), None);
        assert!(ledger.sync(LONG));
        ledger.unexported()
    });
    let count = || {
        let connection = Connection::open(data.path().join("evidence.sqlite")).unwrap();
        let sql = "SELECT count(*) FROM comparison WHERE at < ?1";
        connection.query_row(sql, [now().as_millisecond()], |row| row.get::<_, u32>(0)).unwrap()
    };
    at_most(1 << 30);
    let mut connection = sqlite::open(&data.path().join("evidence.sqlite")).unwrap();
    let mut batch = Batch::begin(&mut connection).unwrap();
    for n in 0..200_u32 {
        let id = Lot::draw(&n.to_string(), "images", "e1").id(before);
        batch
            .comparison(&Comparison { id, at: before, ..comparison(&epoch, n, Class::Match) }, None)
            .unwrap();
    }
    batch.commit().unwrap();
    let exported = "DELETE FROM outbound WHERE comparison IN (SELECT comparison FROM outbound ORDER BY comparison LIMIT 20)";
    connection.execute(exported, []).unwrap();
    drop(connection);

    assert_eq!((at_most(1 << 30), count()), (0, 180), "twenty were in the lake");
    let lost = at_most(100_000);
    assert!((1..180).contains(&lost), "{lost}");
    assert_eq!(u64::from(count()), 180 - lost, "the oldest went, and were counted");
    assert_eq!((at_most(0), count()), (0, 0), "nothing is exported any more");
}
