//! Settings for tests.

use std::time::Duration;

use super::settings::{Forwarded, Limits, Settings};

/// Small limits, nobody trusted.
pub(super) fn settings() -> Settings {
    let second = Duration::from_secs(1);
    let limits = Limits {
        head: 4096,
        target: 1024,
        headers: 20,
        body: None,
        connections: 10,
        head_timeout: second,
        idle_timeout: second,
        body_timeout: second,
        response_head: 4096,
    };
    Settings {
        limits,
        trusted_proxies: Vec::new(),
        forwarded: Forwarded::XForwarded,
        via: true,
        drain: second,
    }
}
