//! Connections that a proxy introduces: the PROXY protocol, versions 1 and 2.

use std::thread;

use crate::harness::{
    Gateway, Origin, Rules, Wire,
    frames::{END_STREAM, H2, get, headers},
    gateway::{ask_admin, eventually},
    wire::End,
};

const SIGNATURE: &str = "\r\n\r\n\0\r\nQUIT\n";
/// Version 2 of what [`LINE`] says: 192.0.2.7:1234, for 198.51.100.1:443.
const BINARY: &str =
    "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\u{c0}\0\x02\x07\u{c6}\x33\x64\x01\x04\u{d2}\x01\u{bb}";
const LINE: &str = "PROXY TCP4 192.0.2.7 198.51.100.1 1234 443\r\n";
const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn behind(proxies: &str, origin: &Origin, more: &str) -> Gateway {
    let rules = Rules::forwarding_to(origin.address());
    let keys = format!("proxy_protocol = true\ntrusted_proxies = [\"{proxies}\"]\n{more}");
    Gateway::start(&rules.gateway(&keys))
}

fn before_a_proxy(origin: &Origin) -> Gateway {
    behind("127.0.0.0/8", origin, "")
}

/// Who the origin is told that the client is.
fn told(origin: &Origin, client: &mut Wire) -> String {
    let (_upstream, request) = origin.serve("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    assert_eq!(client.read_head().status(), 204);
    request.head.value("x-forwarded-for").unwrap().to_owned()
}

/// Both versions, in whatever pieces they come, and with a request right behind.
#[test]
fn a_client_is_who_the_proxy_says() {
    let origin = Origin::open();
    let gateway = before_a_proxy(&origin);
    for header in [LINE, BINARY] {
        let mut client = gateway.connect();
        client.send(&format!("{header}{REQUEST}"));
        assert_eq!(told(&origin, &mut client), "192.0.2.7", "{header:?}");
        client.send(REQUEST);
        assert_eq!(told(&origin, &mut client), "192.0.2.7", "{header:?}, the second time");

        let mut client = gateway.connect();
        for letter in header.chars().chain(REQUEST.chars()) {
            client.send(&letter.to_string());
        }
        assert_eq!(told(&origin, &mut client), "192.0.2.7", "{header:?}, letter by letter");
    }
    let mut client = gateway.connect();
    client.send(&format!("PROXY TCP6 2001:db8::7 2001:db8::1 1234 443\r\n{REQUEST}"));
    assert_eq!(told(&origin, &mut client), "2001:db8::7");
}

/// A proxy that asks for itself (LOCAL), or does not know for whom (UNKNOWN), is the client.
#[test]
fn a_proxy_may_speak_for_itself() {
    let origin = Origin::open();
    let gateway = before_a_proxy(&origin);
    for header in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ::7 ::1 1 2\r\n", &format!("{SIGNATURE}\x20\0\0\0")] {
        let mut client = gateway.connect();
        client.send(&format!("{header}{REQUEST}"));
        assert_eq!(told(&origin, &mut client), "127.0.0.1", "{header:?}");
    }
}

/// Extensions are skipped, however many there are.
#[test]
fn extensions_are_skipped() {
    let origin = Origin::open();
    let gateway = before_a_proxy(&origin);
    let (head, addresses) = BINARY.split_at(SIGNATURE.len() + 2);
    let extension = format!("\x04\u{9c}\x3d{}", "\0".repeat(0x9c3d));
    let mut client = gateway.connect();
    // 12 bytes of addresses, and 40,000 of extension.
    client.send(&format!("{head}\u{9c}\x4c{}{extension}{REQUEST}", &addresses[2..]));
    assert_eq!(told(&origin, &mut client), "192.0.2.7");
}

/// HTTP/2 after it as well.
#[test]
fn http_2_is_spoken_after_an_introduction() {
    let origin = Origin::open();
    let gateway = before_a_proxy(&origin);
    let mut wire = gateway.connect();
    wire.send(LINE);
    let mut client = H2::on(wire);
    client.send(&headers(1, END_STREAM, &get("/")));
    let (_upstream, request) = origin.serve("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(request.head.value("x-forwarded-for"), Some("192.0.2.7"));
    assert_eq!(client.answer(1), Some(204));
}

/// Without a header nobody could tell whose the connection is, and it is closed without a word.
#[test]
fn whoever_is_not_introduced_is_turned_away() {
    let origin = Origin::open();
    let gateway = before_a_proxy(&origin);
    let headers = [
        REQUEST,
        "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        &format!("{SIGNATURE}\x31\x11\0\x0c"),
        &format!("PROXY TCP4 {}", "1".repeat(200)),
    ];
    for header in headers {
        let mut client = gateway.connect();
        client.send_in_vain(header).ok();
        assert_eq!(client.read_to_end().0, "", "after {header:?}");
    }
    assert!(origin.is_left_alone());
    let count = headers.len();
    let wanted = format!("figueira_failures_total{{kind=\"rejected\"}} {count}\n");
    eventually("their count", || {
        let metrics = ask_admin(gateway.admin(), "/metrics").body;
        metrics.contains(&wanted).then_some(()).ok_or(metrics)
    });
}

/// A header of somebody else's is a lie about who they are.
#[test]
fn only_trusted_proxies_may_introduce() {
    let origin = Origin::open();
    let gateway = behind("192.0.2.0/24", &origin, "");
    let mut client = gateway.connect();
    client.send_in_vain(&format!("{LINE}{REQUEST}")).ok();
    assert_eq!(client.read_to_end().0, "");
    assert!(origin.is_left_alone());
}

/// `limits.head_timeout`.
#[test]
fn an_introduction_comes_in_time() {
    let origin = Origin::open();
    let gateway = behind("127.0.0.0/8", &origin, "limits = { head_timeout = \"200ms\" }");
    thread::scope(|scope| {
        for begun in ["", "PROXY TC", &SIGNATURE[..5]] {
            let mut client = gateway.connect();
            scope.spawn(move || {
                client.send(begun);
                assert_eq!(client.ends(), End::Closed, "after {begun:?}");
            });
        }
    });
    assert!(origin.is_left_alone());
}
