//! The sample monolith on a thread of its own, quick and without its occasional breakdowns.

use std::{net::SocketAddr, sync::mpsc, thread, time::Duration};

use figueira::{
    demo::monolith::{
        Monolith,
        counts::{Counts, Kind},
        shop::Settings,
    },
    shutdown::Shutdown,
};
use tokio::{net::TcpListener, runtime::Runtime};

use super::wire::PATIENCE;

/// A shop that is open; dropped, it closes.
#[derive(Debug)]
pub(crate) struct Shop {
    monolith: Monolith,
    shutdown: Shutdown,
    thread: Option<thread::JoinHandle<()>>,
}

impl Shop {
    pub(crate) fn open() -> Self {
        let shutdown = Shutdown::default();
        let (opened, opening) = mpsc::channel();
        let thread = thread::spawn({
            let shutdown = shutdown.clone();
            move || {
                Runtime::new().unwrap().block_on(async {
                    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                    let settings = Settings {
                        credits: 1000,
                        breakdown_every: 0,
                        slowest_at_best: Duration::ZERO,
                        slower_by: Duration::ZERO,
                        ..Settings::default()
                    };
                    opened.send(Monolith::open(listener, settings, &shutdown).await.unwrap()).unwrap();
                    shutdown.draining().await;
                    shutdown.drained(PATIENCE).await;
                });
            }
        });
        let monolith = opening.recv_timeout(PATIENCE).expect("the shop opens");
        Self { monolith, shutdown, thread: Some(thread) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.monolith.address()
    }

    /// Requests of this kind that it has answered.
    pub(crate) fn saw(&self, kind: Kind) -> u64 {
        Counts::of(self.monolith.counts(), kind)
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.shutdown.begin();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
