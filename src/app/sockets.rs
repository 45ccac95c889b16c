//! Listening sockets, bound before anything runs: a port in use is told at once.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use anyhow::Context;

use crate::listener;

/// Binds every address for every worker: the sockets of each worker, and the addresses.
pub(super) fn bind(
    addresses: &[SocketAddr],
    workers: usize,
) -> anyhow::Result<(Vec<SocketAddr>, Vec<Vec<TcpListener>>)> {
    let mut bound = Vec::new();
    let mut sockets: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
    for address in addresses {
        let listeners =
            listener::bind(*address, workers).with_context(|| format!("cannot listen on {address}"))?;
        bound.extend(listeners.first().map(TcpListener::local_addr).transpose()?);
        for (sockets, listener) in sockets.iter_mut().zip(listeners) {
            sockets.push(listener);
        }
    }
    Ok((bound, sockets))
}

pub(super) fn bind_admin(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bind = || -> io::Result<TcpListener> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    bind().with_context(|| format!("cannot listen on {address}, the admin address"))
}
