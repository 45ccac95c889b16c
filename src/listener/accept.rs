//! Binds listening sockets, one a worker, and accepts connections while there is room for them.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::{net::TcpListener, sync::Semaphore};

use super::{Handler, Peer, Tls, Transport, connection::Connection};
use crate::shutdown::Shutdown;

/// Connections that the kernel holds for us until they are accepted.
const BACKLOG: i32 = 4096;
/// After a failed accept: most often descriptors have run out, and a pause lets some come back.
const BACK_OFF: Duration = Duration::from_millis(50);

/// Binds `workers` sockets to one address, between which the kernel spreads connections (`SO_REUSEPORT`). Port 0 is one
/// free port for all of them.
pub fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<std::net::TcpListener>> {
    let first = listen(address)?;
    let bound = first.local_addr()?;
    let others = (1..workers).map(|_| listen(bound));
    std::iter::once(Ok(first)).chain(others).collect()
}

fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts connections on the current worker until shutdown, each while `room` has a place for it; they speak `tls`
/// where there is one.
pub async fn accept<H: Handler>(
    listener: TcpListener,
    tls: Option<Tls>,
    handler: H,
    room: Arc<Semaphore>,
    shutdown: Shutdown,
) {
    let accepting = async {
        // Closed never: the gateway owns it as long as its workers run.
        while let Ok(place) = room.clone().acquire_owned().await {
            match listener.accept().await {
                Ok((stream, address)) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, client = %address, "connection lost before its first byte");
                        continue;
                    }
                    let peer = Peer { address, transport: Transport::Plain };
                    let mut connection =
                        Connection::new(stream, peer, handler.clone(), shutdown.clone(), place);
                    if let Some(tls) = tls.clone() {
                        shutdown.spawn(async move { Box::pin(connection.serve_tls(&tls)).await });
                    } else {
                        shutdown.spawn(async move { connection.serve().await });
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = shutdown.draining() => {}
    }
}
