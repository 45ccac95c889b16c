//! Whole pairs beside their records: without secrets, a few of many, and gone with the person whose they are.

use super::*;
use crate::{
    evidence::erase::{Erased, erase},
    parallel_run::comparison::words::Word as _,
};

#[test]
fn whole_pairs_are_kept_without_their_secrets() {
    let (data, epoch) = (folder(), epoch("e1"));
    let ledger = open(data.path());
    ledger.resume(&epoch, "{}").unwrap();
    let failed = comparison(&epoch, 1, Class::CandidateFailed);
    ledger.keep(failed.clone(), Some(sample(failed.id)));
    ledger.keep(comparison(&epoch, 2, Class::Skipped(Skip::Budget)), Some(sample(failed.id)));
    assert!(ledger.sync(LONG));
    let pair = data.path().join("samples/images").join(format!("{}-failure", failed.id));
    let read = |name: &str| fs::read_to_string(pair.join(name)).unwrap();
    assert_eq!(read("request.head"), "POST /api/images HTTP/1.1\ncookie: (redacted)\n");
    assert_eq!(read("request.body"), "{\"prompt\":\"a fig\"}");
    assert_eq!(
        (read("control.head").as_str(), read("control.image-0").as_str()),
        ("200\ncookie: (redacted)\n", "pixels")
    );
    assert!(!pair.join("candidate.body").exists());

    let leaking = comparison(&epoch, 3, Class::Mismatch);
    let mut told = sample(leaking.id);
    let session = "0123456789abcdef0123";
    told.request.headers.insert(COOKIE, format!("session={session}").parse().unwrap());
    told.request.target = format!("/api/images?s={session}").parse().unwrap();
    told.request.body = Bytes::from(format!("{{\"s\":\"{session}\"}}"));
    told.control.headers.insert("location", format!("/?s={session}").parse().unwrap());
    told.control.body = Bytes::from_static(b"{\"key\":\"sk-aaaaaaaaaaaaaaaaaaaaaaaa\"}");
    ledger.keep(leaking.clone(), Some(told));
    assert!(ledger.sync(LONG));
    let pair = data.path().join("samples/images").join(format!("{}-failure", leaking.id));
    let read = |name: &str| fs::read_to_string(pair.join(name)).unwrap();
    assert_eq!(read("request.head"), "POST /api/images?s=(redacted) HTTP/1.1\ncookie: (redacted)\n");
    assert_eq!(read("control.head"), "200\ncookie: (redacted)\nlocation: /?s=(redacted)\n");
    assert_eq!(
        (read("request.body").as_str(), read("control.body").as_str()),
        ("{\"s\":\"(redacted)\"}", "{\"key\":\"(redacted)\"}")
    );
    fs::remove_dir_all(pair).unwrap();
    assert_eq!(fs::read_dir(data.path().join("samples/images")).unwrap().count(), 1);

    let stored = Evidence::open(data.path(), later(9)).unwrap().stored("images", failed.id).unwrap().unwrap();
    let kept = sample(failed.id);
    let asked = kept.request.asked();
    assert_eq!((stored.request.method, stored.request.target), (kept.request.method, kept.request.target));
    assert_eq!(
        (&stored.request.body, stored.request.headers.len()),
        (&kept.request.body, 0),
        "the secret is gone"
    );
    assert_eq!(stored.control, Answer { headers: HeaderMap::new(), asked, ..kept.control });
    assert!(stored.candidate.is_none());
    assert!(Evidence::open(data.path(), later(9)).unwrap().stored("images", Uuid::nil()).unwrap().is_none());
}

#[test]
fn of_many_matches_a_few_stay_and_not_the_first() {
    let (data, epoch) = (folder(), epoch("e1"));
    let names = || {
        let mut names: Vec<String> = fs::read_dir(data.path().join("samples/images"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let keep = |range: std::ops::Range<u32>| {
        let ledger = open(data.path());
        ledger.resume(&epoch, "{}").unwrap();
        for n in range {
            let matched = comparison(&epoch, n, Class::Match);
            ledger.keep(matched.clone(), Some(sample(matched.id)));
        }
    };
    keep(0..60);
    let first = names();
    assert_eq!(first.len(), 20);
    // A restart counts what is there.
    keep(60..120);
    assert_eq!(names().len(), 20);
    assert_ne!(names(), first);
}

#[test]
fn of_many_failures_the_first_stay_until_they_are_old() {
    let (data, epoch) = (folder(), epoch("e1"));
    let ledger = open(data.path());
    ledger.resume(&epoch, "{}").unwrap();
    let keep = |n: u32| {
        let failed = comparison(&epoch, n, Class::Mismatch);
        ledger.keep(failed.clone(), Some(sample(failed.id)));
        assert!(ledger.sync(LONG));
        failed.id
    };
    let kept: Vec<Uuid> = (0..200).map(keep).collect();
    let is_kept = |id: &Uuid| data.path().join(format!("samples/images/{id}-failure")).exists();
    assert!(!is_kept(&keep(1_000)), "a crowd of failures is one");
    let (first, second) = (keep(3_601), keep(3_602));
    assert!(is_kept(&first) && is_kept(&second), "of another day, and of another candidate, maybe");
    assert_eq!(kept.iter().filter(|id| !is_kept(id)).collect::<Vec<_>>(), [&kept[0], &kept[1]]);
}

/// Whether a file of the evidence holds these bytes, be they free to be written over.
fn is_anywhere(data: &std::path::Path, what: &[u8]) -> bool {
    let files = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.is_file()).any(|file| {
        let bytes = std::fs::read(file).unwrap();
        bytes.windows(what.len()).any(|bytes| bytes == what)
    })
}

#[test]
fn a_person_is_forgotten_and_nobody_else() {
    let (data, epoch) = (folder(), epoch("e1"));
    let ledger = open(data.path());
    ledger.resume(&epoch, "{}").unwrap();
    let ana = ledger.pseudonyms().subject(b"ana").to_string();
    let difference = Difference {
        path: "/msg".to_owned(),
        kind: DifferenceKind::Shape,
        control: Some("ana's".to_owned()),
        candidate: None,
        severity: Severity::Failure,
        rule: None,
    };
    let hers = Comparison {
        subject: Some(ana),
        differences: vec![difference],
        ..comparison(&epoch, 1, Class::Mismatch)
    };
    let others = comparison(&epoch, 2, Class::Match);
    let (of_hers, of_others) =
        (format!("samples/images/{}-failure", hers.id), format!("samples/images/{}-match", others.id));
    for sample in [&of_hers, &of_others] {
        std::fs::create_dir_all(data.path().join(sample)).unwrap();
    }
    ledger.keep(hers, None);
    ledger.keep(others, None);
    assert!(ledger.sync(LONG));
    assert!(is_anywhere(data.path(), b"ana's"));
    let forget = |data: &std::path::Path| erase(data, b"ana", later(10)).unwrap().pairs;
    assert_eq!(forget(data.path()), 1);
    assert!(!is_anywhere(data.path(), b"ana's"), "neither in a free page nor in the journal");
    assert_eq!(forget(data.path()), 0);
    assert!(!data.path().join(&of_hers).exists() && data.path().join(&of_others).exists());
    assert_eq!(
        classes(data.path(), later(10)),
        [Class::Match, Class::Mismatch],
        "that there was one is counted"
    );
    assert_eq!(forget(&data.path().join("nothing")), 0);
}

/// Who was failed by a candidate has the better reason to ask for it.
#[test]
fn what_came_of_an_erased_persons_pairs_stays_counted_and_proves_no_more_than_before() {
    let (data, epoch) = (folder(), epoch("e1"));
    let ledger = open(data.path());
    ledger.resume(&epoch, "{}").unwrap();
    let ana = ledger.pseudonyms().subject(b"ana").to_string();
    let hers = |n, class| Comparison { subject: Some(ana.clone()), ..comparison(&epoch, n, class) };
    for n in 0..40 {
        ledger.keep(comparison(&epoch, n, Class::Match), None);
    }
    ledger.keep(Comparison { alarms: vec![Alarm::Blank], ..hers(40, Class::Mismatch) }, None);
    ledger.keep(hers(41, Class::CandidateFailed), None);
    ledger.keep(hers(42, Class::DuplicateSubject), None);
    ledger.keep(Comparison { direction: Direction::Replay, ..hers(43, Class::Mismatch) }, None);
    // Still at work: it counts once, as what it ends as.
    ledger.dispatched(hers(44, Class::CandidateFailed), later(600));
    assert!(ledger.sync(LONG));
    let before = classes(data.path(), later(50));
    assert_eq!(erase(data.path(), b"ana", later(50)).unwrap(), Erased { pairs: 5, alarms: 1 });
    let sorted = |mut classes: Vec<Class>| {
        classes.sort_by_key(|class| class.word());
        classes
    };
    let after = classes(data.path(), later(50));
    assert_eq!(sorted(after.clone()), sorted(before));
    assert!(after[..40].iter().all(|class| *class == Class::Match), "those that are kept come first");
    ledger.keep(hers(44, Class::Match), None);
    assert!(ledger.sync(LONG));
    assert_eq!(classes(data.path(), later(700)).len(), after.len() + 1);
}
