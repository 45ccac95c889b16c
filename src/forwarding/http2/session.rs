//! One connection that speaks HTTP/2: how many exchanges it carries, and whether its other end is still there.

use std::{
    future::{Future as _, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::{
    Ping, PingPong,
    client::{Connection, SendRequest},
};

use super::{Handshaken, STREAMS};
use crate::{
    forwarding::{
        address::{Address, Standpoint},
        last_word::LastWord,
        tally::Lone,
    },
    stream::Stream,
    timer::LazyTimer,
};

/// While exchanges wait, the other end is asked this often whether it is there (RFC 9113, 6.7): one that vanished without
/// a word would hold them all until each is late.
const ASK: Duration = Duration::from_secs(10);
/// How long it may take to say so.
const PATIENCE: Duration = Duration::from_secs(10);

/// One connection, shared by the exchanges of one worker.
#[derive(Debug)]
pub(in crate::forwarding) struct Session {
    sender: SendRequest<Bytes>,
    address: Arc<Address>,
    load: Arc<Mutex<Load>>,
    /// Exchanges that were answered.
    answered: Arc<Lone>,
}

#[derive(Debug)]
struct Load {
    exchanges: usize,
    /// When the last one began or ended.
    since: Instant,
    /// How many there have been.
    carried: u64,
}

impl Session {
    /// Begins to drive a connection to `address`.
    pub(in crate::forwarding) fn start(
        handshaken: Handshaken,
        address: &Arc<Address>,
        answered: Arc<Lone>,
    ) -> Arc<Self> {
        let Handshaken { sender, connection } = handshaken;
        let load = Arc::new(Mutex::new(Load { exchanges: 0, since: Instant::now(), carried: 0 }));
        // Not tracked by the drain: it ends once nobody holds the session and its last stream is closed.
        tokio::spawn(drive(connection, load.clone(), address.connected()));
        Arc::new(Self { sender, address: address.clone(), load, answered })
    }

    pub(super) fn leads_to(&self, address: &Arc<Address>) -> bool {
        Arc::ptr_eq(&self.address, address)
    }

    pub(super) fn address(&self) -> &Arc<Address> {
        &self.address
    }

    /// Whether it can be kept: its upstream takes further exchanges, and it was not idle for longer than `keep`.
    pub(super) fn is_open(&self, keep: Duration) -> bool {
        let mut sender = self.sender.clone();
        let mut cx = Context::from_waker(Waker::noop());
        let load = self.load();
        let rested = load.exchanges == 0 && load.since.elapsed() >= keep;
        drop(load);
        // An error once the other end has said goodbye, or is gone.
        matches!(sender.poll_ready(&mut cx), Poll::Ready(Ok(()))) && !rested && !self.address.is_retired()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.load().exchanges == 0
    }

    /// A place for one exchange, where one is left (RFC 9113, 5.1.2).
    pub(in crate::forwarding) fn slot(self: &Arc<Self>) -> Option<Slot> {
        let most = self.sender.current_max_send_streams().min(STREAMS);
        let mut load = self.load();
        if load.exchanges >= most {
            return None;
        }
        load.exchanges += 1;
        load.carried += 1;
        load.since = Instant::now();
        Some(Slot { reused: load.carried > 1, session: self.clone() })
    }

    fn load(&self) -> MutexGuard<'_, Load> {
        locked(&self.load)
    }
}

fn locked(load: &Mutex<Load>) -> MutexGuard<'_, Load> {
    load.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The place of one exchange on a session.
#[derive(Debug)]
pub(in crate::forwarding) struct Slot {
    session: Arc<Session>,
    /// The connection has carried an exchange before, so the upstream may have closed it meanwhile.
    pub(in crate::forwarding) reused: bool,
}

impl Slot {
    pub(super) fn sender(&self) -> SendRequest<Bytes> {
        self.session.sender.clone()
    }

    /// Whether a stream may carry another protocol (RFC 8441, 3).
    pub(in crate::forwarding) fn takes_extended_connect(&self) -> bool {
        self.session.sender.is_extended_connect_protocol_enabled()
    }

    /// The head of an answer has come.
    pub(in crate::forwarding) fn answered(&self) {
        self.session.answered.add();
        self.session.address.answered();
    }

    /// No answer came, and that was the upstream's doing.
    pub(in crate::forwarding) fn failed(&self, error: &str) {
        self.session.address.failed(error);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut load = self.session.load();
        load.exchanges -= 1;
        load.since = Instant::now();
    }
}

/// Drives the connection until it ends, or its other end does not answer any more; its streams then fail.
async fn drive(
    mut connection: Connection<LastWord<Stream>, Bytes>,
    load: Arc<Mutex<Load>>,
    standpoint: Standpoint,
) {
    let mut presence =
        connection.ping_pong().map(|pings| Presence { pings, asked: None, timer: LazyTimer::new() });
    let upstream = standpoint.at();
    let ended = poll_fn(|cx| {
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
            return Poll::Ready(ended.map_err(|error| error.to_string()));
        }
        let Some(presence) = &mut presence else { return Poll::Pending };
        let since =
            Some(&load).map(|load| locked(load)).filter(|load| load.exchanges > 0).map(|load| load.since);
        presence.poll_gone(cx, since).map(|()| Err(format!("it answered no ping within {PATIENCE:?}")))
    });
    if let Err(error) = ended.await {
        tracing::debug!(%upstream, error, "a connection to an upstream ended");
    }
}

/// Whether the other end is there.
struct Presence {
    pings: PingPong,
    asked: Option<Instant>,
    timer: LazyTimer,
}

impl Presence {
    /// Ready when it has not answered in time. It is asked while there have been exchanges `since` then.
    fn poll_gone(&mut self, cx: &mut Context<'_>, since: Option<Instant>) -> Poll<()> {
        loop {
            let Some(asked) = self.asked else {
                let Some(since) = since else { return Poll::Pending };
                if self.timer.poll_until(cx, since + ASK).is_pending() {
                    return Poll::Pending;
                }
                if self.pings.send_ping(Ping::opaque()).is_err() {
                    return Poll::Pending;
                }
                self.asked = Some(Instant::now());
                continue;
            };
            match self.pings.poll_pong(cx) {
                Poll::Ready(Ok(_)) => self.asked = None,
                // The connection says why itself.
                Poll::Ready(Err(_)) => return Poll::Pending,
                Poll::Pending => return self.timer.poll_until(cx, asked + PATIENCE),
            }
        }
    }
}
