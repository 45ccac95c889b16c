//! A `routes.toml` as stories write it: on loopback, one worker, and what the story adds to each table.

use std::{fmt, net::SocketAddr};

/// The text of a `routes.toml`.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    scheme: &'static str,
    monolith: SocketAddr,
    in_gateway: String,
    in_monolith: String,
    tables: String,
}

impl Rules {
    /// Everything goes to `monolith`.
    pub(crate) fn forwarding_to(monolith: SocketAddr) -> Self {
        let empty = String::new;
        Self { scheme: "http", monolith, in_gateway: empty(), in_monolith: empty(), tables: empty() }
    }

    /// The monolith speaks TLS.
    pub(crate) fn over_tls(self) -> Self {
        Self { scheme: "https", ..self }
    }

    /// With these keys in `[gateway]`.
    pub(crate) fn gateway(mut self, keys: &str) -> Self {
        self.in_gateway += keys;
        self.in_gateway += "\n";
        self
    }

    /// With these keys in `[monolith]`.
    pub(crate) fn monolith(mut self, keys: &str) -> Self {
        self.in_monolith += keys;
        self.in_monolith += "\n";
        self
    }

    /// With these tables at the end.
    pub(crate) fn tables(mut self, tables: &str) -> Self {
        self.tables += tables;
        self.tables += "\n";
        self
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, monolith, in_gateway, in_monolith, tables } = self;
        // Only what hangs is ever cut off so soon.
        let drain = if in_gateway.contains("drain") { "" } else { "drain = \"3s\"" };
        // Stories run beside each other on a busy machine, and are about other things than its lateness.
        let in_time = "[parallel_run]\nmax_lag = \"10m\"\nmax_share = \"off\"";
        write!(
            f,
            "[gateway]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nworkers = 1\n{drain}\n{in_gateway}\n\
             [monolith]\nurl = \"{scheme}://{monolith}\"\n{in_monolith}\n{in_time}\n{tables}"
        )
    }
}
