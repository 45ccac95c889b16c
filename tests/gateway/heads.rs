//! The head, both ways: what has to stay stays to the byte, what belongs to one hop goes (RFC 9110, 7).

use crate::harness::{Gateway, Origin, Rules, wire::Head};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The head that reaches the origin when a client sends `request`.
fn seen(rules: impl FnOnce(Rules) -> Rules, request: &str) -> Head {
    let origin = Origin::open();
    let gateway = Gateway::start(&rules(Rules::forwarding_to(origin.address())));
    let mut client = gateway.connect();
    client.send(request);
    let (_, request) = origin.serve(OK);
    assert_eq!(client.read_message().status(), 200);
    request.head
}

/// The bytes of head and body that reach the client when the origin sends `response` and closes.
fn answered(request: &str, response: &str) -> String {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    client.send(request);
    drop(origin.serve(response));
    client.finish();
    client.read_to_end().0
}

const GET: &str = "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n";

/// RFC 9110, 5.3 and 7.6; the four last fields are what the next hop is told of the client.
#[test]
fn a_requests_target_and_fields_arrive_as_they_were_sent() {
    let head = seen(
        |rules| rules,
        "GET //a/../b/./%2F/%zz;p=1/{x}|^\\?x&&y=%20+? HTTP/1.1\r\nHOST: shop.test\r\nx-LOWER-upper: 1\r\n\
         X-Twice: a\r\nX-Obs: caf\u{e9} \u{ff}\r\nx-twice:   b  \r\nX-Empty:\r\nAccept: */*\r\n\r\n",
    );
    let (ours, id) =
        head.to_string().split_once("x-request-id: ").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert_eq!(
        ours,
        "GET //a/../b/./%2F/%zz;p=1/{x}|^\\?x&&y=%20+? HTTP/1.1\r\nHOST: shop.test\r\nx-LOWER-upper: 1\r\n\
         X-Twice: a\r\nx-twice: b\r\nX-Obs: caf\u{e9} \u{ff}\r\nX-Empty:\r\nAccept: */*\r\n\
         x-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\nx-forwarded-host: shop.test\r\n"
    );
    let id = id.strip_suffix("\r\n\r\n").unwrap();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
}

/// More than the parser has room for by itself, on a connection that has carried less and has more coming.
#[test]
fn a_head_of_many_fields_is_one_like_any_other() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    let many: Vec<String> = (0..199).map(|n| format!("X-{n}: {n}")).collect();
    let large = format!("GET /many HTTP/1.1\r\nHost: shop.test\r\n{}\r\n\r\n", many.join("\r\n"));
    let (first, rest) = large.split_at(large.len() / 2);
    client.send(&format!("{GET}{first}"));
    let (mut upstream, _) = origin.serve(OK);
    assert_eq!(client.read_message().status(), 200);
    client.send(&format!("{rest}{large}{GET}"));
    for wanted in [199, 199, 0] {
        let request = upstream.read_message();
        assert_eq!(request.head.fields().filter(|field| field.starts_with("X-")).count(), wanted);
        upstream.send(OK);
        assert_eq!(client.read_message().status(), 200);
    }
}

/// RFC 9110, 7.6.1.
#[test]
fn a_requests_hop_by_hop_fields_go() {
    let head = seen(
        |rules| rules,
        "GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nA: 1\r\n\
         Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\nconnection: x-other\r\n\
         X-Other: 2\r\nB: 2\r\n\r\n",
    );
    let kept: Vec<_> = head.fields().take_while(|line| !line.starts_with("x-forwarded-")).collect();
    assert_eq!(kept, ["Host: shop.test", "A: 1", "B: 2"]);
}

/// A `Connection` that names what the next hop decides on must not make it vanish.
#[test]
fn a_request_cannot_hide_end_to_end_fields() {
    let head = seen(
        |rules| rules,
        "POST / HTTP/1.1\r\nHost: shop.test\r\nConnection: host, content-length, authorization, cookie, \
         x-forwarded-for, x-request-id, close\r\nAuthorization: Basic eA==\r\nCookie: session=1\r\n\
         Content-Length: 2\r\n\r\nhi",
    );
    for (name, value) in [
        ("host", "shop.test"),
        ("content-length", "2"),
        ("authorization", "Basic eA=="),
        ("cookie", "session=1"),
        ("x-forwarded-for", "127.0.0.1"),
    ] {
        assert_eq!(head.value(name), Some(value), "{head}");
    }
    assert!(head.value("x-request-id").is_some(), "{head}");
    assert_eq!(head.value("connection"), None, "{head}");
}

/// RFC 9112, 2.3: the version is of the connection.
#[test]
fn an_old_clients_request_is_made_one_of_today() {
    let head = seen(|rules| rules, "GET /old HTTP/1.0\r\nHost: shop.test\r\n\r\n");
    assert_eq!(head.line(), "GET /old HTTP/1.1");
}

/// RFC 9112, 3.2: a request of today names a host; where the client's did not, it is the origin's own.
#[test]
fn an_old_request_without_a_host_gains_one() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    client.send("GET /old HTTP/1.0\r\n\r\n");
    let (_, request) = origin.serve(OK);
    assert_eq!(request.head.value("host"), Some(&*origin.address().to_string()), "{request:?}");
    assert_eq!(request.head.value("x-forwarded-host"), None, "{request:?}");
    assert_eq!(client.read_message().status(), 200);
}

/// RFC 9110, 7.6.1: however `Connection` is written, what it names goes and what it must not name stays.
#[test]
fn odd_connection_fields_are_read_as_lists() {
    let head = seen(
        |rules| rules,
        "GET / HTTP/1.1\r\nHost: a\r\nConnection:\r\nCONNECTION: ,, x-A\t,X-b ,close;x=\"\r\nConnection: \u{ff}\r\n\
         X-a: 1\r\nx-B: 2\r\nC: 3\r\nconnection: X-C, Trailer, Expect, Cache-Control\r\nX-C: 4\r\n\
         Cache-Control: no-cache\r\n\r\n",
    );
    let kept: Vec<_> = head.fields().take_while(|line| !line.starts_with("x-forwarded-")).collect();
    assert_eq!(kept, ["Host: a", "C: 3", "Cache-Control: no-cache"]);
}

/// RFC 9110, 7.8 and 10.1.4: `Upgrade` without its `Connection` option, and `TE` beyond `trailers`, end here.
#[test]
fn what_asks_only_us_is_not_asked_of_the_origin() {
    for fields in [
        "Upgrade: websocket\r\n",
        "Connection: upgrade\r\nUpgrade: H2C\r\n",
        "Connection: upgrade\r\nUpgrade: h2c,\r\nUpgrade: h2c\r\n",
        "Connection: TE\r\nTE: gzip, deflate;q=0.5\r\n",
        "HTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Proxy-Connection: keep-alive\r\n",
    ] {
        let head = seen(|rules| rules, &format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        for name in ["connection", "upgrade", "te", "http2-settings", "proxy-connection"] {
            assert_eq!(head.value(name), None, "{fields:?} as {head}");
        }
    }
}

/// RFC 9110, 7.8: a list in one field or in several; and 10.1.4, which may stand beside it.
#[test]
fn an_upgrade_goes_on_without_what_ends_here() {
    for (fields, option, protocols) in [
        ("Connection: upgrade\r\nUpgrade: h2c, websocket\r\n", "Upgrade", "websocket"),
        (
            "Connection: upgrade\r\nUpgrade: chat/2\r\nUpgrade: websocket, H2C\r\n",
            "Upgrade",
            "chat/2, websocket",
        ),
        ("Connection: upgrade, TE\r\nUpgrade: chat\r\nTE: trailers, gzip\r\n", "Upgrade, TE", "chat"),
    ] {
        let head = seen(|rules| rules, &format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        assert_eq!(head.value("connection"), Some(option), "{head}");
        assert_eq!(head.value("upgrade"), Some(protocols), "{head}");
        assert_eq!(head.value("te"), option.ends_with("TE").then_some("trailers"), "{head}");
    }
}

/// RFC 9112, 3.2.2.
#[test]
fn an_absolute_targets_authority_replaces_the_host() {
    let head = seen(|rules| rules, "GET http://other.test:81//x?q HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    assert_eq!(head.line(), "GET //x?q HTTP/1.1");
    assert_eq!(head.value("host"), Some("other.test:81"));
    let head = seen(|rules| rules, "OPTIONS * HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    assert_eq!(head.line(), "OPTIONS * HTTP/1.1");
}

const CLAIMS: &str = "GET / HTTP/1.1\r\nHost: shop.test\r\nX-Forwarded-For: 203.0.113.9\r\n\
    X-Forwarded-Proto: https\r\nX-Forwarded-Host: www.shop.test\r\nX-Forwarded-For: 198.51.100.7\r\n\
    X-Forwarded-Port: 8443\r\nForwarded: for=203.0.113.9;host=www.shop.test\r\nX-Request-Id: abc\r\n\r\n";

#[test]
fn a_strangers_claims_are_replaced() {
    let head = seen(|rules| rules, CLAIMS);
    assert_eq!((head.value("x-forwarded-port"), head.value("forwarded")), (None, None));
    assert_eq!(head.value("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(head.value("x-forwarded-proto"), Some("http"));
    assert_eq!(head.value("x-forwarded-host"), Some("shop.test"));
    assert_ne!(head.value("x-request-id"), Some("abc"));
}

#[test]
fn nor_do_they_go_on_where_nothing_takes_their_place() {
    for (forwarded, gained) in
        [("off", None), ("forwarded", Some("for=127.0.0.1;host=\"shop.test\";proto=http"))]
    {
        let head = seen(|rules| rules.gateway(&format!("forwarded = {forwarded:?}")), CLAIMS);
        assert!(!head.to_string().to_ascii_lowercase().contains("x-forwarded-"), "{head}");
        assert_eq!(head.value("forwarded"), gained);
    }
}

#[test]
fn a_trusted_proxys_claims_are_extended() {
    let head = seen(|rules| rules.gateway("trusted_proxies = [\"127.0.0.0/8\"]"), CLAIMS);
    assert_eq!(head.value("x-forwarded-port"), Some("8443"));
    assert_eq!(head.value("forwarded"), Some("for=203.0.113.9;host=www.shop.test"));
    assert_eq!(head.value("x-forwarded-for"), Some("203.0.113.9, 198.51.100.7, 127.0.0.1"));
    assert_eq!(head.value("x-forwarded-proto"), Some("https"));
    assert_eq!(head.value("x-forwarded-host"), Some("www.shop.test"));
    assert_eq!(head.value("x-request-id"), Some("abc"));
}

/// RFC 7239, 4, and RFC 9110, 7.6.3.
#[test]
fn forwarded_and_via_are_told_where_asked_for() {
    let head = seen(
        |rules| rules.gateway("forwarded = \"forwarded\"\nvia = true"),
        "GET / HTTP/1.0\r\nHost: shop.test\r\nVia: 1.1 edge\r\n\r\n",
    );
    assert_eq!(head.value("forwarded"), Some("for=127.0.0.1;host=\"shop.test\";proto=http"));
    assert_eq!(head.value("via"), Some("1.1 edge, 1.0 figueira"));
    assert_eq!(head.value("x-forwarded-for"), None);
}

/// RFC 9110, 5.3 and 15.1: names, values, order and reason stay, and neither `Date` nor `Server` is added.
#[test]
fn a_response_arrives_as_it_was_sent() {
    let response = "HTTP/1.1 299 Quite Odd\r\nX-Powered-BY: Atelier\r\nSET-COOKIE: a=1; Path=/\r\n\
        set-cookie: b=2, x\r\nX-Obs: caf\u{e9}\r\nX-Empty: \r\nContent-Length: 2\r\nLocation: /%2F/../x\r\n\r\nhi";
    assert_eq!(answered(GET, response), response);
}

#[test]
fn a_response_without_a_reason_gains_none() {
    let answer = answered(GET, "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(answer, "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok");
}

/// RFC 9112, 4: a phrase is in whatever words, and bytes, the origin chose.
#[test]
fn a_reason_phrase_beyond_ascii_stays() {
    for before in ["", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"] {
        for line in
            ["HTTP/1.1 404 N\u{e3}o encontrado", "HTTP/1.1 200 \u{80}\u{ff}", "HTTP/1.1 200 Tudo  bem\t!"]
        {
            let response = format!("{line}\r\nContent-Length: 2\r\n\r\nok");
            let answer = answered(GET, &format!("{before}{response}"));
            assert!(answer.ends_with(&response), "{line:?} became {answer:?}");
        }
    }
}

/// A phrase is of its own answer: what one exchange heard is not said in the next.
#[test]
fn a_reason_phrase_is_said_once() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    client.send(GET);
    let (mut upstream, _) =
        origin.serve("HTTP/1.1 200 \u{e9}t\u{e9}\r\nContent-Length: 16\r\n\r\nHTTP/1.1 200 \u{e9}\r\n");
    assert_eq!(client.read_message().head.line(), "HTTP/1.1 200 \u{e9}t\u{e9}");
    for (said, heard) in [("HTTP/1.1 200 ", "HTTP/1.1 200 "), ("HTTP/1.1 200 OK", "HTTP/1.1 200 OK")] {
        client.send(GET);
        upstream.read_head();
        upstream.send(&format!("{said}\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(client.read_message().head.line(), heard);
    }
}

/// RFC 9110, 7.6.1 holds for responses too.
#[test]
fn a_responses_hop_by_hop_fields_go() {
    let answer = answered(
        GET,
        "HTTP/1.1 200 OK\r\nConnection: close, X-Hop, Set-Cookie\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\n\
         A: 1\r\nProxy-Connection: close\r\nSet-Cookie: a=1\r\nContent-Length: 2\r\n\r\nok",
    );
    assert_eq!(answer, "HTTP/1.1 200 OK\r\nA: 1\r\nSet-Cookie: a=1\r\nContent-Length: 2\r\n\r\nok");
}

/// RFC 9112, 2.3, and 5.2: an old origin's folded line and space before a colon are made harmless.
#[test]
fn an_old_origins_response_is_made_one_of_today() {
    let answer =
        answered(GET, "HTTP/1.0 200 OK\r\nX-Folded: a\r\n  b\r\nX-Space : c\r\nContent-Length: 2\r\n\r\nok");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\nX-Folded: a"), "{answer}");
    assert!(!answer.contains("\r\n "), "a folded line: {answer}");
    assert!(answer.contains("\r\nX-Space: c\r\n"), "{answer}");
}

/// The limits are those of `routes.toml`, and nobody's defaults.
#[test]
fn large_heads_pass_within_their_limits() {
    let (many, long) = ("X-Many: v\r\n".repeat(190), "v".repeat(50_000));
    let target = "t".repeat(15_000);
    let head = seen(|rules| rules, &format!("GET /{target} HTTP/1.1\r\nHost: a\r\n{many}\r\n"));
    assert_eq!(head.line(), format!("GET /{target} HTTP/1.1"));
    assert_eq!(head.values("x-many").len(), 190);
    let head = seen(|rules| rules, &format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {long}\r\n\r\n"));
    assert_eq!(head.value("x-long"), Some(&*long));
    for fields in ["X-Many: v\r\n".repeat(190), format!("X-Long: {long}\r\n")] {
        let response = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok");
        assert!(answered(GET, &response) == response, "another answer to {} bytes", response.len());
    }
}

/// RFC 9110, 5.4: an answer may have as many fields as fit in its head.
#[test]
fn an_answer_of_a_thousand_fields_passes() {
    let fields: Vec<_> = (0..1000).map(|number| format!("X-{number}: {number}\r\n")).collect();
    let fields = fields.concat();
    let response = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok");
    assert!(answered(GET, &response) == response);
}

/// RFC 9110, 9.1 and 7.2, and RFC 9112, 2.2: what is odd and sound is the origin's to judge, as it came.
#[test]
fn what_is_odd_and_sound_passes() {
    let long = "A".repeat(500);
    for (line, host) in [
        ("get /", "a"),
        ("G-E.T!#$%&'*+^_`|~1 /", "a"),
        (&format!("{long} /"), "a"),
        ("GET /?", "a."),
        ("GET /??x", "a:"),
        ("GET //", "[::1]:080"),
        ("GET /:80", "A_b~!$&'()*+;=%2e"),
        ("GET /http://other.test/", "xn--caf-dma.test:65535"),
        ("GET /a;b=c/..;/%0d%0a", ""),
    ] {
        let head = seen(|rules| rules, &format!("\r\n{line} HTTP/1.1\r\nHost:\t{host} \t\r\n\r\n"));
        assert_eq!(head.line(), format!("{line} HTTP/1.1"));
        assert_eq!(head.value("host"), Some(host), "{head}");
    }
}

/// Without a Host nothing takes the place of what a stranger claims to be asked for, and it goes all the same.
#[test]
fn a_stranger_claims_no_host_where_it_asks_for_none() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.connect();
    client.send(
        "GET / HTTP/1.0\r\nX-Forwarded-Host: evil.test\r\nX-Forwarded-Proto: https\r\nX-Last: 1\r\n\r\n",
    );
    let (_upstream, request) = origin.serve("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(request.head.value("x-forwarded-host"), None);
    assert_eq!(request.head.value("x-forwarded-proto"), Some("http"));
    assert_eq!(request.head.value("x-last"), Some("1"));
}
