//! How long a decision takes among 10,000 routes.
#![expect(clippy::expect_used, reason = "a bench may stop where its premises fail")]

use divan::{AllocProfiler, Bencher, black_box};
use figueira::routing::{
    Canary, Candidate, Condition, Fallback, Head, Host, Mode, Pattern, Route, Share, Subject, Table,
    condition::{Field, Test},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header::COOKIE};

/// Counts what a decision allocates: nothing.
#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn route(n: usize, path: &str) -> Route {
    Route {
        name: format!("route-{n}").into(),
        line: n,
        methods: if n.is_multiple_of(2) { vec![Method::POST] } else { Vec::new() },
        path: Pattern::new(path).expect("a pattern"),
        host: Host::Any,
        conditions: if n.is_multiple_of(3) { beta() } else { Vec::new() },
        mode: Mode::Canary,
        brake: None,
        candidate: Candidate::Generator,
        control: "monolith".into(),
        subject: Some(Subject::Cookie("session".into())),
        canary: Canary { share: Share::from_fraction(0.5).expect("a share"), ..Canary::default() },
        fallback: Fallback::WhenSafe,
        timeout: None,
    }
}

/// What every third route asks, and the requests below carry.
fn beta() -> Vec<Condition> {
    vec![
        Condition { field: Field::Header(HeaderName::from_static("x-beta")), test: Test::Present },
        Condition {
            field: Field::Cookie("lang".into()),
            test: Test::matching("^(pt|en)(-[A-Z]+)?$").expect("an expression"),
        },
    ]
}

/// As a large site has them: literal paths, parameters in the middle and at the end, and a catch-all over each part.
fn table() -> Table {
    let paths = (0..10_000).map(|n| match n % 4 {
        0 => format!("/shop-{}/api/v{}/images", n % 100, n),
        1 => format!("/shop-{}/users/{{id}}/album-{}", n % 100, n),
        2 => format!("/shop-{}/img/{}/{{name}}.png", n % 100, n),
        _ => format!("/static-{n}/{{*rest}}"),
    });
    let routes = paths.enumerate().map(|(n, path)| route(n, &path)).collect();
    Table::new(routes).expect("no ties")
}

fn decide(bencher: Bencher<'_, '_>, method: &Method, path: &str, taken: bool) {
    decide_in(&table(), bencher, method, path, taken);
}

fn decide_in(table: &Table, bencher: Bencher<'_, '_>, method: &Method, path: &str, taken: bool) {
    let headers: HeaderMap = [
        (COOKIE, HeaderValue::from_static("theme=dark; session=4f1c0a7e; lang=pt")),
        (HeaderName::from_static("x-beta"), HeaderValue::from_static("1")),
    ]
    .into_iter()
    .collect();
    let head = Head {
        method,
        host: "Shop-9999.example:8080",
        path,
        query: Some("a=b"),
        headers: &headers,
        client: [192, 0, 2, 7].into(),
    };
    assert_eq!(table.decide(&head).is_some(), taken);
    bencher.bench_local(|| black_box(table).decide(black_box(&head)).map(|decision| decision.arm));
}

#[divan::bench]
fn a_literal_path(bencher: Bencher<'_, '_>) {
    decide(bencher, &Method::POST, "/shop-96/api/v9996/images", true);
}

#[divan::bench]
fn a_path_with_a_parameter(bencher: Bencher<'_, '_>) {
    decide(bencher, &Method::GET, "/shop-97/users/ana/album-9997", true);
}

#[divan::bench]
fn a_catch_all(bencher: Bencher<'_, '_>) {
    decide(bencher, &Method::GET, "/static-9999/css/site.css", true);
}

#[divan::bench]
fn a_method_that_no_route_takes(bencher: Bencher<'_, '_>) {
    decide(bencher, &Method::GET, "/shop-96/api/v9996/images", false);
}

#[divan::bench]
fn a_path_that_no_route_takes(bencher: Bencher<'_, '_>) {
    decide(bencher, &Method::GET, "/shop-96/api/v9996/cart", false);
}

#[divan::bench]
fn conditions_that_hold(bencher: Bencher<'_, '_>) {
    decide(bencher, &Method::GET, "/static-9999/css/site.css", true);
}

/// A shop under each of 10,000 names, all on one path.
#[divan::bench]
fn one_of_many_hosts(bencher: Bencher<'_, '_>) {
    let routes = (0..10_000)
        .map(|n| Route { host: Host::Exact(format!("shop-{n}.example").into()), ..route(2 * n, "/{*rest}") });
    let table =
        Table::new(routes.map(|route| Route { conditions: Vec::new(), ..route }).collect()).expect("no ties");
    decide_in(&table, bencher, &Method::POST, "/cart", true);
}

#[divan::bench(sample_count = 5)]
fn building_the_table(bencher: Bencher<'_, '_>) {
    bencher.bench_local(table);
}
