//! What goes into a lake comes out of it, once, whoever put it there and however often they were cut short.

use std::{fmt::Write, fs, path::Path};

use jiff::Timestamp;
use tempfile::TempDir;

use super::{Lake, Place, PlaceError, export::Exporter, import};
use crate::{
    evidence::{
        AlarmId, Evidence, Said, erase,
        read::Pair,
        said,
        sqlite::{self, Old},
        tests::{LONG, comparison, epoch, folder, later, now, open},
    },
    parallel_run::{
        archive::{Archive, EpochName, Progress},
        comparison::{Alarm, Class, Comparison, Difference, DifferenceKind, Severity, Skip},
    },
};

fn lake(folder: &Path) -> Lake {
    Lake::Folder(super::Folder::new(folder.to_owned()))
}

fn exporter(data: &Path, into: &Path) -> Exporter {
    Exporter::new(data, lake(into), now)
}

/// What a gateway has found of the control's noise.
const STATES: &str = "{\"shapes\":{},\"dynamic\":[]}";
/// And another, of the same control.
const OTHER_STATES: &str = "{\"shapes\":{\"/id\":\"uuid\"},\"dynamic\":[]}";

/// A data folder of a gateway's that has learned `states`, with these pairs of `epoch`.
fn gateway(epoch: &EpochName, states: &str, pairs: impl IntoIterator<Item = Comparison>) -> TempDir {
    let data = folder();
    let ledger = open(data.path());
    let resumed = ledger.resume(epoch, "{\"rules\":1}").unwrap();
    ledger.learned(epoch, Progress::Frozen(states.to_owned()));
    for pair in pairs {
        resumed.traffic.requests.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        ledger.keep(pair, None);
    }
    assert!(ledger.sync(LONG));
    ledger.close();
    data
}

fn mismatch(epoch: &EpochName, n: u32) -> Comparison {
    let difference = Difference {
        path: "/data/*/url".to_owned(),
        kind: DifferenceKind::Shape,
        control: Some("a\u{e3}".to_owned()),
        candidate: None,
        severity: Severity::Failure,
        rule: None,
    };
    Comparison {
        differences: vec![difference],
        alarms: vec![Alarm::Blank],
        ..comparison(epoch, n, Class::Mismatch)
    }
}

/// Everything that a report reads, as text.
fn told(data: &Path) -> String {
    let evidence = Evidence::open(data, later(100_000)).unwrap();
    let mut told = String::new();
    for epoch in evidence.current().unwrap() {
        let states = evidence.states(&epoch).unwrap();
        let shown = (&epoch.route, &epoch.id, epoch.number, epoch.started_at, states, epoch.requests);
        writeln!(told, "{shown:?}").unwrap();
        evidence.pairs(&epoch, |pair| writeln!(told, "{pair:?}").unwrap()).unwrap();
        writeln!(told, "{:?}", evidence.findings(&epoch, 10).unwrap()).unwrap();
    }
    told
}

#[tokio::test]
async fn what_one_gateway_exports_is_read_as_it_is_kept() {
    let (epoch, into, read) = (epoch("e1"), folder(), folder());
    let skipped = comparison(&epoch, 3, Class::Skipped(Skip::Queue));
    let labelled = comparison(&epoch, 1, Class::Match);
    let id = labelled.id;
    let data = gateway(&epoch, STATES, [labelled, mismatch(&epoch, 2), skipped]);
    let ana = Said { at: now(), who: "ana".to_owned(), text: "a good one".to_owned() };
    said::label(data.path(), id, Some(&ana)).unwrap();
    assert_eq!(exporter(data.path(), into.path()).carry().await.unwrap(), 3);
    assert_eq!(exporter(data.path(), into.path()).carry().await.unwrap(), 0, "nothing is carried twice");
    import::fetch(&lake(into.path()), "the lake", read.path()).await.unwrap();
    assert_eq!(told(read.path()), told(data.path()));
    assert!(told(read.path()).contains("Blank"));
    let label = Evidence::open(read.path(), later(9)).unwrap().comparison(id).unwrap().unwrap().line.label;
    assert_eq!(label, Some(ana));
}

#[tokio::test]
async fn gateways_of_one_epoch_are_one_body_of_evidence_whatever_each_has_learned() {
    let (epoch, into, read) = (epoch("e1"), folder(), folder());
    let one = gateway(&epoch, STATES, (0..5).map(|n| comparison(&epoch, n, Class::Match)));
    let other = gateway(&epoch, OTHER_STATES, (5..9).map(|n| mismatch(&epoch, n)));
    let (one, other) = (exporter(one.path(), into.path()), exporter(other.path(), into.path()));
    let (carried, more) = tokio::join!(one.carry(), other.carry());
    assert_eq!((carried.unwrap(), more.unwrap()), (5, 4));
    import::fetch(&lake(into.path()), "the lake", read.path()).await.unwrap();
    let evidence = Evidence::open(read.path(), later(100_000)).unwrap();
    let current = evidence.current().unwrap();
    let [epoch] = &current[..] else { panic!("{current:?}") };
    assert_eq!((epoch.requests, epoch.number), (9, 1));
    let mut classes = Vec::new();
    evidence.pairs(epoch, |pair| classes.push(pair.class)).unwrap();
    assert_eq!(classes.iter().filter(|class| **class == Class::Mismatch).count(), 4);
    assert_eq!(classes.len(), 9);
    assert_eq!(evidence.findings(epoch, 10).unwrap()[0].pairs, 4);
}

/// A lake has pairs that no gateway has any more, and what was said of their alarms.
#[tokio::test]
async fn what_has_gone_from_a_gateway_is_in_the_lake_as_it_was_left() {
    let (epoch, into, read) = (epoch("e1"), folder(), folder());
    let mut pairs = [mismatch(&epoch, 1), mismatch(&epoch, 2), comparison(&epoch, 3, Class::Match)];
    let [old, hers, _] = pairs.each_ref().map(|pair| pair.id);
    let data = gateway(&epoch, STATES, []);
    {
        let ledger = open(data.path());
        pairs[1].subject = Some(ledger.pseudonyms().subject(b"ana").to_string());
        for pair in pairs {
            ledger.keep(pair, None);
        }
        assert!(ledger.sync(LONG));
    }
    for comparison in [old, hers] {
        let seen = Said { at: now(), who: "bea".to_owned(), text: "seen it".to_owned() };
        said::acknowledge(data.path(), AlarmId { comparison, kind: Alarm::Blank }, &seen).unwrap();
    }
    assert_eq!(exporter(data.path(), into.path()).carry().await.unwrap(), 3);
    let mut file = sqlite::open(&data.path().join("evidence.sqlite")).unwrap();
    assert_eq!(sqlite::prune(&mut file, later(2), Old::Exported, 9).unwrap(), 1);
    assert_eq!(erase::erase(data.path(), b"ana", later(9)).unwrap().alarms, 0);
    assert_eq!(exporter(data.path(), into.path()).carry().await.unwrap(), 0);
    import::fetch(&lake(into.path()), "the lake", read.path()).await.unwrap();
    let evidence = Evidence::open(read.path(), later(9)).unwrap();
    let (mut alarms, mut failures) = (Vec::new(), 0);
    let visit = |pair: &Pair<'_>| {
        failures += u64::from(pair.class == Class::Mismatch);
        alarms.extend(pair.alarms.iter().map(|alarm| alarm.acknowledged.clone().unwrap().reason));
    };
    evidence.pairs(&evidence.current().unwrap()[0], visit).unwrap();
    assert_eq!((failures, alarms), (2, vec!["seen it".to_owned(), "(erased)".to_owned()]));
}

#[tokio::test]
async fn a_batch_that_was_cut_short_is_written_again_over_itself() {
    let (epoch, into, read) = (epoch("e1"), folder(), folder());
    let data = gateway(&epoch, STATES, [comparison(&epoch, 1, Class::Match), mismatch(&epoch, 2)]);
    // Its second file meets a folder where the file belongs.
    let day = Timestamp::from_second(1_800_000_000).unwrap().strftime("%F").to_string();
    let difference = into.path().join("difference");
    fs::write(&difference, "in the way").unwrap();
    let failed = exporter(data.path(), into.path()).carry().await.unwrap_err();
    assert!(failed.to_string().contains("difference"), "{failed}");
    fs::remove_file(&difference).unwrap();
    assert_eq!(exporter(data.path(), into.path()).carry().await.unwrap(), 2);
    let partition = into.path().join(format!("comparison/dt={day}/route=images"));
    assert_eq!(fs::read_dir(partition).unwrap().count(), 1, "one file, not two");
    import::fetch(&lake(into.path()), "the lake", read.path()).await.unwrap();
    assert_eq!(told(read.path()), told(data.path()));
}

#[tokio::test]
async fn a_lake_that_holds_nothing_or_nonsense_says_so() {
    let (into, read) = (folder(), folder());
    let nothing = import::fetch(&lake(into.path()), "/srv/lake", read.path()).await.unwrap_err();
    assert_eq!(
        nothing.to_string(),
        "/srv/lake holds no evidence: a gateway writes there what [parallel_run] export names"
    );
    fs::create_dir(into.path().join("epoch")).unwrap();
    fs::write(into.path().join("epoch/x.parquet"), "PAR1 it is not").unwrap();
    let nonsense = import::fetch(&lake(into.path()), "/srv/lake", folder().path()).await.unwrap_err();
    assert!(
        nonsense.to_string().starts_with("epoch/x.parquet: not Parquet as figueira writes it"),
        "{nonsense}"
    );
}

#[test]
fn places_are_folders_or_named_for_what_they_are_not() {
    assert_eq!(Place::parse("lake").unwrap(), Place::Folder("lake".into()));
    assert_eq!(Place::parse(""), Err(PlaceError::Empty));
    assert_eq!(
        Place::parse("ftp://x/y").unwrap_err().to_string(),
        "ftp:// is no place for evidence; write a folder or s3://bucket/prefix"
    );
    let bucket = |text: &str| Place::parse(text).map(|place| place.to_string());
    assert_eq!(bucket("s3://evidence/fleet/one/").unwrap(), "s3://evidence/fleet/one/");
    assert_eq!(bucket("s3://evidence").unwrap(), "s3://evidence/");
    for nothing in ["s3://", "s3:///x", "s3://evidence/a b", "s3://evidence?x"] {
        assert_eq!(bucket(nothing), Err(PlaceError::Bucket), "{nothing}");
    }
}
