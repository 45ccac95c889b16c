//! What each rule does, and what is learned instead of ruled.

use super::*;

/// One difference at most, and what its trial comes to.
fn ruled(rule: Action, control: &Value, candidate: &Value) -> (Class, Vec<DifferenceKind>) {
    let (control, candidate) = (json!({"a": control}), json!({"a": candidate}));
    let judgement = judge(&control, &candidate, &[("/a", rule)], &PathStates::default());
    assert_eq!(judgement.rules, if control == candidate { vec![] } else { vec!["/a".to_owned()] });
    (judgement.class, judgement.differences.iter().map(|difference| difference.kind).collect())
}

#[test]
fn each_rule_does_what_it_says() {
    let matches = |rule: Action, control: Value, candidate: Value| {
        let (class, kinds) = ruled(rule, &control, &candidate);
        assert_eq!(kinds.is_empty(), class == Class::Match, "{control} {candidate}: {kinds:?}");
        class == Class::Match
    };
    assert!(matches(Action::Presence, json!(1), json!("two")));
    let pattern = || Action::Regex(regex::Regex::new("^A-[0-9]{6}$").unwrap());
    assert!(matches(pattern(), json!("A-000001"), json!("A-999999")));
    assert!(!matches(pattern(), json!("A-000001"), json!("B-999999")));
    assert!(!matches(pattern(), json!("other"), json!("A-999999")), "the control has to match too");
    let near = |abs, rel| Action::Tolerance { abs, rel };
    assert!(matches(near(0.5, 0.0), json!(10), json!(10.5)));
    assert!(!matches(near(0.5, 0.0), json!(10), json!(10.51)));
    assert!(matches(near(0.0, 0.1), json!(-100), json!(-110)));
    assert!(!matches(near(0.0, 0.1), json!(100), json!(111)));
    assert!(!matches(near(1e9, 1e9), json!(1), json!("1")), "a number stays a number");
    assert!(matches(Action::Set, json!([1, 2, 2, {"b": 1}]), json!([2, {"b": 1}, 1, 2])));
    assert_eq!(
        ruled(Action::Set, &json!([1, 2, 2]), &json!([2, 1, 3])),
        (Class::Mismatch, vec![DifferenceKind::Missing, DifferenceKind::Extra])
    );
    let by = || Action::ListBy("id".to_owned());
    assert!(matches(by(), json!([{"id": 1, "x": 1}, {"id": 2}]), json!([{"id": 2}, {"id": 1, "x": 1}])));
    assert_eq!(
        ruled(by(), &json!([{"id": 1, "x": 1}, {"id": 2}]), &json!([{"id": 3}, {"id": 1, "x": 2}])),
        (Class::Mismatch, vec![DifferenceKind::Value, DifferenceKind::Missing, DifferenceKind::Extra])
    );
}

#[test]
fn a_rule_of_the_whole_speaks_for_what_is_no_document() {
    let page = |tip: &str, name: &str| {
        answer(200, &[("content-type", "text/html")], format!("<h1>{name}</h1>\n<p class=tip>{tip}</p>\n"))
    };
    let judge = |action: Action, candidate: &Answer| {
        let judgement =
            compare(&plan(&[("/", action)]), &PathStates::default(), &page("drink", "Loja"), candidate);
        assert_eq!(judgement.rules, ["/"]);
        judgement.class
    };
    let tip = || Action::Regex(regex::Regex::new("^<p class=tip>[^<]+</p>$").unwrap());
    assert_eq!(judge(tip(), &page("sleep", "Loja")), Class::Match);
    assert_eq!(judge(tip(), &page("", "Loja")), Class::Mismatch);
    assert_eq!(judge(tip(), &page("sleep", "Erro")), Class::Mismatch);
    assert_eq!(judge(Action::Expected, &page("sleep", "Erro")), Class::Expected);
    assert_eq!(judge(Action::Ignore, &page("sleep", "Erro")), Class::Match);
    assert_eq!(judge(Action::Presence, &page("sleep", "Erro")), Class::Match);
    let empty = answer(200, &[("content-type", "text/html")], "");
    assert_eq!(judge(Action::Presence, &empty), Class::Mismatch);
    let pdf = |body: &'static [u8]| answer(200, &[("content-type", "application/pdf")], body);
    let judgement = compare(
        &plan(&[("/", Action::Ignore)]),
        &PathStates::default(),
        &pdf(b"%PDF\xff\x01"),
        &pdf(b"%PDF\xff\x02"),
    );
    assert_eq!(judgement.class, Class::Match);
}

#[test]
fn what_is_expected_is_told_and_does_not_fail() {
    let (class, kinds) = ruled(Action::Expected, &json!({"b": 1, "c": 2}), &json!({"b": 2}));
    assert_eq!((class, kinds.len()), (Class::Expected, 2));
    let rules = [("/a", Action::Expected)];
    let judgement = judge(&json!({"a": 1, "z": 1}), &json!({"a": 2, "z": 2}), &rules, &PathStates::default());
    assert_eq!((judgement.class, judgement.differences.len()), (Class::Mismatch, 2), "the rest still counts");
    let missing = judge(&json!({"a": 1}), &json!({}), &rules, &PathStates::default());
    assert_eq!((missing.class, missing.differences[0].rule.as_deref()), (Class::Expected, Some("/a")));
}

#[test]
fn presence_is_demanded_of_both() {
    let rules = [("/a", Action::Presence)];
    let judgement = judge(&json!({"a": 1}), &json!({}), &rules, &PathStates::default());
    assert_eq!(
        (judgement.class, found(&judgement)),
        (Class::Mismatch, vec![("/a", DifferenceKind::Missing)])
    );
}

/// A field that the contract does not know and that the site makes up anew each time: an order's number, its time.
#[test]
fn what_is_beside_a_contract_of_ours_is_told_unless_a_rule_demands_it() {
    let body = |n: u64| json!({"processed": 200, "order": format!("A-{n:06}"), "shop": "Porto"});
    let states = learned(&(1..=5).map(body).collect::<Vec<_>>());
    let ours = json!({"processed": 200, "shop": "Porto"});
    let judge = |rules: &[(&str, Action)], beside, candidate: &Value| {
        let plan = Plan { beside, ..plan(rules) };
        let judgement = compare(&plan, &states, &json_answer(&body(9)), &json_answer(candidate));
        (judgement.class, judgement.differences.len())
    };
    assert_eq!(judge(&[], Beside::Told, &ours), (Class::Match, 1), "told");
    assert_eq!(judge(&[], Beside::Demanded, &ours), (Class::Mismatch, 1));
    assert_eq!(judge(&[("/order", Action::Presence)], Beside::Told, &ours), (Class::Mismatch, 1));
    assert_eq!(
        judge(&[], Beside::Told, &json!({"processed": 200, "order": "A-000777"})),
        (Class::Mismatch, 1)
    );
}

#[test]
fn a_control_that_contradicts_itself_twice_is_noisy_there_and_once_is_chance() {
    let answer =
        |name: &str, stock: i32| json_answer(&json!({"name": name, "stock": stock, "city": "Porto"}));
    let mut learner = Learner::default();
    for (n, stock) in [(0, 5), (1, 5), (2, 7)] {
        learner.observe(&answer(&format!("cat {n}"), stock));
        learner.repeated(
            &answer(&format!("cat {n}"), stock),
            &answer(&format!("cat {n}"), stock - i32::from(n > 0)),
        );
        learner = serde_json::from_str(&serde_json::to_string(&learner).unwrap()).unwrap();
    }
    let states = learner.freeze();
    assert_eq!((states.repeats, states.disagreed.get("/stock")), (3, Some(&2)));
    assert_eq!(states.shapes, [("/stock".to_owned(), None)].into());
    let verdict = |candidate: Value| {
        let judgement = compare(&plan(&[]), &states, &answer("cat", 5), &json_answer(&candidate));
        judgement.differences.into_iter().map(|difference| difference.path).collect::<Vec<_>>()
    };
    assert!(verdict(json!({"name": "cat", "stock": 99, "city": "Porto"})).is_empty());
    assert_eq!(verdict(json!({"name": "cat", "stock": "99", "city": "Porto"})), ["/stock"], "never ignored");
    assert_eq!(verdict(json!({"name": "dog", "stock": 5, "city": "Porto"})), ["/name"]);
}

#[test]
fn a_rule_may_speak_for_the_whole_document() {
    for path in ["", "/"] {
        let judgement =
            judge(&json!([1, 2, 3]), &json!([3, 1, 2]), &[(path, Action::Set)], &PathStates::default());
        assert_eq!((judgement.class, judgement.rules), (Class::Match, vec![path.to_owned()]));
    }
}
