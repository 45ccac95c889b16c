//! Compressed heads: what cannot be decompressed ends the connection, because all that follows would be wrong too
//! (RFC 7541; RFC 9113, 4.3).

use super::{
    Case,
    Outcome::{Answered, Connection},
    case, try_all,
};
use crate::harness::frames::{
    COMPRESSION_ERROR, END_HEADERS, END_STREAM, Frame, HEADERS, PROTOCOL_ERROR, block, get,
};

/// A request's block with more at its end.
fn request_and(more: &[u8]) -> Frame {
    Frame::new(HEADERS, END_HEADERS | END_STREAM, 1, &[&block(&get("/hpack")), more].concat())
}

/// One with more at its beginning.
fn before_request(more: &[u8]) -> Frame {
    Frame::new(HEADERS, END_HEADERS | END_STREAM, 1, &[more, &block(&get("/hpack"))].concat())
}

#[test]
fn blocks_are_decompressed_or_end_the_connection() {
    // h2 ends the connection, and calls it PROTOCOL_ERROR.
    let broken = Connection(&[COMPRESSION_ERROR, PROTOCOL_ERROR]);
    let cases: Vec<Case> = vec![
        case("7541, 2.3.3", "an index beyond both tables", &[request_and(&[0xc6])], broken),
        case(
            "7541, 2.3.3",
            "a name's index beyond both tables",
            &[request_and(&[0x7f, 0x07, 0x01, b'x'])],
            broken,
        ),
        case("7541, 4.2", "a change of the table's size after fields", &[request_and(&[0x20])], broken),
        case(
            "7541, 5.1",
            "an integer without end",
            &[request_and(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])],
            broken,
        ),
        case("7541, 5.2", "a string longer than its block", &[request_and(&[0x00, 0x7f, b'x'])], broken),
        case(
            "7541, 5.2",
            "padding of eight bits",
            &[request_and(&[0x00, 0x01, b'x', 0x82, 0x1f, 0xff])],
            broken,
        ),
        case("7541, 5.2", "padding with zeros", &[request_and(&[0x00, 0x01, b'x', 0x81, 0x00])], broken),
        case(
            "7541, 5.2",
            "the end of a string within it",
            &[request_and(&[0x00, 0x01, b'x', 0x84, 0xff, 0xff, 0xff, 0xff])],
            broken,
        ),
        case("7541, 6.1", "index 0", &[request_and(&[0x80])], broken),
        case("7541, 6.3", "a table larger than allowed", &[before_request(&[0x3f, 0xe2, 0x1f])], broken),
        case(
            "7541, 6.3",
            "a table as large as allowed, and none",
            &[before_request(&[0x20, 0x3f, 0xe1, 0x1f])],
            Answered(1),
        ),
        case(
            "7541, 6.2.1",
            "a field that is kept and used again",
            &[request_and(&[0x40, 0x03, b'x', b'-', b'a', 0x01, b'1', 0xbe])],
            Answered(1),
        ),
        case("9113, 4.3", "a block that is cut", &[request_and(&[0x00, 0x05, b'x'])], broken),
    ];
    try_all(&cases);
}
