//! What answers the requests of a connection, and what it may hand back beside a response.

use std::{
    collections::VecDeque,
    error::Error,
    fmt,
    future::Future,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
    },
    task::Waker,
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;

use super::{Incoming, Limits, Refusal, tls::Transport};
use crate::stream::Duplex;

/// Answers requests. Cloned once a connection.
pub trait Handler: Clone + Send + Sync + Unpin + 'static {
    /// The body of its responses.
    type Body: Answer;

    /// Answers one request. Dropping the future abandons it: the client is gone.
    ///
    /// A [`Tunnel`] among the extensions of a 101 response takes the connection over; among those of a 200 to an
    /// [`ExtendedConnect`] it takes the stream.
    fn handle(
        self,
        request: Request<Incoming>,
        peer: Peer,
        interim: Interim,
    ) -> impl Future<Output = Response<Self::Body>> + Send + 'static;

    /// Answers what never became a request; whole, to be written as it is.
    fn refuse(&self, refusal: &Refusal, peer: Peer) -> Vec<u8>;

    /// Whether a PROXY header of that address is believed.
    fn trusts(&self, proxy: IpAddr) -> bool;

    /// Takes note of a connection that was closed before a request could be made on it.
    fn turned_away(&self, reason: &dyn fmt::Display, peer: Peer);

    /// Takes note that no connection can be accepted now.
    fn accept_failed(&self);

    /// The limits in force, asked once a request.
    fn limits(&self) -> Limits;
}

/// The body of a response.
pub trait Answer: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static {
    /// Takes note that it has had nothing to send for so long, and breaks off; says why, as its error would.
    fn stalled(&mut self, after: Duration) -> BoxError;

    /// Takes note that not all that was taken of it is sent.
    fn cut(&mut self);
}

pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Their address, as the socket says, or the proxy in front.
    pub address: SocketAddr,
    /// How their bytes travel.
    pub transport: Transport,
}

/// Among the extensions of a CONNECT over HTTP/2: the protocol that its stream is to speak (RFC 8441, 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtendedConnect(pub Box<str>);

/// An upstream's half of a tunnel, and what was already read from it.
pub(super) type Far = (Box<dyn Duplex>, Bytes);

/// The upstream's half of a tunnel, taken over after its 101.
#[derive(Clone)]
pub struct Tunnel(Arc<Mutex<Option<Far>>>);

impl Tunnel {
    /// Of a connection from which `early` bytes were already read.
    pub fn new(upstream: Box<dyn Duplex>, early: Bytes) -> Self {
        Self(Arc::new(Mutex::new(Some((upstream, early)))))
    }

    pub(super) fn take(&self) -> Option<Far> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").finish_non_exhaustive()
    }
}

/// Sends 1xx responses ahead of the final one (RFC 9110, 15.2), which hyper's server cannot.
#[derive(Clone, Debug, Default)]
pub struct Interim(Arc<InterimQueue>);

/// The interim responses that wait for being sent on one connection.
#[derive(Debug, Default)]
pub struct InterimQueue {
    /// Whether any wait: most often none ever do, and every write asks.
    any: AtomicBool,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    heads: VecDeque<Bytes>,
    /// Of an HTTP/2 stream, which has no use for bytes; absent on HTTP/1.1.
    frames: Option<VecDeque<Response<()>>>,
    connection: Option<Waker>,
}

/// Interim responses that wait for a client that does not read.
const MOST: usize = 16;

impl Interim {
    /// Of one HTTP/2 stream.
    pub(super) fn of_stream() -> Self {
        let waiting = Waiting { frames: Some(VecDeque::new()), ..Waiting::default() };
        Self(Arc::new(InterimQueue { any: AtomicBool::new(false), waiting: Mutex::new(waiting) }))
    }

    /// Where they wait.
    pub fn queue(&self) -> &Arc<InterimQueue> {
        &self.0
    }

    /// Who is to be woken when a head is queued.
    pub(super) fn register(&self, connection: &Waker) {
        let mut waiting = self.waiting();
        if !waiting.connection.as_ref().is_some_and(|known| known.will_wake(connection)) {
            waiting.connection = Some(connection.clone());
        }
    }

    pub(super) fn pop(&self) -> Option<Bytes> {
        if !self.0.any.load(Acquire) {
            return None;
        }
        let mut waiting = self.waiting();
        let head = waiting.heads.pop_front();
        self.0.any.store(!waiting.heads.is_empty(), Release);
        head
    }

    /// The next one for an HTTP/2 stream.
    pub(super) fn pop_frame(&self) -> Option<Response<()>> {
        self.waiting().frames.as_mut()?.pop_front()
    }

    /// Puts back what a full socket did not take.
    pub(super) fn push_front(&self, rest: Bytes) {
        self.waiting().heads.push_front(rest);
        self.0.any.store(true, Release);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting()
    }
}

impl InterimQueue {
    /// Adds the head of an interim response; at most a few wait for a client that does not read.
    pub fn send(&self, status: StatusCode, headers: &HeaderMap) {
        let waiting = &mut *self.waiting();
        match &mut waiting.frames {
            Some(frames) if frames.len() < MOST => frames.push_back(frame(status, headers)),
            None if waiting.heads.len() < MOST => waiting.heads.push_back(head(status, headers)),
            _ => {}
        }
        self.any.store(true, Release);
        if let Some(connection) = &waiting.connection {
            connection.wake_by_ref();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn head(status: StatusCode, headers: &HeaderMap) -> Bytes {
    let mut head = BytesMut::with_capacity(128);
    head.put_slice(b"HTTP/1.1 ");
    head.put_slice(status.as_str().as_bytes());
    head.put_u8(b' ');
    head.put_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    head.put_slice(b"\r\n");
    for (name, value) in headers {
        head.put_slice(name.as_str().as_bytes());
        head.put_slice(b": ");
        head.put_slice(value.as_bytes());
        head.put_slice(b"\r\n");
    }
    head.put_slice(b"\r\n");
    head.freeze()
}

fn frame(status: StatusCode, headers: &HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = headers.clone();
    response
}
