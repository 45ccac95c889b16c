//! Binds listening sockets, one a worker, and accepts connections while there is room for them.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use super::{Handler, Peer, Tls, Transport, connection::Connection};
use crate::{shutdown::Shutdown, stream::is_exhaustion};

/// Connections that the kernel holds for us until they are accepted.
const BACKLOG: i32 = 4096;
/// After a failed accept: descriptors or memory have run out, and a pause lets some come back.
const BACK_OFF: Duration = Duration::from_millis(50);

/// Binds `workers` sockets to one address, between which the kernel spreads connections (`SO_REUSEPORT`). Port 0 is one
/// free port for all of them.
///
/// # Errors
/// `AddrInUse` also where the other process would share the address: what it has not been asked for, nobody expects.
pub fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<std::net::TcpListener>> {
    drop(socket(address, Sharing::Nobody)?);
    let first = listen(address)?;
    let bound = first.local_addr()?;
    let others = (1..workers).map(|_| listen(bound));
    std::iter::once(Ok(first)).chain(others).collect()
}

fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = socket(address, Sharing::Workers)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Whether a socket on `a` is in the way of one on `b`. Port 0 is another one each time.
pub fn meet(a: SocketAddr, b: SocketAddr) -> bool {
    let of_all = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && a.is_ipv4() == b.is_ipv4() && (of_all || a.ip() == b.ip())
}

/// Who else may have an address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Nobody,
    Workers,
}

fn socket(address: SocketAddr, sharing: Sharing) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(sharing == Sharing::Workers)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// What comes ahead of a connection's first request.
#[derive(Clone)]
pub struct Opening {
    /// Who it is from.
    pub proxy_protocol: ProxyProtocol,
    /// A handshake, where there is one.
    pub tls: Option<Tls>,
}

/// Whether connections open with a PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// They do not: they are from whom the socket says.
    Off,
    /// Each has to, and comes from a proxy that is trusted.
    Required,
}

/// Accepts connections on the current worker until shutdown, each while `room` has a place for it. The place is taken
/// for a connection that is there, which waits for it outside the kernel's queue: acceptors without one leave all places
/// to the others.
pub async fn accept<H: Handler>(
    listener: TcpListener,
    opening: Opening,
    handler: H,
    room: Arc<Semaphore>,
    shutdown: Shutdown,
) {
    let mut trouble = Trouble::default();
    let begin = |(stream, address): (TcpStream, SocketAddr), place| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, client = %address, "connection lost before its first byte");
            return;
        }
        let peer = Peer { address, transport: Transport::Plain };
        let mut connection = Connection::new(stream, peer, handler.clone(), shutdown.clone(), place);
        if opening.tls.is_none() && opening.proxy_protocol == ProxyProtocol::Off {
            shutdown.spawn(async move { connection.serve().await });
        } else {
            let opening = opening.clone();
            shutdown.spawn(async move { Box::pin(connection.open(&opening)).await });
        }
    };
    let mut next = None;
    let accepting = async {
        loop {
            let accepted = poll_fn(|cx| {
                let accepted = listener.poll_accept(cx);
                // Until nobody waits, each that comes in has another's descriptor.
                if accepted.is_pending() {
                    trouble.is_over();
                }
                accepted
            });
            match accepted.await {
                Ok(accepted) => {
                    next = Some(accepted);
                    // Closed never: the gateway owns it as long as its workers run.
                    let Ok(place) = room.clone().acquire_owned().await else { return };
                    if let Some(accepted) = next.take() {
                        begin(accepted, place);
                    }
                }
                Err(error) if is_of_one(&error) => {
                    tracing::debug!(%error, "connection lost before it was accepted");
                }
                Err(error) => {
                    handler.accept_failed();
                    trouble.begins(&error);
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = shutdown.draining() => {}
    }
    // The kernel has told these clients that they are connected; closing the socket would reset them.
    let Ok(listener) = listener.into_std() else { return };
    while let Ok(place) = room.clone().try_acquire_owned()
        && let Some(accepted) = next.take().or_else(|| queued(&listener).ok())
    {
        begin(accepted, place);
    }
}

/// The next connection that the kernel holds.
fn queued(listener: &std::net::TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, address) = listener.accept()?;
    stream.set_nonblocking(true)?;
    Ok((TcpStream::from_std(stream)?, address))
}

/// Whether only one connection failed (accept(2)), and the next may be fine.
fn is_of_one(error: &io::Error) -> bool {
    error.raw_os_error().is_some() && !is_exhaustion(error)
}

/// A row of failures, told at its beginning and at its end.
#[derive(Debug, Default)]
struct Trouble(Option<Instant>);

impl Trouble {
    fn begins(&mut self, error: &io::Error) {
        if self.0.is_none() {
            tracing::error!(%error, "cannot accept connections; trying again until it can");
            self.0 = Some(Instant::now());
        }
    }

    fn is_over(&mut self) {
        if let Some(since) = self.0.take() {
            let duration_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(duration_ms, "connections are accepted again");
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_wildcard_is_in_the_way_of_every_address_of_its_port() {
        let meet = |a: &str, b: &str| super::meet(a.parse().unwrap(), b.parse().unwrap());
        assert!(meet("127.0.0.1:80", "127.0.0.1:80") && meet("127.0.0.1:80", "0.0.0.0:80"));
        assert!(meet("[::]:80", "[::1]:80"));
        for other in ["127.0.0.1:81", "127.0.0.2:80", "[::]:80", "127.0.0.1:0"] {
            assert!(!meet("127.0.0.1:80", other), "{other}");
        }
        assert!(!meet("127.0.0.1:0", "127.0.0.1:0"));
    }

    #[test]
    fn a_lost_connection_is_no_reason_to_pause_and_lack_of_descriptors_is() {
        let of = |errno: Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        assert!([Errno::CONNABORTED, Errno::PERM, Errno::PROTO].map(of).iter().all(is_of_one));
        assert!(![Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].map(of).iter().any(is_of_one));
    }
}
