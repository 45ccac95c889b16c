//! Pairs that are run: what they are taken for, and what they teach.

use super::*;

#[tokio::test]
async fn a_pair_that_agrees_is_a_match() {
    let bench = Bench::new(plan(), agreeing());
    bench.exchange(&bench.shadow(), Subject::Known(b"ana"), "{}", ok(CONTROL)).await;
    let record = bench.record().await;
    assert_eq!((record.class, record.stratum.as_str()), (Class::Match, "64x64/1/stand"));
    assert_eq!(record.subject, Some(Pseudonyms::new([7; 32]).subject(b"ana").to_string()));
    let target = "/api/images?a=1";
    assert_eq!(record.request, Pseudonyms::new([7; 32]).request("POST", target, b"{}").to_string());
    let candidate = record.candidate.unwrap();
    assert_eq!((record.control.outcome, candidate.outcome), (Outcome::Ok, Outcome::Ok));
    assert_eq!(record.control.body_hash, candidate.body_hash);
    assert!(record.control.total >= record.control.first_byte);
    assert_eq!(bench.shelf.dispatched.lock().unwrap().len(), 1, "announced before it was called");
    assert_eq!(bench.shelf.samples.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_pair_that_disagrees_is_a_mismatch() {
    let bench = Bench::new(plan(), Behaviour::Answer(StatusCode::OK, r#"{"processamento":500}"#));
    bench.exchange(&bench.shadow(), Subject::Unconfigured, "{}", ok(CONTROL)).await;
    let record = bench.record().await;
    assert_eq!(record.class, Class::Mismatch);
    assert_eq!(record.differences.len(), 1);
    assert_eq!(record.differences[0].path, "/processamento");
}

#[tokio::test]
async fn the_first_exchanges_teach_and_call_no_candidate() {
    let mut plan = plan();
    plan.gate.calibration = 2;
    let bench = Bench::new(plan, agreeing());
    let shadow = bench.shadow();
    for n in 1..=3 {
        bench.exchange(&shadow, Subject::Known(b"ana"), "{}", ok(CONTROL)).await;
        bench.records(n).await;
    }
    let classes: Vec<Class> = bench.records(3).await.iter().map(|record| record.class).collect();
    assert_eq!(classes, [Class::Calibration, Class::Calibration, Class::Match]);
    assert_eq!(*bench.stand.called.borrow(), 1);
    let learned = bench.shelf.learned.lock().unwrap();
    assert!(matches!(learned.as_slice(), [Progress::Learning(_), Progress::Frozen(_)]));
}

/// Else a site that refuses all night has its noise learned from refusals, and its slowness.
#[tokio::test]
async fn a_refusal_ends_no_calibration() {
    let mut plan = plan();
    plan.gate.calibration = 1;
    let bench = Bench::new(plan, agreeing());
    let shadow = bench.shadow();
    for (n, status) in [(1, StatusCode::FORBIDDEN), (2, StatusCode::OK), (3, StatusCode::OK)] {
        let mut control = ok(CONTROL);
        *control.status_mut() = status;
        bench.exchange(&shadow, Subject::Unconfigured, "{}", control).await;
        bench.records(n).await;
    }
    let classes: Vec<Class> = bench.records(3).await.iter().map(|record| record.class).collect();
    assert_eq!(classes, [Class::ControlFailed, Class::Calibration, Class::Match]);
}

#[tokio::test]
async fn a_restart_goes_on_with_what_was_learned() {
    let mut plan = plan();
    plan.gate.calibration = 2;
    let before = Bench::new(plan.clone(), agreeing());
    before.exchange(&before.shadow(), Subject::Unconfigured, "{}", ok(CONTROL)).await;
    before.records(1).await;

    let after = Bench::new(plan, agreeing());
    after.shelf.learned.lock().unwrap().clone_from(&before.shelf.learned.lock().unwrap());
    let shadow = after.shadow();
    after.exchange(&shadow, Subject::Unconfigured, "{}", ok(CONTROL)).await;
    assert_eq!(after.record().await.class, Class::Calibration);
    after.exchange(&shadow, Subject::Unconfigured, "{}", ok(CONTROL)).await;
    assert_eq!(after.records(2).await[1].class, Class::Match, "one exchange before and one after are two");
}

#[tokio::test]
async fn a_panic_is_the_candidates_failure_and_an_alarm() {
    let bench = Bench::new(plan(), Behaviour::Panic);
    bench.exchange(&bench.shadow(), Subject::Unconfigured, "{}", ok(CONTROL)).await;
    let record = bench.record().await;
    assert_eq!((record.class, record.alarms.as_slice()), (Class::CandidateFailed, [Alarm::Panic].as_slice()));
    assert_eq!(record.candidate.unwrap().outcome, Outcome::Panic);
}

#[tokio::test]
async fn a_candidate_that_hangs_has_failed_at_its_deadline() {
    let bench = Bench::new(Plan { deadline: Duration::from_millis(5), ..plan() }, Behaviour::Hang);
    bench.exchange(&bench.shadow(), Subject::Unconfigured, "{}", ok(CONTROL)).await;
    let record = bench.record().await;
    assert_eq!((record.class, record.candidate.unwrap().outcome), (Class::CandidateFailed, Outcome::Timeout));
}

#[tokio::test]
async fn an_error_of_the_candidate_is_its_failure_and_a_used_budget_is_not() {
    let bench = Bench::new(plan(), Behaviour::Answer(StatusCode::BAD_GATEWAY, "{}"));
    bench.exchange(&bench.shadow(), Subject::Unconfigured, "{}", ok(CONTROL)).await;
    let record = bench.record().await;
    assert_eq!(
        (record.class, record.candidate.unwrap().outcome),
        (Class::CandidateFailed, Outcome::HttpError)
    );

    let bench = Bench::new(plan(), Behaviour::Refuse(CandidateFault::Budget));
    bench.exchange(&bench.shadow(), Subject::Unconfigured, "{}", ok(CONTROL)).await;
    let record = bench.record().await;
    assert_eq!(
        (record.class, record.candidate.unwrap().outcome),
        (Class::Skipped(Skip::Budget), Outcome::SkippedBudget)
    );
}

#[tokio::test]
async fn what_the_control_drew_costs_what_the_route_says() {
    let mut plan = plan();
    plan.gate.control_usd_per_image = Some(0.05);
    let bench = Bench::new(plan, agreeing());
    let shadow = bench.shadow();
    bench.exchange(&shadow, Subject::Unconfigured, "{}", ok(CONTROL)).await;
    bench.records(1).await;
    let mut refusal = ok(CONTROL);
    *refusal.status_mut() = StatusCode::BAD_REQUEST;
    bench.exchange(&shadow, Subject::Unconfigured, "{}", refusal).await;
    let records = bench.records(2).await;
    let costs: Vec<_> = records.iter().map(|record| record.control.cost_usd).collect();
    assert_eq!(costs, [Some(0.05), None]);
}

#[tokio::test]
async fn a_control_that_is_not_ok_is_no_trial_and_calls_nobody() {
    let bench = Bench::new(plan(), agreeing());
    let shadow = bench.shadow();
    let mut error = ok("");
    *error.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    bench.exchange(&shadow, Subject::Unconfigured, "{}", error).await;
    bench.observe(&shadow, Subject::Unconfigured).unwrap().control_failed(ControlFault::Timeout);
    let broken = bench.observe(&shadow, Subject::Unconfigured).unwrap().response(Response::new(Broken));
    assert_eq!(broken.into_body().collect().await.unwrap_err(), "reset");
    let records = bench.records(3).await;
    assert!(records.iter().all(|record| record.class == Class::ControlFailed && record.candidate.is_none()));
    let outcomes: Vec<Outcome> = records.iter().map(|record| record.control.outcome).collect();
    assert_eq!(outcomes, [Outcome::HttpError, Outcome::Timeout, Outcome::Transport]);
    assert_eq!(*bench.stand.called.borrow(), 0);
}

#[tokio::test]
async fn a_refusal_is_part_of_the_contract() {
    let bench = Bench::new(plan(), Behaviour::Answer(StatusCode::BAD_REQUEST, "{}"));
    let mut refusal = ok("{}");
    *refusal.status_mut() = StatusCode::BAD_REQUEST;
    bench.exchange(&bench.shadow(), Subject::Unconfigured, "{}", refusal).await;
    let record = bench.record().await;
    assert_eq!((record.class, record.control.outcome), (Class::Match, Outcome::Refused));
}

#[tokio::test]
async fn only_what_the_answers_depend_on_begins_an_epoch() {
    let id = |plan: &Plan| epoch::id(&plan.basis(None));
    let first = id(&plan());
    let mut gates = plan();
    (gates.gate.per_subject, gates.gate.max_failure_rate, gates.gate.calibration) = (9, 0.2, 50);
    (gates.sample, gates.max_in_flight, gates.deadline) = (Share::NONE, 9, Duration::ZERO);
    assert_eq!(id(&gates), first);

    let rule = Rule {
        path: "/created".to_owned(),
        action: Action::Shape,
        reason: "time".to_owned(),
        owner: None,
        until: None,
    };
    let mut surer = plan();
    surer.gate.confidence = 0.99;
    let answers = |behaviour: &str, contract: &str| Answers {
        behaviour: behaviour.to_owned(),
        contract: contract.to_owned(),
        ..Answers::default()
    };
    let plans = [
        Plan { answers: answers("stand/2", ""), ..plan() },
        Plan { answers: answers("", "article"), ..plan() },
        Plan { rules: vec![rule], ..plan() },
        Plan { headers: Vec::new(), ..plan() },
        Plan { control: "another".into(), ..plan() },
        surer,
    ];
    let others: Vec<_> = plans.iter().map(id).collect();
    let distinct: HashSet<_> = others.iter().chain([&first]).collect();
    assert_eq!(distinct.len(), 7);
    for other in &plans {
        assert!(!plan().is_based_on(&other.basis(None)));
    }
    let newer = plan().basis(Some("candidate 7"));
    assert!(plan().is_based_on(&newer) && epoch::id(&newer) != first, "another version, told by the answers");
    assert!(!plan().is_based_on("{}"));
}

/// What a contract adds is part of the basis, whether or not it stands in the plan already.
#[test]
fn a_plan_in_full_has_the_same_basis() {
    let wording = Rule {
        path: "/msg".to_owned(),
        action: Action::Shape,
        reason: "words".to_owned(),
        owner: None,
        until: None,
    };
    let answers =
        Answers { images: vec!["/imagem".to_owned()], wordings: vec![wording], ..Answers::default() };
    let plan = Plan { answers, ..plan() };
    let full = plan.clone().in_full();
    assert_eq!((full.images.len(), full.rules.len()), (1, 1));
    assert_eq!(full.basis(None), plan.basis(None));
    assert_ne!(plan.basis(None), super::plan().basis(None));
}

/// Where the candidate hangs, nobody lets it go before the user has read all.
#[tokio::test]
async fn whatever_the_candidate_does_the_user_reads_the_same_and_waits_for_nothing() {
    let behaviours: [fn() -> Behaviour; 7] = [
        agreeing,
        || Behaviour::Answer(StatusCode::OK, r#"{"processamento":500}"#),
        || Behaviour::Answer(StatusCode::INTERNAL_SERVER_ERROR, ""),
        || Behaviour::Panic,
        || Behaviour::Hang,
        || Behaviour::Refuse(CandidateFault::Budget),
        || Behaviour::Refuse(CandidateFault::TooLarge),
    ];
    for behaviour in behaviours {
        for start in [Start::AfterControl, Start::Together] {
            let bench = Bench::new(Plan { start, ..plan() }, behaviour());
            let mut observation = bench.observe(&bench.shadow(), Subject::Unconfigured).unwrap();
            assert_eq!(read(observation.request_body(Full::from("{}"))).await, "{}");
            let response = observation.response(ok(CONTROL).map(Full::<Bytes>::from));
            assert_eq!((response.status(), response.headers().len()), (StatusCode::OK, 1));
            assert_eq!(read(response.into_body()).await, CONTROL);
            bench.stand.released.send_replace(true);
            bench.record().await;
        }
    }
}

/// An answer that holds the user's own session, and a field that the operator named: neither is written down.
#[tokio::test]
async fn what_is_written_of_a_difference_holds_no_secret() {
    const LEAKING: &str = r#"{"processamento":200,"echo":"session 0123456789abcdef0123"}"#;
    let plan = Plan { headers: vec!["x-trace".to_owned()], ..plan() };
    let settings = Settings { redact: vec!["X-Trace".to_owned()], ..settings() };
    let bench = Bench::with(plan, Behaviour::Answer(StatusCode::OK, LEAKING), settings);
    let shadow = bench.shadow();
    let headers = HeaderMap::from_iter([(COOKIE, "s=0123456789abcdef0123".parse().unwrap())]);
    let (target, method, version) = (Uri::from_static("/"), &Method::POST, Version::HTTP_11);
    let (request_id, subject) = ("r", Subject::Unconfigured);
    let facts =
        Facts { request_id, subject, method, target: &target, version, headers: &headers, gained: &[] };
    let mut observation = shadow.observe(&facts, Direction::Shadow).unwrap();
    read(observation.request_body(Full::from("{}"))).await;
    let mut control = ok(CONTROL);
    control.headers_mut().insert("x-trace", "of-the-inside".parse().unwrap());
    read(observation.response(control.map(Full::<Bytes>::from)).into_body()).await;
    let record = bench.record().await;
    assert_eq!((record.class, record.alarms.as_slice()), (Class::Mismatch, &[Alarm::Secret][..]));
    let sides: Vec<_> = record
        .differences
        .iter()
        .map(|of| (of.path.as_str(), of.control.as_deref(), of.candidate.as_deref()))
        .collect();
    assert_eq!(
        sides,
        [("header:x-trace", Some("(redacted)"), None), ("/echo", None, Some("\"session (redacted)\"")),]
    );
}
