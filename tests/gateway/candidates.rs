//! A candidate that is another upstream: who answers where it cannot, and nothing is done twice.

use crate::{
    harness::{
        Gateway, Origin, Rules, Wire,
        gateway::{ask_admin, eventually},
    },
    modes::reported,
};

const POST: &str = "POST /api/images HTTP/1.1\r\nHost: a\r\nX-MiXed: 1\r\nContent-Length: 3\r\n\r\npay";

fn migrated(control: &Origin, candidate: &str, keys: &str) -> Gateway {
    Gateway::start(&Rules::forwarding_to(control.address()).tables(&format!(
        "[upstreams.images]\nurl = \"http://{candidate}\"\n\
         [[route]]\nname = \"images\"\npath = \"/api/images\"\nmode = \"migrated\"\ncandidate = \"images\"\n{keys}"
    )))
}

/// Nothing was sent: the control answers, with the very same request.
#[test]
fn a_candidate_that_is_not_connected_leaves_it_to_the_control() {
    let control = Origin::open();
    // Bound, and not listening.
    let refusing = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    refusing.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    let address = refusing.local_addr().unwrap().as_socket().unwrap().to_string();
    let gateway = migrated(&control, &address, "");
    for framing in ["Content-Length: 3\r\n\r\npay", "Transfer-Encoding: chunked\r\n\r\n3\r\npay\r\n0\r\n\r\n"]
    {
        let mut client = gateway.connect();
        client.send(&format!("POST /api/images HTTP/1.1\r\nHost: a\r\nX-MiXed: 1\r\n{framing}"));
        let (_, request) = control.serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!(request.body, "pay");
        assert!(request.head.fields().any(|field| field == "X-MiXed: 1"), "{request:?}");
        assert_eq!(client.read_message().body, "ok");
    }
    let metrics = ask_admin(gateway.admin(), "/metrics").body;
    assert!(metrics.contains("figueira_route_fallbacks_total{route=\"images\"} 2"), "{metrics}");

    let gateway = migrated(&control, &address, "fallback = \"never\"");
    let mut client = gateway.connect();
    client.send(POST);
    client.read_message().is_problem(502);
}

/// It says that it charged nothing; an answer that does not say so is the client's, and so is a break.
#[test]
fn a_candidate_that_charged_nothing_leaves_it_to_the_control() {
    let (control, candidate) = (Origin::open(), Origin::open());
    let gateway = migrated(&control, &candidate.address().to_string(), "");
    let mut client = gateway.connect();
    client.send(POST);
    let (_kept, asked) =
        candidate.serve("HTTP/1.1 503 Busy\r\nFigueira-Charged: no\r\nContent-Length: 4\r\n\r\nbusy");
    assert_eq!(asked.body, "pay");
    let (_, request) = control.serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(request.body, "pay");
    assert!(request.head.fields().any(|field| field == "X-MiXed: 1"), "{request:?}");
    assert_eq!(client.read_message().body, "ok");

    for (answer, status) in [
        ("HTTP/1.1 503 Busy\r\nFigueira-Charged: yes\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 503),
        ("HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 503),
        ("HTTP/1.1 200 OK\r\nFigueira-Charged: no\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 200),
        ("", 502),
    ] {
        let mut client = gateway.connect();
        client.send(POST);
        let mut upstream = if answer.is_empty() { candidate.accept() } else { candidate.serve(answer).0 };
        if answer.is_empty() {
            upstream.read_message();
        }
        drop(upstream);
        assert_eq!(client.read_message().status(), status, "{answer}");
    }
    assert!(control.is_left_alone(), "a request was sent twice");
}

/// Also where the candidate's answer was to be compared: what the user gets is the control's, and the pair says so.
#[test]
fn what_is_observed_is_left_to_the_control_as_well() {
    let (control, candidate) = (Origin::open(), Origin::open());
    let refusing = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    refusing.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    let unconnected = refusing.local_addr().unwrap().as_socket().unwrap().to_string();
    let reverse = "subject = \"header:x-mixed\"\n[route.shadow]\ncontrol_repeatable = true\nreverse = true\n\
                   [route.gate]\ncalibration = 0\n";
    for (address, answer) in [
        (
            candidate.address().to_string(),
            Some("HTTP/1.1 503 Busy\r\nFigueira-Charged: no\r\nContent-Length: 4\r\n\r\nbusy"),
        ),
        (unconnected, None),
    ] {
        for framing in
            ["Content-Length: 3\r\n\r\npay", "Transfer-Encoding: chunked\r\n\r\n3\r\npay\r\n0\r\n\r\n"]
        {
            // What is not kept can be left to another only where nothing of it was sent.
            if answer.is_some() && framing.starts_with('T') {
                continue;
            }
            let gateway = migrated(&control, &address, reverse);
            let mut client = gateway.connect();
            client.send(&format!("POST /api/images HTTP/1.1\r\nHost: a\r\nX-MiXed: 1\r\n{framing}"));
            let _asked = answer.map(|answer| candidate.serve(answer));
            let (_, request) = control.serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            assert_eq!(request.body, "pay");
            assert_eq!(client.read_message().body, "ok");
            eventually("its record", || {
                let report = reported(&gateway);
                (report.routes[0].counts.sampled == 1).then_some(()).ok_or(report)
            });
            assert!(control.is_left_alone(), "it was asked twice");
        }
    }
}

/// The keys of a candidate's requests: the arm that a key had first it keeps, in every mode.
#[test]
fn a_key_stays_with_the_arm_that_had_it_first() {
    let (control, candidate) = (Origin::open(), Origin::open());
    let rules = |mode: &str| {
        Rules::forwarding_to(control.address()).tables(&format!(
            "[upstreams.images]\nurl = \"http://{}\"\n\
             [[route]]\nname = \"images\"\npath = \"/api/images\"\nmode = \"{mode}\"\ncandidate = \"images\"\n\
             subject = \"cookie:session\"\n[route.idempotency]\nkey = \"header:idempotency-key\"\n",
            candidate.address()
        ))
    };
    let gateway = Gateway::start(&rules("migrated"));
    let asks = |key: &str| {
        let mut client = gateway.connect();
        client.send(&format!(
            "POST /api/images HTTP/1.1\r\nHost: a\r\nCookie: session=ana\r\nIdempotency-Key: {key}\r\n\
             Content-Length: 3\r\n\r\npay"
        ));
        client
    };
    let answers = |arm: &Origin, mut client: Wire| {
        arm.serve("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!(client.read_message().body, "ok");
    };
    answers(&candidate, asks("1"));
    let client = asks("2");
    candidate
        .serve("HTTP/1.1 503 Busy\r\nFigueira-Charged: no\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    answers(&control, client);
    answers(&control, asks("2"));
    gateway.obey(&rules("monolith"));
    answers(&candidate, asks("1"));
    answers(&control, asks("3"));
    gateway.obey(&rules("migrated"));
    answers(&control, asks("3"));
    answers(&candidate, asks("4"));
    assert!(control.is_left_alone() && candidate.is_left_alone());
}

/// `headers`: in place of what a client claims, secrets included; and a `Host` of its own.
#[test]
fn an_upstream_gains_the_headers_of_its_table() {
    let (control, candidate) = (Origin::open(), Origin::open());
    let folder = tempfile::TempDir::new().unwrap();
    let secret = folder.path().join("key");
    std::fs::write(&secret, "s3cr3t\n").unwrap();
    let gateway = Gateway::start(&Rules::forwarding_to(control.address()).tables(&format!(
        "[upstreams.images]\nurl = \"http://{}\"\n\
         headers = {{ x-api-key = {{ file = {secret:?} }}, host = \"images.internal\" }}\n\
         [[route]]\nname = \"images\"\npath = \"/api/images\"\nmode = \"migrated\"\ncandidate = \"images\"\n",
        candidate.address()
    )));
    let mut client = gateway.connect();
    client.send("GET /api/images HTTP/1.1\r\nHost: shop.test\r\nX-Api-Key: guessed\r\n\r\n");
    let (_, request) = candidate.serve("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(request.head.value("x-api-key"), Some("s3cr3t"));
    assert_eq!(request.head.value("host"), Some("images.internal"));
    assert_eq!(client.read_head().status(), 204);
    let shown = ask_admin(gateway.admin(), "/api/config").body;
    assert!(!shown.contains("s3cr3t"), "{shown}");
}
