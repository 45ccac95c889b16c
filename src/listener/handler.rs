//! What answers the requests of a connection, and what it may hand back beside a response.

use std::{
    collections::VecDeque,
    error::Error,
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    task::Waker,
};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use tokio::net::TcpStream;

use super::{Limits, Refusal};

/// Answers requests. Cloned once a connection.
pub trait Handler: Clone + Send + Sync + Unpin + 'static {
    /// The body of its responses.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static;

    /// Answers one request. Dropping the future abandons it: the client is gone.
    ///
    /// A [`Tunnel`] among the extensions of a 101 response takes the connection over.
    fn handle(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        interim: Interim,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// Answers what never became a request; whole, to be written as it is.
    fn refuse(&self, refusal: &Refusal, peer: Peer) -> Vec<u8>;

    /// The limits in force, asked once a request.
    fn limits(&self) -> Limits;
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Their address, as the socket says.
    pub address: SocketAddr,
}

/// The upstream's half of a tunnel, taken over after its 101.
#[derive(Clone, Debug)]
pub struct Tunnel(Arc<Mutex<Option<(TcpStream, Bytes)>>>);

impl Tunnel {
    /// Of a connection from which `early` bytes were already read.
    pub fn new(upstream: TcpStream, early: Bytes) -> Self {
        Self(Arc::new(Mutex::new(Some((upstream, early)))))
    }

    pub(super) fn take(&self) -> Option<(TcpStream, Bytes)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Sends 1xx responses ahead of the final one (RFC 9110, 15.2), which hyper's server cannot.
#[derive(Clone, Debug, Default)]
pub struct Interim(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    heads: VecDeque<Bytes>,
    connection: Option<Waker>,
}

impl Interim {
    /// Queues the head of an interim response; at most a few wait for a client that does not read.
    pub fn send(&self, status: StatusCode, headers: &HeaderMap) {
        const MOST: usize = 16;
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
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.heads.len() < MOST {
            waiting.heads.push_back(head.freeze());
        }
        if let Some(connection) = waiting.connection.take() {
            connection.wake();
        }
    }

    /// Who is to be woken when a head is queued.
    pub(super) fn register(&self, connection: &Waker) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.connection.as_ref().is_some_and(|known| known.will_wake(connection)) {
            waiting.connection = Some(connection.clone());
        }
    }

    pub(super) fn pop(&self) -> Option<Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).heads.pop_front()
    }

    /// Puts back what a full socket did not take.
    pub(super) fn push_front(&self, rest: Bytes) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).heads.push_front(rest);
    }
}
