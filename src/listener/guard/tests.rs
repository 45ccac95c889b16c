//! What is read strictly, and what is refused with which status.

use proptest::prelude::*;

use super::*;

const LIMITS: HeadLimits = HeadLimits { head: 4096, target: 1024, fields: 20 };

fn judge(head: &str) -> Result<Option<Head>, Refusal> {
    inspect(head.as_bytes(), 0, LIMITS)
}

fn status(head: &str) -> u16 {
    match judge(head) {
        Err(refusal) => refusal.status.as_u16(),
        Ok(Some(_)) => 200,
        Ok(None) => 0,
    }
}

#[test]
fn a_sound_head_tells_where_it_ends_and_what_follows() {
    let head = "\r\nPOST /a?b HTTP/1.1\r\nHost: site.test:80\r\nContent-Length: 12\r\n\r\nbody";
    assert_eq!(judge(head), Ok(Some(Head { len: head.len() - 4, fields: 2, framing: Framing::Length(12) })));
    let head = "POST / HTTP/1.1\r\nHOST: [::1]\r\ntransfer-encoding:\tChunked \r\n\r\n";
    assert_eq!(judge(head), Ok(Some(Head { len: head.len(), fields: 2, framing: Framing::Chunked })));
}

#[test]
fn what_two_parsers_could_read_differently_is_refused() {
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Host: b.test\r\n",
        "X: a\r\n b\r\n",
        "X : a\r\n",
        ": a\r\n",
        "X(: a\r\n",
        "X: a\0\r\n",
        "X: a\rb\r\n",
        "X: a\nY: b\r\n",
        "X: \x01\r\n",
        "X: y\x0c\r\n",
        "Transfer-Encoding: \x0cchunked\r\n",
        "no colon\r\n",
    ] {
        assert_eq!(status(&format!("GET / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n")), 400, "{fields:?}");
    }
    assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), 400, "no Host");
    assert_eq!(status("GET / HTTP/1.0\r\n\r\n"), 200, "HTTP/1.0 needs none");
    assert_eq!(status("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}

#[test]
fn request_lines_are_read_strictly() {
    for (line, wanted) in [
        ("GET /a#b HTTP/1.1", 400),
        ("GET  / HTTP/1.1", 400),
        ("GET / HTTP/1.1 ", 400),
        (" GET / HTTP/1.1", 400),
        ("G(T / HTTP/1.1", 400),
        ("GET /\x7f HTTP/1.1", 400),
        ("GET /<b> HTTP/1.1", 400),
        ("GET / http/1.1", 400),
        ("GET / HTTP/1.2", 505),
        ("PRI * HTTP/2.0", 505),
        ("GET /a//../%2F;x?&&y HTTP/1.1", 200),
    ] {
        assert_eq!(status(&format!("{line}\r\nHost: a.test\r\n\r\n")), wanted, "{line:?}");
    }
}

#[test]
fn hosts_have_a_grammar() {
    for (host, wanted) in [
        ("a.test", 200),
        ("a.test:", 200),
        ("", 200),
        ("[::1]:80", 200),
        ("a.test:8x", 400),
        ("a, b", 400),
        ("a/b", 400),
        ("u@a", 400),
        ("[::1", 400),
        ("[]", 400),
        ("s\u{ef}te", 400),
    ] {
        assert_eq!(status(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")), wanted, "{host:?}");
    }
}

#[test]
fn limits_are_told_apart() {
    let long = "u".repeat(1025);
    assert_eq!(status(&format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n")), 414);
    assert_eq!(status(&format!("GET /{long}")), 414, "before the line has ended");
    assert_eq!(status(&format!("GET /{long}\r\n")), 414, "nor has any other word of it");
    assert_eq!(status(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "v".repeat(4096))), 431);
    assert_eq!(status(&format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: v\r\n".repeat(20))), 431);
}

proptest! {
    #[test]
    fn any_bytes_are_judged_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _judged = inspect(&bytes, 0, LIMITS);
    }

    #[test]
    fn many_bytes_at_a_time_end_where_single_ones_do(
        pieces in prop::collection::vec(prop_oneof![
            6 => Just("\r\n"), 6 => Just("a"), 1 => Just("\r"), 1 => Just("\n"), 1 => Just("\0"),
        ], 0..20),
        seen in 0_usize..40,
    ) {
        let bytes = pieces.concat().into_bytes();
        let is_open = |seen: &usize| end_byte_by_byte(&bytes[..*seen], 0) == Ok(None);
        let seen = (0..=seen.min(bytes.len())).rev().find(is_open).unwrap();
        prop_assert_eq!(end_of_head(&bytes, seen), end_byte_by_byte(&bytes, seen.saturating_sub(3)));
    }

    #[test]
    fn any_port_is_one_that_exists(port in "[0-9]{0,7}") {
        prop_assert_eq!(is_authority(format!("a:{port}").as_bytes()), port.is_empty() || port.parse::<u16>().is_ok());
    }

    #[test]
    fn a_head_in_pieces_is_judged_like_a_whole_one(
        value in "[ -~\t]{0,40}", cut in 1_usize..60, target in "/[!-~]{0,20}",
    ) {
        let head = format!("GET {target} HTTP/1.1\r\nHost: a.test\r\nX-Y:{value}\r\n\r\n");
        let whole = judge(&head);
        let cut = cut.min(head.len() - 1);
        let pieces = match inspect(&head.as_bytes()[..cut], 0, LIMITS) {
            Ok(None) => inspect(head.as_bytes(), cut, LIMITS),
            early => early,
        };
        prop_assert_eq!(whole, pieces);
    }
}
