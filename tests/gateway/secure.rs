//! TLS to upstreams: who is trusted, who we are, and what is said where there is no trust.

use std::fs;

use rcgen::{BasicConstraints, IsCa};

use crate::harness::{
    Gateway, Origin, Rules,
    gateway::{ask_admin, eventually},
    modern::{Manners, Modern, say},
    secure::{Authority, Leaf, leaf},
    wire::Message,
};

fn upstream(tls: std::sync::Arc<rustls::ServerConfig>) -> Modern {
    Modern::open(Manners { tls: Some(tls), ..Manners::default() }, |request, respond| async move {
        say(respond, format!("{:?} {}", request.version(), request.uri()));
    })
}

fn get(gateway: &Gateway, path: &str) -> Message {
    let mut client = gateway.connect();
    client.send(&format!("GET {path} HTTP/1.1\r\nHost: shop.test\r\n\r\n"));
    client.read_message()
}

/// What the operator is told of the monolith's only address.
fn trouble(gateway: &Gateway) -> String {
    let upstreams = ask_admin(gateway.admin(), "/api/upstreams").json();
    upstreams["upstreams"][0]["addresses"][0]["last_error"]["error"].as_str().unwrap_or_default().to_owned()
}

fn metric(gateway: &Gateway, line: &str) -> u64 {
    let metrics = ask_admin(gateway.admin(), "/metrics").body;
    let found = metrics.lines().find_map(|found| found.strip_prefix(line));
    found.unwrap_or_else(|| panic!("no {line} in {metrics}")).trim().parse().unwrap()
}

/// By its own authority and name; what is agreed on is spoken, and the client sees nothing of it.
#[test]
fn an_upstream_is_trusted_by_its_own_ca_and_name() {
    let authority = Authority::new();
    let tls = format!("tls = {{ ca = {:?}, server_name = \"origin.test\" }}", authority.path("ca.pem"));
    for (protocols, h2, spoken) in [
        (&["h2", "http/1.1"][..], "auto", "HTTP/2.0 https://shop.test/a"),
        (&["h2", "http/1.1"], "off", "GET /a HTTP/1.1"),
        (&["http/1.1"], "auto", "GET /a HTTP/1.1"),
        (&[], "auto", "GET /a HTTP/1.1"),
        (&["h2"], "prior-knowledge", "HTTP/2.0 https://shop.test/a"),
    ] {
        let upstream = upstream(authority.server(leaf("origin.test"), None, protocols));
        let rules = Rules::forwarding_to(upstream.address()).over_tls();
        let gateway = Gateway::start(&rules.monolith(&format!("h2 = \"{h2}\"\n{tls}")));
        let answer = get(&gateway, "/a");
        assert_eq!(answer.status(), 200, "{protocols:?} {h2}: {answer:?} {}", trouble(&gateway));
        assert!(answer.body.starts_with(spoken), "{protocols:?} {h2}: {answer:?}");
    }
}

/// What HTTP/2 has no words for is asked for in HTTP/1.1, where that is spoken too.
#[test]
fn an_upgrade_is_asked_for_in_the_version_that_has_it() {
    let authority = Authority::new();
    let tls = authority.server(leaf("origin.test"), None, &["h2", "http/1.1"]);
    let manners = Manners { tls: Some(tls), websockets: true, ..Manners::default() };
    let upstream = Modern::open(manners, |request, respond| async move {
        say(respond, format!("{:?}", request.version()));
    });
    let tls = format!("tls = {{ ca = {:?}, server_name = \"origin.test\" }}", authority.path("ca.pem"));
    let gateway = Gateway::start(&Rules::forwarding_to(upstream.address()).over_tls().monolith(&tls));
    assert_eq!(get(&gateway, "/").body, "HTTP/2.0");
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n");
    let told = client.read_message().body.to_ascii_lowercase();
    assert!(told.starts_with("get / http/1.1\r\n") && told.contains("upgrade: foo\r\n"), "{told}");
}

/// RFC 8446, 2.2: a second connection costs no second proof.
#[test]
fn a_session_is_resumed() {
    let authority = Authority::new();
    let upstream = upstream(authority.server(leaf("localhost"), None, &["http/1.1"]));
    let rules = Rules::forwarding_to(upstream.address()).over_tls();
    let tls = format!("tls = {{ ca = {:?}, server_name = \"localhost\" }}", authority.path("ca.pem"));
    let gateway = Gateway::start(&rules.monolith(&tls));
    for _ in 0..3 {
        // Which closes the connection.
        assert_eq!(get(&gateway, "/last").status(), 200);
    }
    let shaken = |outcome: &str| {
        let label = format!("upstream=\"monolith\",outcome=\"{outcome}\"");
        metric(&gateway, &format!("figueira_upstream_tls_handshakes_total{{{label}}}"))
    };
    assert_eq!((shaken("full"), shaken("resumed"), upstream.connections()), (1, 2, 3));
}

/// 502, and the operator is told who, why and what to do.
#[test]
fn an_upstream_that_cannot_be_trusted_is_not_spoken_to() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let ca = format!("ca = {:?}", authority.path("ca.pem"));
    let named = format!("{ca}, server_name = \"origin.test\"");
    let expired = Leaf { last_year: 2021, ..leaf("origin.test") };
    let issuer = Leaf { is_ca: IsCa::Ca(BasicConstraints::Unconstrained), ..leaf("origin.test") };
    let asking = || authority.server(leaf("origin.test"), Some(&authority), &["http/1.1"]);
    let plainly = authority.server(leaf("origin.test"), None, &["http/1.1"]);
    for (server, tls, told) in [
        (plainly.clone(), "server_name = \"origin.test\"".to_owned(), "name its issuer in `tls.ca`"),
        (stranger.server(leaf("origin.test"), None, &[]), named.clone(), "name its issuer in `tls.ca`"),
        (plainly, ca.clone(), "not for 127.0.0.1 but for origin.test: set `tls.server_name`"),
        (authority.server(expired, None, &[]), named.clone(), "expired on 2021-01-01T00:00:00Z: renew it"),
        (authority.server(issuer, None, &[]), named.clone(), "issue it one that says `CA:FALSE`"),
        (asking(), named.clone(), "name one in `tls.certificate` and `tls.key`"),
    ] {
        let upstream = upstream(server);
        let rules = Rules::forwarding_to(upstream.address()).over_tls();
        let gateway = Gateway::start(&rules.monolith(&format!("tls = {{ {tls} }}")));
        get(&gateway, "/a").is_problem(502);
        let trouble = trouble(&gateway);
        assert!(trouble.contains(told), "{told}: {trouble}");
    }

    // A port for plain HTTP.
    let origin = Origin::open();
    let rules = Rules::forwarding_to(origin.address()).over_tls();
    let gateway = Gateway::start(&rules.monolith(&format!("tls = {{ {named} }}")));
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.read(1);
    upstream.send("HTTP/1.1 400 Bad Request\r\n\r\n");
    client.read_message().is_problem(502);
    assert!(trouble(&gateway).contains("what it sends is not TLS"), "{}", trouble(&gateway));
    drop(upstream);
}

/// A certificate that was renewed, and one that was mended, are used without a restart.
#[test]
fn files_are_read_again_when_they_change() {
    let authority = Authority::new();
    authority.sign(leaf("us.test"));
    let (ca, pem, key) =
        (authority.path("ours.pem"), authority.path("us.test.pem"), authority.path("us.test.key"));
    fs::write(&ca, "not yet").unwrap();
    let upstream = upstream(authority.server(leaf("origin.test"), Some(&authority), &[]));
    let rules = Rules::forwarding_to(upstream.address()).over_tls();
    let tls = format!(
        "tls = {{ ca = {ca:?}, certificate = {pem:?}, key = {key:?}, server_name = \"origin.test\" }}"
    );
    let gateway = Gateway::start(&rules.monolith(&tls));
    get(&gateway, "/a").is_problem(502);
    assert!(trouble(&gateway).contains("ours.pem: holds no certificate in PEM"), "{}", trouble(&gateway));

    fs::copy(authority.path("ca.pem"), &ca).unwrap();
    let good = || match get(&gateway, "/last").status() {
        200 => Ok(()),
        status => Err((status, trouble(&gateway))),
    };
    eventually("trust", good);
    // Half written: the last good ones serve.
    fs::write(&pem, "").unwrap();
    assert_eq!(get(&gateway, "/last").status(), 200);
}
