//! The sample monolith: a small image shop on a plain HTTP/1.1 server, honest about being legacy.
//!
//! It writes odd-cased and repeated headers, redirects where a status would do, draws slowly, and now and then fails.

pub mod counts;
pub mod shop;
mod assets;
mod credits;
mod order;
mod pages;
pub(super) mod painter;
mod responses;
mod site;
mod spelling;
mod upload;

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use self::{counts::Counts, shop::Shop, site::Site};
use super::server;
use crate::shutdown::Shutdown;

pub(crate) use self::assets::STYLE;
pub use self::shop::Settings;

/// How long a connection may be idle: longer than a gateway in front keeps one.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

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
        let connections = shutdown.clone();
        let serve = move |stream| connection(stream, site.clone(), connections.clone());
        shutdown.spawn(server::accept(listener, shutdown.clone(), serve));
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

async fn connection(stream: TcpStream, site: Site, shutdown: Shutdown) {
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
