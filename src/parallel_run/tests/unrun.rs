//! Requests that come to no pair: each leaves its record all the same, and says why.

use super::*;

#[tokio::test]
async fn a_client_that_leaves_is_recorded() {
    let bench = Bench::new(plan(), agreeing());
    let shadow = bench.shadow();
    drop(bench.observe(&shadow, Subject::Unconfigured));
    drop(
        bench.observe(&shadow, Subject::Unconfigured).unwrap().response(ok(CONTROL).map(Full::<Bytes>::from)),
    );
    let records = bench.records(2).await;
    assert_eq!(records[0].class, Class::Skipped(Skip::ClientGone), "before there was an answer");
    assert_eq!(records[1].class, Class::Incomparable, "in the middle of it");
    assert_eq!(*bench.stand.called.borrow(), 0);
}

#[tokio::test]
async fn a_candidate_that_was_called_is_not_cancelled_when_the_client_leaves() {
    let bench = Bench::new(Plan { start: Start::Together, ..plan() }, Behaviour::Hang);
    let mut observation = bench.observe(&bench.shadow(), Subject::Unconfigured).unwrap();
    read(observation.request_body(Full::from("{}"))).await;
    bench.called(1).await;
    drop(observation);
    bench.stand.released.send_replace(true);
    let record = bench.record().await;
    assert_eq!(record.class, Class::Skipped(Skip::ClientGone));
    assert_eq!(record.candidate.unwrap().outcome, Outcome::Ok, "it ran to its end");
}

#[tokio::test]
async fn together_begins_before_the_control_has_answered() {
    let bench = Bench::new(Plan { start: Start::Together, ..plan() }, agreeing());
    let mut observation = bench.observe(&bench.shadow(), Subject::Unconfigured).unwrap();
    read(observation.request_body(Full::from("{}"))).await;
    bench.called(1).await;
    read(observation.response(ok(CONTROL).map(Full::<Bytes>::from)).into_body()).await;
    assert_eq!(bench.record().await.class, Class::Match);
}

#[tokio::test]
async fn what_finds_no_place_is_dropped_the_newest_first() {
    let bench = Bench::with(plan(), Behaviour::Hang, Settings { queue: 1, ..settings() });
    let shadow = bench.shadow();
    bench.exchange(&shadow, Subject::Known(b"called"), "{}", ok(CONTROL)).await;
    bench.called(1).await;
    bench.exchange(&shadow, Subject::Known(b"waiting"), "{}", ok(CONTROL)).await;
    bench.exchange(&shadow, Subject::Known(b"dropped"), "{}", ok(CONTROL)).await;
    let record = bench.record().await;
    assert_eq!(record.class, Class::Skipped(Skip::Queue));
    assert_eq!(record.subject, Some(Pseudonyms::new([7; 32]).subject(b"dropped").to_string()));
    bench.stand.released.send_replace(true);
    assert!(bench.records(3).await[1..].iter().all(|record| record.class == Class::Match));
}

#[tokio::test]
async fn no_more_candidates_run_than_the_route_allows() {
    let bench = Bench::new(Plan { max_in_flight: 2, ..plan() }, Behaviour::Hang);
    let shadow = bench.shadow();
    for _ in 0..5 {
        bench.exchange(&shadow, Subject::Unconfigured, "{}", ok(CONTROL)).await;
    }
    bench.called(2).await;
    tokio::task::yield_now().await;
    assert_eq!(*bench.stand.called.borrow(), 2);
    // A reload in between gives no more places.
    bench.exchange(&bench.shadow(), Subject::Unconfigured, "{}", ok(CONTROL)).await;
    tokio::task::yield_now().await;
    assert_eq!(*bench.stand.called.borrow(), 2);
    bench.stand.released.send_replace(true);
    bench.records(6).await;
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_incomparable_and_reaches_the_client_whole() {
    static LARGE: [u8; 64 * 1024 + 1] = [b'x'; 64 * 1024 + 1];
    let bench = Bench::new(plan(), agreeing());
    let shadow = bench.shadow();
    let observation = bench.observe(&shadow, Subject::Unconfigured).unwrap();
    let passed = read(observation.response(Response::new(Full::from(LARGE.as_slice()))).into_body()).await;
    assert_eq!(passed, LARGE.as_slice());
    let mut observation = bench.observe(&shadow, Subject::Unconfigured).unwrap();
    read(observation.request_body(Full::from(LARGE.as_slice()))).await;
    read(observation.response(ok(CONTROL).map(Full::<Bytes>::from)).into_body()).await;
    let records = bench.records(2).await;
    assert!(records.iter().all(|record| record.class == Class::Incomparable));
    assert_eq!((records[0].control.outcome, records[0].control.bytes), (Outcome::TooLarge, 64 * 1024 + 1));
}

/// The same limit for both arms, whether the length is on the wire or comes out of a coding.
#[tokio::test]
async fn a_candidates_body_beyond_the_limit_is_incomparable() {
    let large: &'static str = Box::leak("x".repeat(64 * 1024 + 1).into_boxed_str());
    for (behaviour, outcome) in [
        (Behaviour::Answer(StatusCode::OK, large), Outcome::TooLarge),
        (Behaviour::Refuse(CandidateFault::TooLarge), Outcome::TooLarge),
        (Behaviour::Compressed(large), Outcome::Ok),
    ] {
        let bench = Bench::new(plan(), behaviour);
        bench.exchange(&bench.shadow(), Subject::Unconfigured, "{}", ok(CONTROL)).await;
        let record = bench.record().await;
        assert_eq!((record.class, record.candidate.unwrap().outcome), (Class::Incomparable, outcome));
    }
}

/// A candidate that nobody waits for gives whole what it would have streamed, which says nothing.
#[tokio::test]
async fn what_is_to_be_streamed_is_not_compared() {
    let bench = Bench::new(plan(), agreeing());
    let shadow = bench.shadow();
    bench.exchange(&shadow, Subject::Unconfigured, "stream", ok(CONTROL)).await;
    assert_eq!((bench.record().await.class, *bench.stand.called.borrow()), (Class::Incomparable, 0));
    let mut refused = ok(CONTROL);
    *refused.status_mut() = StatusCode::BAD_REQUEST;
    bench.exchange(&shadow, Subject::Unconfigured, "stream", refused).await;
    assert_eq!(bench.records(2).await[1].class, Class::Mismatch, "a refusal has no stream");
}

#[tokio::test]
async fn each_subject_has_its_share_and_the_nameless_share_one() {
    let mut plan = plan();
    plan.gate.per_subject = 1;
    let bench = Bench::new(plan, agreeing());
    let shadow = bench.shadow();
    let subjects = [Subject::Known(b"ana"), Subject::Known(b"ana"), Subject::Anonymous, Subject::Anonymous];
    for (n, subject) in subjects.into_iter().enumerate() {
        bench.exchange(&shadow, subject, "{}", ok(CONTROL)).await;
        bench.records(n + 1).await;
    }
    let classes: Vec<Class> = bench.records(4).await.iter().map(|record| record.class).collect();
    assert_eq!(classes, [Class::Match, Class::DuplicateSubject, Class::Match, Class::DuplicateSubject]);
    assert_eq!(*bench.stand.called.borrow(), 2);
}

#[tokio::test]
async fn where_no_subject_is_configured_every_pair_counts() {
    let bench = Bench::new(plan(), agreeing());
    let shadow = bench.shadow();
    for _ in 0..3 {
        bench.exchange(&shadow, Subject::Unconfigured, "{}", ok(CONTROL)).await;
    }
    let classes: Vec<Class> = bench.records(3).await.iter().map(|record| record.class).collect();
    assert_eq!(classes, [Class::Match; 3]);
}

#[tokio::test]
async fn a_shutdown_drops_those_who_wait_and_lets_the_called_end() {
    let bench = Bench::new(plan(), Behaviour::Hang);
    let shadow = bench.shadow();
    bench.exchange(&shadow, Subject::Unconfigured, "{}", ok(CONTROL)).await;
    bench.called(1).await;
    bench.exchange(&shadow, Subject::Unconfigured, "{}", ok(CONTROL)).await;
    bench.lifetime.begin();
    assert_eq!(bench.record().await.class, Class::Skipped(Skip::Shutdown));
    bench.stand.released.send_replace(true);
    assert!(bench.lifetime.drained(Duration::from_mins(1)).await);
    assert_eq!(bench.records(2).await[1].class, Class::Match);
}

#[tokio::test]
async fn a_broken_contract_costs_its_pair_and_nothing_else() {
    let bench = Bench::new(plan(), agreeing());
    let shadow = bench.shadow();
    bench.exchange(&shadow, Subject::Unconfigured, "unreadable", ok(CONTROL)).await;
    assert_eq!(bench.record().await.class, Class::Incomparable);
    bench.exchange(&shadow, Subject::Unconfigured, "{}", ok(CONTROL)).await;
    assert_eq!(bench.records(2).await[1].class, Class::Match);
}

#[tokio::test]
async fn memory_that_is_lent_out_costs_pairs_and_comes_back() {
    static BODY: [u8; 4096] = [b' '; 4096];
    let bench =
        Bench::with(plan(), Behaviour::Hang, Settings { queue: 2 * BODIES, max_body: 4096, ..settings() });
    let shadow = bench.shadow();
    let held: Vec<_> = (0..=BODIES)
        .map(|_| {
            let observation = bench.observe(&shadow, Subject::Unconfigured).unwrap();
            let mut body =
                observation.response(Response::new(Full::<Bytes>::from(BODY.as_slice()))).into_body();
            let mut cx = Context::from_waker(std::task::Waker::noop());
            assert!(Pin::new(&mut body).poll_frame(&mut cx).is_ready());
            body
        })
        .collect();
    assert_eq!(bench.record().await.class, Class::Skipped(Skip::Lagged), "one more than there is room for");
    drop(held);
    bench.stand.released.send_replace(true);
    bench.records(BODIES + 1).await;
    bench.exchange(&shadow, Subject::Unconfigured, "{}", ok(CONTROL)).await;
    assert_ne!(bench.records(BODIES + 2).await[BODIES + 1].class, Class::Skipped(Skip::Lagged));
}

#[tokio::test]
async fn a_share_is_drawn_by_the_requests_id_and_the_rest_costs_nothing() {
    let plan = Plan { sample: Share::from_fraction(0.5).unwrap(), ..plan() };
    let (bench, again) = (Bench::new(plan.clone(), agreeing()), Bench::new(plan, agreeing()));
    let drawn = |bench: &Bench| {
        let shadow = bench.shadow();
        (0..64).map(|_| bench.observe(&shadow, Subject::Unconfigured).is_some()).collect::<Vec<bool>>()
    };
    let lots = drawn(&bench);
    assert_eq!(lots, drawn(&again), "another process draws the same");
    let sampled = lots.iter().filter(|lot| **lot).count();
    assert!((16..=48).contains(&sampled), "{sampled}");
    let ids: HashSet<_> = bench.records(sampled).await.iter().map(|record| record.id).collect();
    assert_eq!(ids.len(), sampled, "every sampled request leaves a record of its own");
}

const MOST: Duration = Duration::from_millis(200);

/// A pair whose candidate is at work, on a plane that is measured: the thread of this test.
async fn at_work(settings: Settings) -> (Bench, Arc<Shadow>) {
    let bench = Bench::with(plan(), Behaviour::Hang, settings);
    let shadow = bench.shadow();
    bench.exchange(&shadow, Subject::Known(b"ana"), "{}", ok(CONTROL)).await;
    bench.called(1).await;
    while bench.run.0.pulse.rests() {
        tokio::task::yield_now().await;
    }
    (bench, shadow)
}

#[tokio::test]
async fn a_candidate_that_waited_for_a_processor_of_ours_is_neither_slow_nor_failing() {
    let (bench, _) = at_work(Settings { max_lag: MOST, ..settings() }).await;
    std::thread::sleep(MOST * 2);
    bench.stand.released.send_replace(true);
    let record = bench.record().await;
    assert_eq!(record.class, Class::Skipped(Skip::Lagged));
    assert_eq!(record.candidate.unwrap().outcome, Outcome::Ok, "whatever it answered");
}

#[tokio::test]
async fn while_the_plane_is_late_nothing_is_done_for_a_pair_and_it_is_counted() {
    let (bench, shadow) = at_work(Settings { max_lag: MOST, ..settings() }).await;
    std::thread::sleep(MOST * 2);
    assert!(bench.observe(&shadow, Subject::Known(b"eva")).is_none());
    assert_eq!(bench.shelf.traffic.skipped.load(Ordering::Relaxed), 1);
    bench.stand.released.send_replace(true);
    bench.record().await;
}

#[tokio::test]
async fn who_waits_for_a_place_when_the_machine_turns_out_to_be_used_up_calls_nobody() {
    let (bench, shadow) = at_work(settings()).await;
    bench.exchange(&shadow, Subject::Known(b"waiting"), "{}", ok(CONTROL)).await;
    bench.run.0.pulse.overdraw();
    bench.stand.released.send_replace(true);
    let mut classes: Vec<_> = bench.records(2).await.into_iter().map(|record| record.class).collect();
    classes.sort_by_key(|class| *class != Class::Match);
    assert_eq!(classes, [Class::Match, Class::Skipped(Skip::Queue)]);
    assert!(bench.observe(&shadow, Subject::Known(b"eva")).is_none(), "and nobody begins");
}

#[tokio::test]
async fn of_many_that_find_no_place_a_few_are_told_one_by_one_and_the_others_counted() {
    const MANY: u64 = 100;
    let (bench, shadow) = at_work(Settings { queue: 1, ..settings() }).await;
    bench.exchange(&shadow, Subject::Known(b"waiting"), "{}", ok(CONTROL)).await;
    let observed = (0..MANY).filter_map(|_| bench.observe(&shadow, Subject::Known(b"eva"))).count();
    assert!((1..=4).contains(&observed), "{observed}");
    assert_eq!(bench.shelf.traffic.skipped.load(Ordering::Relaxed) + observed as u64, MANY);
    bench.stand.released.send_replace(true);
    assert_eq!(bench.records(2 + observed).await.len(), 2 + observed);
}

#[tokio::test]
async fn a_panic_is_an_alarm_though_its_pair_is_not_compared() {
    let bench = Bench::new(Plan { start: Start::Together, ..plan() }, Behaviour::Panic);
    let mut observation = bench.observe(&bench.shadow(), Subject::Unconfigured).unwrap();
    read(observation.request_body(Full::from("{}"))).await;
    bench.called(1).await;
    drop(observation);
    let record = bench.record().await;
    assert_eq!(
        (record.class, record.alarms.as_slice()),
        (Class::Skipped(Skip::ClientGone), &[Alarm::Panic][..])
    );
}
