//! The limits of `[gateway.limits]` over HTTP/2, each with its status or its error; and how a connection is left.

use crate::harness::{
    Gateway, Origin, Rules,
    frames::{
        ACK, CANCEL, DATA, END_STREAM, Frame, GOAWAY, H2, HEADERS, INTERNAL_ERROR, NO_ERROR, PREFACE,
        PROTOCOL_ERROR, RST_STREAM, SETTINGS, SETTINGS_TIMEOUT, Verdict, WINDOW_UPDATE, block, data, get,
        headers, post, settings, window_update,
    },
    wire::End,
};

fn limited(origin: &Origin, limits: &str) -> Gateway {
    Gateway::start(&Rules::forwarding_to(origin.address()).gateway(&format!("limits = {{ {limits} }}")))
}

/// The error of the GOAWAY that comes next, after which the connection ends.
fn goodbye(client: &mut H2) -> u32 {
    let goaway = client.until(|frame| frame.kind == GOAWAY).expect("a GOAWAY");
    let code = goaway.number(4);
    while client.next().is_some() {}
    assert!(client.0.is_at_end());
    code
}

/// 431, 414 and 413, as in HTTP/1.1; the connection goes on.
#[test]
fn what_is_too_large_is_refused_by_its_status() {
    let origin = Origin::open();
    let gateway = limited(&origin, "head = \"4KiB\", target = \"1KiB\", headers = 20, body = \"10B\"");
    let mut client = H2::connect(&gateway);
    let (long, path) = ("x".repeat(3000), format!("/{}", "x".repeat(1100)));
    let many: Vec<(&str, &str)> = get("/").into_iter().chain([("x", "y"); 21]).collect();
    let field = [&get("/")[..], &[("x", &long), ("y", &long)]].concat();
    let length = [&post("/")[..], &[("content-length", "11")]].concat();
    for (stream, status, fields) in
        [(1, 431, &many[..]), (3, 431, &field), (5, 414, &get(&path)), (7, 413, &length)]
    {
        client.send(&headers(stream, END_STREAM * u8::from(stream < 7), fields));
        assert_eq!(client.answer(stream), Some(status), "stream {stream}");
    }
    assert!(origin.is_left_alone());
    // Where the length was not announced, the origin has begun to read.
    client.send(&headers(9, 0, &post("/")));
    client.send(&data(9, END_STREAM, b"hello world"));
    let mut upstream = origin.accept();
    assert_eq!(client.answer(9), Some(413));
    assert!(!upstream.read_to_end().0.contains("0\r\n\r\n"), "ended as if whole");
    client.send(&headers(11, END_STREAM, &get("/")));
    let (_upstream, _) = origin.serve("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(client.answer(11), Some(204));
}

/// `head_timeout`: of the settings that a connection begins with, of a head, and of any frame.
#[test]
fn a_head_comes_in_time() {
    let origin = Origin::open();
    let gateway = limited(&origin, "head_timeout = \"200ms\"");
    let mut silent = H2(gateway.connect());
    silent.send_bytes(PREFACE);
    assert_eq!(goodbye(&mut silent), SETTINGS_TIMEOUT);
    let begun = Frame::new(HEADERS, END_STREAM, 1, &block(&get("/")));
    for begun in [&begun.bytes()[..], &begun.bytes()[..7], &settings(&[(4, 1)]).bytes()[..12]] {
        let mut client = H2::connect(&gateway);
        client.send_bytes(begun);
        assert_eq!(goodbye(&mut client), PROTOCOL_ERROR, "after {} bytes", begun.len());
    }
    assert!(origin.is_left_alone());
}

/// `idle_timeout`.
#[test]
fn an_idle_connection_is_told_to_go() {
    let origin = Origin::open();
    let gateway = limited(&origin, "idle_timeout = \"200ms\"");
    let mut client = H2::connect(&gateway);
    assert_eq!(goodbye(&mut client), NO_ERROR);
}

/// `body_timeout`: a stream that stalls, whoever's fault it is, ends; its connection goes on.
#[test]
fn a_body_that_stalls_ends_its_stream() {
    let origin = Origin::open();
    let gateway = limited(&origin, "body_timeout = \"300ms\"");
    let mut client = H2::connect(&gateway);
    client.send(&headers(1, 0, &post("/upload")));
    client.send(&data(1, 0, b"only a part"));
    let mut upstream = origin.accept();
    upstream.read_to("only a part");
    assert_eq!(client.answer(1), Some(408));
    assert!(!upstream.read_to_end().0.contains("0\r\n\r\n"), "ended as if whole");

    client.send(&headers(3, END_STREAM, &get("/download")));
    let (_upstream, _) = origin.serve("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly a part");
    assert_eq!(client.answer(3), Some(200));
    let ended = |frame: &Frame| frame.stream == 3 && frame.kind == RST_STREAM;
    assert_eq!(client.until(ended).unwrap().number(0), INTERNAL_ERROR, "cut, and never ended as if whole");

    // A client that opens no window wants nothing more.
    client.send(&settings(&[(4, 1)]));
    client.send(&headers(5, END_STREAM, &get("/unread")));
    let (_upstream, _) =
        origin.serve("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello");
    let ended = |frame: &Frame| frame.stream == 5 && frame.kind == RST_STREAM;
    assert_eq!(client.until(ended).unwrap().number(0), CANCEL);

    client.send(&settings(&[(4, 65_535)]));
    client.send(&headers(7, END_STREAM, &get("/fine")));
    let (_upstream, _) = origin.serve("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(client.answer(7), Some(204));
}

/// As over HTTP/1.1: the head, and what came of the body along with its end.
#[test]
fn what_came_before_an_answer_broke_off_is_sent() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = H2::connect(&gateway);
    for stream in (1..40).step_by(2) {
        client.send(&headers(stream, END_STREAM, &get("/part")));
        drop(origin.serve("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello"));
        assert_eq!(client.answer(stream), Some(200));
        let mut body = Vec::new();
        let ended = loop {
            let frame = client.until(|frame| frame.stream == stream).unwrap();
            match frame.kind {
                DATA => body.extend(frame.payload),
                RST_STREAM => break frame.number(0),
                other => panic!("a frame {other}"),
            }
        };
        assert_eq!((&body[..], ended), (&b"hello"[..], INTERNAL_ERROR));
    }
}

/// RFC 9113, 6.9.1: bodies that nobody reads take nothing of the window of another one.
#[test]
fn each_body_has_a_window_of_its_own() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = H2::connect(&gateway);
    let said = client.until(|frame| frame.kind == SETTINGS && frame.flags & ACK == 0).unwrap().payload;
    let setting = |id: u16| {
        let said = said.chunks_exact(6).find(|said| said[..2] == id.to_be_bytes()).unwrap();
        u32::from_be_bytes(said[2..].try_into().unwrap())
    };
    let (streams, stream_window) = (setting(3), setting(4));
    let grown = |frame: &Frame| frame.kind == WINDOW_UPDATE && frame.stream == 0;
    let connection_window = 65_535 + client.until(grown).unwrap().number(0);
    assert_eq!(connection_window, streams * stream_window);
}

/// RFC 9113, 6.8, and P10: a drain finishes the streams that it has, and says which it will not take.
#[test]
fn a_drain_says_goaway() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = H2::connect(&gateway);
    client.send(&headers(1, 0, &post("/upload")));
    client.send(&data(1, 0, b"hello"));
    let mut upstream = origin.accept();
    upstream.read_to("hello\r\n");
    gateway.begin_to_drain();
    let goaway = client.until(|frame| frame.kind == GOAWAY).unwrap();
    assert_eq!(goaway.number(4), NO_ERROR);
    client.send(&data(1, END_STREAM, b" world"));
    upstream.read_to("0\r\n\r\n");
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthere");
    let answered = client.until(|frame| frame.kind == DATA && frame.stream == 1).unwrap();
    assert_eq!(answered.payload, b"there");
    while client.next().is_some() {}
    assert!(client.0.is_at_end());
}

/// A connection that was broken off is not read any further, and still hears why.
#[test]
fn a_broken_connection_hears_why() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = H2::connect(&gateway);
    client.send(&window_update(0, 0));
    client.send(&headers(1, END_STREAM, &get("/after")));
    assert_eq!(client.rejection(), Verdict::Connection(PROTOCOL_ERROR));
    assert!(matches!(client.0.read_to_end().1, End::Closed | End::Reset));
    assert!(origin.is_left_alone());
}
