//! Whatever is written, in whatever order, and however often it is looked at: what follows the evidence says what all of
//! it says.

use std::path::Path;

use jiff::SignedDuration;
use proptest::prelude::*;
use rusqlite::Connection;

use super::*;
use crate::{
    evidence::{
        AlarmId, Said, erase, past, said,
        sqlite::{self, Batch, Old},
    },
    parallel_run::{
        archive::EpochName,
        comparison::{Alarm, Class, Comparison, Direction, Skip},
        sample::Pseudonyms,
        settings::Gate,
    },
    report::{
        assess::tests::{a_plan, a_route},
        collect::observation,
        tests::{at, pair},
    },
};

const KEY: [u8; 32] = [3; 32];

/// What may happen to the evidence, each by small numbers.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The `n`th request is sampled and ends, or is announced only: then it ends in a later one of the same number.
    Pair { n: u8, draw: u16 },
    /// Many, in order.
    Burst { n: u8, class: u8 },
    /// Somebody has looked at the alarm of the `n`th.
    Acknowledge { n: u8 },
    /// All of a subject's are erased.
    Erase { subject: u8 },
    /// The oldest are too old.
    Prune { most: u8 },
    /// So many were counted only, here or elsewhere.
    Count { class: u8, times: u8 },
    /// Another gateway of the fleet tells of one.
    Hear { n: u8, draw: u16 },
    /// An announced one is revoked.
    Revoke { n: u8 },
    /// What the answers depend on changes, or changes back.
    Epoch { which: bool },
    /// A rule of the gate changes.
    Gate { per_subject: u8 },
    /// A person releases the brake.
    Release,
    /// Time goes by.
    Later { hours: u8 },
}

fn any_event() -> impl Strategy<Value = Event> {
    let n = || 0u8..60;
    prop_oneof![
        12 => (n(), any::<u16>()).prop_map(|(n, draw)| Event::Pair { n, draw }),
        3 => (n(), 0u8..8).prop_map(|(n, class)| Event::Burst { n, class }),
        3 => n().prop_map(|n| Event::Acknowledge { n }),
        1 => (0u8..9).prop_map(|subject| Event::Erase { subject }),
        1 => (0u8..9).prop_map(|most| Event::Prune { most }),
        2 => (0u8..8, 1u8..40).prop_map(|(class, times)| Event::Count { class, times }),
        3 => (n(), any::<u16>()).prop_map(|(n, draw)| Event::Hear { n, draw }),
        1 => n().prop_map(|n| Event::Revoke { n }),
        1 => any::<bool>().prop_map(|which| Event::Epoch { which }),
        1 => (1u8..4).prop_map(|per_subject| Event::Gate { per_subject }),
        1 => Just(Event::Release),
        2 => (0u8..100).prop_map(|hours| Event::Later { hours }),
    ]
}

/// One site, and who looks at it.
struct Site {
    folder: tempfile::TempDir,
    file: Connection,
    name: EpochName,
    route: Route,
    plan: Plan,
    released: Option<Timestamp>,
    now: Timestamp,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = sqlite::open(&folder.path().join("evidence.sqlite")).unwrap();
        sqlite::key(&file, KEY).unwrap();
        let name = EpochName { route: "images".into(), id: "e1".into() };
        let plan = a_plan(0);
        sqlite::take_up(&file, &name, &plan.basis(None), at(0)).unwrap();
        let gate = Gate {
            max_failure_rate: 0.2,
            calibration: 3,
            min_subjects: 0,
            min_pairs_per_stratum: 2,
            max_cost_ratio: Some(2.0),
            ..plan.gate
        };
        let plan = Plan { gate, ..plan };
        Self { folder, file, name, route: a_route("images"), plan, released: None, now: at(3_600) }
    }

    fn data(&self) -> &Path {
        self.folder.path()
    }

    fn class(n: u8) -> Class {
        const CLASSES: [Class; 8] = [
            Class::Match,
            Class::Match,
            Class::Expected,
            Class::Mismatch,
            Class::CandidateFailed,
            Class::Calibration,
            Class::ControlFailed,
            Class::Skipped(Skip::Queue),
        ];
        CLASSES[usize::from(n) % CLASSES.len()]
    }

    fn comparison(&self, n: u64, draw: u16) -> Comparison {
        let of = |shift: u16, most: u16| (draw >> shift) % most;
        let subject = Pseudonyms::new(KEY).subject(&of(3, 9).to_be_bytes()).to_string();
        let mut pair = pair(n, &self.name, Self::class(u8::try_from(of(0, 8)).unwrap()));
        pair.control.cost_usd = Some(0.1);
        if let Some(candidate) = &mut pair.candidate {
            candidate.cost_usd = Some(f64::from(of(7, 4)) / 10.0);
        }
        Comparison {
            subject: (of(3, 9) > 0).then_some(subject),
            stratum: format!("{}x64/1/local", of(9, 3)),
            direction: if of(11, 11) == 0 { Direction::Replay } else { Direction::Shadow },
            alarms: if of(12, 5) == 0 { vec![Alarm::Blank] } else { vec![] },
            ..pair
        }
    }

    fn write(&mut self, pairs: &[(Comparison, Option<Timestamp>)]) {
        let mut batch = Batch::begin(&mut self.file).unwrap();
        for (pair, due) in pairs {
            batch.comparison(pair, *due).unwrap();
        }
        batch.commit().unwrap();
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Pair { n, draw } => {
                let due = match draw >> 13 {
                    0 => Some(self.now + SignedDuration::from_hours(1)),
                    1 => Some(self.now - SignedDuration::from_secs(1)),
                    _ => None,
                };
                let pair = self.comparison(n.into(), draw);
                self.write(&[(pair, due)]);
            }
            Event::Burst { n, class } => {
                let drawn = |i: u16| i << 3 | u16::from(class) | 1 << 11 | 1 << 12;
                let one = |i: u16| (self.comparison(100 + u64::from(n) * 40 + u64::from(i), drawn(i)), None);
                let pairs: Vec<_> = (0..40).map(one).collect();
                self.write(&pairs);
            }
            Event::Acknowledge { n } => {
                let alarm = AlarmId { comparison: self.comparison(n.into(), 0).id, kind: Alarm::Blank };
                let said = Said { at: self.now, who: "ana".into(), text: "seen".into() };
                // There may be none.
                drop(said::acknowledge(self.data(), alarm, &said));
            }
            Event::Erase { subject } => {
                erase::erase(self.data(), &u16::from(subject).to_be_bytes(), self.now).unwrap();
            }
            Event::Prune { most } => {
                let before = self.standing();
                if let Some((epoch, proved)) = &before.proved {
                    past::keep(self.data(), epoch, proved).unwrap();
                    assert_eq!(self.standing(), Standing { proved: None, ..before.clone() });
                }
                sqlite::prune(&mut self.file, at(40), Old::All, most.into()).unwrap();
                let is_unsafe = |standing: &Standing| !standing.charges.is_empty();
                assert!(self.released.is_some() || !is_unsafe(&before) || is_unsafe(&self.standing()));
            }
            Event::Count { class, times } if class.is_multiple_of(2) => {
                let mut batch = Batch::begin(&mut self.file).unwrap();
                batch.unrecorded(&self.name, Self::class(class), times.into()).unwrap();
                batch.commit().unwrap();
            }
            Event::Count { class, times } => {
                let sql = "INSERT OR REPLACE INTO unrecorded_elsewhere SELECT id, 'b', ?1, ?2 FROM epoch";
                let word = crate::parallel_run::comparison::words::Word::word(Self::class(class));
                self.file.execute(sql, (word, times)).unwrap();
            }
            Event::Hear { n, draw } => {
                let pair = self.comparison(n.into(), draw);
                self.write(&[(Comparison { gateway: "edge-2".into(), ..pair }, None)]);
                // Told once more, it is changed where it stands.
                let sql = "UPDATE comparison SET class = 'mismatch' WHERE gateway = 'edge-2' AND id = ?1";
                self.file.execute(sql, [self.comparison(n.into(), 0).id.as_bytes()]).unwrap();
            }
            Event::Revoke { n } => {
                let id = self.comparison(n.into(), 0).id;
                let mut batch = Batch::begin(&mut self.file).unwrap();
                batch.revoke(&[id]).unwrap();
                batch.commit().unwrap();
            }
            Event::Epoch { which } => {
                self.name.id = if which { "e1" } else { "e2" }.into();
                self.now += SignedDuration::from_secs(1);
                let basis = self.plan.basis(which.then_some("candidate 2"));
                sqlite::take_up(&self.file, &self.name, &basis, self.now).unwrap();
            }
            Event::Gate { per_subject } => self.plan.gate.per_subject = per_subject.into(),
            Event::Release => self.released = Some(at(30)),
            Event::Later { hours } => self.now += SignedDuration::from_hours(hours.into()),
        }
    }

    /// Where it stands, for who looks once.
    fn standing(&self) -> Standing {
        self.look(&Evidence::open(self.data(), self.now).unwrap(), &mut Standings::default())
    }

    fn look(&self, evidence: &Evidence, standings: &mut Standings) -> Standing {
        let routes = [(&self.route, &self.plan)];
        standings.look(Some(evidence), routes, |_| self.released, self.now).unwrap().remove(0)
    }

    /// All that is said of the evidence: by who follows it, and by who reads all of it.
    fn compare(&self, evidence: &mut Evidence, standings: &mut Standings) {
        evidence.look_again(self.now).unwrap();
        let standing = self.look(evidence, standings);
        evidence.look_away().unwrap();
        assert_eq!(standing, self.standing());
        let all = Evidence::open(self.data(), self.now).unwrap();
        let trail = &standings.routes["images"].trail;
        let epoch = all.epoch_of("images", &self.plan).unwrap().unwrap();
        let mut tally = tally(&self.route, &self.plan, all.past(&epoch).unwrap());
        all.pairs(&epoch, |pair| _ = tally.observe(&observation(pair))).unwrap();
        assert_eq!(trail.all().counts(), tally.counts());
        assert_eq!(trail.all().verdict(self.now), tally.verdict(self.now));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn who_follows_the_evidence_knows_all_of_it(
        batches in proptest::collection::vec(proptest::collection::vec(any_event(), 0..6), 1..25),
    ) {
        let mut site = Site::new();
        let mut evidence = Evidence::open(site.data(), site.now).unwrap();
        let mut standings = Standings::default();
        for batch in batches {
            for event in batch {
                site.happens(event);
            }
            site.compare(&mut evidence, &mut standings);
        }
    }
}

/// What nobody has written since is not read again, however much there is.
#[test]
fn a_look_reads_what_is_new() {
    let mut site = Site::new();
    let mut evidence = Evidence::open(site.data(), site.now).unwrap();
    let mut standings = Standings::default();
    let pairs = |from: u64, to: u64, site: &Site| -> Vec<_> {
        (from..to).map(|n| (site.comparison(n, 1 << 11 | 1 << 12), None)).collect()
    };
    site.write(&pairs(0, 9_000, &site));
    site.compare(&mut evidence, &mut standings);
    assert!(!evidence.has_news().unwrap());

    site.write(&pairs(9_000, 9_010, &site));
    assert!(evidence.has_news().unwrap());
    evidence.look_again(site.now).unwrap();
    let (changes, _) = evidence.changes(standings.bookmark).unwrap();
    let epoch = evidence.current().unwrap().remove(0);
    let first = changes.first_of(&epoch).unwrap();
    assert_eq!(first, site.comparison(9_000, 0).id);
    let after = standings.routes.get_mut("images").unwrap().trail.back_before(first);
    let mut read = 0;
    evidence.pairs_after(&epoch, after, |_| read += 1).unwrap();
    assert_eq!(read, 10);
}
