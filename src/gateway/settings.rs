//! `[gateway]` as values: limits, whom to believe, what requests gain on their way.

use std::{sync::Arc, time::Duration};

use http::{HeaderName, StatusCode, Uri};
use ipnet::IpNet;

/// What the gateway holds every request to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Limits of sizes, counts and times.
    pub limits: Limits,
    /// Peers whose `X-Forwarded-*` are believed and extended.
    pub trusted_proxies: Vec<IpNet>,
    /// What requests gain.
    pub forwarded: Forwarded,
    /// Add `Via` (RFC 9110, 7.6.3) and see loops.
    pub via: bool,
    /// How long in-flight requests may finish after SIGTERM.
    pub drain: Duration,
}

/// `[gateway.limits]`; sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A request's head: 431 above.
    pub head: usize,
    /// Its target: 414 above.
    pub target: usize,
    /// Its fields: 431 above.
    pub headers: usize,
    /// Its body: 413 above; `None` is unlimited.
    pub body: Option<u64>,
    /// Client connections of all workers together.
    pub connections: usize,
    /// A whole head from its first byte: 408.
    pub head_timeout: Duration,
    /// Between requests.
    pub idle_timeout: Duration,
    /// Between two pieces of a body, either way.
    pub body_timeout: Duration,
    /// An upstream's head: 502 above.
    pub response_head: usize,
}

/// Who says whether a route's candidate may answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Authorize {
    /// Nobody.
    #[default]
    Off,
    /// Nobody, on purpose.
    Public,
    /// The upstream.
    Ask(Arc<Ask>),
}

/// `[route.authorize]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Where, at the route's upstream.
    pub url: Uri,
    /// The statuses that permit it; empty: every 2xx.
    pub expect: Vec<StatusCode>,
    /// Headers of a permission that are kept as facts.
    pub copy: Vec<HeaderName>,
    /// Which of them names the tenant.
    pub tenant: Option<HeaderName>,
    /// How long the upstream may take.
    pub timeout: Duration,
}

/// Which fields requests gain on the way to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// `X-Forwarded-For`, `-Proto`, `-Host`.
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// Both.
    Both,
    /// Neither.
    Off,
}
