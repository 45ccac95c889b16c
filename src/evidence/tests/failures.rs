//! A disk that is stuck or full, a file that is refused: nobody is held up, and the numbers add up.

use super::*;

#[test]
fn a_stuck_disk_holds_nobody_up_and_the_numbers_add_up() {
    const GIVEN: u32 = 3000;
    let (data, epoch) = (folder(), epoch("e1"));
    let ledger = open(data.path());
    ledger.resume(&epoch, "{}").unwrap();
    assert!(ledger.sync(LONG));
    let mut other = Connection::open(data.path().join("evidence.sqlite")).unwrap();
    let lock = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let given = |n: u32| if n.is_multiple_of(10) { Class::Mismatch } else { Class::Match };
    // One of the last, when there is no place any more.
    let panicked =
        Comparison { alarms: vec![Alarm::Panic], ..comparison(&epoch, GIVEN - 10, Class::Mismatch) };
    for n in 0..GIVEN {
        let pair = comparison(&epoch, n, given(n));
        ledger.keep(if pair.id == panicked.id { panicked.clone() } else { pair }, None);
    }
    lock.rollback().unwrap();
    // The queue may still be full: then there is no place for the question either.
    while !ledger.sync(LONG) {
        std::thread::yield_now();
    }
    ledger.close();
    let mut found = 0;
    let evidence = Evidence::open(data.path(), later(i64::from(GIVEN))).unwrap();
    let current = evidence.current().unwrap().remove(0);
    let (mut counted_only, mut alarming) = (0, Vec::new());
    evidence
        .pairs(&current, |pair| {
            found += if pair.class == Class::Mismatch { pair.times } else { 0 };
            counted_only += u32::from(pair.id.is_nil());
            alarming.extend(pair.alarms.first().map(|_| pair.id));
        })
        .unwrap();
    assert_eq!(alarming, [panicked.id], "what a person must see is not counted only");
    assert_eq!(found, u64::from(GIVEN / 10), "failures are counted, kept or not");
    assert!(counted_only > 0, "more was given than waits");
    assert_eq!(classes(data.path(), later(i64::from(GIVEN))).len(), usize::try_from(GIVEN).unwrap());
}

/// Whatever is wrong with one record, or with the file: of what is refused for good the classes are counted.
#[test]
fn what_the_file_refuses_is_counted() {
    let (data, epoch) = (folder(), epoch("e1"));
    let ledger = open(data.path());
    ledger.resume(&epoch, "{}").unwrap();
    ledger.dispatched(comparison(&epoch, 3, Class::CandidateFailed), later(300));
    assert!(ledger.sync(LONG));
    let other = Connection::open(data.path().join("evidence.sqlite")).unwrap();
    other
        .execute_batch("CREATE TRIGGER odd BEFORE INSERT ON comparison BEGIN SELECT raise(ABORT, 'odd'); END")
        .unwrap();
    for n in 0..10 {
        ledger.keep(comparison(&epoch, n, Class::Match), None);
    }
    assert!(ledger.sync(LONG));
    other.execute_batch("DROP TRIGGER odd").unwrap();
    ledger.keep(comparison(&epoch, 10, Class::Mismatch), None);
    assert!(ledger.sync(LONG));
    let mut found = classes(data.path(), later(1_000));
    found.sort_by_key(|class| *class == Class::Mismatch);
    assert_eq!(found, [[Class::Match; 10].as_slice(), &[Class::Mismatch]].concat());
}

/// A candidate that was called before the queue was full, and ended after: its end is counted, and its announcement, which
/// may still wait then, is no failure beside it.
#[test]
fn an_end_that_finds_no_place_takes_its_announcement_with_it() {
    const AT_WORK: u32 = 37;
    const ROUNDS: u32 = 40;
    let (data, epoch) = (folder(), epoch("e1"));
    let ledger = open(data.path());
    ledger.resume(&epoch, "{}").unwrap();
    assert!(ledger.sync(LONG));
    let mut other = Connection::open(data.path().join("evidence.sqlite")).unwrap();
    let lock = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    for round in 0..ROUNDS {
        let called = || (round * AT_WORK..(round + 1) * AT_WORK).map(|n| comparison(&epoch, n, Class::Match));
        called().for_each(|pair| {
            ledger.dispatched(Comparison { class: Class::CandidateFailed, ..pair }, later(10_000));
        });
        called().for_each(|pair| ledger.keep(pair, None));
    }
    lock.rollback().unwrap();
    while !ledger.sync(LONG) {
        std::thread::yield_now();
    }
    ledger.close();
    let found = classes(data.path(), later(20_000));
    assert_eq!(found.len(), usize::try_from(AT_WORK * ROUNDS).unwrap());
    assert!(found.iter().all(|class| *class == Class::Match), "none has failed");
}

#[test]
fn a_full_disk_may_pass_and_a_broken_statement_does_not() {
    let (data, epoch) = (folder(), epoch("e1"));
    let mut connection = sqlite::open(&data.path().join("evidence.sqlite")).unwrap();
    let nameless =
        Batch::begin(&mut connection).unwrap().comparison(&comparison(&epoch, 1, Class::Match), None);
    assert!(!ledger::passes(&nameless.unwrap_err()), "no such epoch, however often it is tried");
    sqlite::take_up(&connection, &epoch, "{}", now()).unwrap();
    connection.pragma_update(None, "max_page_count", 1).unwrap();
    let mut batch = Batch::begin(&mut connection).unwrap();
    let full = (0..1000).find_map(|n| batch.comparison(&comparison(&epoch, n, Class::Match), None).err());
    assert!(ledger::passes(&full.unwrap()));
}

#[test]
fn another_version_is_refused_and_no_evidence_is_said() {
    let data = folder();
    assert!(matches!(Evidence::open(data.path(), now()), Err(ReadError::Missing(_))));
    drop(open(data.path()));
    let connection = Connection::open(data.path().join("evidence.sqlite")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(Evidence::open(data.path(), now()), Err(ReadError::Version(99))));
    assert!(matches!(
        Ledger::open(settings(data.path()), [0; 32], now),
        Err(LedgerError::Version { found: 99, .. })
    ));
}

#[test]
fn a_file_that_cannot_be_used_is_left_alone_and_said() {
    let data = folder();
    let ledger = Ledger::shut(settings(data.path()), "it is damaged".to_owned(), now);
    let epoch = epoch("e1");
    assert_eq!(ledger.resume(&epoch, "{}").unwrap_err().reason, "it is damaged");
    ledger.keep(comparison(&epoch, 1, Class::Match), None);
    assert!(!ledger.good().load(Ordering::Acquire) && !ledger.sync(LONG));
    ledger.close();
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0);
}

#[test]
fn what_was_held_for_a_moment_is_opened_when_it_is_free() {
    let data = folder();
    drop(open(data.path()));
    let holder = Connection::open(data.path().join("evidence.sqlite")).unwrap();
    holder.pragma_update(None, "locking_mode", "exclusive").unwrap();
    holder.execute_batch("BEGIN IMMEDIATE; DELETE FROM difference; COMMIT").unwrap();
    let error = Ledger::open(settings(data.path()), rand::random(), now).unwrap_err();
    assert!(error.may_pass(), "{error}");
    let ledger = Ledger::shut(settings(data.path()), error.to_string(), now);
    let epoch = epoch("e1");
    assert!(ledger.begin(rand::random()).is_err() && ledger.resume(&epoch, "{}").is_err());
    drop(holder);
    ledger.begin(rand::random()).unwrap();
    assert!(ledger.good().load(Ordering::Acquire));
    ledger.resume(&epoch, "{}").unwrap();
    ledger.keep(comparison(&epoch, 1, Class::Match), None);
    assert!(ledger.sync(LONG));
    assert_eq!(classes(data.path(), later(10)), [Class::Match]);
}
