//! What is counted of every upstream, summed when somebody scrapes.

use std::{fmt, sync::Arc};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::{Rules, rules::Upstream};
use crate::{
    forwarding::{Outcome, Resolution, State, Tally},
    routing::Live,
    telemetry::metrics::{counters, gauges},
};

/// The upstreams of the rules in force, at a scrape.
#[derive(Debug)]
pub struct Scrape {
    rules: Arc<Live<Rules>>,
}

impl Scrape {
    /// Of what `rules` hold from moment to moment.
    pub fn new(rules: Arc<Live<Rules>>) -> Self {
        Self { rules }
    }
}

type Labels = [(&'static str, String); 2];

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let rules = self.rules.load();
        let upstreams = rules.distinct_upstreams();
        let encoder = &mut encoder;
        let endings = by_outcome(&upstreams, Tally::endings);
        counters(
            encoder,
            "figueira_upstream_exchanges",
            "Exchanges with an upstream, by how they ended",
            endings,
        )?;
        let connects = by_outcome(&upstreams, Tally::connects);
        counters(
            encoder,
            "figueira_upstream_connects",
            "Tries to connect to an upstream's address",
            connects,
        )?;
        let lookups = by_outcome(&upstreams, Tally::lookups);
        counters(encoder, "figueira_upstream_lookups", "Lookups of an upstream's name", lookups)?;
        let checks = upstreams.iter().flat_map(|upstream| {
            let (passed, failed) = upstream.tally().checks();
            [(labels(upstream, "outcome", "passed"), passed), (labels(upstream, "outcome", "failed"), failed)]
        });
        counters(encoder, "figueira_upstream_checks", "Health checks of an upstream's addresses", checks)?;
        let handshakes = by_outcome(&upstreams, Tally::handshakes);
        let help = "TLS sessions with an upstream, by how they began";
        counters(encoder, "figueira_upstream_tls_handshakes", help, handshakes)?;
        let ejections = upstreams.iter().map(|upstream| (label(upstream), upstream.tally().ejections()));
        counters(encoder, "figueira_upstream_ejections", "Ejections of an upstream's addresses", ejections)?;
        let retries = upstreams.iter().map(|upstream| (label(upstream), upstream.tally().retries()));
        let help = "Requests sent once more, on a fresh connection";
        counters(encoder, "figueira_upstream_retries", help, retries)?;

        let connections = upstreams.iter().flat_map(|upstream| {
            let (active, idle) = upstream.connections();
            [(labels(upstream, "state", "active"), active), (labels(upstream, "state", "idle"), idle)]
        });
        let connections = connections.map(|(labels, count)| (labels, count as u64));
        gauges(encoder, "figueira_upstream_connections", "Connections to an upstream", connections)?;
        let addresses = upstreams.iter().flat_map(|upstream| {
            let known = upstream.addresses();
            State::ALL.map(|state| {
                let count = known.iter().filter(|known| known.state == state).count();
                (labels(upstream, "state", state.name()), count as u64)
            })
        });
        gauges(
            encoder,
            "figueira_upstream_addresses",
            "Addresses of an upstream, by their state",
            addresses,
        )?;
        let resolved = upstreams.iter().map(|upstream| {
            let good = matches!(upstream.resolution(), Resolution::Literal | Resolution::Good);
            (label(upstream), u64::from(good))
        });
        let help = "1 while an upstream's name resolves, 0 while its last addresses serve, or none";
        gauges(encoder, "figueira_upstream_resolved", help, resolved)
    }
}

fn by_outcome<O: Outcome>(
    upstreams: &[&Arc<Upstream>],
    count: fn(&Tally, O) -> u64,
) -> impl Iterator<Item = (Labels, u64)> {
    upstreams.iter().flat_map(move |upstream| {
        O::ALL.iter().map(move |&(outcome, name)| {
            (labels(upstream, "outcome", name), count(upstream.tally(), outcome))
        })
    })
}

fn label(upstream: &Upstream) -> [(&'static str, String); 1] {
    [("upstream", upstream.settings().name.to_string())]
}

fn labels(upstream: &Upstream, key: &'static str, value: &str) -> Labels {
    [("upstream", upstream.settings().name.to_string()), (key, value.to_owned())]
}
