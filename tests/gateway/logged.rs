//! What the log and the metrics say of exchanges that fail on their way: one line each, with a reason, and a count.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{
    Origin, Process, Rules,
    frames::{CANCEL, END_STREAM, H2, data, get, headers, post, reset, settings},
};

/// A gateway of little patience, which logs as `access` says.
fn serving(origin: &Origin, access: &str) -> (TempDir, Process) {
    let rules = Rules::forwarding_to(origin.address()).gateway("limits.body_timeout = \"200ms\"");
    let rules = rules.tables(&format!("[log]\nformat = \"json\"\naccess = \"{access}\""));
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("routes.toml");
    fs::write(&file, rules.to_string()).unwrap();
    let gateway = Process::serve(&file);
    (folder, gateway)
}

fn failures(gateway: &Process, kind: &str) -> u64 {
    gateway.figure(&format!("figueira_failures_total{{kind=\"{kind}\"}}"))
}

/// That nothing more was logged of requests, when all is over.
fn was_all(mut gateway: Process) {
    gateway.signal("TERM");
    assert!(gateway.ended().success());
    let more: Vec<Value> = gateway.events();
    let of_requests = more.iter().filter(|event| event["module"] == "figueira::access");
    assert_eq!(of_requests.count(), 0, "{more:#?}");
}

/// Also where `access = "off"`: only failures are told then.
#[test]
fn an_answer_that_breaks_off_is_a_failure() {
    let origin = Origin::open();
    let (_folder, gateway) = serving(&origin, "off");
    let part = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart";
    for (kind, reason) in [("protocol", "broke the exchange"), ("timeout", "no more of the answer within")] {
        let mut client = gateway.connect();
        client.send("GET /part HTTP/1.1\r\nHost: a\r\n\r\n");
        let (upstream, _) = origin.serve(part);
        client.read_to("part");
        let _silent = (kind == "timeout").then_some(upstream);
        client.ends();
        let said = gateway.hear("request");
        assert_eq!((&said["status"], &said["cut"]), (&200.into(), &true.into()), "{said}");
        assert!(said["error"].as_str().unwrap().contains(reason), "{said}");
        assert_eq!(failures(&gateway, kind), 1);
    }
    was_all(gateway);
}

/// `log.access_format`: what reads other servers' logs reads ours, until a saved change says otherwise.
#[test]
fn lines_may_be_those_of_other_servers() {
    let origin = Origin::open();
    let (_folder, mut gateway) = serving(&origin, "all\"\naccess_format = \"combined");
    let mut client = gateway.connect();
    client.send(
        "GET /a?b HTTP/1.1\r\nHost: a\r\nReferer: https://a.test/\r\nUser-Agent: caf\u{e9} \"1\"\r\n\r\n",
    );
    drop(origin.serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    assert_eq!(client.read_message().body, "ok");
    gateway.signal("TERM");
    assert!(gateway.ended().success());
    let events = gateway.events();
    let lines: Vec<&str> = events.iter().filter_map(Value::as_str).collect();
    let [line] = lines[..] else { panic!("{events:#?}") };
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    let rest = " +0000] \"GET /a?b HTTP/1.1\" 200 2 \"https://a.test/\" \"caf\u{fffd} \\\"1\\\"\"";
    assert!(line.ends_with(rest), "{line}");
}

/// By either protocol.
#[test]
fn an_upload_that_stalls_is_one_line() {
    let origin = Origin::open();
    let (_folder, gateway) = serving(&origin, "all");
    let part = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\npart";
    for requests in [1, 2] {
        let mut client = gateway.connect();
        if requests == 1 {
            client.send(part);
            client.read_message().is_problem(408);
        } else {
            let mut client = H2::on(client);
            client.send(&headers(1, 0, &post("/")));
            client.send(&data(1, 0, b"part"));
            assert_eq!(client.answer(1), Some(408));
        }
        let said = gateway.hear("request");
        assert_eq!(said["status"], 408, "{said}");
        assert_eq!(said["error"], "the request body stalled");
        assert_eq!(said.get("cut"), None);
        assert_eq!(failures(&gateway, "client"), requests);
        let answered = "figueira_requests_total{answered_by=\"monolith\",class=\"4xx\"}";
        assert_eq!(gateway.figure(answered), requests);
    }
    was_all(gateway);
}

/// A client of HTTP/2 that opens no window, or wants it no more, though all of it is at hand.
#[test]
fn an_answer_that_is_not_taken_is_cut() {
    let origin = Origin::open();
    let (_folder, gateway) = serving(&origin, "all");
    let mut client = H2::on(gateway.connect());
    client.send(&settings(&[(4, 0)]));
    for stream in [1, 3] {
        client.send(&headers(stream, END_STREAM, &get("/unread")));
        drop(origin.serve("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"));
        assert_eq!(client.answer(stream), Some(200));
        if stream == 3 {
            client.send(&reset(stream, CANCEL));
        }
        let said = gateway.hear("request");
        assert_eq!((&said["status"], &said["cut"]), (&200.into(), &true.into()), "{said}");
        assert_eq!(said.get("error"), None);
    }
    drop(client);
    was_all(gateway);
}

/// Once, however often it is met: the operator's own proxy is a mistake, and anybody else is not worth a line each.
#[test]
fn a_proxy_that_nobody_trusts_is_told_of_once() {
    let origin = Origin::open();
    let (_folder, mut gateway) = serving(&origin, "off");
    for _ in 0..2 {
        let mut client = gateway.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.7\r\nConnection: close\r\n\r\n");
        let (_upstream, request) = origin.serve("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        assert_eq!(request.head.value("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(client.read_head().status(), 204);
    }
    let message = "X-Forwarded-* of a peer that is not trusted are replaced";
    let said = gateway.hear(message);
    assert_eq!((&said["level"], &said["keys"]), (&"WARN".into(), &"trusted_proxies".into()), "{said}");
    assert!(said["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{said}");
    gateway.signal("TERM");
    assert!(gateway.ended().success());
    assert!(gateway.events().iter().all(|event| event["message"] != message));
}
