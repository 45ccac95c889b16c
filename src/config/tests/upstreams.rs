//! How upstreams are reached, and how they cannot be.

use super::*;
use crate::forwarding::Http2;

#[test]
fn an_upstream_is_reached_as_its_tables_say() {
    let config = read(
        r#"
        [monolith]
        url = "https://origin.example"
        h2 = "off"
        tls = { ca = "origin-ca.pem", certificate = "client.pem", key = "client.key", server_name = "origin.internal" }
        [upstreams.lambda]
        url = "https://abc.lambda-url.eu-west-1.on.aws"
        headers = { x-tenant = "shop", Host = "images.internal" }
        sign = "sigv4"
        pass = ["cookie", "authorization"]
        version_header = "X-Version"
        [upstreams.grpc]
        url = "http://[::1]"
        h2 = "prior-knowledge"
        "#,
    );
    let monolith = &config.monolith;
    assert_eq!((&*monolith.host, monolith.port, monolith.h2), ("origin.example", 443, Http2::Off));
    let tls = monolith.tls.clone().unwrap();
    assert!(tls.ca.unwrap().ends_with("origin-ca.pem"));
    assert!(tls.identity.unwrap().key.ends_with("client.key"));
    assert_eq!(tls.server_name.unwrap().to_str(), "origin.internal");
    let named = |name: &str| config.upstreams.iter().find(|upstream| &*upstream.name == name).unwrap();
    let lambda = named("lambda");
    let mut headers: Vec<_> =
        lambda.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    headers.sort_unstable();
    assert_eq!(headers, ["host: images.internal", "x-tenant: shop"]);
    assert_eq!(lambda.sign.as_ref().map(|sign| &*sign.service), Some("lambda"));
    assert_eq!(lambda.pass, ["cookie", "authorization"]);
    assert_eq!(lambda.version_header.as_ref().unwrap(), "x-version");
    assert_eq!((lambda.tls.is_some(), lambda.h2), (true, Http2::Auto));
    let grpc = named("grpc");
    assert_eq!((&*grpc.host, grpc.port, grpc.tls.is_some()), ("::1", 80, false));
    assert_eq!(grpc.h2, Http2::PriorKnowledge);
}

#[test]
fn an_upstream_that_cannot_be_reached_so_is_refused() {
    let found = errors(
        r#"
        [monolith]
        url = "http://127.0.0.1:8000"
        tls = { certificate = "client.pem", server_name = "a b" }
        [upstreams.lambda]
        url = "https://a..b"
        h2 = "always"
        headers = { x-api-token = "abc", connection = "close", "b d" = "1" }
        pass = ["referer"]
        "#,
    );
    let said = |part: &str| assert!(found.iter().any(|message| message.contains(part)), "{part}: {found:#?}");
    said("nothing is encrypted to an http:// URL");
    said("`tls.key` is missing");
    said("`server_name` cannot be \"a b\"");
    said("no certificate is for such a host");
    said("`h2` cannot be \"always\"");
    said("a secret, and those are never written here");
    said("cannot set \"connection\"");
    said("which is no header's name");
    said("`pass` cannot be \"referer\"");
    assert!(!found.iter().any(|message| message.contains("abc")), "{found:#?}");
}
