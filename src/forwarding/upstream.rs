//! One service that requests are forwarded to.

use std::{sync::Arc, time::Duration};

/// Where an upstream is and how patient we are with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `monolith`, or its name under `[upstreams]`.
    pub name: Arc<str>,
    /// Host as written in the URL: a name or an address, IPv6 without brackets.
    pub host: Box<str>,
    /// Port, the scheme's default filled in.
    pub port: u16,
    /// Until a connection stands.
    pub connect_timeout: Duration,
    /// From the request's last byte to the response's first.
    pub first_byte_timeout: Duration,
    /// Idle connections kept, a worker.
    pub idle_connections: usize,
    /// How long each is kept; below the upstream's own keep-alive.
    pub idle_connection_timeout: Duration,
    /// Fresh tries where RFC 9110, 9.2.2 allows one.
    pub retries: u32,
}
