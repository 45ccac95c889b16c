//! What is said of a request.

use super::*;
use crate::routing::{
    Brake, Brakes, Canary, Condition, Hold, Host, Route, Share, Subject,
    condition::{Field, Test},
    table::tests::{any_route, route},
};

fn table() -> Table {
    let at = |line, route| Route { line, ..route };
    let header = |name: &str, test| Condition { field: Field::Header(name.parse().unwrap()), test };
    let post = vec![http::Method::POST];
    Table::new(vec![
        at(
            10,
            Route {
                methods: post.clone(),
                mode: Mode::Canary,
                subject: Some(Subject::Cookie("session".into())),
                canary: Canary {
                    share: Share::from_fraction(0.6).unwrap(),
                    allow: vec!["eva".into()],
                    deny: vec!["bob".into()],
                },
                ..route("generate", "/api/images")
            },
        ),
        at(
            20,
            Route {
                methods: post.clone(),
                host: Host::Below("example.com".into()),
                conditions: vec![header("x-beta", Test::Is("1".into())), header("x-key", Test::Present)],
                mode: Mode::Migrated,
                candidate: Candidate::Upstream("lambda".into()),
                ..route("beta", "/api/images")
            },
        ),
        at(30, Route { mode: Mode::Shadow, ..route("api", "/api/{*rest}") }),
        at(40, route("image", "/img/{name}.png")),
        at(50, route("other", "/shop/cart")),
    ])
    .unwrap()
}

fn said(method: &str, url: &str, headers: &[&str]) -> String {
    let table = table();
    let ask = Ask::new(method, url, headers.iter().copied()).unwrap();
    explain(&table, &ask.head()).text("routes.toml")
}

#[test]
fn who_takes_it_and_why_the_others_do_not() {
    insta::assert_snapshot!(said("POST", "/api/images", &["cookie: session=ana"]));
}

#[test]
fn what_a_brake_holds_is_said() {
    let brake = Brake {
        at: Hold::Shadow,
        since: jiff::Timestamp::UNIX_EPOCH,
        by: "ana".into(),
        reason: "blank\nimages".into(),
    };
    let table = table().held_by(&Brakes::from_iter([("generate".into(), brake)]));
    let ask = Ask::new("POST", "/api/images", ["cookie: session=ana"]).unwrap();
    let text = explain(&table, &ask.head()).text("routes.toml");
    let held = "\nmode    shadow, subject cookie:session\nbrake   held at shadow by ana: blank\\nimages; the file says canary\n";
    assert!(text.contains(held), "{text}");
}

#[test]
fn what_a_condition_found() {
    insta::assert_snapshot!(said(
        "POST",
        "http://www.example.com/api/images",
        &["x-beta: 2", "cookie: session=eva"]
    ));
}

#[test]
fn the_more_exact_host_wins() {
    insta::assert_snapshot!(said("POST", "/api/images", &["host: a.example.com", "x-beta: 1", "x-key: "]));
}

#[test]
fn paths_that_nearly_fit() {
    let all = ["/api/images/", "/API/images", "/img/a.jpg", "/img/", "/%73hop/cart", "/nowhere"];
    insta::assert_snapshot!(all.map(|path| format!("{path}\n{}", said("GET", path, &[]))).join("\n"));
}

#[test]
fn why_an_arm_answers() {
    let table = table();
    let why = |cookie: &str| {
        let ask = Ask::new("POST", "/api/images", [cookie]).unwrap();
        let explanation = explain(&table, &ask.head());
        let decision = explanation.decision.unwrap();
        format!("{}: {}", decision.answerer(), decision.why())
    };
    assert_eq!(why("cookie: a=b"), "monolith: the request has no cookie:session, so it belongs to nobody");
    assert_eq!(why("cookie: session=bob"), "monolith: the subject is in `deny`");
    assert_eq!(why("cookie: session=eva"), "generator: the subject is in `allow`");
    let by_place = why("cookie: session=ana");
    assert!(
        by_place.starts_with("the subject's place is ") || by_place.contains("the canary's 60 %"),
        "{by_place}"
    );
}

#[test]
fn what_is_no_request_is_told() {
    let error = |method: &str, url: &str, header: &str| Ask::new(method, url, [header]).unwrap_err();
    assert_eq!(error("G T", "/", "a: b"), AskError::Method("G T".into()));
    assert_eq!(error("GET", "api", "a: b"), AskError::Url("api".into()));
    assert_eq!(error("GET", "*", "a: b"), AskError::Url("*".into()));
    assert_eq!(error("GET", "/", "a b"), AskError::Header("a b".into()));
}

proptest::proptest! {
    /// The winner is no near miss, and whatever is one lacks something or is outranked.
    #[test]
    fn every_near_miss_has_a_reason(
        routes in proptest::collection::vec(any_route(), 1..9),
        path in proptest::sample::select(vec!["/x", "/X", "/x/", "/xy", "/%78", "/x/y", "/"]),
        header in proptest::sample::select(vec!["x-a: 1", "x-a: 12", "x-b: 2"]),
    ) {
        let Ok(table) = Table::new(routes) else { return Ok(()) };
        let url = format!("http://a.b.c{path}");
        let ask = Ask::new("GET", &url, [header]).unwrap();
        let explanation = explain(&table, &ask.head());
        for near in &explanation.near {
            let lacks_nothing = matches!(&near.because, Miss::Lacks(lacks) if lacks.is_empty());
            proptest::prop_assert!(!lacks_nothing, "{}", near.route.takes());
            let winner = explanation.decision.as_ref().map(|decision| decision.route);
            proptest::prop_assert!(winner.is_none_or(|winner| !std::ptr::eq(winner, near.route)));
            proptest::prop_assert!(!near.because.to_string().is_empty());
        }
        proptest::prop_assert!(!explanation.text("f").is_empty());
    }
}
