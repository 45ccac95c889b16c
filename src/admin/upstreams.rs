//! The upstreams, as people and programs see them.

use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::{Value, json};

/// One upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamLine {
    /// `monolith`, or its name under `[upstreams]`.
    pub name: String,
    /// Host and port.
    pub host: String,
    /// What became of its name: `literal`, `awaited`, `good`, `failing`.
    pub resolution: &'static str,
    /// Why its name does not resolve, and since when.
    pub unresolved: Option<Trouble>,
    /// Connections that carry an exchange.
    pub active: usize,
    /// Connections that wait for one.
    pub idle: usize,
    /// How its exchanges ended.
    pub exchanges: Vec<(&'static str, u64)>,
    /// Where it is.
    pub addresses: Vec<AddressLine>,
}

/// One address of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressLine {
    /// Address and port.
    pub address: String,
    /// `up`, `down`, `ejected`, `probing`, `returning`.
    pub state: &'static str,
    /// Since when.
    pub since: Timestamp,
    /// Its last error.
    pub last_error: Option<Trouble>,
    /// Connections there, idle ones included.
    pub connections: usize,
}

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// When.
    pub at: Timestamp,
    /// What.
    pub error: String,
}

/// `GET /api/upstreams`.
pub(super) fn json(upstreams: &[UpstreamLine]) -> Value {
    let trouble = |trouble: &Option<Trouble>| {
        trouble.as_ref().map(|Trouble { at, error }| json!({ "at": at.to_string(), "error": error }))
    };
    let address = |line: &AddressLine| {
        json!({
            "address": line.address,
            "state": line.state,
            "since": line.since.to_string(),
            "last_error": trouble(&line.last_error),
            "connections": line.connections,
        })
    };
    let upstream = |line: &UpstreamLine| {
        let exchanges: serde_json::Map<_, Value> =
            line.exchanges.iter().map(|(ending, count)| ((*ending).to_owned(), (*count).into())).collect();
        json!({
            "name": line.name,
            "host": line.host,
            "resolution": { "state": line.resolution, "failing": trouble(&line.unresolved) },
            "connections": { "active": line.active, "idle": line.idle },
            "exchanges": exchanges,
            "addresses": line.addresses.iter().map(address).collect::<Vec<_>>(),
        })
    };
    json!({ "upstreams": upstreams.iter().map(upstream).collect::<Vec<_>>() })
}

/// A table of the dashboard.
pub(super) fn table(upstreams: &[UpstreamLine]) -> Markup {
    html! {
        table {
            thead {
                tr {
                    th { "upstream" } th { "at" } th { "state" }
                    th.figure { "active" } th.figure { "idle" } th { "last error" }
                }
            }
            tbody {
                @for upstream in upstreams {
                    tr {
                        td { (upstream.name) }
                        td { code { (upstream.host) } }
                        td { (state(upstream)) }
                        td.figure { (upstream.active) }
                        td.figure { (upstream.idle) }
                        td { (last_error(upstream)) }
                    }
                }
            }
        }
    }
}

/// In words: that of the only address, or how many of several are up.
fn state(upstream: &UpstreamLine) -> Markup {
    let (up, all) =
        (upstream.addresses.iter().filter(|line| line.state == "up").count(), upstream.addresses.len());
    let words = match &*upstream.addresses {
        [] => "no address".to_owned(),
        [only] if only.state == "up" => only.state.to_owned(),
        [only] => format!("{} since {}", only.state, only.since.strftime("%F %TZ")),
        _ => format!("{up} of {all} up"),
    };
    let unresolved = if upstream.unresolved.is_some() { ", its name does not resolve" } else { "" };
    html! {
        @if up == all && all > 0 && upstream.unresolved.is_none() { strong.good { (words) } }
        @else { strong.bad { (words) (unresolved) } }
    }
}

fn last_error(upstream: &UpstreamLine) -> String {
    let of_addresses = upstream.addresses.iter().filter_map(|line| line.last_error.as_ref());
    let last = of_addresses.chain(&upstream.unresolved).max_by_key(|trouble| trouble.at);
    last.map_or_else(String::new, |last| format!("{}, {}", last.error, last.at.strftime("%F %TZ")))
}
