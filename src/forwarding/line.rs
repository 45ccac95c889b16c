//! The connection that an exchange takes: one that is its own for as long as it lasts, or a place on one that is shared.

use bytes::Bytes;
use http::request;
use http_body::Body;

use super::{
    addresses::Turn,
    dial::{Opened, Speak},
    http2::{self, Dialling, Session, Slot, Ticket},
    pool::{Lease, Shelf},
    standing::Admission,
    upstream::Upstream,
};
use crate::backend::Fault;

/// What an exchange goes over.
#[derive(Debug)]
pub(super) enum Line<B> {
    /// HTTP/1.1.
    Http1(Lease<B>),
    /// HTTP/2, as yet unused; boxed, because the other is the hot path.
    Http2(Box<Option<Slot>>),
}

/// Which connections a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// Whatever is open.
    Any,
    /// None that has been idle: one such was found closed.
    Fresh,
}

impl<B> Line<B>
where
    B: Body<Data = Bytes, Error = Fault> + Send + Unpin + 'static,
{
    /// A line to `upstream`, of which this is the worker's; `speak` is what it may speak.
    pub(super) async fn to(
        upstream: &Upstream<B>,
        worker: usize,
        speak: Speak,
        choice: Choice,
    ) -> Result<Self, Fault> {
        match (speak, choice) {
            (Speak::Http1, Choice::Any) => Lease::any(upstream, worker).await.map(Self::Http1),
            (Speak::Http1, Choice::Fresh) => Box::pin(Lease::fresh(upstream, worker)).await.map(Self::Http1),
            (speak, choice) => Box::pin(Self::shared(upstream, worker, speak, choice)).await,
        }
    }

    /// Where connections may be shared, they are opened one at a time, for all who wait.
    async fn shared(
        upstream: &Upstream<B>,
        worker: usize,
        speak: Speak,
        choice: Choice,
    ) -> Result<Self, Fault> {
        let turn = upstream.turn()?;
        let Some(shelf) = upstream.shelf(worker) else {
            return Err(Fault::Protocol { reason: "this worker has no connections".to_owned() });
        };
        loop {
            if let Some((slot, address)) = shelf.sessions.take(&turn, shelf.kept()) {
                return match (&turn, address.admit()) {
                    (Turn::Any, Admission::No(wait)) => Err(upstream.rests(wait)),
                    _ => Ok(Self::Http2(Box::new(Some(slot)))),
                };
            }
            if choice == Choice::Any
                && let Some(lease) = Lease::idle(upstream, worker, &turn).await?
            {
                return Ok(Self::Http1(lease));
            }
            match shelf.sessions.dialling() {
                Dialling::Begin(ticket) => {
                    return Self::open(upstream, worker, shelf, (turn, speak), ticket).await;
                }
                Dialling::Await(mut news) => {
                    let heard = news.wait_for(Option::is_some).await;
                    if let Ok(news) = heard
                        && let Some(Err(fault)) = &*news
                    {
                        return Err(fault.clone());
                    }
                }
            }
        }
    }

    async fn open(
        upstream: &Upstream<B>,
        worker: usize,
        shelf: &Shelf<B>,
        (turn, speak): (Turn, Speak),
        ticket: Option<Ticket>,
    ) -> Result<Self, Fault> {
        let opened = upstream.connect(turn.wanted(), speak).await;
        let (line, news) = match opened {
            Ok((Opened::Http1(stream), address)) => {
                shelf.sessions.agreed_on_http1();
                (Lease::on(stream, &address, upstream, worker).await.map(Self::Http1), Ok(()))
            }
            Ok((Opened::Http2(handshaken), address)) => {
                let session = Session::start(*handshaken, &address, shelf.answered().clone());
                let slot = session.slot();
                shelf.sessions.put(session);
                (Ok(Self::Http2(Box::new(slot))), Ok(()))
            }
            Err(fault) => (Err(fault.clone()), Err(fault)),
        };
        if let Some(ticket) = ticket {
            ticket.tell(news);
        }
        line
    }

    /// Whether it has carried an exchange before, so that the upstream may have closed it meanwhile.
    pub(super) fn is_reused(&self) -> bool {
        match self {
            Self::Http1(lease) => lease.reused,
            Self::Http2(slot) => Option::as_ref(slot).is_some_and(|slot| slot.reused),
        }
    }

    /// Whether it has a way to ask for the upgrade that `client` wants: in HTTP/2 there is one to a WebSocket (RFC 8441).
    pub(super) fn takes_upgrade(&self, client: &request::Parts) -> bool {
        match self {
            Self::Http1(_) => true,
            Self::Http2(slot) => {
                let takes_any = Option::as_ref(slot).is_none_or(Slot::takes_extended_connect);
                takes_any && http2::is_websocket(client)
            }
        }
    }

    /// No answer came, and that was the upstream's doing.
    pub(super) fn failed(&self, error: &str) {
        match self {
            Self::Http1(lease) => lease.failed(error),
            Self::Http2(slot) => {
                if let Some(slot) = Option::as_ref(slot) {
                    slot.failed(error);
                }
            }
        }
    }
}
