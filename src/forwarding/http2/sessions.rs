//! The sessions of one worker with one upstream: shared while they have room, and opened one at a time.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use super::session::{Session, Slot};
use crate::{
    backend::Fault,
    forwarding::{address::Address, addresses::Turn},
};

/// How the one that dials has fared, once it has.
type News = Option<Result<(), Fault>>;

/// All sessions with one upstream.
#[derive(Debug, Default)]
pub(in crate::forwarding) struct Sessions(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    open: Vec<Arc<Session>>,
    /// Somebody opens a connection that others can share.
    dialling: Option<watch::Receiver<News>>,
    /// The last connection agreed on HTTP/1.1, which nobody shares.
    unshared: bool,
}

/// What to do where no session has room.
pub(in crate::forwarding) enum Dialling {
    /// Open a connection, and tell of it.
    Begin(Option<Ticket>),
    /// Somebody does.
    Await(watch::Receiver<News>),
}

/// The task of opening a connection for all who wait. Dropped, it is another's.
#[derive(Debug)]
pub(in crate::forwarding) struct Ticket(watch::Sender<News>);

impl Ticket {
    pub(in crate::forwarding) fn tell(self, news: Result<(), Fault>) {
        self.0.send_replace(Some(news));
    }
}

/// Which idle connections are kept.
#[derive(Clone, Copy, Debug)]
pub(in crate::forwarding) struct Kept {
    pub(in crate::forwarding) most: usize,
    pub(in crate::forwarding) long: Duration,
}

impl State {
    fn drop_ended(&mut self, kept: Kept) {
        let mut idle = 0;
        self.open.retain(|session| {
            idle += usize::from(session.is_idle());
            session.is_open(kept.long) && (idle <= kept.most || !session.is_idle())
        });
    }
}

impl Sessions {
    /// A place on a session that leads where the request is to go: the first one opened that has room.
    pub(in crate::forwarding) fn take(&self, turn: &Turn, kept: Kept) -> Option<(Slot, Arc<Address>)> {
        let mut state = self.state();
        state.drop_ended(kept);
        let leads = |session: &&Arc<Session>| match turn {
            Turn::Any => true,
            Turn::Of(wanted) => session.leads_to(wanted),
        };
        let mut leading = state.open.iter().filter(leads);
        leading.find_map(|session| Some((session.slot()?, session.address().clone())))
    }

    /// Who opens the next connection.
    pub(in crate::forwarding) fn dialling(&self) -> Dialling {
        let mut state = self.state();
        if state.unshared {
            return Dialling::Begin(None);
        }
        match &state.dialling {
            // Whoever gave up before the end has left no news.
            Some(news) if news.has_changed().is_ok() => Dialling::Await(news.clone()),
            _ => {
                let (ticket, news) = watch::channel(None);
                state.dialling = Some(news);
                Dialling::Begin(Some(Ticket(ticket)))
            }
        }
    }

    /// A session was opened.
    pub(in crate::forwarding) fn put(&self, session: Arc<Session>) {
        let mut state = self.state();
        state.open.push(session);
        state.unshared = false;
    }

    /// A connection was opened that nobody shares.
    pub(in crate::forwarding) fn agreed_on_http1(&self) {
        self.state().unshared = true;
    }

    pub(in crate::forwarding) fn sweep(&self, kept: Kept) {
        self.state().drop_ended(kept);
    }

    /// Sessions that carry nothing.
    pub(in crate::forwarding) fn idle(&self) -> usize {
        self.state().open.iter().filter(|session| session.is_idle()).count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
