//! One service that requests are forwarded to: where it is, and its idle connections, a shelf a worker.

use std::{sync::Arc, time::Duration};

use http::{HeaderName, uri::Scheme};

use super::{
    address::{Address, Known},
    addresses::{Nobody, Resolution, Turn},
    dial::{self, Greeting, Missed, Opened, Speak},
    head::Gained,
    health,
    pool::Shelf,
    sign::{Sign, Signer},
    standing::Eject,
    tally::{Ending, Tally},
    tls,
    watched::{Surroundings, Watched},
};
use crate::backend::Fault;

/// Where an upstream is and how patient we are with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `monolith`, or its name under `[upstreams]`.
    pub name: Arc<str>,
    /// Host as written in the URL: a name or an address, IPv6 without brackets.
    pub host: Box<str>,
    /// Port, the scheme's default filled in.
    pub port: u16,
    /// Where its URL says `https`.
    pub tls: Option<tls::Settings>,
    /// Whether it is spoken to in HTTP/2.
    pub h2: Http2,
    /// Fields that each request gains.
    pub headers: Vec<Gained>,
    /// How its requests are signed.
    pub sign: Option<Sign>,
    /// Until a connection stands, TLS and all.
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

/// `h2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http2 {
    /// Where the TLS handshake agrees on it (ALPN); in plaintext never.
    Auto,
    /// Always, TLS or not (RFC 9113, 3.3).
    PriorKnowledge,
    /// Never.
    Off,
}

impl Settings {
    /// The scheme of its URL.
    pub fn scheme(&self) -> Scheme {
        if self.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP }
    }

    /// What a new connection may speak.
    pub(super) fn speak(&self) -> Speak {
        match (self.h2, &self.tls) {
            (Http2::PriorKnowledge, _) => Speak::Http2,
            (Http2::Auto, Some(_)) => Speak::Agreed,
            (Http2::Auto, None) | (Http2::Off, _) => Speak::Http1,
        }
    }

    /// `host:port`, or the host alone where the port is the scheme's own.
    pub fn authority(&self) -> String {
        let Self { host, port, tls, .. } = self;
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_string() };
        let usual = if tls.is_some() { 443 } else { 80 };
        if *port == usual { host } else { format!("{host}:{port}") }
    }
}

/// An upstream with its connections. A reload that leaves its settings alone keeps it.
#[derive(Debug)]
pub struct Upstream<B> {
    settings: Settings,
    response_head: usize,
    shelves: Vec<Arc<Shelf<B>>>,
    addresses: Arc<Watched>,
    speak: Speak,
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
        let addresses = before.filter(|before| before.addresses.is_of(&settings)).map_or_else(
            || Arc::new(Watched::start(&settings, tally.clone(), around)),
            |before| before.addresses.clone(),
        );
        let shelf = |worker| {
            let (most, keep) = (settings.idle_connections, settings.idle_connection_timeout);
            Arc::new(Shelf::new(most, keep, tally.answered(worker)))
        };
        let shelves = (0..workers).map(shelf).collect();
        let speak = settings.speak();
        Self { settings, response_head, shelves, addresses, speak }
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

    /// Drops the connections of `worker` that have been idle for longer than a moment.
    pub fn spare(&self, worker: usize) {
        if let Some(shelf) = self.shelf(worker) {
            shelf.spare();
        }
    }

    /// Drops all idle connections of `worker`.
    pub fn close(&self, worker: usize) {
        if let Some(shelf) = self.shelf(worker) {
            shelf.clear();
        }
    }

    pub(super) fn shelf(&self, worker: usize) -> Option<&Arc<Shelf<B>>> {
        self.shelves.get(worker)
    }

    /// What its connections may speak.
    pub(super) fn speak(&self) -> Speak {
        self.speak
    }

    /// Who signs its requests, where they are signed.
    pub(super) fn signer(&self) -> Option<&Signer> {
        self.addresses.signer()
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
    pub(super) fn turn(&self) -> Result<Turn, Fault> {
        self.addresses.turn().map_err(|nobody| self.missed(Missed::Nobody(nobody)))
    }

    /// No idle connection may be used for now.
    pub(super) fn rests(&self, wait: Duration) -> Fault {
        self.missed(Missed::Nobody(Nobody::Admitted(wait)))
    }

    /// A new connection, to `wanted` or else to the first of its addresses that takes one.
    pub(super) async fn connect(
        &self,
        wanted: Option<Arc<Address>>,
        speak: Speak,
    ) -> Result<(Opened, Arc<Address>), Fault> {
        let greeting = Greeting { tls: self.addresses.tls(), speak, response_head: self.response_head };
        let dialled = dial::dial(&self.addresses, wanted, self.settings.connect_timeout, greeting).await;
        dialled.map_err(|missed| self.missed(missed))
    }

    fn missed(&self, missed: Missed) -> Fault {
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
        fault
    }
}
