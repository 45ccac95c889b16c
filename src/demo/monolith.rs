//! The sample monolith: a small image shop on a plain HTTP/1.1 server, honest about being legacy.
//!
//! It writes odd-cased and repeated headers, redirects where a status would do, draws slowly, and now and then fails.

pub mod counts;
pub mod shop;
mod assets;
mod order;
mod pages;
mod painter;
mod responses;
mod site;
mod spelling;
mod upload;

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use self::{counts::Counts, shop::Shop, site::Site};
use crate::shutdown::Shutdown;

pub(crate) use self::assets::STYLE;
pub use self::shop::Settings;

/// How long a connection may be idle: longer than a gateway in front keeps one.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long accepting rests after a failure, such as too many open files.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// A shop that is open.
#[derive(Debug)]
pub struct Monolith {
    address: SocketAddr,
    shop: Arc<Shop>,
}

impl Monolith {
    /// Opens the shop on `listener`, on the current runtime, until `shutdown` begins.
    pub async fn open(listener: TcpListener, settings: Settings, shutdown: &Shutdown) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let shop = Arc::new(Shop::new(settings));
        let decorated = Arc::clone(&shop);
        tokio::task::spawn_blocking(move || decorated.decorate()).await.map_err(io::Error::other)?;
        let spelling = spelling::learn().await.map_err(io::Error::other)?;
        let site = Site::new(Arc::clone(&shop), spelling, shutdown.clone());
        shutdown.spawn(accept(listener, site, shutdown.clone()));
        Ok(Self { address, shop })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has seen so far.
    pub fn counts(&self) -> &Counts {
        self.shop.counts()
    }
}

async fn accept(listener: TcpListener, site: Site, shutdown: Shutdown) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.draining() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                shutdown.spawn(connection(stream, site.clone(), shutdown.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "the sample monolith cannot accept");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, site: Site, shutdown: Shutdown) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "the sample monolith cannot set TCP_NODELAY");
    }
    let service =
        service_fn(|request: Request<Incoming>| async { Ok::<_, Infallible>(site.answer(request).await) });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(KEEP_ALIVE)
        .preserve_header_case(true)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.draining() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection of the sample monolith broke");
    }
}

#[cfg(test)]
mod tests;
