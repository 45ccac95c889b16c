//! Clients that leave before their answer (RFC 9110, 7.6; RFC 9112, 9.6): a reset is heard at once, an end is no leaving.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::harness::{Gateway, Origin};

/// Not the time after which a late answer or a stalled body would be noticed.
const PROMPTLY: Duration = Duration::from_secs(5);

/// The upstream has the request and has not answered, by whatever way the client leaves.
#[test]
fn a_reset_cancels_the_exchange_before_any_answer() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let requests = [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\npay",
        // With the next one behind it, which nobody reads yet.
        "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
    ];
    for request in requests {
        for ended in [false, true] {
            let mut client = gateway.connect();
            client.send(request);
            let mut upstream = origin.accept();
            upstream.read_message();
            if ended {
                client.finish();
                // Long enough for the end to have been seen by itself.
                thread::sleep(Duration::from_millis(100));
                assert!(upstream.is_silent(), "an end was taken for leaving: {request}");
            }
            client.reset();
            let began = Instant::now();
            upstream.read_to_end();
            assert!(began.elapsed() < PROMPTLY, "{request} (ended: {ended}) took {:?}", began.elapsed());
        }
    }
}

/// The same while the answer's body has nothing to send.
#[test]
fn a_reset_cancels_the_exchange_while_its_answer_pauses() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    client.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
    let (mut upstream, _) = origin.serve("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    client.read_to("one\r\n");
    client.reset();
    let began = Instant::now();
    upstream.read_to_end();
    assert!(began.elapsed() < PROMPTLY, "took {:?}", began.elapsed());
}

/// RFC 9112, 9.6: a client that has ended its side still gets its answer, however long that takes.
#[test]
fn an_end_is_no_leaving() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.finish();
    let mut upstream = origin.accept();
    upstream.read_head();
    thread::sleep(Duration::from_millis(1200));
    assert!(upstream.is_silent());
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(client.read_message().body, "ok");
}
