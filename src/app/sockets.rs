//! Listening sockets, bound before anything runs: a port in use is told at once. Those that were passed on to this
//! process are used in place of new ones.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use anyhow::Context;

use super::inheritance::Passed;
use crate::{config::Start, listener};

/// The sockets of each worker.
pub(super) type ByWorker = Vec<Vec<TcpListener>>;

/// All that this process listens on.
pub(super) struct Sockets {
    pub(super) addresses: Addresses,
    pub(super) site: ByWorker,
    pub(super) admin: Option<TcpListener>,
    /// Other handles on the same, for whoever takes over.
    pub(super) heritage: Vec<Passed>,
}

/// The addresses that were bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The site's.
    pub listen: Vec<SocketAddr>,
    /// The operator's.
    pub admin: Option<SocketAddr>,
}

impl Addresses {
    pub(super) fn tell(&self, workers: usize) {
        let public: Vec<String> = self.listen.iter().map(ToString::to_string).collect();
        let admin = self.admin.map(|address| address.to_string());
        tracing::info!(public = public.join(","), admin, workers, "listening");
    }
}

impl Sockets {
    /// Binds what was not passed on.
    pub(super) fn open(
        start: &Start,
        mut site: Vec<TcpListener>,
        admin: Option<TcpListener>,
    ) -> anyhow::Result<Self> {
        let (listen, site) = bind(&start.listen, start.workers, &mut site)?;
        let admin = start.admin.map(|address| bind_admin(address, &listen, admin)).transpose()?;
        let heritage = again(&site, admin.as_ref())?;
        let admin_address = admin.as_ref().map(TcpListener::local_addr).transpose()?;
        Ok(Self { addresses: Addresses { listen, admin: admin_address }, site, admin, heritage })
    }
}

/// Every address for every worker, and the real addresses.
fn bind(
    addresses: &[SocketAddr],
    workers: usize,
    passed: &mut Vec<TcpListener>,
) -> anyhow::Result<(Vec<SocketAddr>, ByWorker)> {
    let mut bound = Vec::new();
    let mut sockets: ByWorker = (0..workers).map(|_| Vec::new()).collect();
    for address in addresses {
        let mut listeners = take(passed, *address);
        if listeners.is_empty() {
            listeners =
                listener::bind(*address, workers).map_err(|error| cannot_listen(*address, &bound, error))?;
        }
        bound.extend(listeners.first().map(TcpListener::local_addr).transpose()?);
        spread(listeners, &mut sockets).map_err(|error| cannot_listen(*address, &bound, error))?;
    }
    for socket in passed.drain(..) {
        let address = socket.local_addr().map(|address| address.to_string()).unwrap_or_default();
        tracing::warn!(
            address,
            "a socket that was passed on is closed: neither `listen` nor `admin` names it"
        );
    }
    Ok((bound, sockets))
}

/// `bound` is where this process does already.
fn cannot_listen(address: SocketAddr, bound: &[SocketAddr], error: io::Error) -> anyhow::Error {
    let who = match error.kind() {
        io::ErrorKind::AddrInUse if bound.iter().any(|ours| listener::meet(*ours, address)) => {
            ", where this process does already: name each address once"
        }
        io::ErrorKind::AddrInUse => {
            ", where another process does (to succeed a figueira of this file: --take-over)"
        }
        io::ErrorKind::PermissionDenied => {
            ": take a port from 1024 on, or give the process CAP_NET_BIND_SERVICE or the socket (systemd)"
        }
        io::ErrorKind::AddrNotAvailable => ": name an address that this machine has",
        _ => "",
    };
    anyhow::Error::new(error).context(format!("cannot listen on {address}{who}"))
}

/// The operator's.
fn bind_admin(
    address: SocketAddr,
    bound: &[SocketAddr],
    passed: Option<TcpListener>,
) -> anyhow::Result<TcpListener> {
    let bind = || -> io::Result<TcpListener> {
        let listener = match passed {
            Some(passed) if means(address, &passed) => passed,
            _ => TcpListener::bind(address)?,
        };
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    bind().map_err(|error| cannot_listen(address, bound, error)).context("the admin address")
}

/// Other handles on all sockets, for a process that succeeds this one.
fn again(sockets: &ByWorker, admin: Option<&TcpListener>) -> io::Result<Vec<Passed>> {
    let site = sockets.iter().flatten().map(|socket| socket.try_clone().map(Passed::Site));
    let admin = admin.into_iter().map(|socket| socket.try_clone().map(Passed::Admin));
    site.chain(admin).collect()
}

/// Whether `socket` listens on `address`; port 0 is any port.
pub(super) fn means(address: SocketAddr, socket: &TcpListener) -> bool {
    socket.local_addr().is_ok_and(|bound| {
        bound.ip() == address.ip() && (address.port() == 0 || bound.port() == address.port())
    })
}

/// Takes those that listen on `address`: on one port, where any would do.
fn take(passed: &mut Vec<TcpListener>, address: SocketAddr) -> Vec<TcpListener> {
    let found = passed.iter().find(|socket| means(address, socket));
    let Some(Ok(bound)) = found.map(TcpListener::local_addr) else { return Vec::new() };
    passed.extract_if(.., |socket| means(bound, socket)).collect()
}

/// Gives every socket to a worker, and every worker one: a queue that nobody accepts from would be a dead end.
fn spread(listeners: Vec<TcpListener>, sockets: &mut ByWorker) -> io::Result<()> {
    let twins: Vec<TcpListener> = listeners
        .iter()
        .cycle()
        .take(sockets.len().saturating_sub(listeners.len()))
        .map(TcpListener::try_clone)
        .collect::<io::Result<_>>()?;
    let workers = sockets.len();
    for (place, listener) in listeners.into_iter().chain(twins).enumerate() {
        listener.set_nonblocking(true)?;
        if let Some(sockets) = sockets.get_mut(place % workers.max(1)) {
            sockets.push(listener);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listeners(count: usize) -> Vec<TcpListener> {
        listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), count).unwrap()
    }

    #[test]
    fn every_socket_has_a_worker_and_every_worker_a_socket() {
        for (passed, workers) in [(1, 3), (2, 3), (3, 3), (5, 2)] {
            let mut sockets: ByWorker = (0..workers).map(|_| Vec::new()).collect();
            spread(listeners(passed), &mut sockets).unwrap();
            assert!(sockets.iter().all(|sockets| !sockets.is_empty()), "{passed} for {workers}");
            assert_eq!(sockets.iter().flatten().count(), passed.max(workers));
        }
    }

    #[test]
    fn what_was_passed_on_is_used_and_nothing_beside_it() {
        let (mut passed, other) = (listeners(2), listeners(1));
        let address = passed[0].local_addr().unwrap();
        passed.extend(other);
        let (bound, sockets) = bind(&[address], 2, &mut passed).unwrap();
        assert_eq!(bound, [address]);
        assert_eq!(sockets.iter().flatten().count(), 2);
        assert!(passed.is_empty(), "the one that nothing names is closed");
    }

    #[test]
    fn an_address_is_not_shared_with_another_process_unasked() {
        let another = listeners(1);
        let address = another[0].local_addr().unwrap();
        let refused = bind(&[address], 2, &mut Vec::new()).unwrap_err();
        assert!(format!("{refused:#}").contains("--take-over"), "{refused:#}");
    }

    #[test]
    fn an_address_of_another_machine_is_told_as_such() {
        let elsewhere = SocketAddr::from(([192, 0, 2, 1], 0));
        let refused = bind(&[elsewhere], 1, &mut Vec::new()).unwrap_err();
        assert!(format!("{refused:#}").contains("that this machine has"), "{refused:#}");
    }

    #[test]
    fn port_0_is_any_port_and_one() {
        let mut passed = listeners(2);
        let first = passed[0].local_addr().unwrap();
        passed.extend(listeners(2));
        let (bound, _) = bind(&[SocketAddr::from(([127, 0, 0, 1], 0))], 2, &mut passed).unwrap();
        assert_eq!(bound, [first]);
    }
}
