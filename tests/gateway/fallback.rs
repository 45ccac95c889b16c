//! When the monolith may answer in the generator's place, and when nobody may: a row of the table, a case here. The
//! provider and the monolith are both played; who is not meant to be asked has to be left alone.

use std::{
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::json;

use crate::{
    harness::{Gateway, Origin, Rules, Wire, wire::Message},
    modes::route,
};

pub(crate) const OURS: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nsite";

/// A gateway between a monolith and a paid provider at this address.
fn between(monolith: &Origin, provider: &str, generator: &str, keys: &str) -> Gateway {
    let rules = Rules::forwarding_to(monolith.address()).tables(&format!(
        "[generator]\nprovider = \"openai\"\n{generator}\n\
         [generator.openai]\nbase_url = \"http://{provider}/v1\"\nretries = 0\n\
         [generator.openai.models.\"gpt-image-2\"]\n\
         prices = [{{ size = \"1024x1024\", usd = 0.04 }}]"
    ));
    let authorize = if keys.contains("[route.authorize]") { "" } else { "authorize = \"public\"\n" };
    Gateway::start(&route(rules, "migrated", &format!("{authorize}{keys}")))
}

pub(crate) fn start(generator: &str, keys: &str) -> (Gateway, Origin, Origin) {
    let (monolith, provider) = (Origin::open(), Origin::open());
    (between(&monolith, &provider.address().to_string(), generator, keys), monolith, provider)
}

pub(crate) fn asks_for(gateway: &Gateway, fields: &str, body: &str) -> Wire {
    let mut client = gateway.connect();
    client.send(&format!(
        "POST /api/images HTTP/1.1\r\nHost: shop.test\r\nContent-Type: application/json\r\n{fields}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    client
}

pub(crate) fn asks(gateway: &Gateway) -> Wire {
    asks_for(gateway, "", &json!({ "prompt": "mar", "size": "1024x1024" }).to_string())
}

/// An answer of the provider.
pub(crate) fn says(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn error(status: &str, kind: &str, code: &str) -> String {
    says(
        status,
        &json!({ "error": { "message": kind, "type": kind, "code": code, "param": null } }).to_string(),
    )
}

pub(crate) fn rate_limit() -> String {
    error("429 Too Many Requests", "requests", "rate_limit_exceeded")
}

#[track_caller]
fn answered_by(monolith: &Origin, mut client: Wire) {
    let (_, request) = monolith.serve(OURS);
    assert_eq!(request.head.line(), "POST /api/images HTTP/1.1");
    assert!(request.body.contains("\"prompt\""), "the same request, whole");
    assert_eq!(client.read_message().body, "site");
}

/// The answer is in the contract's own shape, and nobody else was asked.
#[track_caller]
fn refused(monolith: &Origin, mut client: Wire, status: u16) -> Message {
    let answer = client.read_message();
    assert_eq!((answer.status(), &answer.json()["processamento"]), (status, &json!(status)), "{answer:?}");
    assert!(monolith.is_left_alone(), "the monolith was asked as well");
    answer
}

#[test]
fn what_cannot_have_been_charged_is_handed_over() {
    let (gateway, monolith, provider) = start("", "");
    for answer in [
        rate_limit(),
        error("503 Service Unavailable", "server_error", "overloaded"),
        error("401 Unauthorized", "invalid_request_error", "invalid_api_key"),
        error("403 Forbidden", "invalid_request_error", "unsupported_country"),
        error("404 Not Found", "invalid_request_error", "model_not_found"),
        error("429 Too Many Requests", "insufficient_quota", "insufficient_quota"),
        error("400 Bad Request", "billing_limit_user_error", "billing_hard_limit_reached"),
    ] {
        let client = asks(&gateway);
        provider.serve(&answer);
        answered_by(&monolith, client);
    }
    let unreachable = Origin::open().address().to_string();
    let gateway = between(&monolith, &unreachable, "", "");
    answered_by(&monolith, asks(&gateway));
}

#[test]
fn what_may_have_been_charged_is_answered_by_nobody_else() {
    let (gateway, monolith, provider) = start("deadline = \"1s\"", "");
    for (answer, status) in [
        (error("400 Bad Request", "image_generation_user_error", "moderation_blocked"), 400),
        (error("400 Bad Request", "invalid_request_error", "invalid_value"), 400),
        (error("500 Internal Server Error", "server_error", ""), 502),
        (says("503 Service Unavailable", "<html>"), 502),
        (says("200 OK", "<html>"), 502),
        (says("200 OK", r#"{"created":1,"data":[]}"#), 502),
        (says("200 OK", r#"{"created":1,"data":[{"b64_json":"aGVsbG8="}]}"#), 502),
        ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_owned(), 502),
    ] {
        let client = asks(&gateway);
        drop(provider.serve(&answer));
        refused(&monolith, client, status);
    }
    // It never says anything.
    let client = asks(&gateway);
    let (_silent, _) = provider.serve("");
    refused(&monolith, client, 504);
}

#[test]
fn a_route_that_never_falls_back_says_what_went_wrong_and_when_to_come_again() {
    let (gateway, monolith, provider) = start("", "fallback = \"never\"\n");
    let client = asks(&gateway);
    provider.serve(&rate_limit());
    assert!(refused(&monolith, client, 503).head.value("retry-after").is_some());
    let client = asks_for(&gateway, "", &json!({ "prompt": "mar", "size": "123x77" }).to_string());
    refused(&monolith, client, 400);
}

#[test]
fn what_is_malformed_or_too_long_is_ours_and_what_is_beyond_the_tables_the_monoliths() {
    let (gateway, monolith, provider) = start("max_request = \"1KiB\"", "");
    for (body, status) in [
        (json!({ "prompt": " " }), 400),
        (json!({ "prompt": "mar", "n": 0 }), 400),
        (json!({ "prompt": "mar", "size": "big" }), 400),
        (json!({ "prompt": "m".repeat(2000) }), 413),
    ] {
        refused(&monolith, asks_for(&gateway, "", &body.to_string()), status);
    }
    for body in [json!({ "prompt": "mar", "n": 11 }), json!({ "prompt": "mar", "size": "123x77" })] {
        answered_by(&monolith, asks_for(&gateway, "", &body.to_string()));
    }
    assert!(provider.is_left_alone());
}

#[test]
fn the_monolith_gets_no_more_of_our_load_than_it_is_to_get() {
    let (gateway, monolith, provider) = start("max_in_flight = 1\nqueue = 0\nfallback_max_in_flight = 1", "");
    let drawing = asks(&gateway);
    let mut held = provider.accept();
    held.read_message();
    let mut waiting = asks(&gateway);
    let mut site = monolith.accept();
    site.read_message();
    let third = asks(&gateway);
    assert!(refused(&monolith, third, 503).head.value("retry-after").is_some());
    site.send(OURS);
    assert_eq!(waiting.read_message().body, "site");
    drop(site);
    held.send(&rate_limit());
    answered_by(&monolith, drawing);
}

/// The client did not hear the monolith's answer and asks again: by then there is a place, and a second answer would be a
/// second purchase.
#[test]
fn a_key_that_the_monolith_has_answered_for_us_stays_its() {
    let keys = "[route.idempotency]\nkey = \"header:idempotency-key\"\n";
    let (gateway, monolith, provider) = start("max_in_flight = 1\nqueue = 0", keys);
    let body = json!({ "prompt": "mar", "size": "1024x1024" }).to_string();
    let asks_with = |key: &str| {
        let fields = format!("Cookie: session=ana\r\nIdempotency-Key: {key}\r\n");
        asks_for(&gateway, &fields, &body)
    };
    let first = asks_with("1");
    let mut held = provider.accept();
    held.read_message();
    answered_by(&monolith, asks_with("2"));
    held.send(&error("500 Internal Server Error", "server_error", ""));
    refused(&monolith, first, 502);
    for _ in 0..2 {
        answered_by(&monolith, asks_with("2"));
    }
    refused(&monolith, asks_with("1"), 502);
    assert!(provider.is_left_alone());

    // Where that cannot be written down, nobody may answer.
    let catalog = rusqlite::Connection::open(gateway.data().join("catalog.sqlite")).unwrap();
    catalog
        .execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON claims BEGIN SELECT RAISE(ABORT, 'disk full'); END",
        )
        .unwrap();
    refused(&monolith, asks_with("3"), 503);
    assert!(provider.is_left_alone());
}

#[test]
fn a_budget_that_is_used_up_leaves_it_to_the_monolith() {
    let (gateway, monolith, provider) = start("daily_budget_usd = 0.05", "");
    let client = asks(&gateway);
    drop(provider.serve(&error("500 Internal Server Error", "server_error", "")));
    refused(&monolith, client, 502);
    // What nobody knows stays spent.
    answered_by(&monolith, asks(&gateway));
    assert!(provider.is_left_alone());
}

#[test]
fn who_comes_when_the_budget_is_used_up_is_told_to_come_tomorrow() {
    let (gateway, monolith, provider) = start("daily_budget_usd = 0.03", "fallback = \"never\"\n");
    let client = asks(&gateway);
    let told = refused(&monolith, client, 503).head.value("retry-after").unwrap().parse::<u64>().unwrap();
    let day = Duration::from_hours(24).as_secs();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!((1..=day).contains(&told) && (now + told + 5) % day < 10, "{told} s after {now}");
    assert!(provider.is_left_alone());
}

#[test]
fn a_disk_or_a_catalog_that_takes_nothing_is_seen_before_anything_is_paid() {
    let (gateway, monolith, provider) = start("", "");
    let spool = gateway.data().join("spool");
    fs::remove_dir(&spool).unwrap();
    fs::write(&spool, "a file where the folder was").unwrap();
    answered_by(&monolith, asks(&gateway));
    fs::remove_file(&spool).unwrap();
    fs::create_dir(&spool).unwrap();
    let catalog = rusqlite::Connection::open(gateway.data().join("catalog.sqlite")).unwrap();
    catalog
        .execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON jobs BEGIN SELECT RAISE(ABORT, 'disk full'); END",
        )
        .unwrap();
    answered_by(&monolith, asks(&gateway));
    assert!(provider.is_left_alone());
}

#[test]
fn who_was_promised_images_gets_none_of_the_monoliths() {
    let (gateway, monolith, provider) = start("", "");
    let body = json!({ "prompt": "mar", "size": "1024x1024" }).to_string();
    let mut client = asks_for(&gateway, "Prefer: respond-async\r\n", &body);
    let started = client.read_message();
    assert_eq!(started.status(), 202);
    provider.serve(&rate_limit());
    let place = started.head.value("location").unwrap();
    let said = crate::harness::gateway::eventually("the job's end", || {
        let mut client = gateway.connect();
        client.send(&format!("GET {place} HTTP/1.1\r\nHost: shop.test\r\n\r\n"));
        let said = client.read_message();
        if said.status() == 202 { Err(said) } else { Ok(said) }
    });
    assert_eq!(said.json()["processamento"], 503);
    assert_eq!(said.head.value("retry-after"), None, "it is over");
    assert!(monolith.is_left_alone());
}

/// A provider that is paid for being asked has its whole time, however long the place was waited for.
#[test]
fn the_queue_takes_nothing_of_the_providers_time() {
    let (gateway, monolith, provider) = start("deadline = \"2s\"\nmax_in_flight = 1", "");
    let first = asks(&gateway);
    let mut drawing = provider.accept();
    drawing.read_message();
    let second = asks(&gateway);
    // The one way to have time pass is to let it pass.
    let most_of_it = std::time::Duration::from_millis(1200);
    std::thread::sleep(most_of_it);
    drawing.send(&rate_limit());
    answered_by(&monolith, first);
    let mut drawing = provider.accept();
    drawing.read_message();
    std::thread::sleep(most_of_it);
    drawing.send(&error("400 Bad Request", "image_generation_user_error", "moderation_blocked"));
    refused(&monolith, second, 400);
}

/// A client's library would send it again by itself.
#[test]
fn who_is_told_that_the_time_is_over_is_told_not_to_ask_again() {
    let (gateway, monolith, provider) = start("", "timeout = \"1s\"\n");
    let mut client = asks(&gateway);
    let (_silent, _) = provider.serve("");
    let said = client.read_message();
    said.is_articles_error(504);
    assert_eq!(said.head.value("x-should-retry"), Some("false"));
    assert!(monolith.is_left_alone());
}

#[test]
fn a_route_with_too_little_time_left_asks_nobody_else() {
    let (gateway, monolith, provider) = start("", "timeout = \"2s\"\n");
    let client = asks(&gateway);
    let mut late = provider.accept();
    late.read_message();
    // More than half of it: the one way to have it pass is to let it pass.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    late.send(&rate_limit());
    refused(&monolith, client, 503);
    let client = asks(&gateway);
    provider.serve(&rate_limit());
    answered_by(&monolith, client);
}

pub(crate) const HELD: &str = "[route.authorize]\nurl = \"/may\"\ncopy = [\"x-user-id\", \"x-hold\"]\ntenant = \"x-user-id\"\n\
                    [route.notify]\nurl = \"/told\"\n";
pub(crate) const PERMITTED: &str =
    "HTTP/1.1 204 No Content\r\nX-User-Id: ana\r\nX-Hold: h1\r\nConnection: close\r\n\r\n";

/// The monolith would take a second credit while the first is held.
#[test]
fn the_monolith_lets_go_of_what_it_holds_before_it_is_asked_itself() {
    let (gateway, monolith, provider) = start("", HELD);
    let client = asks(&gateway);
    monolith.serve(PERMITTED);
    provider.serve(&rate_limit());
    let (_, told) = monolith.serve("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    assert_eq!(told.head.line(), "POST /told HTTP/1.1");
    let news = told.json();
    assert_eq!((&news["event"], &news["reason"]), (&json!("failed"), &json!("handed-over")));
    assert_eq!(news["facts"]["x-hold"], "h1");
    answered_by(&monolith, client);

    // It does not say that it has let go.
    let client = asks(&gateway);
    monolith.serve(PERMITTED);
    provider.serve(&rate_limit());
    monolith.serve("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let mut client = client;
    assert_eq!(client.read_message().json()["processamento"], 503);
}

/// RFC 7240, 4.1: who does not wait has its promise at once, also while every place is taken.
#[test]
fn who_does_not_wait_is_promised_images_before_there_is_a_place() {
    let (gateway, monolith, provider) = start("max_in_flight = 1", "");
    let first = asks(&gateway);
    let mut held = provider.accept();
    held.read_message();
    let body = json!({ "prompt": "noite", "size": "1024x1024" }).to_string();
    let promised = asks_for(&gateway, "Prefer: respond-async\r\n", &body).read_message();
    assert_eq!((promised.status(), &promised.json()["status"]), (202, &json!("accepted")));
    let place = promised.head.value("location").unwrap().to_owned();
    let look = || {
        let mut client = gateway.connect();
        client.send(&format!("GET {place} HTTP/1.1\r\nHost: shop.test\r\n\r\n"));
        client.read_message()
    };
    assert_eq!(look().json()["status"], "accepted", "nothing was called for it");
    held.send(&rate_limit());
    answered_by(&monolith, first);
    let mut second = provider.accept();
    assert!(second.read_message().body.contains("noite"));
    assert_eq!(look().json()["status"], "drawing");
    second.send(&rate_limit());
}
