//! Requests and the routes that take them, ties and precedence included.

use http::HeaderValue;
use proptest::{prelude::*, sample::select};

use super::*;
use crate::routing::{
    Canary, Candidate, Condition, Fallback, Host, Pattern, Share, Subject,
    condition::{Field, Test},
    precedence,
};

/// A route that takes every method and host on `path` and leaves it to the monolith.
pub(in crate::routing) fn route(name: &str, path: &str) -> Route {
    Route {
        name: name.into(),
        line: 1,
        methods: Vec::new(),
        path: Pattern::new(path).unwrap(),
        host: Host::Any,
        conditions: Vec::new(),
        mode: Mode::Monolith,
        brake: None,
        candidate: Candidate::Generator,
        control: "monolith".into(),
        subject: None,
        canary: Canary::default(),
        fallback: Fallback::WhenSafe,
        timeout: None,
    }
}

fn on(methods: &[Method], host: Option<&str>, route: Route) -> Route {
    let host = match host {
        None => Host::Any,
        Some(host) => {
            host.strip_prefix("*.").map_or_else(|| Host::Exact(host.into()), |host| Host::Below(host.into()))
        }
    };
    Route { methods: methods.to_vec(), host, ..route }
}

/// Who takes `METHOD host path`.
fn taker<'t>(table: &'t Table, request: &str) -> Option<&'t str> {
    let mut words = request.split(' ');
    let (method, host, path) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    let method = method.parse().unwrap();
    let headers = HeaderMap::new();
    let head =
        Head { method: &method, host, path, query: None, headers: &headers, client: [192, 0, 2, 7].into() };
    let index = table.decide(&head)?.index;
    Some(&table.routes()[index].name)
}

#[test]
fn the_path_that_says_most_wins() {
    let table = Table::new(vec![
        route("all", "/{*rest}"),
        route("images", "/api/images"),
        route("id", "/api/{id}"),
        route("png", "/api/{id}.png"),
        route("deep", "/api/{id}/b"),
        route("api", "/api/{*rest}"),
    ])
    .unwrap();
    for (request, expected) in [
        ("GET h /api/images", Some("images")),
        ("GET h /api/images/", Some("api")),
        ("GET h /api/7", Some("id")),
        ("GET h /api/7.png", Some("png")),
        ("GET h /api/7/b", Some("deep")),
        ("GET h /api/7/c", Some("api")),
        ("GET h /elsewhere", Some("all")),
        ("GET h /api/%69mages", Some("id")),
        ("GET h /API/images", Some("all")),
        ("GET h /", None),
    ] {
        assert_eq!(taker(&table, request), expected, "{request}");
    }
}

#[test]
fn a_route_that_declines_leaves_the_request_to_a_wider_one() {
    let table = Table::new(vec![
        on(&[Method::POST], None, route("create", "/api/images")),
        on(&[Method::GET], Some("img.example"), route("list", "/api/images")),
        on(&[Method::GET, Method::POST], None, route("api", "/api/{*rest}")),
        on(&[], Some("admin.example"), route("admin", "/{*rest}")),
    ])
    .unwrap();
    for (request, expected) in [
        ("POST h /api/images", Some("create")),
        ("GET h /api/images", Some("api")),
        ("GET img.example /api/images", Some("list")),
        ("GET IMG.example.:8080 /api/images", Some("list")),
        ("DELETE admin.example /api/images", Some("admin")),
        ("DELETE h /api/images", None),
    ] {
        assert_eq!(taker(&table, request), expected, "{request}");
    }
}

#[test]
fn on_one_path_a_named_host_comes_before_named_methods_before_any() {
    let table = Table::new(vec![
        route("any", "/x/{id}"),
        on(&[Method::POST], None, route("method", "/x/{key}")),
        on(&[], Some("[2001:db8::1]"), route("host", "/x/{id}")),
        on(&[Method::POST], Some("[2001:db8::1]"), route("both", "/x/{id}")),
    ])
    .unwrap();
    for (request, expected) in [
        ("POST [2001:db8::1]:80 /x/1", "both"),
        ("GET [2001:db8::1] /x/1", "host"),
        ("POST h /x/1", "method"),
        ("GET h /x/1", "any"),
    ] {
        assert_eq!(taker(&table, request), Some(expected), "{request}");
    }
}

#[test]
fn true_ties_name_both_routes() {
    let at = |line, route| Route { line, ..route };
    let conflicts = Table::new(vec![
        at(3, on(&[Method::GET, Method::PUT], None, route("a", "/img/{id}"))),
        at(9, on(&[Method::PUT], None, route("b", "/img/{name}"))),
        at(15, on(&[Method::POST], None, route("c", "/img/{name}"))),
        at(20, route("d", "/l{x}")),
        at(25, route("e", "/{x}r")),
    ])
    .unwrap_err();
    let tie = |(a, b): (&str, usize), (c, d): (&str, usize)| Conflict {
        first: (a.into(), b),
        second: (c.into(), d),
    };
    assert_eq!(conflicts, [tie(("a", 3), ("b", 9)), tie(("d", 20), ("e", 25))]);
}

fn asking(conditions: &[(&str, &str)], route: Route) -> Route {
    let condition = |(name, test): &(&str, &str)| Condition {
        field: Field::Header(name.parse().unwrap()),
        test: match (*test, test.strip_suffix('*')) {
            ("*", _) => Test::Present,
            (_, Some(start)) => Test::Begins(start.into()),
            (value, None) => Test::Is(value.into()),
        },
    };
    Route { conditions: conditions.iter().map(condition).collect(), ..route }
}

/// The route that takes `GET h /x` with these headers.
fn taker_with<'t>(table: &'t Table, headers: &[(&'static str, &'static str)]) -> Option<&'t str> {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), HeaderValue::from_static(value)))
        .collect();
    let (method, client) = (&Method::GET, [192, 0, 2, 7].into());
    let head = Head { method, host: "h", path: "/x", query: None, headers: &headers, client };
    let index = table.decide(&head)?.index;
    Some(&table.routes()[index].name)
}

#[test]
fn a_wildcard_host_comes_between_an_exact_one_and_any() {
    let table = Table::new(vec![
        route("any", "/x"),
        on(&[], Some("*.example.com"), route("wild", "/x")),
        on(&[], Some("*.shop.example.com"), route("longer", "/x")),
        on(&[], Some("www.example.com"), route("exact", "/x")),
        on(&[], Some("*.example.com"), route("wide", "/{*rest}")),
    ])
    .unwrap();
    for (request, expected) in [
        ("GET example.com /x", "any"),
        ("GET a.example.com /x", "wild"),
        ("GET A.SHOP.example.com:80 /x", "longer"),
        ("GET www.example.com. /x", "exact"),
        ("GET www.example.com /y", "wide"),
    ] {
        assert_eq!(taker(&table, request), Some(expected), "{request}");
    }
}

#[test]
fn conditions_that_ask_for_more_win() {
    let table = Table::new(vec![
        route("any", "/x"),
        asking(&[("x-a", "*")], route("there", "/x")),
        asking(&[("x-a", "v*")], route("begins", "/x")),
        asking(&[("x-a", "v1")], route("is", "/x")),
        asking(&[("x-a", "w1")], route("other", "/x")),
        asking(&[("x-a", "v1"), ("x-b", "*")], route("both", "/x")),
    ])
    .unwrap();
    for (headers, expected) in [
        (&[][..], "any"),
        (&[("x-b", "1")], "any"),
        (&[("x-a", "u")], "there"),
        (&[("x-a", "v2")], "begins"),
        (&[("x-a", "v1")], "is"),
        (&[("x-a", "w1"), ("x-b", "1")], "other"),
        (&[("x-a", "v1"), ("x-b", "")], "both"),
    ] {
        assert_eq!(taker_with(&table, headers), Some(expected), "{headers:?}");
    }
}

#[test]
fn conditions_that_could_both_hold_tie_unless_a_third_route_takes_both() {
    let (a, b) = (asking(&[("x-a", "1")], route("a", "/x")), asking(&[("x-b", "1")], route("b", "/x")));
    let conflicts = Table::new(vec![a.clone(), b.clone()]).unwrap_err();
    assert_eq!((&*conflicts[0].first.0, &*conflicts[0].second.0), ("a", "b"));

    let third = asking(&[("x-a", "1"), ("x-b", "1")], route("third", "/x"));
    let narrower = on(&[Method::POST], None, third.clone());
    assert!(Table::new(vec![a.clone(), b.clone(), on(&[], Some("h"), third.clone())]).is_err());
    assert!(Table::new(vec![a.clone(), b.clone(), narrower]).is_err());
    let table = Table::new(vec![a, b, third]).unwrap();
    assert_eq!(taker_with(&table, &[("x-a", "1"), ("x-b", "1")]), Some("third"));
    assert_eq!(taker_with(&table, &[("x-a", "1"), ("x-b", "2")]), Some("a"));
}

#[test]
fn a_canary_follows_the_subject() {
    let canary = Route {
        mode: Mode::Canary,
        subject: Some(Subject::Cookie("session".into())),
        canary: Canary { share: Share::ALL, deny: vec!["eva".into()], ..Canary::default() },
        ..route("r", "/r")
    };
    let table = Table::new(vec![canary]).unwrap();
    let arm = |cookie: &'static str| {
        let headers = [(http::header::COOKIE, HeaderValue::from_static(cookie))].into_iter().collect();
        let head = Head {
            method: &Method::GET,
            host: "h",
            path: "/r",
            query: None,
            headers: &headers,
            client: [192, 0, 2, 7].into(),
        };
        table.decide(&head).unwrap().arm
    };
    assert_eq!(arm("session=ana"), Arm::Candidate);
    assert_eq!(arm("session=eva"), Arm::Control);
    assert_eq!(arm("theme=dark"), Arm::Control);
}

const SEGMENTS: &[&str] = &["a", "b", "{x}", "a{x}", "{x}b", "a{x}b"];

pub(in crate::routing) fn any_route() -> impl Strategy<Value = Route> {
    let methods =
        select(vec![vec![], vec![Method::GET], vec![Method::POST], vec![Method::GET, Method::POST]]);
    let host = select(vec![None, Some("*.c"), Some("*.b.c"), Some("a.b.c"), Some("b.c")]);
    let test = || select(vec![None, None, Some("*"), Some("1*"), Some("1"), Some("12"), Some("2")]);
    let path = select(vec!["/x", "/{p}", "/x{p}", "/{p}y", "/{*r}"]);
    (path, methods, host, test(), test()).prop_map(|(path, methods, host, a, b)| {
        let conditions: Vec<_> =
            [("x-a", a), ("x-b", b)].into_iter().filter_map(|(name, test)| Some((name, test?))).collect();
        on(&methods, host, asking(&conditions, route("r", path)))
    })
}

proptest! {
    /// However many routes take a request, one of them beats every other by the rule alone, or the table is refused.
    #[test]
    fn the_winner_beats_every_other_route_that_takes_the_request(
        routes in prop::collection::vec(any_route(), 1..9),
        method in select(vec![Method::GET, Method::POST]),
        host in select(vec!["a.b.c", "z.b.c", "b.c", "c", "other"]),
        path in select(vec!["/x", "/xy", "/xay", "/y", "/x/y"]),
        headers in prop::collection::btree_map(select(vec!["x-a", "x-b"]), select(vec!["1", "12", "2", "3"]), 0..3),
    ) {
        let Ok(table) = Table::new(routes) else { return Ok(()) };
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), HeaderValue::from_static(value)))
            .collect();
        let head =
            Head { method: &method, host, path, query: None, headers: &headers, client: [192, 0, 2, 7].into() };
        let takers: Vec<_> =
            table.routes().iter().enumerate().filter(|(_, route)| {
                route.path.takes(path) && precedence::admits(route, &head)
            }).collect();
        let winner = table.decide(&head);
        prop_assert_eq!(winner.is_some(), !takers.is_empty());
        for (index, other) in takers {
            let Some(Decision { index: won, route: winner, .. }) = winner else { continue };
            let by_path = winner.path.specificity(&other.path);
            let by_rank = precedence::rank(winner).cmp(&precedence::rank(other));
            prop_assert!(index == won || by_path.is_lt() || (by_path.is_eq() && by_rank.is_lt()), "{} {}", winner.takes(), other.takes());
            let conditions_decide = by_path.is_eq()
                && winner.host == other.host
                && winner.methods.is_empty() == other.methods.is_empty();
            if index != won && conditions_decide {
                let more = crate::routing::condition::implies(&winner.conditions, &other.conditions);
                prop_assert!(more, "{} {}", winner.takes(), other.takes());
            }
        }
    }

    #[test]
    fn the_layers_find_what_a_search_of_all_patterns_finds(
        patterns in prop::collection::btree_set(
            (prop::collection::vec(select(SEGMENTS), 0..3), select([SEGMENTS, &["{*r}"]].concat())),
            1..12,
        ),
        path in prop::collection::vec("[ab]{0,3}", 1..4),
    ) {
        let routes: Vec<_> = patterns
            .into_iter()
            .map(|(segments, last)| segments.into_iter().chain([last]).fold(String::new(), |path, s| path + "/" + s))
            .map(|path| route(&path, &path))
            .collect();
        let path = path.into_iter().fold(String::new(), |path, segment| path + "/" + &segment);
        let expected = routes
            .iter()
            .filter(|route| route.path.takes(&path))
            .min_by(|a, b| a.path.specificity(&b.path))
            .map(|route| route.name.to_string());
        // Two of equal rank over one path are refused; that is another test's.
        let Ok(table) = Table::new(routes) else { return Ok(()) };
        prop_assert_eq!(taker(&table, &format!("GET h {path}")).map(str::to_owned), expected);
    }

    #[test]
    fn overlap_is_never_missed(
        a in prop::collection::vec(select(vec!["", "a", "ab", "a{x}", "{x}b", "{x}", "a{x}b"]), 1..3),
        b in prop::collection::vec(select(vec!["", "a", "ab", "a{x}", "{x}b", "{x}", "a{x}b"]), 1..3),
        path in prop::collection::vec("[ab]{0,3}", 1..3),
    ) {
        let join = |segments: &[&str]| segments.iter().fold(String::new(), |path, segment| path + "/" + segment);
        let path = path.iter().fold(String::new(), |path, segment| path + "/" + segment);
        let matches = |pattern: &str| {
            let mut router = matchit::Router::new();
            router.insert(pattern, ()).unwrap();
            router.at(&path).is_ok()
        };
        let (a, b) = (join(&a), join(&b));
        if matches(&a) && matches(&b) {
            prop_assert!(Pattern::new(&a).unwrap().overlaps(&Pattern::new(&b).unwrap()), "{} {} {}", a, b, path);
        }
    }
}
