//! What the monolith holds for a request is given back where nothing was begun for it.

use serde_json::{Value, json};

use crate::{
    fallback::{HELD, OURS, PERMITTED, asks, asks_for, rate_limit, start},
    harness::{Origin, Wire},
};

const HEARD: &str = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";

/// Asks for an image, and is permitted to.
fn permitted(monolith: &Origin, client: Wire) -> Wire {
    monolith.serve(PERMITTED);
    client
}

/// What the monolith is told next, which it hears.
#[track_caller]
fn told(monolith: &Origin) -> Value {
    let (_, told) = monolith.serve(HEARD);
    assert_eq!(told.head.line(), "POST /told HTTP/1.1");
    assert_eq!(told.head.value("figueira-event"), Some("failed"));
    told.json()
}

#[test]
fn a_full_queue_gives_back_what_is_held_before_the_monolith_answers_itself() {
    let (gateway, monolith, provider) = start("max_in_flight = 1\nqueue = 0", HELD);
    let first = permitted(&monolith, asks(&gateway));
    let mut drawing = provider.accept();
    drawing.read_message();

    let mut second = permitted(&monolith, asks(&gateway));
    let news = told(&monolith);
    assert_eq!((&news["reason"], &news["facts"]["x-hold"]), (&json!("handed-over"), &json!("h1")));
    assert_eq!((&news["n"], &news["size"], &news["images"]), (&json!(1), &json!("1024x1024"), &json!([])));
    let (_, request) = monolith.serve(OURS);
    assert_eq!(request.head.line(), "POST /api/images HTTP/1.1");
    assert_eq!(second.read_message().body, "site");

    // It says nothing, or no: its own answer is to be had all the same.
    let mut third = permitted(&monolith, asks(&gateway));
    monolith.serve("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    monolith.serve(OURS);
    assert_eq!(third.read_message().body, "site");

    drawing.send(&rate_limit());
    assert_eq!(told(&monolith)["reason"], "handed-over");
    monolith.serve(OURS);
    drop(first);
}

#[test]
fn who_is_turned_away_leaves_nothing_held() {
    for (generator, keys) in
        [("max_in_flight = 1\nqueue = 0", "fallback = \"never\"\n"), ("tenant_max_in_flight = 1", "")]
    {
        let (gateway, monolith, provider) = start(generator, &format!("{keys}{HELD}"));
        let mut first = permitted(&monolith, asks(&gateway));
        let mut drawing = provider.accept();
        drawing.read_message();

        let mut second = permitted(&monolith, asks(&gateway));
        assert_eq!(second.read_message().status(), 503, "{generator}");
        let news = told(&monolith);
        assert_eq!((&news["reason"], &news["facts"]["x-hold"]), (&json!("refused"), &json!("h1")));

        // Its hold is the next try's as well.
        let body = json!({ "prompt": "mar", "size": "1024x1024" }).to_string();
        let keyed = asks_for(&gateway, "Cookie: session=ana\r\nIdempotency-Key: 1\r\n", &body);
        assert_eq!(permitted(&monolith, keyed).read_message().status(), 503);

        drawing.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
        assert_eq!(first.read_message().status(), 400);
        let news = told(&monolith);
        assert_eq!(news["reason"], "refused");
        assert!(monolith.is_left_alone() && provider.is_left_alone());
    }
}
