//! One service that requests are forwarded to: where it is, and its idle connections, a shelf a worker.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::net::TcpStream;

use super::pool::Shelf;
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
}

/// An upstream with its connections. A reload that leaves its settings alone keeps it.
#[derive(Debug)]
pub struct Upstream<B> {
    settings: Settings,
    response_head: usize,
    shelves: Vec<Arc<Shelf<B>>>,
}

impl<B> Upstream<B> {
    /// With room for the idle connections of `workers`; `response_head` bounds what it may answer with.
    pub fn new(settings: Settings, response_head: usize, workers: usize) -> Self {
        let shelf = || Arc::new(Shelf::new(settings.idle_connections, settings.idle_connection_timeout));
        let shelves = (0..workers).map(|_| shelf()).collect();
        Self { settings, response_head, shelves }
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

    /// A new connection, to the first of its addresses that takes one.
    pub(super) async fn connect(&self) -> Result<TcpStream, BackendError> {
        let after = self.settings.connect_timeout;
        let fault = match tokio::time::timeout(after, self.try_addresses()).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => Fault::Connect { address: self.address(), reason: error.to_string() },
            Err(_) => Fault::ConnectTimeout { address: self.address(), after },
        };
        Err(BackendError { fault, sent: Sent::Nothing })
    }

    async fn try_addresses(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        let addresses: Vec<SocketAddr> =
            tokio::net::lookup_host((&*self.settings.host, self.settings.port)).await?.collect();
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Its own `host:port`, for a request that names no host.
    pub(super) fn authority(&self) -> String {
        let Settings { host, port, .. } = &self.settings;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    fn address(&self) -> String {
        format!("{}:{}", self.settings.host, self.settings.port)
    }
}
