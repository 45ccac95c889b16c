//! Read in chunks on one thread and counted on another, a report says the same as what stands in the file.

use proptest::prelude::*;

use super::*;
use crate::{
    evidence::{AlarmId, Said, read::pairs::Ask, said},
    parallel_run::{
        settings::Gate,
        testing,
        verdict::{Observation, Subjects, Tally},
    },
};

/// One comparison of some epoch, by small numbers.
fn any_comparison(epoch: &EpochName, n: u32, draw: u32) -> (Comparison, Option<Timestamp>) {
    const CLASSES: [Class; 8] = [
        Class::Match,
        Class::Match,
        Class::Match,
        Class::Mismatch,
        Class::Expected,
        Class::ControlFailed,
        Class::Calibration,
        Class::Skipped(Skip::Queue),
    ];
    let of = |shift: u32, most: u32| (draw >> shift) % most;
    let place = usize::try_from(of(0, 8)).unwrap();
    let subject = (of(3, 5) > 0).then(|| format!("{:032x}", of(3, 5) * of(6, 64)));
    let comparison = Comparison {
        class: CLASSES[place],
        subject,
        stratum: format!("{}x64/1/local", of(12, 3)),
        gateway: format!("gateway-{}", of(14, 3)).into(),
        direction: match of(16, 9) {
            0 => Direction::Replay,
            1 => Direction::Reverse,
            _ => Direction::Shadow,
        },
        candidate: (of(20, 4) > 0).then(|| ArmRecord {
            total: (of(20, 4) > 1).then(|| Duration::from_micros(of(22, 500).into())),
            ..arm(Outcome::Ok)
        }),
        alarms: if of(24, 40) == 0 { vec![Alarm::Blank] } else { Vec::new() },
        ..comparison(epoch, n, Class::Match)
    };
    // Announced, and due in this epoch's life or after it.
    let due = (of(27, 12) == 0).then(|| later(if of(25, 2) == 0 { 0 } else { 1_000_000 }));
    (comparison, due)
}

/// What two other gateways of the fleet count of the same epoch, and of one that nobody here has taken up.
fn elsewhere(connection: &Connection) {
    connection
        .execute_batch(
            "INSERT INTO requests_elsewhere SELECT id, 'a', 30 FROM epoch;
             INSERT INTO requests_elsewhere SELECT id, 'b', 10 FROM epoch;
             INSERT INTO unrecorded_elsewhere SELECT id, 'a', 'skipped-queue', 7 FROM epoch;
             INSERT INTO unrecorded_elsewhere SELECT id, 'b', 'mismatch', 2 FROM epoch;
             INSERT INTO epoch (route, name, number, basis, started_at, active_at)
               VALUES ('images', 'theirs', 2, '{}', 0, 0);
             INSERT INTO unrecorded_elsewhere SELECT id, 'a', 'mismatch', 99 FROM epoch WHERE name = 'theirs';",
        )
        .unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn what_is_scanned_is_what_is_listed(draws in proptest::collection::vec(any::<u32>(), 1..1_700), old in 0usize..40) {
        let (data, epoch) = (folder(), epoch("e1"));
        drop(open(data.path()));
        let mut connection = sqlite::open(&data.path().join("evidence.sqlite")).unwrap();
        sqlite::take_up(&connection, &epoch, "{}", now()).unwrap();
        let mut batch = Batch::begin(&mut connection).unwrap();
        let mut alarms = Vec::new();
        for (n, draw) in (0..).zip(&draws) {
            let (comparison, due) = any_comparison(&epoch, n, *draw);
            batch.comparison(&comparison, due).unwrap();
            alarms.extend(comparison.alarms.first().filter(|_| comparison.direction.counts()).map(|_| comparison.id));
        }
        batch.unrecorded(&epoch, Class::Skipped(Skip::Queue), 12_345).unwrap();
        batch.unrecorded(&epoch, Class::Mismatch, 3).unwrap();
        batch.commit().unwrap();
        elsewhere(&connection);
        for comparison in alarms.iter().step_by(2) {
            let alarm = AlarmId { comparison: *comparison, kind: Alarm::Blank };
            let seen = Said { text: "seen".to_owned(), at: now(), who: "ana".to_owned() };
            said::acknowledge(data.path(), alarm, &seen).unwrap();
        }
        sqlite::prune(&mut connection, later(i64::try_from(old).unwrap()), Old::All, 1_000).unwrap();

        let time = later(10_000);
        let evidence = Evidence::open(data.path(), time).unwrap();
        let current = evidence.current().unwrap().remove(0);
        let gate = Gate { per_subject: 2, max_latency_ratio: Some(1.2), ..testing::bare_gate() };
        let (mut quick, mut plain) =
            (Tally::new(&gate, Subjects::Configured), Tally::new(&gate, Subjects::Configured));
        let mut scanned = Vec::new();
        evidence.pairs(&current, |pair| {
            scanned.push(format!(
                "{} {} {:?} {} {:?} {:?} {:?} {} {}",
                pair.id, pair.at, pair.class, pair.stratum, pair.subject, pair.control, pair.candidate, pair.gateway,
                pair.alarms.iter().filter(|alarm| alarm.acknowledged.is_none()).count(),
            ));
            quick.observe(&Observation {
                at: pair.at,
                class: pair.class,
                stratum: pair.stratum,
                subject: pair.subject,
                control: pair.control,
                candidate: pair.candidate,
                control_cost: pair.control_cost_usd,
                candidate_cost: pair.candidate_cost_usd,
                alarms: pair.alarms.iter().filter(|alarm| alarm.acknowledged.is_none()).count(),
                times: pair.times,
            });
        }).unwrap();

        // The same by another way: newest first, page by page, as people see it.
        let mut listed = evidence.comparisons(&Ask { limit: usize::MAX, ..Ask::default() }).unwrap();
        listed.reverse();
        let mut lines = Vec::new();
        for line in listed.iter().filter(|line| line.direction.counts()) {
            let whole = evidence.comparison(line.id).unwrap().unwrap();
            let open = whole.alarms.iter().filter(|alarm| alarm.acknowledged.is_none()).count();
            let candidate = line.candidate.as_ref();
            lines.push(format!(
                "{} {} {:?} {} {:?} {:?} {:?} {} {open}",
                line.id, line.at, line.class, line.stratum, line.subject.as_deref(), line.control.total,
                candidate.and_then(|arm| arm.total), line.gateway,
            ));
            plain.observe(&Observation {
                at: line.at,
                class: line.class,
                stratum: &line.stratum,
                subject: line.subject.as_deref(),
                control: line.control.total,
                candidate: candidate.and_then(|arm| arm.total),
                control_cost: line.control.cost_usd.unwrap_or_default(),
                candidate_cost: candidate.and_then(|arm| arm.cost_usd),
                alarms: open,
                times: 1,
            });
        }
        prop_assert_eq!(&scanned[..lines.len()], &lines[..]);
        prop_assert_eq!(current.requests, 40, "of both other gateways");
        let last = listed.iter().rfind(|line| line.direction.counts()).map_or(current.started_at, |line| line.at);
        let only_counted = |class| Observation {
            at: last, class, stratum: "", subject: None, control: None, candidate: None, control_cost: 0.0,
            candidate_cost: None, alarms: 0, times: 1,
        };
        (0..5).for_each(|_| _ = plain.observe(&only_counted(Class::Mismatch)));
        (0..12_352).for_each(|_| _ = plain.observe(&only_counted(Class::Skipped(Skip::Queue))));
        prop_assert_eq!(scanned.len() - lines.len(), 2, "five failures, and those that were skipped");
        prop_assert_eq!(quick.counts(), plain.counts());
        prop_assert_eq!(quick.verdict(time), plain.verdict(time));
    }
}
