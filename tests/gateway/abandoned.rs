//! Clients that leave while their images are drawn, or never wait: the provider is paid by then, so the job goes on, in a
//! drain too, and the same key gets what it made.

use std::{fs, io::Cursor, path::Path, thread, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use image::{DynamicImage, ImageFormat};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    Gateway, Origin, Process, Rules, Wire,
    frames::{END_STREAM, H2, HEADERS, data, headers, reset},
    gateway::eventually,
};

/// By which a client leaves.
#[derive(Clone, Copy, Debug)]
enum Door {
    /// HTTP/1.1, by a reset of its connection.
    Http1,
    /// HTTP/2, by a reset of its stream (RFC 9113, 6.4).
    Stream,
    /// HTTP/2, by a reset of its connection.
    Http2,
}

fn rules(provider: &Origin) -> Rules {
    // Nobody is asked there.
    let rules = Rules::forwarding_to(([127, 0, 0, 1], 9).into());
    rules.tables(&format!(
        "[generator]\nprovider = \"openai\"\nmax_in_flight = 1\n\
         [generator.openai]\nbase_url = \"http://{}/v1\"\nretries = 0\n\
         [[route]]\nname = \"images\"\nmethods = [\"POST\"]\npath = \"/v1/images/generations\"\nmode = \"migrated\"\n\
         contract = \"openai\"\nauthorize = \"public\"\nsubject = \"header:x-user\"\nfallback = \"never\"\n\
         [route.idempotency]\nkey = \"header:idempotency-key\"",
        provider.address()
    ))
}

fn before(provider: &Origin) -> Gateway {
    Gateway::start(&rules(provider))
}

fn picture() -> String {
    let mut png = Cursor::new(Vec::new());
    DynamicImage::new_rgb8(1024, 1024).write_to(&mut png, ImageFormat::Png).unwrap();
    BASE64_STANDARD.encode(png.into_inner())
}

fn event(kind: &str, more: &Value) -> String {
    let mut event = json!({
        "type": format!("image_generation.{kind}"), "b64_json": picture(), "created_at": 1, "size": "1024x1024",
        "quality": "high", "background": "opaque", "output_format": "png",
    });
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    format!("event: image_generation.{kind}\ndata: {event}\n\n")
}

fn order(stream: bool) -> String {
    let mut order = json!({ "prompt": "mar", "size": "1024x1024" });
    if stream {
        (order["stream"], order["partial_images"]) = (true.into(), 1.into());
    }
    order.to_string()
}

/// Asks, sees the first preview where there is one, and leaves.
fn ask_and_leave(gateway: &Gateway, provider: &Origin, door: Door, key: &str, stream: bool) -> Wire {
    let body = order(stream);
    let mut client = gateway.connect();
    let mut modern = None;
    match door {
        Door::Http1 => client.send(&posted(&body, key)),
        Door::Stream | Door::Http2 => {
            let mut h2 = H2::on(client.twin());
            let fields = [
                (":method", "POST"),
                (":scheme", "http"),
                (":authority", "shop.test"),
                (":path", "/v1/images/generations"),
                ("content-type", "application/json"),
                ("idempotency-key", key),
                ("x-user", "ana"),
            ];
            h2.send(&headers(1, 0, &fields));
            h2.send(&data(1, END_STREAM, body.as_bytes()));
            modern = Some(h2);
        }
    }
    let mut painter = provider.accept();
    painter.read_message();
    if stream {
        painter.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n");
        painter.send(&event("partial_image", &json!({ "partial_image_index": 0 })));
        match &mut modern {
            None => assert_eq!(client.read_head().status(), 200),
            Some(h2) => {
                let head = h2.until(|frame| frame.kind == HEADERS).unwrap();
                assert_eq!(head.status(), 200);
            }
        }
    }
    match (door, modern) {
        (Door::Stream, Some(mut h2)) => {
            h2.send(&reset(1, 8));
            // The connection goes on.
            h2.send(&headers(
                3,
                END_STREAM,
                &[
                    (":method", "GET"),
                    (":scheme", "http"),
                    (":authority", "shop.test"),
                    (":path", "/figueira/images/fg-none.png"),
                ],
            ));
            assert_eq!(h2.answer(3), Some(404));
        }
        _ => client.reset(),
    }
    painter
}

fn posted(body: &str, key: &str) -> String {
    format!(
        "POST /v1/images/generations HTTP/1.1\r\nHost: shop.test\r\nContent-Type: application/json\r\nX-User: ana\r\n\
         Idempotency-Key: {key}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// What a provider answers that has drawn.
fn drawn() -> String {
    let answer = json!({ "created": 1, "data": [{ "b64_json": picture() }] }).to_string();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{answer}",
        answer.len()
    )
}

/// Where the jobs stand whose records are in `data`.
fn states(data: &Path) -> Vec<String> {
    let db = rusqlite::Connection::open(data.join("catalog.sqlite")).unwrap();
    let mut states = db.prepare("SELECT state FROM jobs ORDER BY id").unwrap();
    states.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_client_that_leaves_stops_nothing_that_is_paid() {
    let provider = Origin::open();
    let gateway = before(&provider);
    let mut made = 0;
    for door in [Door::Http1, Door::Stream, Door::Http2] {
        for stream in [false, true] {
            let key = format!("{door:?}-{stream}");
            let mut painter = ask_and_leave(&gateway, &provider, door, &key, stream);
            // Whoever is told of the leaving has time to hear of it.
            assert!(painter.is_silent(), "{key}: the provider was hung up on");
            if stream {
                let usage = json!({ "usage": { "input_tokens": 1, "output_tokens": 2, "total_tokens": 3 } });
                painter.send(&event("completed", &usage));
                painter.finish();
            } else {
                painter.send(&drawn());
            }
            made += 1;
            eventually("the commit", || {
                let states = states(&gateway.data());
                (states == vec!["done"; made]).then_some(()).ok_or(states)
            });
            let mut client = gateway.connect();
            client.send(&posted(&order(stream), &key));
            let again = client.read_message();
            assert_eq!(
                (again.status(), again.head.value("idempotent-replayed")),
                (200, Some("true")),
                "{key}"
            );
            assert!(provider.is_left_alone(), "{key}: it was paid twice");
        }
    }
}

/// A process in `folder` that drains for a minute, and its provider, which draws for a client that does not wait.
fn promised(folder: &TempDir, provider: &Origin) -> (Process, Wire) {
    let path = folder.path().join("routes.toml");
    let rules = rules(provider).gateway("drain = \"1m\"").tables("[log]\nformat = \"json\"");
    fs::write(&path, rules.to_string()).unwrap();
    let process = Process::serve(&path);
    is_promised(&process);
    (process, asked(provider))
}

/// Asks for images without waiting for them.
fn is_promised(process: &Process) {
    let mut client = process.connect();
    let body = order(false);
    client.send(&format!(
        "POST /v1/images/generations HTTP/1.1\r\nHost: shop.test\r\nContent-Type: application/json\r\n\
         Prefer: respond-async\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert_eq!(client.read_head().status(), 202);
}

/// The provider, once it has been asked.
fn asked(provider: &Origin) -> Wire {
    let mut painter = provider.accept();
    painter.read_message();
    painter
}

#[test]
fn a_drain_is_as_long_for_a_job_that_no_client_waits_for() {
    let (folder, provider) = (TempDir::new().unwrap(), Origin::open());
    let (mut process, mut painter) = promised(&folder, &provider);
    process.signal("TERM");
    process.hear("draining; a second signal ends at once");
    // Longer than is waited where nothing of the drain is left: its length is what is tested.
    thread::sleep(Duration::from_secs(2));
    painter.send(&drawn());
    assert_eq!(process.hear("drained")["outcome"], "Drained");
    assert_eq!(process.ended().code(), Some(0));
    assert_eq!(states(&folder.path().join("figueira-data")), ["done"]);
}

#[test]
fn a_second_signal_does_not_wait_for_such_a_job() {
    let (folder, provider) = (TempDir::new().unwrap(), Origin::open());
    let (mut process, mut painter) = promised(&folder, &provider);
    process.signal("TERM");
    process.hear("draining; a second signal ends at once");
    process.signal("TERM");
    assert_eq!(process.ended().code(), Some(1));
    painter.ends();
}

/// It is on record, and nothing was paid for it. A janitor who is called is told to end as a gateway is.
#[test]
fn what_waits_for_its_place_when_a_drain_begins_is_left_to_the_next_process() {
    let (folder, provider) = (TempDir::new().unwrap(), Origin::open());
    let (gateway, mut painter) = promised(&folder, &provider);
    for _ in 0..2 {
        is_promised(&gateway);
    }
    let mut uploading = gateway.connect();
    uploading.send(&posted(&order(false), "k").replace("Content-Length: ", "Content-Length: 1"));
    let mut is_not_over = Some(uploading);
    let path = folder.path().join("routes.toml");
    let mut process = gateway;
    for left in [2, 1] {
        process.signal("TERM");
        process.hear("draining; a second signal ends at once");
        for _ in 0..left {
            process.hear("an accepted job is left to the next process");
        }
        painter.send(&drawn());
        process.hear("job done");
        if let Some(uploading) = is_not_over.take() {
            uploading.reset();
        }
        assert_eq!(process.hear("drained")["outcome"], "Drained");
        assert_eq!(process.ended().code(), Some(0));
        let states = states(&folder.path().join("figueira-data"));
        assert_eq!(states.iter().filter(|state| *state == "accepted").count(), left, "{states:?}");
        assert_eq!(states.iter().filter(|state| *state == "done").count(), 3 - left, "{states:?}");
        process = Process::janitor(&path);
        painter = asked(&provider);
    }
    painter.send(&drawn());
    process.hear("job done");
    assert_eq!(process.hear("drained")["outcome"], "Drained");
    assert_eq!(process.ended().code(), Some(0));
    assert_eq!(states(&folder.path().join("figueira-data")), ["done"; 3]);
}

#[test]
fn a_janitor_who_cannot_finish_in_time_ends_with_1_and_says_what_went_wrong() {
    let (folder, provider) = (TempDir::new().unwrap(), Origin::open());
    let (gateway, mut painter) = promised(&folder, &provider);
    is_promised(&gateway);
    drop(gateway);
    painter.ends();
    let path = folder.path().join("routes.toml");
    let rules = fs::read_to_string(&path).unwrap();
    fs::write(&path, rules.replace("drain = \"1m\"", "drain = \"200ms\"")).unwrap();
    let mut janitor = Process::janitor(&path);
    assert_eq!(janitor.hear("a job of before came to rest")["reason"], "unknown");
    let mut painter = asked(&provider);
    janitor.signal("TERM");
    assert_eq!(janitor.hear("drained")["outcome"], "Cut");
    assert_eq!(janitor.ended().code(), Some(1));
    painter.ends();
}
