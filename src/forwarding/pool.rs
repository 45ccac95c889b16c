//! Connections to an upstream: opened, lent to one exchange at a time, kept while idle, closed when in doubt.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::Body;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{sync::oneshot, task::AbortHandle};

use super::{
    address::{Address, Standpoint},
    addresses::Turn,
    awaits::Awaits,
    body::Upload,
    dial::{Opened, Speak},
    http2::{Kept, Sessions},
    last_word::LastWord,
    reason::Reason,
    standing::Admission,
    tally::Lone,
    tls,
    upstream::Upstream,
};
use crate::{
    backend::Fault,
    stream::{Duplex, Stream},
    timer::LazyTimer,
};

/// A connection after a 101, and what was already read from it.
pub type Upgraded = (Box<dyn Duplex>, Bytes);

/// One connection to an upstream.
#[derive(Debug)]
struct Connection<B> {
    sender: SendRequest<Upload<B>>,
    /// Yields the socket if the connection is upgraded.
    upgraded: oneshot::Receiver<(Stream, Bytes)>,
    awaits: Arc<Awaits>,
    reason: Reason,
    /// Ends the task that drives it.
    driver: AbortHandle,
    /// Where it leads.
    address: Standpoint,
}

impl<B> Connection<B> {
    /// Whether a request may still be sent over it, when it was last used at `since`.
    fn is_usable(&self, since: Instant, keep: Duration) -> bool {
        !self.sender.is_closed() && since.elapsed() < keep && !self.address.is_retired()
    }
}

impl<B> Drop for Connection<B> {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// The connections of one worker that can be used: those that are idle, of which the last used is the first taken, and
/// those that are shared.
#[derive(Debug)]
pub(super) struct Shelf<B> {
    idle: Mutex<Vec<(Connection<B>, Instant)>>,
    pub(super) sessions: Sessions,
    most: usize,
    keep: Duration,
    /// Exchanges that were answered.
    answered: Arc<Lone>,
}

impl<B> Shelf<B> {
    pub(super) fn new(most: usize, keep: Duration, answered: Arc<Lone>) -> Self {
        Self { idle: Mutex::new(Vec::new()), sessions: Sessions::default(), most, keep, answered }
    }

    /// Connections that wait for a request.
    pub(super) fn idle(&self) -> usize {
        self.sweep();
        self.lock().len() + self.sessions.idle()
    }

    /// What is kept of shared connections.
    pub(super) fn kept(&self) -> Kept {
        Kept { most: self.most, long: self.keep }
    }

    /// Where exchanges that were answered are counted.
    pub(super) fn answered(&self) -> &Arc<Lone> {
        &self.answered
    }

    /// The last used of those that lead where the request is to go.
    fn take(&self, turn: &Turn) -> Option<Connection<B>> {
        let mut idle = self.lock();
        loop {
            let (connection, since) = match turn {
                Turn::Any => idle.pop()?,
                Turn::Of(wanted) => {
                    let leads = |(kept, _): &(Connection<B>, _)| Arc::ptr_eq(&kept.address, wanted);
                    let at = idle.iter().rposition(leads)?;
                    idle.remove(at)
                }
            };
            if connection.is_usable(since, self.keep) {
                return Some(connection);
            }
        }
    }

    fn put(&self, connection: Connection<B>) {
        let mut idle = self.lock();
        if idle.len() < self.most && !connection.sender.is_closed() {
            idle.push((connection, Instant::now()));
        }
    }

    pub(super) fn sweep(&self) {
        self.lock().retain(|(connection, since)| connection.is_usable(*since, self.keep));
        self.sessions.sweep(self.kept());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Connection<B>, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection lent to one exchange. Dropped before [`release`](Self::release), it is closed: whatever is still on it
/// must never be taken for another exchange's.
#[derive(Debug)]
pub(super) struct Lease<B> {
    connection: Connection<B>,
    home: Arc<Shelf<B>>,
    /// It has carried an exchange before, so the upstream may have closed it meanwhile.
    pub(super) reused: bool,
}

impl<B> Lease<B>
where
    B: Body<Data = Bytes, Error = Fault> + Send + Unpin + 'static,
{
    /// An idle connection, or a new one.
    pub(super) async fn any(upstream: &Upstream<B>, worker: usize) -> Result<Self, Fault> {
        let turn = upstream.turn()?;
        if let Some(lease) = Self::idle(upstream, worker, &turn).await? {
            return Ok(lease);
        }
        // Boxed: an exchange on an idle connection need not carry its room.
        Box::pin(Self::open(upstream, worker, turn.wanted())).await
    }

    /// An idle connection, where there is one.
    pub(super) async fn idle(
        upstream: &Upstream<B>,
        worker: usize,
        turn: &Turn,
    ) -> Result<Option<Self>, Fault> {
        let Some(shelf) = upstream.shelf(worker) else { return Ok(None) };
        while let Some(mut connection) = shelf.take(turn) {
            if connection.sender.ready().await.is_err() {
                continue;
            }
            if let (Turn::Any, Admission::No(wait)) = (turn, connection.address.admit()) {
                shelf.put(connection);
                return Err(upstream.rests(wait));
            }
            return Ok(Some(Self { connection, home: shelf.clone(), reused: true }));
        }
        Ok(None)
    }

    /// A new connection.
    pub(super) async fn fresh(upstream: &Upstream<B>, worker: usize) -> Result<Self, Fault> {
        Self::open(upstream, worker, None).await
    }

    /// A new connection, to `wanted` where it can be had.
    async fn open(
        upstream: &Upstream<B>,
        worker: usize,
        wanted: Option<Arc<Address>>,
    ) -> Result<Self, Fault> {
        let (opened, address) = upstream.connect(wanted, Speak::Http1).await?;
        match opened {
            Opened::Http1(stream) => Self::on(stream, &address, upstream, worker).await,
            // Not asked for.
            Opened::Http2(_) => Err(Fault::Protocol { reason: "it speaks HTTP/2 unasked".to_owned() }),
        }
    }

    /// On a connection that was just opened to `address`.
    pub(super) async fn on(
        stream: Stream,
        address: &Arc<Address>,
        upstream: &Upstream<B>,
        worker: usize,
    ) -> Result<Self, Fault> {
        /// Of a response; how large they may be together is `limits.response_head`. hyper's default is 100.
        const FIELDS: usize = 1024;
        let address = address.connected();
        let reason = Reason::default();
        let (sender, mut driver) = Builder::new()
            .allow_obsolete_multiline_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true)
            .max_headers(FIELDS)
            .max_header_size(upstream.response_head())
            .preserve_header_case(true)
            .handshake(TokioIo::new(LastWord::of(stream, reason.clone())))
            .await
            .map_err(|error| protocol(&error))?;
        let (upgrade, upgraded) = oneshot::channel();
        let awaits = Arc::new(Awaits::default());
        let (watch, mut timer) = (awaits.clone(), LazyTimer::new());
        // Not tracked by the drain: it lives as long as its lease or its place on the shelf.
        let driver = tokio::spawn(async move {
            // Errors reach the exchange through `sender`; an idle connection that ends is only gone.
            let ended = poll_fn(|cx| {
                let ended = driver.poll_without_shutdown(cx).map(|ended| ended.is_ok());
                if ended.is_pending() { watch.poll_late(cx, &mut timer).map(|()| false) } else { ended }
            });
            if ended.await {
                let parts = driver.into_parts();
                // Nobody listens unless this was a 101.
                drop(upgrade.send((parts.io.into_inner().into_inner(), parts.read_buf)));
            }
        });
        let connection =
            Connection { sender, upgraded, awaits, reason, driver: driver.abort_handle(), address };
        let home = upstream.shelf(worker).cloned();
        let home = home.unwrap_or_else(|| Arc::new(Shelf::new(0, Duration::ZERO, Arc::default())));
        Ok(Self { connection, home, reused: false })
    }

    pub(super) fn sender(&mut self) -> &mut SendRequest<Upload<B>> {
        &mut self.connection.sender
    }

    pub(super) fn awaits(&self) -> &Awaits {
        &self.connection.awaits
    }

    pub(super) fn reason(&self) -> &Reason {
        &self.connection.reason
    }

    /// The head of an answer has come.
    pub(super) fn answered(&self) {
        self.home.answered.add();
        self.connection.address.answered();
    }

    /// No answer came, and that was the upstream's doing.
    pub(super) fn failed(&self, error: &str) {
        self.connection.address.failed(error);
    }

    /// The socket behind a 101.
    pub(super) async fn upgraded(&mut self) -> Option<Upgraded> {
        let (stream, early) = (&mut self.connection.upgraded).await.ok()?;
        Some((Box::new(stream), early))
    }
}

impl<B> Lease<B> {
    /// Gives the connection back: its exchange is over, to the last byte both ways.
    pub(super) fn release(self) {
        self.home.put(self.connection);
    }
}

/// How an exchange broke, in hyper's words.
pub(super) fn protocol(error: &hyper::Error) -> Fault {
    use std::error::Error as _;
    let reason = tls::of_session(error).unwrap_or_else(|| {
        error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
    });
    Fault::Protocol { reason }
}
