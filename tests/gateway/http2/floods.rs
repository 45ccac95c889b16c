//! Frames that cost a client nothing and a server something, without end. Each flood is ended by GOAWAY, after a bounded
//! number of frames, while others are served; none of it piles up in memory.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::canary;
use crate::harness::{
    Gateway, Rules,
    frames::{
        ACK, CONTINUATION, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frame, GOAWAY, H2, HEADERS, NO_ERROR,
        PING, PREFACE, PRIORITY, RST_STREAM, Verdict, block, data, get, headers, ping, post, reset, settings,
        window_update,
    },
    recorder::{Recorder, echo},
    wire::PATIENCE,
};

/// Frames of a flood; far more than any is let go on for.
const MOST: u32 = 100_000;

/// Sends what `round` makes, round after round, from a thread of its own, and reads what comes back: the error that ends
/// it, and how many rounds the other end took.
fn flood(
    gateway: &Gateway,
    opening: &[Frame],
    round: impl Fn(u32) -> Vec<Frame> + Send,
) -> (Option<u32>, u32) {
    let mut client = H2::connect(gateway);
    for frame in opening {
        client.send(frame);
    }
    let mut sender = client.0.twin();
    thread::scope(|scope| {
        let sending = scope.spawn(move || {
            (0..MOST)
                .find(|number| {
                    let frames: Vec<u8> = round(*number).iter().flat_map(Frame::bytes).collect();
                    sender.send_bytes(&frames).is_err()
                })
                .unwrap_or(MOST)
        });
        let ended = client.until(|frame| frame.kind == GOAWAY && frame.number(4) != NO_ERROR);
        let code = ended.map(|frame| frame.number(4));
        assert_eq!(canary(gateway), None, "while it went on");
        // What is still sent is read for a while, and then nobody does.
        (code, sending.join().unwrap())
    })
}

fn is_calmed(what: &str, opening: &[Frame], round: impl Fn(u32) -> Vec<Frame> + Send) -> Recorder {
    let origin = Recorder::open(echo);
    let gateway = Gateway::start(&Rules::forwarding_to(origin.address()));
    let (code, rounds) = flood(&gateway, opening, round);
    assert_eq!(code, Some(ENHANCE_YOUR_CALM), "{what}, after {rounds} rounds");
    assert!(rounds < MOST, "{what}: all of it was read");
    origin
}

fn stream(number: u32) -> u32 {
    1 + 2 * number
}

/// CVE-2023-44487: requests that are reset at once. What they cost the site is bounded too.
#[test]
fn rapid_reset() {
    let origin = is_calmed("rapid reset", &[], |number| {
        vec![headers(stream(number), END_STREAM, &get("/rapid")), reset(stream(number), 8)]
    });
    let reached = origin.take().len();
    assert!(reached < 1000, "{reached} of them reached the site");
}

/// CVE-2025-8671: requests that the server is made to reset by itself.
#[test]
fn made_you_reset() {
    let spoils: [fn(u32) -> Frame; 4] = [
        |stream| window_update(stream, 0),
        |stream| window_update(stream, (1 << 31) - 1),
        |stream| data(stream, END_STREAM, b"after the end"),
        |stream| Frame::new(PRIORITY, 0, stream, &[0; 4]),
    ];
    for spoil in spoils {
        let origin = Recorder::open(echo);
        let gateway = Gateway::start(&Rules::forwarding_to(origin.address()));
        let (code, rounds) = flood(&gateway, &[], |number| {
            vec![headers(stream(number), END_STREAM, &get("/made")), spoil(stream(number))]
        });
        // Some of these mistakes end the connection at the first.
        assert!(code.is_some() && rounds < MOST, "after {:?}: {code:?}, {rounds} rounds", spoil(1));
        let reached = origin.take().len();
        assert!(reached < 1000, "{reached} of them reached the site after {:?}", spoil(1));
    }
}

/// CVE-2024-27316 and its kin: a head that never ends, in frames without and with content.
#[test]
fn continuation() {
    let begun = Frame::new(HEADERS, END_STREAM, 1, &block(&get("/endless")));
    for piece in [Vec::new(), block(&[("x", "y")]), block(&[("x-filler", &"z".repeat(16_000))])] {
        let origin = Recorder::open(echo);
        let gateway = Gateway::start(&Rules::forwarding_to(origin.address()));
        let (code, rounds) =
            flood(&gateway, std::slice::from_ref(&begun), |_| vec![Frame::new(CONTINUATION, 0, 1, &piece)]);
        assert!(code.is_some() && rounds < MOST, "pieces of {}: {code:?}, {rounds} rounds", piece.len());
        assert!(!format!("{:?}", origin.take()).contains("/endless"));
    }
}

#[test]
fn settings_without_end() {
    is_calmed("SETTINGS", &[], |_| vec![settings(&[])]);
    is_calmed("SETTINGS that say something", &[], |number| vec![settings(&[(4, 65_535 + number % 2)])]);
}

#[test]
fn pings() {
    is_calmed("PING", &[], |number| vec![ping(u64::from(number).to_be_bytes())]);
    is_calmed("answers to no PING", &[], |_| vec![Frame::new(PING, ACK, 0, &[0; 8])]);
}

#[test]
fn empty_data() {
    let open = [headers(1, 0, &post("/empty"))];
    is_calmed("empty DATA", &open, |_| vec![data(1, 0, b"")]);
    is_calmed("DATA of padding", &open, |_| vec![Frame::new(0, 0x8, 1, &[9, 0, 0, 0, 0, 0, 0, 0, 0, 0])]);
}

#[test]
fn windows_and_priorities() {
    is_calmed("WINDOW_UPDATE", &[], |_| vec![window_update(0, 1)]);
    is_calmed("PRIORITY", &[], |number| {
        vec![Frame::new(PRIORITY, 0, stream(number % 1000), &[0, 0, 0, 0, 1])]
    });
    is_calmed("frames of no known type", &[], |_| vec![Frame::new(0xee, 0, 0, b"?")]);
    is_calmed("resets of streams that are over", &[headers(1, END_STREAM, &get("/"))], |_| {
        vec![Frame::new(RST_STREAM, 0, 1, &8_u32.to_be_bytes())]
    });
}

/// A client that asks, and never reads: it is left once it has taken nothing for `body_timeout`.
#[test]
fn answers_that_nobody_reads() {
    let origin = Recorder::open(|request| {
        let (mut head, then) = echo(request);
        head.clear();
        head.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 8000000\r\n\r\n");
        head.extend(std::iter::repeat_n(b'z', 8_000_000));
        (head, then)
    });
    let limits = "limits = { body_timeout = \"500ms\" }";
    let gateway = Gateway::start(&Rules::forwarding_to(origin.address()).gateway(limits));
    let mut client = H2(gateway.connect());
    client.0.hold_little();
    client.send_bytes(PREFACE);
    // Windows as wide as they go: only the socket holds it back.
    client.send(&settings(&[(4, (1 << 31) - 1)]));
    client.send(&window_update(0, (1 << 31) - 1 - 65_535));
    for number in 0..20 {
        client.send(&headers(stream(number), END_STREAM, &get("/large")));
    }
    let began = Instant::now();
    while client.0.send_bytes(&ping(*b"not read").bytes()).is_ok() {
        assert!(began.elapsed() < PATIENCE, "it is still listened to");
        thread::sleep(Duration::from_millis(50));
    }
}

/// RFC 7541, 7.3: a small block that decompresses to a large head.
#[test]
fn a_head_that_unfolds() {
    let origin = Recorder::open(echo);
    let gateway = Gateway::start(&Rules::forwarding_to(origin.address()));
    let mut client = H2::connect(&gateway);
    // A field of 4,000 bytes goes into the table, and is named 3,000 times: twelve megabytes.
    let mut bomb = block(&get("/bomb"));
    bomb.extend_from_slice(&[0x40, 0x03, b'x', b'-', b'a', 0x7f, 0xa1, 0x1e]);
    bomb.extend(std::iter::repeat_n(b'z', 4000));
    bomb.extend(std::iter::repeat_n(0xbe, 3000));
    client.send(&Frame::new(HEADERS, END_HEADERS | END_STREAM, 1, &bomb));
    let verdict = client.rejection();
    assert!(verdict != Verdict::Nothing, "it was let in: {verdict:?}");
    assert_eq!(canary(&gateway), None);
    let reached = origin.take().len();
    assert_eq!(reached, 1, "only the canary reaches the site");
}
