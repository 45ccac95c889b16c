//! An upstream that is left alone while it cannot answer: by its health checks, or by what requests met.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{
    Gateway, Rules, Site, Wire,
    gateway::{ask_admin, eventually},
    wire::Message,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n";

/// Answers every request with the status that holds at the moment, and counts those that are no checks.
fn answers(mut wire: Wire, status: &AtomicU16, asked: &AtomicUsize) {
    while let Some(request) = wire.next_message() {
        if !request.head.line().starts_with("GET /up ") {
            asked.fetch_add(1, SeqCst);
        }
        let answer = format!("HTTP/1.1 {} So\r\nContent-Length: 0\r\n\r\n", status.load(SeqCst));
        if wire.send_in_vain(&answer).is_err() {
            return;
        }
    }
}

/// A site, the status it answers with, and how often it was asked.
fn site(host: &str) -> (Site, Arc<AtomicU16>, Arc<AtomicUsize>) {
    let (status, asked) = (Arc::new(AtomicU16::new(200)), Arc::new(AtomicUsize::new(0)));
    let (says, counts) = (status.clone(), asked.clone());
    (Site::open(host, move |wire| answers(wire, &says, &counts)), status, asked)
}

fn get(gateway: &Gateway) -> Message {
    let mut client = gateway.connect();
    client.send(GET);
    client.read_message()
}

/// What the operator is told of the monolith.
fn monolith(admin: SocketAddr) -> Value {
    ask_admin(admin, "/api/upstreams").json()["upstreams"][0].take()
}

fn state(admin: SocketAddr) -> Value {
    monolith(admin)["addresses"][0]["state"].take()
}

fn metric(admin: SocketAddr, line: &str) -> bool {
    ask_admin(admin, "/metrics").body.lines().any(|found| found == line)
}

#[test]
fn errors_in_a_row_are_answered_503_at_once_until_a_probe_is_answered() {
    let (mut site, _, asked) = site("127.77.1.1");
    let eject = "eject = { consecutive_errors = 3, for = \"300ms\" }";
    let gateway = Gateway::start(&Rules::forwarding_to(site.address()).monolith(eject));
    let admin = gateway.admin();
    assert_eq!(get(&gateway).status(), 200);
    site.kill();
    for _ in 0..3 {
        get(&gateway).is_problem(502);
    }
    let began = Instant::now();
    let refused = get(&gateway);
    // It may have rested by now, on a machine that is busy with other things.
    if began.elapsed() < Duration::from_millis(100) {
        refused.is_problem(503);
        assert_eq!(refused.head.value("retry-after"), Some("1"));
    }
    assert!(["ejected", "probing"].iter().any(|word| state(admin) == *word), "{}", monolith(admin));
    let told = monolith(admin);
    let error = told["addresses"][0]["last_error"]["error"].as_str().unwrap();
    assert!(error.contains("refused"), "{told}");
    assert!(metric(admin, "figueira_upstream_ejections_total{upstream=\"monolith\"} 1"));

    // Other rules that leave the monolith alone leave that alone too.
    let other = format!("{eject}\nretries = 0");
    gateway.obey(&Rules::forwarding_to(site.address()).monolith(&other));
    assert!(["ejected", "probing"].iter().any(|word| state(admin) == *word), "{}", monolith(admin));

    site.reopen();
    let before = asked.load(SeqCst);
    let first = eventually("an answer", || {
        let answer = get(&gateway);
        if answer.status() == 200 { Ok(answer) } else { Err(answer.status()) }
    });
    assert_eq!((first.status(), asked.load(SeqCst)), (200, before + 1), "a probe is one request");
    // There is nobody else to whom those beyond its share could go.
    eventually("its full share", || {
        assert_eq!(get(&gateway).status(), 200);
        let state = state(admin);
        if state == "up" { Ok(()) } else { Err(state) }
    });
    for _ in 0..20 {
        assert_eq!(get(&gateway).status(), 200);
    }
}

/// Slow is not broken, and neither is a 500: both are answers.
#[test]
fn neither_a_slow_answer_nor_a_500_ejects() {
    let (site, status, asked) = site("127.77.1.2");
    let eject = "eject = { consecutive_errors = 1, for = \"1m\" }";
    let gateway = Gateway::start(&Rules::forwarding_to(site.address()).monolith(eject));
    status.store(500, SeqCst);
    for _ in 0..10 {
        assert_eq!(get(&gateway).status(), 500);
    }
    // A client that leaves in the midst of its upload is no error of the monolith's.
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    client.reset();
    eventually("the end of that", || {
        let answered = monolith(gateway.admin())["connections"]["active"].take();
        if answered == 0 { Ok(()) } else { Err(answered) }
    });
    assert_eq!((get(&gateway).status(), state(gateway.admin())), (500, json!("up")));
    assert!(asked.load(SeqCst) >= 11);
}

/// Whoever pauses an upload keeps the monolith waiting, and not the other way round.
#[test]
fn a_client_that_pauses_its_upload_is_no_error_of_the_monoliths() {
    let (site, _, _) = site("127.77.1.5");
    let rules = Rules::forwarding_to(site.address())
        .monolith("first_byte_timeout = \"50ms\"\neject = { consecutive_errors = 1, for = \"1m\" }");
    let gateway = Gateway::start(&rules);
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhalf");
    // The pause is what is tested here.
    std::thread::sleep(Duration::from_millis(200));
    client.send("half");
    assert_eq!(client.read_head().status(), 200);
    assert_eq!(state(gateway.admin()), "up");
}

/// An answer that does not come in time is an error: whoever hangs is not asked by everybody.
#[test]
fn a_monolith_that_hangs_is_left_alone() {
    let site = Site::open("127.77.1.3", |mut wire| while wire.next_message().is_some() {});
    let rules = Rules::forwarding_to(site.address())
        .monolith("first_byte_timeout = \"50ms\"\neject = { consecutive_errors = 2, for = \"1m\" }");
    let gateway = Gateway::start(&rules);
    get(&gateway).is_problem(504);
    get(&gateway).is_problem(504);
    let refused = get(&gateway);
    refused.is_problem(503);
    let seconds: u64 = refused.head.value("retry-after").unwrap().parse().unwrap();
    assert!((55..=60).contains(&seconds), "{seconds}");
    assert!(metric(
        gateway.admin(),
        "figueira_upstream_exchanges_total{upstream=\"monolith\",outcome=\"unavailable\"} 1"
    ));
    assert!(metric(gateway.admin(), "figueira_failures_total{kind=\"unavailable\"} 1"));
}

#[test]
fn failed_checks_take_it_out_and_passed_ones_bring_it_back() {
    let (mut site, status, asked) = site("127.77.1.4");
    let health = "health = { path = \"/up\", every = \"20ms\", fall = 2, rise = 2 }";
    let gateway = Gateway::start(&Rules::forwarding_to(site.address()).monolith(health));
    let admin = gateway.admin();
    assert_eq!(get(&gateway).status(), 200);
    let becomes = |word: &str| {
        eventually(word, || {
            let now = state(admin);
            if now == word { Ok(()) } else { Err(now) }
        });
    };
    for _ in 0..2 {
        status.store(500, SeqCst);
        becomes("down");
        let before = asked.load(SeqCst);
        let refused = get(&gateway);
        refused.is_problem(503);
        assert_eq!(refused.head.value("retry-after"), Some("1"));
        assert_eq!(asked.load(SeqCst), before, "it was asked all the same");
        let told = monolith(admin);
        assert_eq!(told["addresses"][0]["last_error"]["error"], "it answered 500 Internal Server Error");
        assert!(ask_admin(admin, "/").body.contains("down since"));
        status.store(302, SeqCst);
        becomes("up");
        assert_eq!(get(&gateway).status(), 302);
    }
    site.kill();
    becomes("down");
    site.reopen();
    becomes("up");
    assert_eq!(get(&gateway).status(), 302);
}

/// A name with several addresses, of which the system's resolver knows: `localhost` is on both families here, and only
/// one of them answers.
#[test]
fn a_name_is_served_by_whichever_of_its_addresses_answers() {
    let (site, _, _) = site("127.0.0.1");
    let port = site.address().port();
    let rules = Rules::forwarding_to(site.address()).to_string();
    let rules = rules.replace("http://127.0.0.1:", "http://localhost:");
    let gateway = Gateway::start_with(&rules);
    for _ in 0..10 {
        assert_eq!(get(&gateway).status(), 200);
    }
    let told = monolith(gateway.admin());
    assert_eq!(
        (&told["host"], &told["resolution"]["state"]),
        (&json!(format!("localhost:{port}")), &json!("good"))
    );
    assert_eq!(told["exchanges"]["answered"], 10);
    assert!(told["connections"]["idle"].as_u64().unwrap() >= 1, "{told}");
}
