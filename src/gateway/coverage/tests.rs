//! What is remembered of traffic, and what is said of it.

use proptest::prelude::*;

use super::*;
use crate::routing::{Canary, Candidate, Fallback, Host, Pattern, Route};

const ASKS: Signs = Signs { asks: true, image: false };
const IMAGE: Signs = Signs { asks: false, image: true };

fn get(path: &str) -> Sighting<'_> {
    Sighting {
        method: &Method::GET,
        path,
        mode: None,
        answerer: Answerer::Monolith,
        status: 200,
        total: Duration::from_millis(5),
        signs: Signs::default(),
    }
}

fn post(path: &str, total: Duration) -> Sighting<'_> {
    Sighting { method: &Method::POST, total, signs: ASKS, ..get(path) }
}

fn coverage(seen: &[Seen], table: &Table) -> Coverage {
    of(seen.iter(), table)
}

fn listed(coverage: &Coverage) -> Vec<String> {
    let line = |path: &Unnamed| {
        let signs: Vec<_> = path.signs.iter().map(|sign| sign.name()).collect();
        format!("{} {} {} {}", path.method, path.path, path.requests, signs.join("+"))
    };
    coverage.unnamed.iter().map(line).collect()
}

#[test]
fn what_draws_or_is_slow_is_found_among_what_does_not() {
    let seen = [Seen::default(), Seen::default()];
    for n in 0..10 {
        let worker = &seen[n % 2];
        worker.saw(&post(&format!("/galeria/{n}/gerar"), Duration::from_secs(9)));
        worker.saw(&post("/carrinho", Duration::from_millis(9)));
        worker.saw(&post("/api/prompt", Duration::from_millis(9)));
        worker.saw(&Sighting { signs: IMAGE, ..get(&format!("/img/{n}.png")) });
        worker.saw(&get("/"));
        worker.saw(&Sighting { total: Duration::from_secs(2), ..get("/relatorio") });
        worker.saw(&Sighting { status: 404, total: Duration::from_secs(2), ..get("/wp-admin") });
    }
    let coverage = coverage(&seen, &Table::default());
    assert_eq!(
        listed(&coverage),
        [
            "POST /galeria/{}/gerar 10 prompt+slow",
            "GET /relatorio 10 slow",
            "POST /api/prompt 10 prompt",
            "GET /img/{}.png 10 image",
        ]
    );
    let none = &coverage.modes[0];
    assert_eq!((&*none.mode, none.requests, none.generations), ("no route", 70, 20));
    assert!((coverage.unnamed[0].mean_ms - 9000.0).abs() < 1.0);
}

#[test]
fn modes_and_arms_are_told_apart() {
    let seen = [Seen::default()];
    let canary = Sighting { mode: Some(Mode::Canary), ..post("/api/images", Duration::from_secs(1)) };
    seen[0].saw(&Sighting { answerer: Answerer::Control, ..canary });
    seen[0].saw(&Sighting { answerer: Answerer::Candidate, ..canary });
    seen[0].saw(&Sighting { answerer: Answerer::Candidate, status: 500, ..canary });
    seen[0].saw(&Sighting { answerer: Answerer::Images, ..get("/img/a.png") });
    seen[0].saw(&Sighting { answerer: Answerer::Gateway, status: 400, ..get("/") });
    let coverage = coverage(&seen, &Table::default());
    let row = |mode: &str| coverage.modes.iter().find(|row| row.mode == mode).unwrap();
    let canary = row("canary");
    assert_eq!((canary.requests, canary.candidate_requests), (3, 2));
    assert_eq!((canary.generations, canary.candidate_generations), (2, 1));
    assert!((canary.seconds - 3.0).abs() < 1e-6);
    assert_eq!((row("images").requests, row("no route").requests), (1, 0));
    assert_eq!(coverage.unnamed, []);
}

#[test]
fn a_path_that_a_route_names_by_now_is_left_out() {
    let seen = [Seen::default()];
    seen[0].saw(&post("/galeria/77/gerar", Duration::from_secs(9)));
    let route = Route {
        name: "r".into(),
        line: 1,
        methods: vec![Method::POST],
        path: Pattern::new("/galeria/{id}/gerar").unwrap(),
        host: Host::Exact("shop.example".into()),
        conditions: Vec::new(),
        mode: Mode::Monolith,
        brake: None,
        candidate: Candidate::Generator,
        control: "monolith".into(),
        subject: None,
        canary: Canary::default(),
        fallback: Fallback::Never,
        timeout: None,
    };
    assert_eq!(listed(&coverage(&seen, &Table::new(vec![route]).unwrap())), [""; 0]);
}

#[test]
fn a_scan_of_odd_paths_does_not_wash_out_what_is_slow() {
    let seen = [Seen::default()];
    for n in 0..20_000_u32 {
        let word: String = n.to_string().bytes().map(|digit| char::from(digit + 49)).collect();
        seen[0].saw(&Sighting { total: Duration::from_micros(300), ..get(&format!("/{word}")) });
        if n.is_multiple_of(1000) {
            seen[0].saw(&post("/gerar", Duration::from_secs(5)));
        }
    }
    let coverage = coverage(&seen, &Table::default());
    assert_eq!(listed(&coverage), ["POST /gerar 20 prompt+slow"]);
    assert!(coverage.forgotten > 19_000);
    assert_eq!(seen[0].0.lock().unwrap().paths().count(), 512);
}

#[test]
fn heads_show_what_an_exchange_is() {
    let headers = |value: &'static str| -> HeaderMap {
        [(CONTENT_TYPE, http::HeaderValue::from_static(value))].into_iter().collect()
    };
    assert!(Signs::of_request(&Method::POST, &headers("Application/JSON; charset=utf-8")).asks);
    assert!(!Signs::of_request(&Method::GET, &headers("application/json")).asks);
    assert!(!Signs::of_request(&Method::POST, &headers("text/plain")).asks);
    assert_eq!(ASKS.with_answer(&headers("image/png")), Signs { asks: true, image: true });
    assert!(!ASKS.with_answer(&HeaderMap::new()).image);
}

proptest! {
    #[test]
    fn no_traffic_is_too_odd(paths in prop::collection::vec("[/a-z0-9.%{}*]{0,30}", 1..40)) {
        let seen = [Seen::default()];
        for path in &paths {
            seen[0].saw(&get(path));
        }
        prop_assert_eq!(coverage(&seen, &Table::default()).modes[0].requests, paths.len() as u64);
    }
}
