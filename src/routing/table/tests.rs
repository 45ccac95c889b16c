//! Requests and the routes that take them, ties and precedence included.

use http::HeaderValue;
use proptest::{prelude::*, sample::select};

use super::*;
use crate::routing::{Canary, Candidate, Fallback, Pattern, Share, Subject};

/// A route that takes every method and host on `path` and leaves it to the monolith.
pub(in crate::routing) fn route(name: &str, path: &str) -> Route {
    Route {
        name: name.into(),
        line: 1,
        methods: Vec::new(),
        path: Pattern::new(path).unwrap(),
        host: None,
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
    Route { methods: methods.to_vec(), host: host.map(Into::into), ..route }
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

/// Whether `pattern` takes `path`: the specification that the layers are held against.
fn takes(pattern: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    for wanted in pattern.split('/') {
        let fits = match wanted {
            "{*r}" => return !segments.collect::<Vec<_>>().join("/").is_empty(),
            wanted => match (wanted.split_once("{x}"), segments.next()) {
                (Some((prefix, suffix)), Some(segment)) => segment
                    .strip_prefix(prefix)
                    .and_then(|rest| rest.strip_suffix(suffix))
                    .is_some_and(|value| !value.is_empty()),
                (None, segment) => segment == Some(wanted),
                (Some(_), None) => false,
            },
        };
        if !fits {
            return false;
        }
    }
    segments.next().is_none()
}

const SEGMENTS: &[&str] = &["a", "b", "{x}", "a{x}", "{x}b", "a{x}b"];

proptest! {
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
            .filter(|route| takes(route.path.as_str(), &path))
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
