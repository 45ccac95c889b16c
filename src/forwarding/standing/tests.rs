//! Time is a number of milliseconds here.

use proptest::prelude::*;

use super::*;

const REST: Duration = Duration::from_secs(10);

fn ejecting(consecutive_errors: u32) -> (Standing, Instant) {
    let now = Instant::now();
    (Standing::new(Some(Eject { consecutive_errors, rest: REST }), None, now), now)
}

fn checked(fall: u32, rise: u32) -> (Standing, Instant) {
    let (now, path) = (Instant::now(), "/up".parse().unwrap());
    let checks = health::Settings { path, every: Duration::from_secs(5), fall, rise };
    (Standing::new(Some(Eject { consecutive_errors: 2, rest: REST }), Some(&checks), now), now)
}

fn ms(start: Instant, milliseconds: u64) -> Instant {
    start + Duration::from_millis(milliseconds)
}

#[test]
fn errors_in_a_row_eject_and_an_answer_between_them_does_not() {
    let (mut one, start) = ejecting(3);
    for _ in 0..10 {
        one.failed("refused".into(), start);
        one.failed("refused".into(), start);
        one.answered(start);
    }
    assert_eq!((one.state(), one.is_troubled()), (State::Up, false));
    for _ in 0..3 {
        assert_eq!(one.admit(start), Admission::Yes);
        one.failed("refused".into(), ms(start, 5));
    }
    assert_eq!((one.state(), one.since()), (State::Ejected, ms(start, 5)));
    assert_eq!(one.admit(ms(start, 1005)), Admission::No(Duration::from_secs(9)));
    assert_eq!(&*one.trouble().unwrap().error, "refused");
}

#[test]
fn one_that_rested_is_probed_one_request_a_second() {
    let (mut one, start) = ejecting(1);
    one.failed("reset".into(), start);
    assert_eq!(one.admit(ms(start, 9_999)), Admission::No(Duration::from_millis(1)));
    assert_eq!(one.admit(ms(start, 10_000)), Admission::Yes);
    assert_eq!(one.state(), State::Probing);
    assert_eq!(one.admit(ms(start, 10_400)), Admission::No(Duration::from_millis(600)));
    // The first probe may wait for a slow answer: that holds the next one back for no longer.
    assert_eq!(one.admit(ms(start, 11_000)), Admission::Yes);
    one.failed("refused".into(), ms(start, 11_100));
    assert_eq!((one.state(), one.since()), (State::Ejected, start));
    assert_eq!(one.admit(ms(start, 11_100)), Admission::No(REST));
}

#[test]
fn one_that_answers_comes_back_with_a_rising_share() {
    let (mut one, start) = ejecting(1);
    one.failed("reset".into(), start);
    assert_eq!(one.admit(ms(start, 10_000)), Admission::Yes);
    one.answered(ms(start, 10_000));
    assert_eq!(one.state(), State::Returning);
    let mut shares = Vec::new();
    for second in 0..10 {
        let asked = (0..100).map(|n| one.admit(ms(start, 10_000 + second * 1000 + n * 10)));
        shares.push(asked.filter(|admission| *admission == Admission::Yes).count());
    }
    assert!(shares[0] >= 10 && shares[0] <= 20 && shares[9] >= 90, "{shares:?}");
    assert!(shares.is_sorted(), "{shares:?}");
    assert_eq!((one.admit(ms(start, 20_000)), one.state()), (Admission::Yes, State::Up));
}

/// A monolith whose queue was full answers what it had taken: it is slow, and it is back at once.
#[test]
fn whoever_answers_while_it_rests_is_alive() {
    let (mut one, start) = ejecting(2);
    one.failed("no connection".into(), start);
    one.failed("no connection".into(), start);
    assert_eq!(one.state(), State::Ejected);
    one.answered(ms(start, 50));
    assert_eq!((one.state(), one.admit(ms(start, 50))), (State::Returning, Admission::Yes));
}

#[test]
fn what_was_under_way_at_an_ejection_does_not_prolong_it() {
    let (mut one, start) = ejecting(2);
    for at in [0, 0, 100, 5000] {
        one.failed("reset".into(), ms(start, at));
    }
    assert_eq!(one.admit(ms(start, 10_000)), Admission::Yes);
}

#[test]
fn checks_fall_and_rise_in_a_row() {
    let (mut one, start) = checked(3, 2);
    let bad = || Err("it answered 500".into());
    for outcome in [bad(), bad(), Ok(()), bad(), bad()] {
        one.checked(outcome, start);
    }
    assert_eq!(one.state(), State::Up);
    one.checked(bad(), ms(start, 7));
    assert_eq!((one.state(), one.since()), (State::Down, ms(start, 7)));
    assert_eq!(one.admit(start), Admission::No(Duration::from_secs(10)), "as long as two checks take");
    // What answers requests may still fail its checks: whoever asks for checks believes them.
    one.answered(start);
    for outcome in [Ok(()), bad(), Ok(())] {
        one.checked(outcome, start);
    }
    assert_eq!(one.state(), State::Down);
    one.checked(Ok(()), start);
    assert_eq!((one.state(), one.admit(start)), (State::Up, Admission::Yes));
}

#[test]
fn a_check_spares_a_request_the_probe() {
    let (mut one, start) = checked(3, 2);
    one.failed("reset".into(), start);
    one.failed("reset".into(), start);
    one.checked(Ok(()), ms(start, 5000));
    assert_eq!(one.state(), State::Ejected, "it rests its time");
    one.checked(Ok(()), ms(start, 10_000));
    assert_eq!(one.state(), State::Returning);
}

#[test]
fn a_grudge_ends() {
    let (mut one, start) = ejecting(9);
    one.passed_over(start);
    assert!(one.is_avoided(ms(start, 9000)) && !one.is_avoided(ms(start, 10_000)));
    one.answered(ms(start, 100));
    assert!(!one.is_avoided(ms(start, 100)));
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Admit,
    Answered,
    Failed,
    Passed,
    Check(bool),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Admit),
        Just(Event::Answered),
        Just(Event::Failed),
        Just(Event::Passed),
        any::<bool>().prop_map(Event::Check),
    ]
}

proptest! {
    /// Whatever happened: who is up is asked, who is refused is told when to come again, and two good checks and an
    /// answer bring anybody back.
    #[test]
    fn nobody_is_lost(events in prop::collection::vec((event(), 0_u64..4000), 0..80)) {
        let (mut one, mut now) = checked(3, 2);
        for (event, later) in events {
            now += Duration::from_millis(later);
            match event {
                Event::Admit => {
                    let before = one.state();
                    match one.admit(now) {
                        Admission::Yes => prop_assert!(before != State::Down),
                        Admission::LastResort => prop_assert_eq!(before, State::Returning),
                        Admission::No(wait) => {
                            prop_assert!(before != State::Up && wait > Duration::ZERO && wait <= REST.max(PROBE));
                        }
                    }
                }
                Event::Answered => one.answered(now),
                Event::Failed => one.failed("x".into(), now),
                Event::Passed => one.passed_over(now),
                Event::Check(true) => one.checked(Ok(()), now),
                Event::Check(false) => one.checked(Err("x".into()), now),
            }
        }
        one.checked(Ok(()), now);
        one.checked(Ok(()), now);
        now += REST;
        prop_assert_eq!(one.admit(now), Admission::Yes);
        one.answered(now);
        now += REST;
        prop_assert_eq!(one.admit(now), Admission::Yes);
        prop_assert_eq!(one.state(), State::Up);
    }
}
