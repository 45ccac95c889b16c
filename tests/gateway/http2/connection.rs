//! The connection itself: its preface, the sizes of its frames, and the frames that are its own (RFC 9113, 3 to 6).

use super::{
    Case,
    Outcome::{Answered, Connection},
    case, sound, try_all,
};
use crate::harness::{
    Gateway, Origin,
    frames::{
        ACK, CONTINUATION, DATA, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, Frame, GOAWAY, H2, HEADERS, PING,
        PREFACE, PRIORITY, PROTOCOL_ERROR, PUSH_PROMISE, RST_STREAM, SETTINGS, Verdict, WINDOW_UPDATE, data,
        ping, settings, window_update,
    },
    wire::End,
};

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn frames_of_the_connection_are_held_to_their_rules() {
    let frame = Frame::new;
    let cases: Vec<Case> = vec![
        case(
            "9113, 4.1",
            "a frame of an unknown type is ignored",
            &[frame(0xee, 0xff, 0, b"?"), sound(1)],
            Answered(1),
        ),
        case(
            "9113, 4.1",
            "unknown flags are ignored",
            &[frame(PING, 0xf6, 0, &[0; 8]), sound(1)],
            Answered(1),
        ),
        case(
            "9113, 4.1",
            "the reserved bit is ignored",
            &[frame(PING, 0, 1 << 31, &[0; 8]), sound(1)],
            Answered(1),
        ),
        case(
            "9113, 4.2",
            "SETTINGS larger than allowed",
            &[frame(SETTINGS, 0, 0, &[0; 16_386])],
            Connection(&[FRAME_SIZE_ERROR]),
        ),
        case(
            "9113, 4.2",
            "HEADERS larger than allowed",
            &[frame(HEADERS, 5, 1, &[0; 16_385])],
            Connection(&[FRAME_SIZE_ERROR]),
        ),
        case("9113, 6.1", "DATA of the connection", &[data(0, 0, b"x")], Connection(&[PROTOCOL_ERROR])),
        case(
            "9113, 6.2",
            "HEADERS of the connection",
            &[frame(HEADERS, 5, 0, b"\x82")],
            Connection(&[PROTOCOL_ERROR]),
        ),
        case(
            "9113, 6.3",
            "PRIORITY of the connection",
            &[frame(PRIORITY, 0, 0, &[0; 5])],
            Connection(&[PROTOCOL_ERROR]),
        ),
        case(
            "9113, 6.4",
            "RST_STREAM of the connection",
            &[frame(RST_STREAM, 0, 0, &[0; 4])],
            Connection(&[PROTOCOL_ERROR]),
        ),
        case(
            "9113, 6.5",
            "an acknowledgement that says something",
            &[frame(SETTINGS, ACK, 0, &[0; 6])],
            Connection(&[FRAME_SIZE_ERROR]),
        ),
        case(
            "9113, 6.5",
            "SETTINGS of a stream",
            &[frame(SETTINGS, 0, 1, &[0; 6])],
            Connection(&[PROTOCOL_ERROR]),
        ),
        case(
            "9113, 6.5.3",
            "an acknowledgement of nothing",
            &[frame(SETTINGS, ACK, 0, b""), frame(SETTINGS, ACK, 0, b"")],
            Connection(&[PROTOCOL_ERROR]),
        ),
        case(
            "9113, 6.5",
            "half a setting",
            &[frame(SETTINGS, 0, 0, &[0; 3])],
            Connection(&[FRAME_SIZE_ERROR]),
        ),
        case("9113, 6.5.2", "ENABLE_PUSH of 2", &[settings(&[(2, 2)])], Connection(&[PROTOCOL_ERROR])),
        case(
            "9113, 6.5.2",
            "a window beyond all bounds",
            &[settings(&[(4, 1 << 31)])],
            Connection(&[FLOW_CONTROL_ERROR, PROTOCOL_ERROR]),
        ),
        case(
            "9113, 6.5.2",
            "MAX_FRAME_SIZE too small",
            &[settings(&[(5, 16_383)])],
            Connection(&[PROTOCOL_ERROR]),
        ),
        case(
            "9113, 6.5.2",
            "MAX_FRAME_SIZE too large",
            &[settings(&[(5, 1 << 24)])],
            Connection(&[PROTOCOL_ERROR]),
        ),
        case(
            "9113, 6.5.2",
            "an unknown setting is ignored",
            &[settings(&[(0xff, 1)]), sound(1)],
            Answered(1),
        ),
        case(
            "9113, 6.6",
            "PUSH_PROMISE of a client",
            &[sound(1), frame(PUSH_PROMISE, 4, 1, b"\0\0\0\x02\x82")],
            Connection(&[PROTOCOL_ERROR]),
        ),
        case("9113, 6.7", "PING of a stream", &[frame(PING, 0, 1, &[0; 8])], Connection(&[PROTOCOL_ERROR])),
        case("9113, 6.7", "a short PING", &[frame(PING, 0, 0, &[0; 7])], Connection(&[FRAME_SIZE_ERROR])),
        case(
            "9113, 6.7",
            "an answer to no PING is ignored",
            &[frame(PING, ACK, 0, &[7; 8]), sound(1)],
            Answered(1),
        ),
        case(
            "9113, 6.8",
            "GOAWAY of a stream",
            &[frame(GOAWAY, 0, 1, &[0; 8])],
            Connection(&[PROTOCOL_ERROR]),
        ),
        case("9113, 6.8", "a short GOAWAY", &[frame(GOAWAY, 0, 0, &[0; 7])], Connection(&[FRAME_SIZE_ERROR])),
        case(
            "9113, 6.9",
            "a window that grows by nothing",
            &[window_update(0, 0)],
            Connection(&[PROTOCOL_ERROR]),
        ),
        case(
            "9113, 6.9",
            "a short WINDOW_UPDATE",
            &[frame(WINDOW_UPDATE, 0, 0, &[0; 3])],
            Connection(&[FRAME_SIZE_ERROR]),
        ),
        case(
            "9113, 6.9.1",
            "a window that grows beyond all bounds",
            &[window_update(0, (1 << 31) - 1)],
            Connection(&[FLOW_CONTROL_ERROR]),
        ),
        case(
            "9113, 6.10",
            "CONTINUATION of the connection",
            &[frame(CONTINUATION, 4, 0, b"")],
            Connection(&[PROTOCOL_ERROR]),
        ),
    ];
    try_all(&cases);
}

/// RFC 9113, 3.4: the first frame is SETTINGS.
#[test]
fn a_connection_begins_with_settings() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    for first in [ping(*b"too soon"), window_update(0, 1), Frame::new(SETTINGS, ACK, 0, b""), sound(1)] {
        let mut client = H2(gateway.connect());
        client.send_bytes(PREFACE);
        client.send(&first);
        assert_eq!(client.rejection(), Verdict::Connection(PROTOCOL_ERROR), "after {first:?}");
    }
    assert!(origin.is_left_alone());
}

/// RFC 9113, 3.4: what only begins like a preface is none.
#[test]
fn a_broken_preface_ends_the_connection() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    for preface in ["PRI * HTTP/2.0\r\n\r\nSM\r\n\rX", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"] {
        let mut client = gateway.connect();
        client.send(preface);
        client.send_in_vain(&"\0".repeat(64)).ok();
        client.read_to_end();
    }
    let mut client = gateway.connect();
    client.send("PRI * HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    client.read_message().is_problem(400);
    assert_eq!(client.ends(), End::Closed);
    assert!(origin.is_left_alone());
}

/// RFC 9113, 6.5.3 and 6.7: settings are acknowledged; a ping comes back as it was.
#[test]
fn settings_and_pings_are_answered() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = H2::connect(&gateway);
    assert!(client.until(|frame| frame.kind == SETTINGS && frame.flags == ACK).is_some());
    client.send(&ping(*b"12345678"));
    let pong = client.until(|frame| frame.kind == PING).unwrap();
    assert_eq!((pong.flags, &pong.payload[..]), (ACK, &b"12345678"[..]));
}

/// RFC 9113, 6.9.1 and 6.9.2: an answer is sent as the windows allow, also where they shrink under it.
#[test]
fn windows_are_kept_to() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = H2(gateway.connect());
    client.send_bytes(PREFACE);
    client.send(&settings(&[(4, 1)]));
    client.send(&sound(1));
    let (_upstream, _) = origin.serve("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let piece =
        |client: &mut H2| client.until(|frame| frame.kind == DATA && !frame.payload.is_empty()).unwrap();
    assert_eq!(piece(&mut client).payload, b"h");
    // One more than none, less one.
    client.send(&settings(&[(4, 0)]));
    client.send(&window_update(1, 2));
    assert_eq!(piece(&mut client).payload, b"e");
    client.send(&settings(&[(4, 3)]));
    assert_eq!(piece(&mut client).payload, b"llo");
}
