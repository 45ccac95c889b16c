//! Streams: the states that they pass through, their numbers, and the frames that are theirs (RFC 9113, 5 and 6).

use super::{
    Case,
    Outcome::{Answered, Connection, Stream},
    case, sound, try_all,
};
use crate::harness::{
    Gateway, Origin,
    frames::{
        CONTINUATION, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, Frame, H2, HEADERS,
        PADDED, PRIORITIZED, PRIORITY, PROTOCOL_ERROR, REFUSED_STREAM, RST_STREAM, STREAM_CLOSED, Verdict,
        WINDOW_UPDATE, block, data, get, headers, post, reset, window_update,
    },
};

/// HEADERS of a request whose block goes on.
fn unfinished(stream: u32) -> Frame {
    Frame::new(HEADERS, END_STREAM, stream, &block(&get("/unfinished")))
}

fn open(stream: u32) -> Frame {
    headers(stream, 0, &post("/open"))
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn streams_are_held_to_their_states() {
    let frame = Frame::new;
    let (wrong, closed) = (&[PROTOCOL_ERROR][..], &[STREAM_CLOSED, PROTOCOL_ERROR][..]);
    let end = frame(CONTINUATION, END_HEADERS, 1, b"");
    let cases: Vec<Case> = vec![
        case("9113, 5.1", "DATA on an idle stream", &[data(1, END_STREAM, b"x")], Connection(wrong)),
        case("9113, 5.1", "RST_STREAM on an idle stream", &[reset(1, 8)], Connection(wrong)),
        case("9113, 5.1", "WINDOW_UPDATE on an idle stream", &[window_update(1, 100)], Connection(wrong)),
        case("9113, 5.1", "CONTINUATION on an idle stream", std::slice::from_ref(&end), Connection(wrong)),
        case(
            "9113, 5.1",
            "DATA after the end of a stream",
            &[sound(1), data(1, END_STREAM, b"x")],
            Stream(closed),
        ),
        case("9113, 5.1", "HEADERS after the end of a stream", &[sound(1), sound(1)], Stream(closed)),
        case(
            "9113, 5.1",
            "CONTINUATION after the end of a block",
            &[sound(1), end.clone()],
            Connection(closed),
        ),
        case(
            "9113, 5.1",
            "DATA after a reset",
            &[open(1), reset(1, 8), data(1, END_STREAM, b"x")],
            Stream(&[STREAM_CLOSED]),
        ),
        case("9113, 5.1", "HEADERS after a reset", &[open(1), reset(1, 8), sound(1)], Stream(closed)),
        case("9113, 5.1.1", "a stream of an even number", &[sound(2)], Connection(wrong)),
        case("9113, 5.1.1", "a stream below one that was opened", &[sound(5), sound(3)], Connection(closed)),
        case(
            "9113, 5.3.1",
            "HEADERS that depend on themselves",
            &[frame(HEADERS, 0x25, 1, &[&[0, 0, 0, 1, 15][..], &block(&get("/"))].concat())],
            Stream(wrong),
        ),
        case(
            "9113, 5.3.1",
            "PRIORITY that depends on itself",
            &[frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 15])],
            Stream(wrong),
        ),
        case(
            "9113, 5.5",
            "an unknown frame within a block",
            &[unfinished(1), frame(0xee, 0, 0, b"?"), end.clone()],
            Connection(wrong),
        ),
        case(
            "9113, 6.1",
            "padding longer than its DATA",
            &[open(1), data(1, PADDED | END_STREAM, b"\x06hello")],
            Connection(wrong),
        ),
        case(
            "9113, 6.1",
            "padded DATA",
            &[open(1), data(1, PADDED | END_STREAM, b"\x03hello\0\0\0")],
            Answered(1),
        ),
        case(
            "9113, 6.2",
            "padding longer than its HEADERS",
            &[frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, b"\xff\x82\x86\x84")],
            Connection(wrong),
        ),
        case(
            "9113, 6.2",
            "HEADERS with padding and priority",
            &[frame(
                HEADERS,
                END_HEADERS | END_STREAM | PADDED | PRIORITIZED,
                1,
                &[&[3, 0, 0, 0, 0, 15][..], &block(&get("/padded")), &[0; 3]].concat(),
            )],
            Answered(1),
        ),
        case(
            "9113, 6.2",
            "PRIORITY within a block",
            &[unfinished(1), frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]), end.clone()],
            Connection(wrong),
        ),
        case(
            "9113, 6.2",
            "HEADERS of another stream within a block",
            &[unfinished(1), sound(3), end.clone()],
            Connection(wrong),
        ),
        case(
            "9113, 6.2",
            "DATA within a block",
            &[unfinished(1), data(1, 0, b"x"), end.clone()],
            Connection(wrong),
        ),
        case("9113, 6.3", "a short PRIORITY", &[frame(PRIORITY, 0, 1, &[0; 4])], Stream(&[FRAME_SIZE_ERROR])),
        case(
            "9113, 6.3",
            "PRIORITY of an idle stream",
            &[frame(PRIORITY, 0, 7, &[0, 0, 0, 0, 1]), sound(1)],
            Answered(1),
        ),
        case(
            "9113, 6.4",
            "a short RST_STREAM",
            &[open(1), frame(RST_STREAM, 0, 1, &[0; 3])],
            Connection(&[FRAME_SIZE_ERROR]),
        ),
        case(
            "9113, 6.9",
            "a stream's window that grows by nothing",
            &[open(1), window_update(1, 0)],
            Stream(wrong),
        ),
        case(
            "9113, 6.9",
            "a stream's short WINDOW_UPDATE",
            &[open(1), frame(WINDOW_UPDATE, 0, 1, &[0; 3])],
            Connection(&[FRAME_SIZE_ERROR]),
        ),
        case(
            "9113, 6.9.1",
            "a stream's window beyond all bounds",
            &[open(1), window_update(1, (1 << 31) - 1)],
            Stream(&[FLOW_CONTROL_ERROR]),
        ),
        case(
            "9113, 6.10",
            "a block in three frames",
            &[
                unfinished(1),
                frame(CONTINUATION, 0, 1, &block(&[("x-a", "1")])),
                frame(CONTINUATION, END_HEADERS, 1, &block(&[("x-b", "2")])),
            ],
            Answered(1),
        ),
        case(
            "9113, 6.10",
            "CONTINUATION after the last",
            &[unfinished(1), end.clone(), end.clone()],
            Connection(closed),
        ),
        case(
            "9113, 6.10",
            "CONTINUATION of another stream",
            &[unfinished(1), frame(CONTINUATION, END_HEADERS, 3, b"")],
            Connection(wrong),
        ),
        case(
            "9113, 6.10",
            "CONTINUATION after DATA",
            &[open(1), data(1, 0, b"x"), end.clone()],
            Connection(wrong),
        ),
        case(
            "9113, 4.2",
            "DATA larger than allowed",
            &[open(1), data(1, END_STREAM, &[0; 16_385])],
            Stream(&[FRAME_SIZE_ERROR]),
        ),
        case(
            "9113, 4.2",
            "DATA as large as allowed",
            &[open(1), data(1, END_STREAM, &[0; 16_384])],
            Answered(1),
        ),
    ];
    try_all(&cases);
}

/// RFC 9113, 5.1.2: what comes beyond is refused, and may be sent again elsewhere.
#[test]
fn streams_beyond_the_limit_are_refused() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = H2::connect(&gateway);
    for number in 0..=128 {
        client.send(&open(1 + 2 * number));
    }
    assert_eq!(client.rejection(), Verdict::Stream(257, REFUSED_STREAM));
}

/// RFC 9113, 6.9: a body beyond the window that was granted is refused, before it fills memory.
#[test]
fn a_client_keeps_to_our_windows() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = H2::connect(&gateway);
    client.send(&open(1));
    let _upstream = origin.accept();
    for _ in 0..400 {
        client.send(&data(1, 0, &[0; 16_384]));
    }
    assert!(matches!(
        client.rejection(),
        Verdict::Connection(FLOW_CONTROL_ERROR) | Verdict::Stream(1, FLOW_CONTROL_ERROR)
    ),);
}
