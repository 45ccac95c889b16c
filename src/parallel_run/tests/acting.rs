//! What a route's settings and its verdict make of it: reverse runs, budgets, repeats, versions.

use super::*;
use crate::parallel_run::{IsSafe, Purse, answer::Answer, calibration::PathStates, preview::Judge};

impl Bench {
    /// One in which the candidate has answered the user.
    fn reversed(plan: Plan, again: Result<(StatusCode, &'static str), CandidateFault>) -> Self {
        let plan = Plan { reverse: Reverse::On, ..plan };
        let bench = Self { direction: Direction::Reverse, ..Self::new(plan, Behaviour::Panic) };
        *bench.stand.again.lock().unwrap() = again;
        bench
    }
}

#[tokio::test]
async fn the_other_way_round_the_control_is_asked_and_the_users_answer_is_judged() {
    let cases = [
        (Ok((StatusCode::OK, CONTROL)), StatusCode::OK, Class::Match),
        (Ok((StatusCode::OK, r#"{"processamento":201}"#)), StatusCode::OK, Class::Mismatch),
        (Ok((StatusCode::OK, CONTROL)), StatusCode::BAD_GATEWAY, Class::CandidateFailed),
        (Ok((StatusCode::SERVICE_UNAVAILABLE, "")), StatusCode::OK, Class::ControlFailed),
        (Err(CandidateFault::Timeout), StatusCode::OK, Class::ControlFailed),
    ];
    for (again, status, class) in cases {
        let bench = Bench::reversed(plan(), again);
        let mut given = ok(CONTROL);
        *given.status_mut() = status;
        bench.exchange(&bench.shadow(), Subject::Known(b"ana"), "{}", given).await;
        let record = bench.record().await;
        assert_eq!((record.class, record.direction), (class, Direction::Reverse), "{status}");
        assert_eq!(record.candidate.unwrap().status, Some(status.as_u16()));
        assert_eq!(*bench.stand.called.borrow(), 0, "it has answered already");
    }
}

/// What users are drawn costs what it costs, and where nobody knows the price it is not nothing.
#[tokio::test]
async fn the_other_way_round_an_answer_costs_its_price() {
    for (price, cost) in [(None, Some(0.0)), (Some(0.04), Some(0.04)), (Some(f64::INFINITY), None)] {
        let bench = Bench::reversed(plan(), Ok((StatusCode::OK, CONTROL)));
        *bench.stand.price.lock().unwrap() = price;
        bench.exchange(&bench.shadow(), Subject::Known(b"ana"), "{}", ok(CONTROL)).await;
        let record = bench.record().await;
        assert_eq!((record.class, record.candidate.unwrap().cost_usd), (Class::Match, cost));
    }
}

/// A preview is paid for as any other pair is, from what the day has left.
#[tokio::test]
async fn a_preview_is_drawn_as_long_as_the_days_budget_has_its_price() {
    let plan = Plan { budget_usd_per_day: Some(0.10), ..plan() };
    let bench = Bench::new(plan.clone(), agreeing());
    *bench.stand.price.lock().unwrap() = Some(0.05);
    let judge = |spent_today: f64| Judge {
        plan: plan.clone(),
        states: PathStates::default(),
        candidate: Arc::clone(&bench.stand) as Arc<dyn Candidate>,
        images: Arc::clone(&bench.stand) as Arc<dyn Images>,
        lifetime: bench.lifetime.clone(),
        max_body: 1 << 20,
        redact: Vec::new(),
        purse: Purse::new(spent_today, 0.0, Timestamp::now()),
    };
    let request = testing::request_with(HeaderMap::new());
    let control = Answer {
        status: 200,
        headers: ok("").headers().clone(),
        body: Bytes::from_static(CONTROL.as_bytes()),
        images: Vec::new(),
        asked: Asked::default(),
    };
    assert!(judge(0.08).anew(&request, &control).await.is_none());
    assert_eq!(*bench.stand.called.borrow(), 0);
    let fresh = judge(0.0);
    let mut drawn = 0;
    while let Some(preview) = fresh.anew(&request, &control).await {
        assert_eq!((preview.class, preview.candidate.unwrap().cost_usd), (Class::Match, Some(0.04)));
        drawn += 1;
    }
    assert_eq!((drawn, *bench.stand.called.borrow()), (2, 2), "reserved at 0.05, settled at 0.04");
}

/// What a killed process leaves of a pair that it was about to run the other way round.
#[tokio::test]
async fn the_other_way_round_a_pair_is_announced_as_not_run_before_the_control_is_asked() {
    let bench = Bench::reversed(plan(), Ok((StatusCode::OK, CONTROL)));
    bench.exchange(&bench.shadow(), Subject::Known(b"ana"), "{}", ok(CONTROL)).await;
    let record = bench.record().await;
    let announced = bench.shelf.dispatched.lock().unwrap().clone();
    let [announced] = &announced[..] else { panic!("{announced:?}") };
    assert_eq!((announced.id, announced.subject.clone()), (record.id, record.subject));
    assert_eq!(
        (announced.class, announced.control.outcome),
        (Class::Skipped(Skip::Shutdown), Outcome::SkippedControl)
    );
    assert_eq!(announced.candidate.as_ref().unwrap().status, Some(200));
}

#[tokio::test]
async fn a_candidate_that_left_its_user_to_the_control_has_failed() {
    let bench = Bench::reversed(plan(), Err(CandidateFault::Timeout));
    let mut observation = bench.observe(&bench.shadow(), Subject::Known(b"ana")).unwrap();
    observation.request_whole(&Bytes::from_static(b"{}"));
    observation.declined();
    read(observation.response(ok(CONTROL).map(Full::<Bytes>::from)).into_body()).await;
    let record = bench.record().await;
    assert_eq!((record.class, record.control.outcome), (Class::CandidateFailed, Outcome::Ok));
    let target = "/api/images?a=1";
    assert_eq!(record.request, Pseudonyms::new([7; 32]).request("POST", target, b"{}").to_string());
}

#[tokio::test]
async fn the_other_way_round_noise_is_learned_from_the_control_too() {
    let mut plan = plan();
    plan.gate.calibration = 1;
    let bench = Bench::reversed(plan, Ok((StatusCode::OK, CONTROL)));
    let shadow = bench.shadow();
    bench.exchange(&shadow, Subject::Unconfigured, "{}", ok("{}")).await;
    assert_eq!(bench.record().await.class, Class::Calibration);
    bench.exchange(&shadow, Subject::Unconfigured, "{}", ok(CONTROL)).await;
    assert_eq!(bench.records(2).await[1].class, Class::Match);
}

#[tokio::test]
async fn what_costs_money_waits_for_the_control_and_is_not_spent_on_strangers() {
    let plan = Plan { start: Start::Together, budget_usd_per_day: Some(0.10), ..plan() };
    let bench = Bench::new(plan, agreeing());
    *bench.stand.price.lock().unwrap() = Some(0.05);
    let shadow = bench.shadow();
    let mut refusal = ok("{}");
    *refusal.status_mut() = StatusCode::FORBIDDEN;
    bench.exchange(&shadow, Subject::Unconfigured, "{}", refusal).await;
    let record = bench.record().await;
    assert_eq!((record.class, *bench.stand.called.borrow()), (Class::Skipped(Skip::Control), 0));
    assert_eq!(record.candidate.unwrap().outcome, Outcome::SkippedControl);

    // Reserved at 0.05, settled at 0.04: the first leaves room for the second, and these two for no third.
    for n in 2..=4 {
        bench.exchange(&shadow, Subject::Unconfigured, "{}", ok(CONTROL)).await;
        bench.records(n).await;
    }
    let classes: Vec<Class> = bench.records(4).await[1..].iter().map(|record| record.class).collect();
    assert_eq!(classes, [Class::Match, Class::Match, Class::Skipped(Skip::Budget)]);
    let last = bench.records(4).await.remove(3);
    assert_eq!(last.candidate.unwrap().outcome, Outcome::SkippedBudget);
    assert_eq!(*bench.stand.called.borrow(), 2);
}

#[tokio::test]
async fn a_minute_has_so_many_candidates() {
    let bench = Bench::new(Plan { max_per_minute: Some(2), ..plan() }, agreeing());
    let shadow = bench.shadow();
    for n in 1..=3 {
        bench.exchange(&shadow, Subject::Unconfigured, "{}", ok(CONTROL)).await;
        bench.records(n).await;
    }
    // The minute may end in between.
    let skipped =
        bench.records(3).await.iter().filter(|record| record.class == Class::Skipped(Skip::Rate)).count();
    assert_eq!(skipped + *bench.stand.called.borrow(), 3);
    assert!(skipped <= 1);
}

#[tokio::test]
async fn once_it_is_safe_fewer_are_sampled() {
    let bench = Bench::new(Plan { after_verdict: Share::NONE, ..plan() }, agreeing());
    let shadow = bench.shadow();
    assert!(bench.observe(&shadow, Subject::Unconfigured).is_some());
    bench.run.settled(ROUTE, IsSafe::Yes);
    assert!(bench.observe(&shadow, Subject::Unconfigured).is_none());
    assert!(bench.observe(&bench.shadow(), Subject::Unconfigured).is_none(), "a reload forgets nothing");
    bench.run.settled(ROUTE, IsSafe::No);
    assert!(bench.observe(&shadow, Subject::Unconfigured).is_some());
}

#[tokio::test]
async fn the_control_is_asked_twice_where_the_route_says_so() {
    let mut plan = Plan { repeat_control: Share::ALL, ..plan() };
    plan.gate.calibration = 2;
    let bench = Bench::new(plan, agreeing());
    *bench.stand.again.lock().unwrap() = Ok((StatusCode::OK, r#"{"processamento":199}"#));
    let shadow = bench.shadow();
    for n in 1..=2 {
        bench.exchange(&shadow, Subject::Unconfigured, "{}", ok(CONTROL)).await;
        bench.records(2 * n).await;
    }
    let records = bench.records(4).await;
    let repeats = records.iter().filter(|record| record.direction == Direction::ControlRepeat).count();
    assert_eq!((repeats, records.iter().filter(|record| record.direction.counts()).count()), (2, 2));
    let learned = bench.shelf.learned.lock().unwrap();
    let Some(Progress::Frozen(states)) = learned.last() else { panic!("{learned:?}") };
    assert!(states.contains(r#""disagreed":{"/processamento":2}"#), "{states}");
}

#[tokio::test]
async fn another_version_of_an_arm_is_another_epoch_that_goes_on_with_what_was_learned() {
    let mut plan = plan();
    plan.gate.calibration = 1;
    let mut bench = Bench::new(plan, agreeing());
    bench.versions = Versions { control: None, candidate: Some(CONTENT_TYPE) };
    let shadow = bench.shadow();
    for n in 1..=4 {
        bench.exchange(&shadow, Subject::Unconfigured, "{}", ok(CONTROL)).await;
        bench.records(n).await;
    }
    let records = bench.records(4).await;
    let classes: Vec<Class> = records.iter().map(|record| record.class).collect();
    assert_eq!(classes, [Class::Calibration, Class::Incomparable, Class::Match, Class::Match]);
    assert_eq!(records[0].epoch, records[1].epoch, "what told the version belongs to neither");
    assert_ne!(records[1].epoch, records[2].epoch);
    assert_eq!(records[2].epoch, records[3].epoch);
    bench.exchange(&bench.shadow(), Subject::Unconfigured, "{}", ok(CONTROL)).await;
    assert_eq!(bench.records(5).await[4].epoch, records[3].epoch, "a reload stays in it");
}

#[tokio::test]
async fn another_subjects_image_is_an_alarm_and_ones_own_is_not() {
    const PNG: &str =
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    const BODY: &str = "{\"b64\":\"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==\"}";
    assert!(BODY.contains(PNG));
    let mut plan = Plan { images: vec!["/b64".to_owned()], ..plan() };
    plan.gate.per_subject = 9;
    let bench = Bench::new(plan, Behaviour::Answer(StatusCode::OK, BODY));
    let shadow = bench.shadow();
    let asked =
        [(&b"ana"[..], "{\"a\":1}"), (b"ana", "{\"a\":2}"), (b"bea", "{\"a\":1}"), (b"eva", "{\"a\":3}")];
    let mut raised = Vec::new();
    for (n, (subject, body)) in asked.into_iter().enumerate() {
        let mut observation = bench.observe(&shadow, Subject::Known(subject)).unwrap();
        read(observation.request_body(Full::from(body))).await;
        read(observation.response(ok("{\"b64\":\"\"}").map(Full::<Bytes>::from)).into_body()).await;
        raised.push(bench.records(n + 1).await[n].alarms.contains(&Alarm::OtherSubject));
    }
    assert_eq!(raised, [false, false, false, true], "the same request may be answered with the same image");
}

#[tokio::test]
async fn what_is_no_answer_to_be_compared_is_left_out_for_what_it_is() {
    let bench = Bench::new(plan(), agreeing());
    let shadow = bench.shadow();
    bench.observe(&shadow, Subject::Unconfigured).unwrap().refused();
    bench.observe(&shadow, Subject::Unconfigured).unwrap().incomparable();
    let records = bench.records(2).await;
    let classes: Vec<Class> = records.iter().map(|record| record.class).collect();
    assert_eq!(classes, [Class::Skipped(Skip::Control), Class::Incomparable]);
    assert!(records.iter().all(|record| record.candidate.is_none()));
    assert_eq!(*bench.stand.called.borrow(), 0);
}
