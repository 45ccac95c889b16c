//! One service that requests are forwarded to: where it is, and its idle connections, a shelf a worker.

use std::{sync::Arc, time::Duration};

use http::HeaderName;
use tokio::net::TcpStream;

use super::{
    address::{Address, Known},
    addresses::{Nobody, Resolution, Turn},
    dial::{self, Missed},
    health,
    pool::Shelf,
    standing::Eject,
    tally::{Ending, Tally},
    watched::{Surroundings, Watched},
};
use crate::backend::{BackendError, Fault, Sent};

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
    /// Active checks of its addresses.
    pub health: Option<health::Settings>,
    /// When an address is left alone.
    pub eject: Option<Eject>,
    /// Credentials that it gets as a candidate in a parallel run.
    pub pass: Vec<HeaderName>,
    /// The response header in which it tells its own version.
    pub version_header: Option<HeaderName>,
}

/// An upstream with its connections. A reload that leaves its settings alone keeps it.
#[derive(Debug)]
pub struct Upstream<B> {
    settings: Settings,
    response_head: usize,
    shelves: Vec<Arc<Shelf<B>>>,
    addresses: Arc<Watched>,
}

impl<B> Upstream<B> {
    /// With room for the idle connections of `workers`; `response_head` bounds what it may answer with. Of the one that
    /// had its name `before`, it keeps what was counted, and what is known of addresses where they are the same.
    pub fn new(
        settings: Settings,
        response_head: usize,
        workers: usize,
        around: &Surroundings,
        before: Option<&Self>,
    ) -> Self {
        let tally = before.map_or_else(|| Arc::new(Tally::new(workers)), |before| before.tally().clone());
        let addresses = before.filter(|before| before.addresses.are_of(&settings)).map_or_else(
            || Arc::new(Watched::start(&settings, tally.clone(), around)),
            |before| before.addresses.clone(),
        );
        let shelf = |worker| {
            let (most, keep) = (settings.idle_connections, settings.idle_connection_timeout);
            Arc::new(Shelf::new(most, keep, tally.answered(worker)))
        };
        let shelves = (0..workers).map(shelf).collect();
        Self { settings, response_head, shelves, addresses }
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The largest response head it may send, in bytes.
    pub fn response_head(&self) -> usize {
        self.response_head
    }

    /// Drops the idle connections of `worker` that are too old or closed.
    pub fn sweep(&self, worker: usize) {
        if let Some(shelf) = self.shelf(worker) {
            shelf.sweep();
        }
    }

    pub(super) fn shelf(&self, worker: usize) -> Option<&Arc<Shelf<B>>> {
        self.shelves.get(worker)
    }

    /// Its own `host:port`, for a request that names no host.
    pub(super) fn authority(&self) -> String {
        let Settings { host, port, .. } = &self.settings;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// What is counted of it.
    pub fn tally(&self) -> &Arc<Tally> {
        self.addresses.tally()
    }

    /// What is known of each of its addresses.
    pub fn addresses(&self) -> Vec<Known> {
        self.addresses.known()
    }

    /// What became of its name.
    pub fn resolution(&self) -> Resolution {
        self.addresses.resolution()
    }

    /// Connections to its addresses that carry an exchange, and those that wait for one. A tunnel is none any more.
    pub fn connections(&self) -> (usize, usize) {
        let idle = self.shelves.iter().map(|shelf| shelf.idle()).sum();
        let open: usize = self.addresses().iter().map(|known| known.connections).sum();
        (open.saturating_sub(idle), idle)
    }

    /// Whose turn it is to be asked.
    pub(super) fn turn(&self) -> Result<Turn, BackendError> {
        self.addresses.turn().map_err(|nobody| self.missed(Missed::Nobody(nobody)))
    }

    /// No idle connection may be used for now.
    pub(super) fn rests(&self, wait: Duration) -> BackendError {
        self.missed(Missed::Nobody(Nobody::Admitted(wait)))
    }

    /// A new connection, to `wanted` or else to the first of its addresses that takes one.
    pub(super) async fn connect(
        &self,
        wanted: Option<Arc<Address>>,
    ) -> Result<(TcpStream, Arc<Address>), BackendError> {
        let dialled = dial::dial(&self.addresses, wanted, self.settings.connect_timeout).await;
        dialled.map_err(|missed| self.missed(missed))
    }

    fn missed(&self, missed: Missed) -> BackendError {
        let address = || format!("{}:{}", self.settings.host, self.settings.port);
        let (ending, fault) = match missed {
            Missed::Nobody(Nobody::Admitted(retry_after)) => {
                (Ending::Unavailable, Fault::Unavailable { address: address(), retry_after })
            }
            Missed::Nobody(Nobody::Known(reason)) | Missed::Refused(reason) => {
                (Ending::Unconnected, Fault::Connect { address: address(), reason })
            }
            Missed::Late => {
                let after = self.settings.connect_timeout;
                (Ending::ConnectTimeout, Fault::ConnectTimeout { address: address(), after })
            }
        };
        self.tally().ended(ending);
        BackendError { fault, sent: Sent::Nothing }
    }
}
