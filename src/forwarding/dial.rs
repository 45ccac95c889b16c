//! Opens a connection to the first of several addresses that takes one, and greets it in its protocol.
//!
//! They are tried in turn, each a moment after the one before it or as soon as that has failed (RFC 8305, 5), so that
//! one that swallows everything costs a moment and not all of `connect_timeout`.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use thiserror::Error;
use tokio::{
    net::TcpStream,
    time::{Instant, Sleep, sleep, timeout_at},
};

use super::{
    address::Address,
    addresses::{Addresses, Nobody},
    http2::{self, Handshaken},
    standing::Admission,
    tally::{Connect, Tally},
    tls::{Agreed, Offer, Secure},
};
use crate::stream::{Stream, is_exhaustion};

/// The most that an address may take before the next is tried beside it (RFC 8305, 8).
const HEAD_START: Duration = Duration::from_millis(250);

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Missed {
    /// There was nobody to connect to.
    Nobody(Nobody),
    /// All refused; what the last said.
    Refused(String),
    /// Not in time.
    Late,
}

/// How a new connection is begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Greeting<'u> {
    /// Spoken before anything else.
    pub(super) tls: Option<&'u Arc<Secure>>,
    pub(super) speak: Speak,
    /// The largest head of an answer, in bytes.
    pub(super) response_head: usize,
}

/// What a new connection may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speak {
    /// What both ends agree on in the TLS handshake.
    Agreed,
    Http1,
    Http2,
}

/// A connection that was greeted.
pub(super) enum Opened {
    Http1(Stream),
    Http2(Box<Handshaken>),
}

/// Connects to `wanted`, whose turn it is, or to whoever else of `addresses` can be reached `within` this time.
pub(super) async fn dial(
    addresses: &Addresses,
    wanted: Option<Arc<Address>>,
    within: Duration,
    greeting: Greeting<'_>,
) -> Result<(Opened, Arc<Address>), Missed> {
    let due = Instant::now() + within;
    match timeout_at(due, addresses.first_answer()).await {
        Ok(answered) => answered.map_err(Missed::Nobody)?,
        Err(_) => return Err(Missed::Late),
    }
    let mut waiting = VecDeque::from(addresses.in_turn());
    if let Some(wanted) = &wanted {
        waiting.retain(|address| !Arc::ptr_eq(address, wanted));
    }
    let several = u32::try_from(waiting.len() + usize::from(wanted.is_some())).unwrap_or(u32::MAX);
    let head_start = HEAD_START.min(within / several.max(1));
    let mut race = Race {
        waiting,
        running: Vec::new(),
        next: Box::pin(sleep(head_start)),
        head_start,
        soonest: Duration::MAX,
        last: None,
        tally: addresses.tally(),
        greeting,
    };
    match wanted {
        Some(wanted) => race.begin(wanted),
        None => _ = race.begin_next(),
    }
    let raced = timeout_at(due, poll_fn(|cx| race.poll(cx))).await;
    let missed = match raced {
        Ok(Ok(connected)) => return Ok(connected),
        Ok(Err(missed)) => missed,
        Err(_) => {
            race.give_up(within);
            Missed::Late
        }
    };
    if !matches!(missed, Missed::Nobody(Nobody::Admitted(_))) {
        addresses.look_again();
    }
    Err(missed)
}

type Connecting<'a> = Pin<Box<dyn Future<Output = Result<Opened, Refusal>> + Send + 'a>>;

/// Why one address has taken no connection.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Refusal {
    #[error("{0}")]
    Unreachable(String),
    /// It is there, and not what it should be.
    #[error("{0}")]
    Untrusted(String),
    /// It was not asked: there is no socket to ask with.
    #[error("{0}")]
    Exhausted(String),
}

struct Race<'a> {
    waiting: VecDeque<Arc<Address>>,
    running: Vec<(Arc<Address>, Connecting<'a>)>,
    /// When the next one is tried beside those that run.
    next: Pin<Box<Sleep>>,
    head_start: Duration,
    /// When one that is not admitted now may be.
    soonest: Duration,
    last: Option<String>,
    tally: &'a Tally,
    greeting: Greeting<'a>,
}

impl Race<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Opened, Arc<Address>), Missed>> {
        loop {
            let mut at = 0;
            while let Some((address, connecting)) = self.running.get_mut(at) {
                match connecting.as_mut().poll(cx) {
                    Poll::Pending => at += 1,
                    Poll::Ready(Ok(opened)) => {
                        let address = address.clone();
                        self.tally.connect(Connect::Connected);
                        for (slower, _) in self.running.drain(..at) {
                            slower.passed_over();
                        }
                        return Poll::Ready(Ok((opened, address)));
                    }
                    Poll::Ready(Err(refusal)) => {
                        let (address, _) = self.running.remove(at);
                        self.tally.connect(match refusal {
                            Refusal::Unreachable(_) | Refusal::Exhausted(_) => Connect::Failed,
                            Refusal::Untrusted(_) => Connect::Untrusted,
                        });
                        if !matches!(refusal, Refusal::Exhausted(_)) {
                            address.failed(&format!("cannot connect: {refusal}"));
                        }
                        self.last = Some(refusal.to_string());
                        self.begin_next();
                    }
                }
            }
            if self.running.is_empty() {
                return Poll::Ready(Err(match self.last.take() {
                    Some(last) => Missed::Refused(last),
                    None if self.soonest < Duration::MAX => Missed::Nobody(Nobody::Admitted(self.soonest)),
                    None => Missed::Nobody(Nobody::Known("the name has no address".to_owned())),
                }));
            }
            if self.waiting.is_empty() || self.next.as_mut().poll(cx).is_pending() || !self.begin_next() {
                return Poll::Pending;
            }
        }
    }

    /// Tries the next one that is admitted; false where there is none left.
    fn begin_next(&mut self) -> bool {
        while let Some(address) = self.waiting.pop_front() {
            match address.admit() {
                // Whoever would be better has failed or is late, or there is nobody else.
                Admission::Yes | Admission::LastResort => {
                    self.begin(address);
                    return true;
                }
                Admission::No(wait) => self.soonest = self.soonest.min(wait),
            }
        }
        false
    }

    fn begin(&mut self, address: Arc<Address>) {
        let at = address.at();
        self.running.push((address, Box::pin(connect(at, self.greeting, self.tally))));
        self.next.as_mut().reset(Instant::now() + self.head_start);
    }

    /// Time is up.
    fn give_up(&mut self, within: Duration) {
        for (address, _) in self.running.drain(..) {
            self.tally.connect(Connect::TimedOut);
            address.failed(&format!("no connection within {within:?}"));
        }
    }
}

/// Connects to one address.
pub(super) async fn connect(
    at: SocketAddr,
    greeting: Greeting<'_>,
    tally: &Tally,
) -> Result<Opened, Refusal> {
    let unreachable = |error: std::io::Error| {
        let reason = error.to_string();
        if is_exhaustion(&error) { Refusal::Exhausted(reason) } else { Refusal::Unreachable(reason) }
    };
    let socket = TcpStream::connect(at).await.map_err(unreachable)?;
    socket.set_nodelay(true).map_err(unreachable)?;
    let (stream, speak) = match (greeting.tls, greeting.speak) {
        (None, speak) => (Stream::Plain(socket), speak),
        (Some(tls), speak) => {
            let offer = match speak {
                Speak::Agreed => Offer::Either,
                Speak::Http1 => Offer::Http1,
                Speak::Http2 => Offer::Http2,
            };
            let (stream, agreed) = tls.shake(socket, offer, tally).await.map_err(Refusal::Untrusted)?;
            match (speak, agreed) {
                (Speak::Agreed, Agreed::Http2) => (stream, Speak::Http2),
                (speak, _) => (stream, speak),
            }
        }
    };
    if speak != Speak::Http2 {
        return Ok(Opened::Http1(stream));
    }
    let handshaken = http2::greet(stream, greeting.response_head).await.map_err(Refusal::Untrusted)?;
    Ok(Opened::Http2(Box::new(handshaken)))
}
