//! How long a decision takes among 10,000 routes.
#![expect(clippy::expect_used, reason = "a bench may stop where its premises fail")]

use divan::{Bencher, black_box};
use figueira::routing::{Canary, Candidate, Fallback, Head, Mode, Pattern, Route, Share, Subject, Table};
use http::{HeaderMap, HeaderValue, Method, header::COOKIE};

fn main() {
    divan::main();
}

fn route(n: usize, path: &str) -> Route {
    Route {
        name: format!("route-{n}").into(),
        line: n,
        methods: if n.is_multiple_of(2) { vec![Method::POST] } else { Vec::new() },
        path: Pattern::new(path).expect("a pattern"),
        host: None,
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
    let table = table();
    let headers: HeaderMap =
        [(COOKIE, HeaderValue::from_static("theme=dark; session=4f1c0a7e; lang=pt"))].into_iter().collect();
    let head = Head {
        method,
        host: "shop.example:8080",
        path,
        query: Some("a=b"),
        headers: &headers,
        client: [192, 0, 2, 7].into(),
    };
    assert_eq!(table.decide(&head).is_some(), taken);
    bencher.bench_local(|| black_box(&table).decide(black_box(&head)).map(|decision| decision.arm));
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

#[divan::bench(sample_count = 5)]
fn building_the_table(bencher: Bencher<'_, '_>) {
    bencher.bench_local(table);
}
