//! Connections to an upstream: opened, lent to one exchange at a time, kept while idle, closed when in doubt.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Request;
use http_body::Body;
use hyper::ext::ReasonPhrase;

use super::{
    address::{Address, Standpoint},
    addresses::Turn,
    awaits::Awaits,
    body::Upload,
    connection::{Connection, Sent},
    dial::{Opened, Speak},
    http2::{Kept, Sessions},
    standing::Admission,
    tally::Lone,
    tls,
    upstream::Upstream,
};
use crate::{
    backend::Fault,
    stream::{Duplex, Stream},
    timer::next_tick,
};

/// A connection after a 101, and what was already read from it.
pub type Upgraded = (Box<dyn Duplex>, Bytes);

/// A connection that is idle for longer keeps its socket and nothing else: what hyper has read a large answer with, the
/// next one may never need.
const CALM: Duration = Duration::from_millis(500);

/// What was sent may always take this long to be acknowledged: a packet that is lost goes again after 200 ms.
const TO_ACKNOWLEDGE: Duration = Duration::from_secs(1);

/// A connection that waits for a request.
#[derive(Debug)]
struct Idle<B> {
    state: State<B>,
    /// When it was last used.
    since: Instant,
    /// Where it leads.
    address: Standpoint,
}

#[derive(Debug)]
enum State<B> {
    /// As the last exchange has left it.
    Warm(Box<Connection<B>>),
    /// Without hyper.
    Calm(Stream),
}

impl<B> Idle<B> {
    /// Whether a request may still be sent over it.
    fn is_usable(&mut self, keep: Duration) -> bool {
        let is_quiet = match &mut self.state {
            State::Warm(connection) => connection.is_idle(),
            // Neither its end nor what nobody asked for.
            State::Calm(stream) => {
                stream.socket().poll_read_ready(&mut Context::from_waker(Waker::noop())).is_pending()
            }
        };
        is_quiet && next_tick().saturating_duration_since(self.since) < keep && !self.address.is_retired()
    }

    /// The same, calm where it has been idle for a while; none where it is of no use any more.
    fn swept(mut self, keep: Duration) -> Option<Self> {
        if !self.is_usable(keep) {
            return None;
        }
        let Self { state, since, address } = self;
        let state = match state {
            State::Warm(connection) if since.elapsed() >= CALM => State::Calm(connection.into_socket()?),
            state => state,
        };
        Some(Self { state, since, address })
    }
}

/// The connections of one worker that can be used: those that are idle, of which the last used is the first taken, and
/// those that are shared.
#[derive(Debug)]
pub(super) struct Shelf<B> {
    idle: Mutex<Vec<Idle<B>>>,
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
    fn take(&self, turn: &Turn) -> Option<Idle<B>> {
        let mut idle = self.lock();
        loop {
            let mut connection = match turn {
                Turn::Any => idle.pop()?,
                Turn::Of(wanted) => {
                    let at = idle.iter().rposition(|kept| Arc::ptr_eq(&kept.address, wanted))?;
                    idle.remove(at)
                }
            };
            if connection.is_usable(self.keep) {
                return Some(connection);
            }
        }
    }

    fn put(&self, connection: Idle<B>) {
        let mut idle = self.lock();
        if idle.len() < self.most {
            idle.push(connection);
        }
    }

    /// Closes what is too old or closed already, and keeps no more than the sockets of what is not needed now.
    pub(super) fn sweep(&self) {
        let mut idle = self.lock();
        *idle = idle.drain(..).filter_map(|connection| connection.swept(self.keep)).collect();
        drop(idle);
        self.sessions.sweep(self.kept());
    }

    /// Closes what is kept for later: what was used a moment ago is needed again.
    pub(super) fn spare(&self) {
        self.lock().retain(|connection| matches!(connection.state, State::Warm(_)));
    }

    /// Closes whatever is idle.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Idle<B>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection lent to one exchange. Dropped before [`release`](Self::release), it is closed: whatever is still on it
/// must never be taken for another exchange's.
#[derive(Debug)]
pub(super) struct Lease<B> {
    /// Boxed: it moves with its answer.
    connection: Box<Connection<B>>,
    /// Where it leads.
    address: Standpoint,
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
        let Some(idle) = shelf.take(turn) else { return Ok(None) };
        if let (Turn::Any, Admission::No(wait)) = (turn, idle.address.admit()) {
            shelf.put(idle);
            return Err(upstream.rests(wait));
        }
        let Idle { state, address, .. } = idle;
        let connection = match state {
            State::Warm(connection) => connection,
            State::Calm(stream) => Box::pin(begin(stream, upstream)).await?,
        };
        Ok(Some(Self { connection, address, home: shelf.clone(), reused: true }))
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
        stream.probe_when_silent();
        let address = address.connected();
        let connection = begin(stream, upstream).await?;
        let home = upstream.shelf(worker).cloned();
        let home = home.unwrap_or_else(|| Arc::new(Shelf::new(0, Duration::ZERO, Arc::default())));
        Ok(Self { connection, address, home, reused: false })
    }

    /// Hands a request over; what comes of it is for [`poll_answer`](Self::poll_answer).
    pub(super) fn send(
        &mut self,
        request: Request<Upload<B>>,
    ) -> impl Future<Output = Sent<B>> + Send + use<B> {
        self.connection.send(request)
    }

    /// Ready with the head of the answer, or with none where that is late.
    pub(super) fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        answer: Pin<&mut impl Future<Output = Sent<B>>>,
        awaits: &Awaits,
    ) -> Poll<Option<Sent<B>>> {
        let sent = ready!(self.connection.poll_answer(cx, answer, awaits));
        if let Some(Ok(_)) = &sent {
            self.home.answered.add();
            self.address.answered();
        }
        Poll::Ready(sent)
    }
}

impl<B> Lease<B> {
    /// What is driven for its answer's sake.
    pub(super) fn connection(&mut self) -> &mut Connection<B> {
        &mut self.connection
    }

    /// The reason phrase of its answer, where hyper has lost it.
    pub(super) fn reason(&self) -> Option<ReasonPhrase> {
        self.connection.reason()
    }

    /// No answer came, and that was the upstream's doing.
    pub(super) fn failed(&self, error: &str) {
        self.address.failed(error);
    }

    /// The socket behind a 101, where it is to be had within `after`.
    pub(super) async fn upgraded(&mut self, after: Duration) -> Option<Upgraded> {
        let (stream, early) = self.connection.upgraded(after).await?;
        stream.acknowledges_within(None);
        Some((Box::new(stream), early))
    }

    /// Gives the connection back: its exchange is over, to the last byte both ways.
    pub(super) fn release(self) {
        let Self { mut connection, address, home, .. } = self;
        if connection.is_idle() {
            home.put(Idle { state: State::Warm(connection), since: next_tick(), address });
        }
    }
}

/// Has hyper speak over a socket.
async fn begin<B>(stream: Stream, upstream: &Upstream<B>) -> Result<Box<Connection<B>>, Fault>
where
    B: Body<Data = Bytes, Error = Fault> + Send + Unpin + 'static,
{
    let within = upstream.settings().connect_timeout.max(TO_ACKNOWLEDGE);
    let connection = Connection::over(stream, upstream.response_head(), within).await;
    connection.map(Box::new).map_err(|error| protocol(&error))
}

/// How an exchange broke, in hyper's words.
pub(super) fn protocol(error: &hyper::Error) -> Fault {
    use std::error::Error as _;
    let reason = tls::of_session(error).unwrap_or_else(|| {
        error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
    });
    Fault::Protocol { reason }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::forwarding::exchange::tests::{One, upstream};

    #[tokio::test]
    async fn what_was_used_a_moment_ago_is_not_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = upstream::<One>(listener.local_addr().unwrap().port());
        let (one, other) =
            (Lease::fresh(&upstream, 0).await.unwrap(), Lease::fresh(&upstream, 0).await.unwrap());
        one.release();
        other.release();
        let shelf = upstream.shelf(0).unwrap();
        upstream.spare(0);
        assert_eq!(shelf.idle(), 2);
        // It counts from a tick that may be to come.
        shelf.lock()[0].since -= 2 * CALM;
        shelf.sweep();
        upstream.spare(0);
        assert_eq!(shelf.idle(), 1);
    }
}
