//! The verdict against the figures that were worked out by hand.

use std::{sync::Arc, time::Duration};

use super::*;
use crate::parallel_run::{
    comparison::{Class, Skip},
    settings, testing,
};

const HOUR: i64 = 3600;

fn gate() -> settings::Gate {
    settings::Gate { max_failure_rate: 0.05, ..testing::bare_gate() }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_763_000_000 + seconds).unwrap()
}

/// A tally that is fed by the second.
struct Fed {
    tally: Tally,
    second: i64,
    subject: String,
    stratum: &'static str,
    candidate: Option<Duration>,
    costs: (f64, Option<f64>),
}

impl Fed {
    fn new(gate: &settings::Gate) -> Self {
        Self {
            tally: Tally::new(gate, Subjects::Configured),
            second: 0,
            subject: "s".to_owned(),
            stratum: "-",
            candidate: Some(Duration::from_millis(80)),
            costs: (0.0, Some(0.0)),
        }
    }

    fn add(&mut self, class: Class, times: u64) -> &mut Self {
        for _ in 0..times {
            self.second += 1;
            self.tally.observe(&Observation {
                at: at(self.second),
                class,
                stratum: self.stratum,
                subject: Some(&self.subject),
                control: Some(Duration::from_millis(100)),
                candidate: self.candidate,
                control_cost: self.costs.0,
                candidate_cost: self.costs.1,
                alarms: 0,
                times: 1,
            });
        }
        self
    }

    fn state(&self) -> State {
        self.verdict().state
    }

    fn verdict(&self) -> Verdict {
        self.tally.verdict(at(self.second))
    }

    fn gate(&self, id: &str) -> Gate {
        self.verdict().gates.into_iter().find(|gate| gate.id == id).unwrap()
    }
}

#[test]
fn a_route_walks_from_none_to_safe() {
    let mut fed = Fed::new(&settings::Gate { calibration: 20, ..gate() });
    assert_eq!(fed.state(), State::None);
    assert_eq!(fed.add(Class::Calibration, 19).state(), State::Calibrating);
    assert_eq!(fed.add(Class::Calibration, 1).state(), State::Collecting);
    assert_eq!(fed.add(Class::Match, 69).state(), State::Collecting);
    assert_eq!(fed.verdict().missing, ["1 more trial without a failure"]);
    assert_eq!(fed.add(Class::Match, 1).state(), State::Safe);
    let verdict = fed.verdict();
    assert_eq!(verdict.since, Some(at(90)));
    assert!(verdict.missing.is_empty() && verdict.reasons.is_empty());
    assert!(
        verdict.gates.iter().all(|gate| gate.state == GateState::Pass && gate.missing_if_waiting().is_none())
    );
}

impl Gate {
    fn missing_if_waiting(&self) -> Option<&str> {
        (self.state != GateState::Pass).then_some(self.missing.as_str())
    }
}

#[test]
fn safe_does_not_latch() {
    let mut fed = Fed::new(&gate());
    assert_eq!(fed.add(Class::Match, 70).state(), State::Safe);
    assert_eq!(fed.add(Class::Mismatch, 1).state(), State::Collecting);
    assert_eq!(fed.verdict().since, Some(at(71)));
}

#[test]
fn unsafe_latches_for_its_epoch() {
    let mut fed = Fed::new(&settings::Gate { max_failure_rate: 0.01, ..gate() });
    assert_eq!(fed.add(Class::CandidateFailed, 2).state(), State::Unsafe);
    assert_eq!(fed.add(Class::Match, 5_000).state(), State::Unsafe);
    let verdict = fed.verdict();
    assert!(verdict.log10_safe > 1.4, "E+ alone would say SAFE");
    assert_eq!(verdict.since, Some(at(2)));
    assert_eq!(
        verdict.reasons,
        ["failures: 2 of the first 2 trials failed, which is more than 1 % (95 % sure)"],
        "two of 5002 are not"
    );
    assert_eq!(fed.gate("failures").state, GateState::Fail);
}

#[test]
fn what_is_no_trial_proves_nothing_and_silence_is_counted() {
    let mut fed = Fed::new(&gate());
    fed.add(Class::ControlFailed, 100).add(Class::DuplicateSubject, 100);
    assert_eq!((fed.tally.counts().trials, fed.state()), (0, State::Collecting));
    fed.add(Class::Match, 90).add(Class::Skipped(Skip::Queue), 8).add(Class::Incomparable, 2);
    assert_eq!(fed.state(), State::Safe, "10 of 100 are within the limit");
    fed.add(Class::Skipped(Skip::Queue), 1);
    assert_eq!((fed.state(), fed.gate("skipped").state), (State::Collecting, GateState::Fail));
}

#[test]
fn the_worst_case_takes_what_was_not_compared_for_failures() {
    let mut fed = Fed::new(&settings::Gate { max_failure_rate: 0.01, ..gate() });
    let verdict = fed.add(Class::Match, 358).add(Class::Skipped(Skip::Lagged), 12).verdict();
    assert_eq!(verdict.state, State::Safe);
    assert!(verdict.upper_bound <= 0.01);
    assert!((verdict.worst_case - 0.042).abs() < 0.0005);
}

#[test]
fn evidence_goes_stale_after_fourteen_days_and_comes_back() {
    let mut fed = Fed::new(&gate());
    fed.add(Class::Match, 70);
    let fourteen_days = 14 * 24 * HOUR;
    assert_eq!(fed.tally.verdict(at(70 + fourteen_days - 1)).state, State::Safe);
    let stale = fed.tally.verdict(at(70 + fourteen_days + HOUR));
    assert_eq!((stale.state, stale.since), (State::Stale, Some(at(70 + fourteen_days))));
    fed.second += fourteen_days + HOUR;
    fed.add(Class::Match, 1);
    assert_eq!((fed.state(), fed.verdict().since), (State::Safe, Some(at(fed.second))));
    // Requests that no candidate was asked for say nothing of it, however many they are.
    let last = fed.second;
    fed.second += fourteen_days;
    for class in [Class::DuplicateSubject, Class::ControlFailed, Class::Skipped(Skip::Rate)] {
        fed.add(class, 1);
        assert_eq!(
            (fed.state(), fed.verdict().since),
            (State::Stale, Some(at(last + fourteen_days))),
            "{class:?}"
        );
    }
}

#[test]
fn what_was_sampled_for_fourteen_days_and_never_compared_is_stale() {
    for class in [Class::ControlFailed, Class::Skipped(Skip::Budget), Class::Incomparable] {
        let mut fed = Fed::new(&settings::Gate { calibration: 20, ..gate() });
        fed.add(class, 5);
        let stale = at(1 + 14 * 24 * HOUR);
        assert_ne!(fed.tally.verdict(at(14 * 24 * HOUR)).state, State::Stale, "{class:?}");
        let verdict = fed.tally.verdict(stale);
        assert_eq!((verdict.state, verdict.since), (State::Stale, Some(stale)), "{class:?}");
        fed.second += 14 * 24 * HOUR;
        assert_eq!(fed.add(class, 1).state(), State::Stale, "{class:?}");
        assert_ne!(fed.add(Class::Calibration, 1).state(), State::Stale, "{class:?}");
    }
}

/// While the disk is stuck more comes than waits for it: of that only the classes are known.
#[test]
fn what_was_counted_only_counts_and_says_nothing_of_times_strata_and_subjects() {
    let limits = settings::Gate {
        max_latency_ratio: Some(1.0),
        max_cost_ratio: Some(1.5),
        min_pairs_per_stratum: 30,
        per_subject: 1,
        max_failure_rate: 0.05,
        ..gate()
    };
    let mut fed = Fed::new(&limits);
    fed.costs = (0.04, Some(0.04));
    for subject in 0..100 {
        fed.subject = format!("s{subject}");
        fed.add(Class::Match, 1);
    }
    assert_eq!(fed.state(), State::Safe);
    let counted = |class| Observation {
        at: at(101),
        class,
        stratum: "",
        subject: None,
        control: None,
        candidate: None,
        control_cost: 0.0,
        candidate_cost: Some(0.0),
        alarms: 0,
        times: 1,
    };
    for _ in 0..100 {
        fed.tally.observe(&counted(Class::Match));
    }
    let counts = fed.tally.counts().clone();
    assert_eq!((counts.trials, counts.duplicate_subject, fed.tally.subjects_seen()), (200, 0, 100));
    assert_eq!((fed.state(), fed.verdict().strata.len()), (State::Safe, 1), "no answer of theirs was slow");
    let mut one_by_one = fed.tally.clone();
    for _ in 0..30 {
        one_by_one.observe(&counted(Class::CandidateFailed));
    }
    fed.tally.observe(&Observation { times: 30, ..counted(Class::CandidateFailed) });
    assert_eq!(fed.verdict(), one_by_one.verdict(at(fed.second)), "many at once are so many");
    assert_eq!((fed.tally.counts().failures, fed.state()), (30, State::Unsafe), "each failure counts");
}

#[test]
fn an_alarm_blocks_whatever_else_is_true() {
    let mut fed = Fed::new(&gate());
    fed.add(Class::Match, 70);
    fed.tally.observe(&Observation {
        at: at(71),
        class: Class::Match,
        stratum: "-",
        subject: None,
        control: None,
        candidate: None,
        control_cost: 0.0,
        candidate_cost: Some(0.0),
        alarms: 1,
        times: 1,
    });
    let verdict = fed.tally.verdict(at(71 + 30 * 24 * HOUR));
    assert_eq!(verdict.state, State::Blocked);
    assert_eq!(verdict.reasons, ["1 alarm that nobody has acknowledged"]);
}

#[test]
fn max_pairs_without_safe_is_inconclusive() {
    let mut fed = Fed::new(&settings::Gate { max_pairs: Some(72), ..gate() });
    fed.add(Class::Mismatch, 1).add(Class::Match, 70);
    assert_eq!(fed.state(), State::Collecting);
    assert_eq!(fed.add(Class::Match, 1).state(), State::Inconclusive);
    let mut good = Fed::new(&settings::Gate { max_pairs: Some(70), ..gate() });
    assert_eq!(good.add(Class::Match, 70).state(), State::Safe);
}

#[test]
fn subjects_are_told_apart_or_assumed_apart_in_so_many_words() {
    let asks = settings::Gate { min_subjects: 2, ..gate() };
    let mut fed = Fed::new(&asks);
    assert_eq!(fed.add(Class::Match, 70).state(), State::Collecting);
    assert_eq!(fed.verdict().missing, ["1 more subject"]);
    fed.subject = "another".to_owned();
    assert_eq!(fed.add(Class::Match, 1).state(), State::Safe);

    let mut nameless = Fed::new(&asks);
    nameless.tally = Tally::new(&asks, Subjects::AssumedIndependent);
    nameless.add(Class::Match, 500);
    assert_eq!((nameless.state(), nameless.gate("subjects").state), (State::Collecting, GateState::Fail));
    nameless.tally = Tally::new(&gate(), Subjects::AssumedIndependent);
    assert_eq!(nameless.add(Class::Match, 70).state(), State::Safe);
    assert!(nameless.gate("subjects").text.contains("pairs assumed independent"));
}

#[test]
fn each_stratum_with_a_share_of_the_traffic_needs_its_own_pairs() {
    let mut fed = Fed::new(&settings::Gate { min_pairs_per_stratum: 30, ..gate() });
    fed.stratum = "512x512/1/local";
    fed.add(Class::Match, 29);
    fed.stratum = "1024x1024/1/local";
    assert_eq!(fed.add(Class::Match, 100).state(), State::Collecting);
    assert_eq!(fed.verdict().missing, ["1 more trial of stratum 512x512/1/local"]);
    assert_eq!(fed.add(Class::Match, 2_800).state(), State::Safe, "29 of 2929 are less than one per cent");
}

#[test]
fn one_bad_stratum_is_unsafe_at_its_share_of_alpha() {
    let mut fed = Fed::new(&settings::Gate { max_failure_rate: 0.05, ..gate() });
    fed.add(Class::Match, 200);
    fed.stratum = "1024x1024/2/local";
    fed.add(Class::Mismatch, 3);
    let verdict = fed.verdict();
    assert_eq!(verdict.state, State::Unsafe);
    assert_eq!(
        verdict.reasons,
        ["stratum 1024x1024/2/local: 3 of 3 trials failed, which is more than 5 % (95 % sure)"]
    );
    assert_eq!(fed.gate("strata").state, GateState::Fail);
}

#[test]
fn what_is_kept_of_one_stratum_says_nothing_of_another() {
    let strata = ["1024x1024/1/shop:a", "1024x1024/1/shop:b"];
    let both_fail = |past: Past| {
        let mut fed = Fed::new(&gate());
        fed.tally = fed.tally.after(Arc::new(past));
        for stratum in strata.repeat(4) {
            fed.stratum = stratum;
            fed.add(Class::Mismatch, 1);
        }
        fed.tally
    };
    let fresh = both_fail(Past::default());
    let all = fresh.to_be_kept().unwrap();
    let of_strata: Vec<_> = strata.into_iter().map(|key| About::Stratum(key.to_owned())).collect();
    assert_eq!(
        all.reasons.iter().map(|reason| reason.about.clone()).collect::<Vec<_>>(),
        [vec![About::Failures], of_strata].concat()
    );
    let but_the_last = Proved { reasons: all.reasons[..2].to_vec(), ..all.clone() };
    let more = both_fail(Past { proved: Some(but_the_last), ..Past::default() });
    assert_eq!(more.to_be_kept(), Some(all.clone()));
    assert_eq!(both_fail(Past { proved: Some(all), ..Past::default() }).to_be_kept(), None);
}

#[test]
fn each_of_two_strata_answers_to_half_of_alpha_and_what_is_proved_of_it_stays() {
    let mut fed = Fed::new(&gate());
    fed.add(Class::Match, 200);
    fed.stratum = "1024x1024/2/local";
    fed.add(Class::Mismatch, 2);
    // E- of 2 of 2 is 30.6: more than 20, which one test needs, and less than 40, which each of two does.
    assert_eq!(fed.state(), State::Safe);
    assert_eq!(fed.add(Class::Mismatch, 1).state(), State::Unsafe);
    // Ten strata more, and a share below one per cent, take nothing back.
    for stratum in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] {
        fed.stratum = stratum;
        fed.add(Class::Match, 100);
    }
    assert_eq!(fed.verdict().strata.len(), 12);
    assert_eq!((fed.state(), fed.verdict().reasons.len()), (State::Unsafe, 1));
    fed.stratum = "1024x1024/2/local";
    fed.add(Class::Match, 500);
    assert_eq!(
        fed.verdict().reasons,
        ["stratum 1024x1024/2/local: 3 of the first 3 trials failed, which is more than 5 % (95 % sure)"]
    );
}

#[test]
fn safe_comes_first_where_each_rate_allows() {
    for (rate, first) in [(0.05, 70), (0.02, 178), (0.01, 358)] {
        let mut fed = Fed::new(&settings::Gate { max_failure_rate: rate, ..gate() });
        assert_eq!(fed.add(Class::Match, first - 1).state(), State::Collecting, "{rate}");
        assert!(fed.verdict().upper_bound > rate);
        assert_eq!(fed.add(Class::Match, 1).state(), State::Safe, "{rate}");
        assert!(fed.verdict().upper_bound <= rate);
    }
}

#[test]
fn a_used_up_budget_is_inconclusive_until_there_is_money_again() {
    let mut fed = Fed::new(&settings::Gate { max_skipped: 1.0, ..gate() });
    assert_eq!(fed.add(Class::Match, 60).state(), State::Collecting);
    assert_eq!(fed.add(Class::Skipped(Skip::Budget), 3).state(), State::Inconclusive);
    assert_eq!(fed.add(Class::Match, 1).state(), State::Collecting);
    assert_eq!(fed.add(Class::Match, 9).state(), State::Safe);
    assert_eq!(fed.add(Class::Skipped(Skip::Budget), 1).state(), State::Safe, "what is proved is proved");
}

#[test]
fn the_worst_that_is_true_is_said() {
    let limits = settings::Gate { max_failure_rate: 0.01, max_pairs: Some(2), ..gate() };
    let mut fed = Fed::new(&limits);
    fed.add(Class::Mismatch, 1);
    let long_after = at(30 * 24 * HOUR);
    assert_eq!(fed.add(Class::Match, 1).state(), State::Inconclusive);
    assert_eq!(fed.tally.verdict(long_after).state, State::Stale, "stale before inconclusive");
    fed.add(Class::Mismatch, 5);
    assert_eq!(fed.tally.verdict(long_after).state, State::Unsafe, "unsafe before stale");
    let seen = Observation {
        at: at(fed.second),
        class: Class::Mismatch,
        stratum: "-",
        subject: None,
        control: None,
        candidate: None,
        control_cost: 0.0,
        candidate_cost: Some(0.0),
        alarms: 1,
        times: 1,
    };
    fed.tally.observe(&seen);
    assert_eq!(fed.tally.verdict(long_after).state, State::Blocked, "blocked before all");
}

#[test]
fn days_between_the_first_and_the_last_trial_are_asked_for() {
    let mut fed = Fed::new(&settings::Gate { min_days: 2, ..gate() });
    assert_eq!(fed.add(Class::Match, 70).state(), State::Collecting);
    fed.second += 48 * HOUR;
    assert_eq!(fed.add(Class::Match, 1).state(), State::Safe);
}

#[test]
fn a_slow_candidate_is_not_safe_and_in_the_end_unsafe() {
    let limits = settings::Gate { max_latency_ratio: Some(1.0), ..gate() };
    let mut quick = Fed::new(&limits);
    assert_eq!(quick.add(Class::Match, 69).state(), State::Collecting);
    assert_eq!(quick.add(Class::Match, 1).state(), State::Safe, "59 control times are among the trials");
    let mut slow = Fed::new(&limits);
    slow.candidate = Some(Duration::from_millis(101));
    assert_eq!(slow.add(Class::Match, 58).state(), State::Collecting);
    assert_eq!(slow.gate("latency").missing, "1 more control time");
    assert_eq!(slow.add(Class::Match, 1).state(), State::Unsafe);
    assert!(
        slow.verdict().reasons[0].starts_with("latency: 59 of 59 candidate answers took longer than 100 ms")
    );
    slow.candidate = Some(Duration::from_millis(80));
    assert_eq!(slow.add(Class::Match, 5_000).state(), State::Unsafe);
    assert_eq!(
        slow.verdict().reasons,
        ["latency: 59 of the first 59 candidate answers took longer than 100 ms"]
    );
}

/// How fast it is and whether it is right are two questions.
#[test]
fn an_error_that_comes_in_time_is_not_slow_and_no_answer_is() {
    let limits = settings::Gate { max_latency_ratio: Some(1.0), max_failure_rate: 0.5, ..gate() };
    let mut fed = Fed::new(&limits);
    let slow = |fed: &Fed| fed.tally.latency.as_ref().and_then(latency::Latency::standing).map(|at| at.slow);
    fed.add(Class::Match, 60).add(Class::CandidateFailed, 10);
    assert_eq!(slow(&fed), Some(0));
    fed.candidate = None;
    fed.add(Class::CandidateFailed, 3);
    assert_eq!(slow(&fed), Some(3));
}

#[test]
fn a_candidate_that_costs_too_much_is_not_safe_and_in_the_end_unsafe() {
    let limits = settings::Gate { max_cost_ratio: Some(1.5), ..gate() };
    let mut cheap = Fed::new(&limits);
    cheap.costs = (0.04, Some(0.06));
    assert_eq!(cheap.add(Class::Match, 70).state(), State::Safe);
    let mut dear = Fed::new(&limits);
    dear.costs = (0.04, Some(0.07));
    assert_eq!(dear.add(Class::Match, 58).state(), State::Collecting);
    assert_eq!(dear.add(Class::Match, 1).state(), State::Unsafe, "59 trials are enough for a mean");
    assert_eq!(dear.verdict().reasons, ["cost: the candidate costs more than 1.5 times the control"]);
    dear.costs = (0.04, Some(0.0));
    assert_eq!(dear.add(Class::Match, 500).state(), State::Unsafe, "it latches");

    let mut unknown = Fed::new(&limits);
    unknown.costs = (0.0, Some(0.07));
    assert_eq!(unknown.add(Class::Match, 500).state(), State::Collecting);
    assert_eq!(unknown.verdict().missing, ["what the control costs; or `max_cost_ratio = \"off\"`"]);
    let mut priceless = Fed::new(&limits);
    priceless.costs = (0.04, Some(0.04));
    assert_eq!(priceless.add(Class::Match, 69).state(), State::Collecting);
    priceless.costs = (0.04, None);
    assert_eq!(priceless.add(Class::Match, 69).state(), State::Collecting);
    assert_eq!(priceless.verdict().missing, ["what the candidate costs; or `max_cost_ratio = \"off\"`"]);
    let mut free = Fed::new(&limits);
    assert_eq!(free.add(Class::Match, 70).state(), State::Safe, "what costs nothing is never too dear");
}

#[test]
fn states_are_ordered_worst_first() {
    let order = [
        State::Blocked,
        State::Unsafe,
        State::Stale,
        State::Inconclusive,
        State::Calibrating,
        State::Collecting,
        State::Safe,
        State::None,
    ];
    assert!(order.is_sorted());
}
