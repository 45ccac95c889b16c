//! HTTP/2 to upstreams (RFC 9113): many exchanges on one connection, each on its own.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc::channel,
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use tokio::sync::Barrier;

use crate::harness::{
    Gateway, Origin, Rules,
    modern::{Manners, Modern, say, whole},
    wire::PATIENCE,
};

fn before(upstream: &Modern) -> Gateway {
    Gateway::start(&Rules::forwarding_to(upstream.address()).monolith("h2 = \"prior-knowledge\""))
}

/// 8.2.3 and 8.3.1; RFC 9110, 15.2 and 6.5: a request and its answer say the same in both versions.
#[test]
fn an_exchange_crosses_to_http2_and_back() {
    let upstream = Modern::open(Manners::default(), |request, mut respond| async move {
        let (head, body) = request.into_parts();
        let (body, trailers) = whole(body).await.unwrap();
        let mut hint = Response::new(());
        *hint.status_mut() = StatusCode::EARLY_HINTS;
        hint.headers_mut().insert("link", HeaderValue::from_static("</a.css>"));
        respond.send_informational(hint).unwrap();
        let names: Vec<_> =
            head.headers.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect();
        let said = format!("{} {} {body} {trailers:?}\n{}", head.method, head.uri, names.join("\n"));
        let answer =
            Response::builder().status(201).header("x-b", "1").header("trailer", "x-sum").header("x-a", "2");
        let mut stream = respond.send_response(answer.body(()).unwrap(), false).unwrap();
        stream.send_data(said.into(), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("42"));
        stream.send_trailers(trailers).unwrap();
    });
    let gateway = before(&upstream);
    let mut client = gateway.connect();
    client.send(
        "POST /x//y?%zz HTTP/1.1\r\nHost: shop.test:81\r\nCookie: a=1\r\nTE: trailers\r\nConnection: TE, X-Hop\r\n\
         X-Hop: 1\r\nX-Mixed: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n",
    );
    let hint = client.read_head();
    assert_eq!((hint.status(), hint.value("link")), (103, Some("</a.css>")));
    let answer = client.read_message();
    assert_eq!(answer.status(), 201);
    let names: Vec<_> = answer.head.fields().map(|line| line.split(':').next().unwrap()).collect();
    assert!(names.starts_with(&["x-b", "trailer", "x-a"]), "{answer:?}");
    assert_eq!(answer.trailers, "x-sum: 42\r\n");
    let mut lines = answer.body.lines();
    assert_eq!(lines.next(), Some("POST http://shop.test:81/x//y?%zz onetwo None"));
    let fields: Vec<_> = lines.collect();
    assert_eq!(&fields[..3], ["cookie=a=1", "x-mixed=1", "x-forwarded-for=127.0.0.1"]);
    assert!(fields.contains(&"te=trailers"), "{fields:?}");
    assert!(
        !fields.iter().any(|field| field.starts_with("x-hop") || field.starts_with("transfer")),
        "{fields:?}"
    );

    // Without a body, and answered without one.
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.read_head().status(), 103);
    let head = client.read_head();
    assert_eq!((head.status(), head.value("content-length")), (201, None), "{head}");
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    client.read_head();
    assert!(client.read_message().body.starts_with("GET http://a/  None"));
    assert_eq!(upstream.connections(), 1);
}

/// 5.1.2: as many exchanges at once as the upstream takes on a connection, and the others on another.
#[test]
fn connections_are_shared_within_the_upstreams_limit() {
    const AT_ONCE: usize = 12;
    let together = Arc::new(Barrier::new(AT_ONCE));
    let upstream = Modern::open(Manners { streams: Some(4), ..Manners::default() }, move |_, respond| {
        let together = together.clone();
        async move {
            together.wait().await;
            say(respond, "all");
        }
    });
    let gateway = before(&upstream);
    for _ in 0..2 {
        let mut clients: Vec<_> = (0..AT_ONCE).map(|_| gateway.connect()).collect();
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        for client in &mut clients {
            assert_eq!(client.read_message().body, "all");
        }
        assert_eq!(upstream.connections(), AT_ONCE / 4);
    }
}

/// 8.7: what was not looked at is sent once more, body and all, whatever its method.
#[test]
fn a_refused_stream_is_asked_again_and_no_other() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let upstream = Modern::open(Manners::default(), move |request, mut respond| {
        let first = counted.fetch_add(1, SeqCst) == 0;
        async move {
            let reason = match request.uri().path() {
                "/refused" if first => Reason::REFUSED_STREAM,
                "/cancelled" => Reason::CANCEL,
                "/broken" => Reason::INTERNAL_ERROR,
                _ => return say(respond, whole(request.into_body()).await.unwrap().0),
            };
            // After the body: the gateway has seen no answer, and the upstream may have done anything.
            if reason != Reason::REFUSED_STREAM {
                whole(request.into_body()).await.unwrap();
            }
            respond.send_reset(reason);
        }
    });
    let gateway = before(&upstream);
    let post = |path: &str| {
        asked.store(0, SeqCst);
        let mut client = gateway.connect();
        client.send(&format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\npay"));
        client.read_message()
    };
    let answer = post("/refused");
    assert_eq!((answer.status(), &*answer.body, asked.load(SeqCst)), (200, "pay", 2));
    for path in ["/cancelled", "/broken"] {
        post(path).is_problem(502);
        assert_eq!(asked.load(SeqCst), 1, "{path} was sent twice");
    }
}

/// 8.1.1: a stream that is reset for what its client has sent says nothing of the upstream, which answers others.
#[test]
fn what_a_client_is_reset_for_ejects_nobody() {
    let upstream = Modern::open(Manners::default(), |request, mut respond| async move {
        match request.uri().path() {
            "/odd" => respond.send_reset(Reason::PROTOCOL_ERROR),
            "/old" => respond.send_reset(Reason::HTTP_1_1_REQUIRED),
            "/broken" => respond.send_reset(Reason::INTERNAL_ERROR),
            _ => say(respond, "ok".to_owned()),
        }
    });
    let rules = Rules::forwarding_to(upstream.address())
        .monolith("h2 = \"prior-knowledge\"\neject = { consecutive_errors = 1, for = \"1m\" }");
    let gateway = Gateway::start(&rules);
    let mut client = gateway.connect();
    for (path, status) in [("/odd", 502), ("/old", 502), ("/", 200), ("/broken", 502), ("/", 503)] {
        client.send(&format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(client.read_message().status(), status, "{path}");
    }
}

/// RFC 9110, 5.1: our libraries know a name in HTTP/2 that no message of HTTP/1.1 may hold.
#[test]
fn a_name_that_is_no_token_reaches_no_client() {
    let upstream = Modern::open(Manners::default(), |request, mut respond| async move {
        let odd = || HeaderName::from_lowercase(b"x\"a").unwrap();
        let mut answer = Response::builder().header("trailer", "x-sum");
        match request.uri().path() {
            "/head" => answer = answer.header(odd(), "1"),
            "/hint" => {
                let hint = Response::builder().status(103).header(odd(), "1");
                respond.send_informational(hint.body(()).unwrap()).unwrap();
            }
            _ => {}
        }
        let mut stream = respond.send_response(answer.body(()).unwrap(), false).unwrap();
        stream.send_data("hi".into(), false).unwrap();
        drop(stream.send_trailers([(odd(), HeaderValue::from_static("1"))].into_iter().collect()));
    });
    let gateway = before(&upstream);
    for path in ["/head", "/hint"] {
        let mut client = gateway.connect();
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        client.read_message().is_problem(502);
    }
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
    assert_eq!(client.read_head().status(), 200);
    assert_eq!(client.read_to_end().0, "2\r\nhi\r\n");
}

/// 6.8, and P7: connections that say goodbye again and again lose no request, and none is sent twice.
#[test]
fn a_goodbye_loses_and_doubles_nothing() {
    let seen = Arc::new(Mutex::new(HashMap::<String, usize>::new()));
    let noted = seen.clone();
    let manners = Manners { goodbye_after: Some(3), ..Manners::default() };
    let upstream = Modern::open(manners, move |request, respond| {
        let noted = noted.clone();
        async move {
            let Ok((body, _)) = whole(request.into_body()).await else { return };
            *noted.lock().unwrap().entry(body.clone()).or_default() += 1;
            say(respond, body);
        }
    });
    let gateway = before(&upstream);
    thread::scope(|scope| {
        for client in 0..4 {
            let gateway = &gateway;
            scope.spawn(move || {
                let mut wire = gateway.connect();
                for number in 0..25 {
                    let body = format!("{client}-{number:02}");
                    wire.send(&format!(
                        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    ));
                    let answer = wire.read_message();
                    assert_eq!((answer.status(), &answer.body), (200, &body));
                }
            });
        }
    });
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 100);
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
}

/// 5.4.2: who leaves takes nobody along, and the upstream learns of it at once.
#[test]
fn a_client_that_leaves_cancels_its_own_stream() {
    let (cancelled, cancellations) = channel();
    let (going, gone) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
    let (waiting, arrived) = (gone.clone(), going.clone());
    let upstream = Modern::open(Manners::default(), move |request, mut respond| {
        let (cancelled, waiting, arrived) = (cancelled.clone(), waiting.clone(), arrived.clone());
        async move {
            arrived.notify_one();
            if request.uri().path() == "/leaves" {
                let reset = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
                cancelled.send(reset.unwrap()).unwrap();
            } else {
                waiting.notified().await;
                say(respond, "still here");
            }
        }
    });
    let gateway = before(&upstream);
    let (mut stays, mut leaves) = (gateway.connect(), gateway.connect());
    stays.send("GET /stays HTTP/1.1\r\nHost: a\r\n\r\n");
    leaves.send("GET /leaves HTTP/1.1\r\nHost: a\r\n\r\n");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, going.notified()).await }).unwrap();
    leaves.reset();
    assert_eq!(cancellations.recv_timeout(PATIENCE).unwrap(), Reason::CANCEL);
    gone.notify_one();
    assert_eq!(stays.read_message().body, "still here");
    assert_eq!(upstream.connections(), 1);
}

/// 8.1.1: a cut answer is cut for the client too.
#[test]
fn a_cut_stream_is_never_ended_as_if_whole() {
    let upstream = Modern::open(Manners::default(), |request, mut respond| async move {
        let answer = Response::builder();
        let answer = match request.uri().path() {
            "/short" => answer.header("content-length", "10"),
            _ => answer,
        };
        let mut stream = respond.send_response(answer.body(()).unwrap(), false).unwrap();
        stream.send_data(Bytes::from_static(b"a part"), false).unwrap();
        // Nothing tells when the part has gone.
        tokio::time::sleep(Duration::from_millis(50)).await;
        if request.uri().path() == "/short" {
            // Less than was announced.
            drop(stream.send_data(Bytes::new(), true));
        } else {
            stream.send_reset(Reason::INTERNAL_ERROR);
        }
    });
    let gateway = before(&upstream);
    for path in ["/short", "/long"] {
        let mut client = gateway.connect();
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.read_head().status(), 200);
        let (body, _) = client.read_to_end();
        assert!(body.contains("a part") && !body.ends_with("0\r\n\r\n"), "{path}: {body:?}");
    }
}

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// RFC 8441.
#[test]
fn a_websocket_is_an_extended_connect() {
    let manners = Manners { websockets: true, ..Manners::default() };
    let upstream = Modern::open(manners, |request, mut respond| async move {
        let protocol = request.extensions().get::<h2::ext::Protocol>().unwrap();
        assert_eq!((request.method().as_str(), protocol.as_str()), ("CONNECT", "websocket"));
        assert!(!request.headers().contains_key("sec-websocket-key"));
        let mut body = request.into_body();
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        while let Some(Ok(data)) = body.data().await {
            body.flow_control().release_capacity(data.len()).unwrap();
            stream.send_data(data, false).unwrap();
        }
        stream.send_data(Bytes::new(), true).unwrap();
    });
    let gateway = before(&upstream);
    let mut client = gateway.connect();
    client.send(UPGRADE);
    let answer = client.read_head();
    assert_eq!(answer.status(), 101, "{answer}");
    assert_eq!(answer.value("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(answer.value("upgrade"), Some("websocket"));
    for piece in ["one", "two"] {
        client.send(piece);
        assert_eq!(client.read(3), piece);
    }
    client.finish();
    assert_eq!(client.read_to_end().0, "");
}

/// RFC 9110, 7.8: an upgrade may be ignored, and one that HTTP/2 has no words for is. It has some for a WebSocket (RFC 8441),
/// which begins with a GET, a key and no body.
#[test]
fn an_upgrade_that_http2_cannot_say_is_left_out() {
    let manners = Manners { websockets: true, ..Manners::default() };
    let upstream = Modern::open(manners, |request, respond| async move {
        let (head, body) = request.into_parts();
        assert!(head.extensions.get::<h2::ext::Protocol>().is_none(), "{head:?}");
        assert!(!head.headers.contains_key("upgrade"), "{head:?}");
        let (body, _) = whole(body).await.unwrap();
        say(respond, format!("{} {body}", head.method));
    });
    let gateway = before(&upstream);
    let (websocket, key) = ("Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
    for (method, protocol, key, body, wanted) in [
        ("GET", "Upgrade: foo", "", "\r\n", "GET "),
        ("GET", websocket, "", "\r\n", "GET "),
        ("POST", websocket, key, "Content-Length: 0\r\n\r\n", "POST "),
        ("GET", websocket, key, "Content-Length: 5\r\n\r\nhello", "GET hello"),
        ("GET", websocket, key, "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "GET hello"),
    ] {
        let mut client = gateway.connect();
        client.send(&format!(
            "{method} / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n{protocol}\r\n{key}{body}"
        ));
        let answer = client.read_message();
        assert_eq!((answer.status(), &*answer.body), (200, wanted), "to {protocol} {body}");
    }
}

/// What the gateway cannot say in HTTP/2 says nothing of the upstream, which serves the others on.
#[test]
fn what_http2_cannot_say_is_not_the_upstreams_failure() {
    let upstream = Modern::open(Manners::default(), |request, respond| async move {
        say(respond, request.uri().to_string());
    });
    let eject = "h2 = \"prior-knowledge\"\neject = { consecutive_errors = 1, for = \"10m\" }";
    let gateway = Gateway::start(&Rules::forwarding_to(upstream.address()).monolith(eject));
    let ask = |request: &str| {
        let mut client = gateway.connect();
        client.send(request);
        client.read_message()
    };
    ask("GET / HTTP/1.1\r\nHost: a%20b\r\n\r\n").is_problem(400);
    ask(UPGRADE).is_problem(502);
    // RFC 9113, 8.3.1: no authority is empty.
    assert_eq!(ask("GET /a HTTP/1.1\r\nHost:\r\n\r\n").body, format!("http://{}/a", upstream.address()));
    assert_eq!(ask("GET /a HTTP/1.1\r\nHost: shop.test\r\n\r\n").body, "http://shop.test/a");
}

/// 8.6: HTTP/2 switches no protocols, and no client is told that it does.
#[test]
fn a_switch_of_protocols_is_no_interim_response() {
    let manners = Manners { websockets: true, ..Manners::default() };
    let upstream = Modern::open(manners, |_, mut respond| async move {
        let mut switching = Response::new(());
        *switching.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        respond.send_informational(switching).unwrap();
        // Until it is given up.
        std::future::poll_fn(|cx| respond.poll_reset(cx)).await.ok();
    });
    let gateway = before(&upstream);
    for request in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", UPGRADE] {
        let mut client = gateway.connect();
        client.send(request);
        client.read_message().is_problem(502);
    }
}

/// What cannot be is refused, and nothing is left hanging.
#[test]
fn an_upstream_without_websockets_or_without_http2_is_502() {
    let upstream = Modern::open(Manners::default(), |_, respond| async move { say(respond, "no") });
    let gateway = before(&upstream);
    let mut client = gateway.connect();
    client.send(UPGRADE);
    client.read_message().is_problem(502);

    let origin = Origin::open();
    let rules = Rules::forwarding_to(origin.address()).monolith("h2 = \"prior-knowledge\"");
    let gateway = Gateway::start(&rules);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.read_to("PRI * HTTP/2.0\r\n\r\n");
    upstream.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    client.read_message().is_problem(502);
}
