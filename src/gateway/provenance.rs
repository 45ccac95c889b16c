//! Where a request came from, as far as it can be believed, and what the next hop is told of it.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Version, header::FORWARDED, header::HOST, header::VIA, request,
};
use ipnet::IpNet;

use super::{
    address::Address,
    admission::{MAX_FORWARDS, PSEUDONYM, hops_left},
    settings::{Forwarded, Settings},
};
use crate::{
    forwarding::head::Gained,
    listener::{Peer, guard},
};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// How the names of what proxies say begin.
const CLAIM: &str = "x-forwarded-";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Who asks, under which name, and what the request gains for it.
#[derive(Debug)]
pub(super) struct Provenance {
    /// The client, behind trusted proxies.
    pub(super) client: IpAddr,
    /// This request's id: a trusted proxy's, or ours.
    pub(super) request_id: HeaderValue,
    /// Scheme and host, as the client sees the site.
    proto: HeaderValue,
    host: Option<HeaderValue>,
    /// Fields for the next hop.
    pub(super) gained: Vec<Gained>,
    /// Whether what the peer says of others counts.
    pub(super) trust: Trust,
}

/// Whether a peer is one of `trusted_proxies`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    Proxy,
    Stranger,
}

impl Provenance {
    /// Reads what `head` claims; only a trusted proxy's claims count.
    pub(super) fn of(
        head: &request::Parts,
        peer: Peer,
        settings: &Settings,
        new_id: impl FnOnce() -> HeaderValue,
    ) -> Self {
        let address = peer.address.ip().to_canonical();
        let trusted = is_trusted(address, &settings.trusted_proxies);
        let trust = if trusted { Trust::Proxy } else { Trust::Stranger };
        let claims = trusted.then_some(&head.headers);
        let client = claims.map_or(address, |headers| client_of(headers, address, &settings.trusted_proxies));
        // What is empty says nothing.
        let claimed = |name| claims.and_then(|headers| headers.get(name)).filter(|value| !value.is_empty());
        let request_id = claimed(REQUEST_ID).filter(|id| id.to_str().is_ok()).cloned().unwrap_or_else(new_id);
        let host = head.headers.get(HOST);
        let x_host = claimed(X_HOST).or(host);
        let proto = claimed(PROTO).cloned().unwrap_or(HeaderValue::from_static(peer.transport.scheme()));
        let mut gained = Vec::with_capacity(6);
        if matches!(settings.forwarded, Forwarded::XForwarded | Forwarded::Both) {
            let address = Address::of(address);
            let chain = match claims {
                // One allocation, which all who carry it share.
                None => HeaderValue::from_maybe_shared(Bytes::from_owner(address)).ok(),
                Some(headers) => joined(headers.get_all(FOR).iter(), address.as_str()),
            };
            gained.extend(chain.map(|chain| (FOR, chain)));
            gained.push((PROTO, proto.clone()));
            gained.extend(x_host.map(|host| (X_HOST, host.clone())));
        }
        if matches!(settings.forwarded, Forwarded::Forwarded | Forwarded::Both) {
            let element = element(peer.address, host, &proto);
            let chain = joined(claims.into_iter().flat_map(|headers| headers.get_all(FORWARDED)), &element);
            gained.extend(chain.map(|chain| (FORWARDED, chain)));
        }
        gained.push((REQUEST_ID, request_id.clone()));
        if settings.via {
            let received = match head.version {
                Version::HTTP_10 => "1.0",
                Version::HTTP_2 => "2.0",
                _ => "1.1",
            };
            let hop = format!("{received} {PSEUDONYM}");
            gained.extend(joined(head.headers.get_all(VIA).into_iter(), &hop).map(|chain| (VIA, chain)));
        }
        gained.extend(hops_left(head).map(|left| (MAX_FORWARDS, left.saturating_sub(1).into())));
        let host = x_host.cloned();
        Self { client, request_id, proto, host, gained, trust }
    }

    /// The host that the client asks for.
    pub(super) fn host(&self) -> Option<&HeaderValue> {
        self.host.as_ref()
    }

    /// Whether a field that says whence a request comes is not to be handed on as it came: nobody vouches for it.
    pub(super) fn disbelieves(&self, name: &HeaderName) -> bool {
        match self.trust {
            Trust::Proxy => self.host.is_none() && name == X_HOST,
            Trust::Stranger => name.as_str().starts_with(CLAIM) || name == FORWARDED,
        }
    }

    /// `http://host`, as the client sees the site.
    pub(super) fn origin(&self) -> String {
        let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
        format!("{}://{}", text(&self.proto), self.host.as_ref().map(text).unwrap_or_default())
    }
}

pub(super) fn is_trusted(address: IpAddr, proxies: &[IpNet]) -> bool {
    proxies.iter().any(|network| network.contains(&address))
}

/// The last address of the chain that no trusted proxy vouches to be another of them.
pub(crate) fn client_of(headers: &HeaderMap, peer: IpAddr, proxies: &[IpNet]) -> IpAddr {
    let mut hops: Vec<&[u8]> = headers
        .get_all(FOR)
        .into_iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .collect();
    let mut client = peer;
    while is_trusted(client, proxies)
        && let Some(hop) = hops.pop()
        && let Some(address) = address_of(hop.trim_ascii())
    {
        client = address;
    }
    client
}

/// An address with or without port and brackets.
fn address_of(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?;
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse().or_else(|_| text.parse().map(|socket: SocketAddr| socket.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

/// Whether `headers` say anything of where a request comes from.
pub(super) fn any_claims(headers: &HeaderMap) -> bool {
    headers.contains_key(FOR)
}

/// What came, and one more, as one list.
fn joined<'h>(came: impl Iterator<Item = &'h HeaderValue>, more: &str) -> Option<HeaderValue> {
    let mut list = Vec::new();
    for value in came.filter(|value| !value.is_empty()) {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(more.as_bytes());
    HeaderValue::try_from(list).ok()
}

/// One element of `Forwarded` (RFC 7239, 4).
fn element(peer: SocketAddr, host: Option<&HeaderValue>, proto: &HeaderValue) -> String {
    let node = match peer.ip().to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("\"[{address}]\""),
    };
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    let proto = proto.to_str().unwrap_or("http");
    if proto.bytes().all(guard::is_token) {
        return format!("for={node};host=\"{host}\";proto={proto}");
    }
    // A proxy's claim may be anything: quoted, it is one value (RFC 9110, 5.6.4).
    let proto = proto.replace('\\', "\\\\").replace('"', "\\\"");
    format!("for={node};host=\"{host}\";proto=\"{proto}\"")
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::gateway::testing;

    fn provenance(peer: &str, fields: &[(&str, &str)], forwarded: Forwarded) -> Provenance {
        let settings = Settings {
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
            forwarded,
            via: false,
            ..testing::settings()
        };
        let mut request = Request::builder().uri("/").header("host", "site.test");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let head = request.body(()).unwrap().into_parts().0;
        let peer = Peer {
            address: format!("{peer}:1234").parse().unwrap(),
            transport: crate::listener::Transport::Plain,
        };
        Provenance::of(&head, peer, &settings, || HeaderValue::from_static("ours"))
    }

    fn gained<'p>(provenance: &'p Provenance, name: &str) -> Vec<&'p str> {
        provenance.gained.iter().filter(|(n, _)| n == name).map(|(_, v)| v.to_str().unwrap()).collect()
    }

    #[test]
    fn strangers_are_not_believed() {
        let claims =
            [("x-forwarded-for", "1.1.1.1"), ("x-request-id", "theirs"), ("x-forwarded-proto", "https")];
        let seen = provenance("192.0.2.7", &claims, Forwarded::XForwarded);
        assert_eq!(seen.client, "192.0.2.7".parse::<IpAddr>().unwrap());
        assert_eq!(seen.request_id, "ours");
        assert_eq!(gained(&seen, "x-forwarded-for"), ["192.0.2.7"]);
        assert_eq!(gained(&seen, "x-forwarded-proto"), ["http"]);
        assert_eq!(gained(&seen, "x-forwarded-host"), ["site.test"]);
    }

    #[test]
    fn trusted_proxies_are_believed_as_far_as_they_reach() {
        let claims = [
            ("x-forwarded-for", "6.6.6.6, 1.1.1.1, 10.0.0.2"),
            ("x-request-id", "theirs"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop.test"),
        ];
        let seen = provenance("10.0.0.1", &claims, Forwarded::XForwarded);
        assert_eq!(seen.client, "1.1.1.1".parse::<IpAddr>().unwrap(), "6.6.6.6 is only claimed");
        assert_eq!(seen.request_id, "theirs");
        assert_eq!(gained(&seen, "x-forwarded-for"), ["6.6.6.6, 1.1.1.1, 10.0.0.2, 10.0.0.1"]);
        assert_eq!(seen.origin(), "https://shop.test");
    }

    #[test]
    fn what_a_proxy_leaves_empty_is_not_said() {
        let empty = ["x-forwarded-for", "x-request-id", "x-forwarded-proto", "x-forwarded-host"];
        let seen = provenance("10.0.0.1", &empty.map(|name| (name, "")), Forwarded::XForwarded);
        assert_eq!(seen.request_id, "ours");
        assert_eq!(gained(&seen, "x-forwarded-for"), ["10.0.0.1"]);
        assert_eq!(seen.origin(), "http://site.test");
    }

    #[test]
    fn what_a_proxy_claims_is_one_value() {
        let seen =
            provenance("10.0.0.1", &[("x-forwarded-proto", r#"h"t\p;for=6.6.6.6"#)], Forwarded::Forwarded);
        let wanted = r#"for=10.0.0.1;host="site.test";proto="h\"t\\p;for=6.6.6.6""#;
        assert_eq!(gained(&seen, "forwarded"), [wanted]);
    }

    #[test]
    fn rfc_7239_where_asked_for() {
        let seen = provenance("192.0.2.7", &[("forwarded", "for=6.6.6.6")], Forwarded::Forwarded);
        assert_eq!(gained(&seen, "forwarded"), ["for=192.0.2.7;host=\"site.test\";proto=http"]);
        assert!(gained(&seen, "x-forwarded-for").is_empty());
    }
}
