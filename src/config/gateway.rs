//! `[gateway]` and `[gateway.limits]`.

use std::{net::SocketAddr, num::NonZero, thread, time::Duration};

use super::{
    Start,
    kind::{ADDRESS, Choice, DURATION, FILE, Flag, List, NETWORK, OneOrMore, OrOff, SIZE, Whole},
    last_good::DATA,
    secret::Secret,
    section::Section,
    tls,
};
use crate::{
    gateway::settings::{Forwarded, Limits, Settings},
    listener::{ProxyProtocol, meet},
};

const FORWARDED: Choice<Forwarded> = Choice(&[
    ("x-forwarded", Forwarded::XForwarded),
    ("forwarded", Forwarded::Forwarded),
    ("both", Forwarded::Both),
    ("off", Forwarded::Off),
]);

pub(super) fn read(gateway: &mut Section<'_>) -> (Start, Settings) {
    let document = gateway.document();
    let start = Start {
        listen: gateway.or("listen", OneOrMore(ADDRESS), vec![SocketAddr::from(([127, 0, 0, 1], 8080))]),
        admin: gateway.or("admin", OrOff(ADDRESS), Some(SocketAddr::from(([127, 0, 0, 1], 9901)))),
        admin_token: gateway.optional("admin_token", Secret(document)),
        // No default for editors: it is another on each machine.
        workers: gateway
            .optional("workers", Whole(1..=1024))
            .unwrap_or_else(|| thread::available_parallelism().map_or(1, NonZero::get)),
        data: document.beside(&gateway.or("data", FILE, DATA.into())),
        certificates: tls::read(gateway),
        proxy_protocol: if gateway.or("proxy_protocol", Flag, false) {
            ProxyProtocol::Required
        } else {
            ProxyProtocol::Off
        },
        monolith: None,
    };
    if start.admin.is_some_and(|address| !address.ip().is_loopback()) && !gateway.has("admin_token") {
        gateway.error(
            "admin",
            "`admin` is open to other machines and has no `admin_token`",
            "listen on loopback, or set a token: admin_token = { env = \"FIGUEIRA_ADMIN_TOKEN\" }",
        );
    }
    if start.admin.is_some_and(|admin| start.listen.iter().any(|listen| meet(admin, *listen))) {
        gateway.error(
            "admin",
            "`admin` and `listen` are one address",
            "give the admin listener a port of its own",
        );
    }
    let mut listen = start.listen.iter();
    while let Some(address) = listen.next() {
        if let Some(other) = listen.clone().find(|other| meet(*address, **other)) {
            gateway.error(
                "listen",
                format!("`listen` has {address} and {other}, which cannot both be had"),
                "name each address once; 0.0.0.0 and [::] are all addresses of a port",
            );
        }
    }
    let settings = Settings {
        trusted_proxies: gateway.or("trusted_proxies", List(NETWORK), Vec::new()),
        forwarded: gateway.or("forwarded", FORWARDED, Forwarded::XForwarded),
        via: gateway.or("via", Flag, false),
        drain: gateway.or("drain", DURATION, Duration::from_secs(30)),
        limits: gateway.section("limits", limits),
    };
    if start.proxy_protocol == ProxyProtocol::Required && settings.trusted_proxies.is_empty() {
        gateway.error(
            "proxy_protocol",
            "`proxy_protocol` is on and no proxy is trusted: every connection would be closed",
            "name the networks of your proxies: trusted_proxies = [\"10.0.0.0/8\"]",
        );
    }
    if settings.trusted_proxies.iter().any(|network| network.prefix_len() == 0) {
        gateway.warning(
            "trusted_proxies",
            "everybody is trusted to say who they are: addresses, hosts and request ids can be made up",
            "name the networks of your own proxies",
        );
    }
    (start, settings)
}

fn limits(limits: &mut Section<'_>) -> Limits {
    Limits {
        head: limits.or("head", SIZE, 64 << 10),
        target: target(limits),
        headers: limits.or("headers", Whole(1..=10_000), 200),
        body: limits.or("body", OrOff(SIZE), None).map(|bytes| bytes as u64),
        connections: limits.or("connections", Whole(1..=10_000_000), 20_000),
        head_timeout: limits.or("head_timeout", DURATION, Duration::from_secs(15)),
        idle_timeout: limits.or("idle_timeout", DURATION, Duration::from_secs(75)),
        body_timeout: limits.or("body_timeout", DURATION, Duration::from_mins(1)),
        response_head: limits.or("response_head", SIZE, 256 << 10),
    }
}

/// No library of ours holds a longer one.
const LONGEST_TARGET: usize = 65_534;

fn target(limits: &mut Section<'_>) -> usize {
    let target = limits.or("target", SIZE, 16 << 10);
    if target > LONGEST_TARGET {
        limits.error(
            "target",
            format!("`target` is at most {LONGEST_TARGET} bytes"),
            format!("write \"{LONGEST_TARGET}B\" or less"),
        );
    }
    target
}
