//! Turns `routes.toml` into domain types, or into every error that it holds.

use std::{net::SocketAddr, path::PathBuf};

use crate::{forwarding, gateway, generator, parallel_run, routing::Table, telemetry};

/// A whole, valid configuration.
#[derive(Debug)]
pub struct Config {
    /// What is read once, at start.
    pub start: Start,
    /// `[gateway]`, but for `start`.
    pub gateway: gateway::settings::Settings,
    /// `[log]`.
    pub log: telemetry::log::Settings,
    /// `[monolith]` first, then `[upstreams]` by name.
    pub upstreams: Vec<forwarding::upstream::Settings>,
    /// `[generator]`.
    pub generator: generator::settings::Settings,
    /// `[parallel_run]`.
    pub parallel_run: parallel_run::settings::Settings,
    /// Every `[[route]]`.
    pub routes: Table,
    /// At the place of each route: its contract, where the candidate is the generator.
    pub contracts: Vec<Option<generator::settings::Contract>>,
    /// At the place of each route: how it is compared.
    pub plans: Vec<parallel_run::settings::Plan>,
}

/// What is read once, at start; a reload that changes it keeps the running value and says so.
#[derive(Clone, Debug)]
pub struct Start {
    /// Public addresses.
    pub listen: Vec<SocketAddr>,
    /// The operator's address, or none.
    pub admin: Option<SocketAddr>,
    /// What the operator must present, where set.
    pub admin_token: Option<generator::settings::Secret>,
    /// Data-plane workers.
    pub workers: usize,
    /// Where everything that lasts is kept.
    pub data: PathBuf,
}

/// The stand-in's configuration.
#[derive(Clone, Debug)]
pub struct Relay {
    /// Host and port.
    pub monolith: String,
}

/// Reads the stand-in's configuration.
pub fn load(path: &std::path::Path) -> anyhow::Result<Relay> {
    let text = std::fs::read_to_string(path)?;
    let monolith =
        text.split("url = \"http://").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    Ok(Relay { monolith: monolith.to_owned() })
}
