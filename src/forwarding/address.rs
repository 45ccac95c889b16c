//! One address of an upstream, as all workers see it: open to requests or not, and what is known of it.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use super::{
    health,
    standing::{Admission, Eject, Standing, State, Trouble},
    tally::Tally,
};

/// Whoever wants to send a request there has to ask first.
const GUARDED: u8 = 1;
/// An answer from there changes something.
const TROUBLED: u8 = 2;
/// The name does not mean it any more.
const RETIRED: u8 = 4;

/// One address. While nothing is wrong with it, a request reads one relaxed byte of it, twice.
#[derive(Debug)]
pub(super) struct Address {
    at: SocketAddr,
    flags: AtomicU8,
    /// Connections that stand.
    open: AtomicUsize,
    standing: Mutex<Standing>,
    /// The upstream's name, for the log.
    upstream: Arc<str>,
    tally: Arc<Tally>,
}

/// What is known of an address.
#[derive(Clone, Debug)]
pub struct Known {
    /// The address.
    pub at: SocketAddr,
    /// What is true of it.
    pub state: State,
    /// Since when.
    pub since: Instant,
    /// Its last error.
    pub trouble: Option<Trouble>,
    /// Connections that stand there now, idle ones included.
    pub connections: usize,
}

impl Address {
    pub(super) fn new(
        at: SocketAddr,
        upstream: Arc<str>,
        eject: Option<Eject>,
        checks: Option<&health::Settings>,
        tally: Arc<Tally>,
    ) -> Self {
        let standing = Mutex::new(Standing::new(eject, checks, Instant::now()));
        Self { at, flags: AtomicU8::new(0), open: AtomicUsize::new(0), standing, upstream, tally }
    }

    pub(super) fn at(&self) -> SocketAddr {
        self.at
    }

    /// Asks to send one request there.
    pub(super) fn admit(&self) -> Admission {
        if self.flags.load(Relaxed) & GUARDED == 0 {
            return Admission::Yes;
        }
        self.change(Standing::admit)
    }

    /// The head of an answer came from there.
    pub(super) fn answered(&self) {
        if self.flags.load(Relaxed) & (GUARDED | TROUBLED) != 0 {
            self.change(Standing::answered);
        }
    }

    /// A request got no answer from there, or no connection.
    pub(super) fn failed(&self, error: &str) {
        self.change(|standing, now| standing.failed(error.into(), now));
    }

    /// Another address was quicker to connect.
    pub(super) fn passed_over(&self) {
        self.change(Standing::passed_over);
    }

    /// A check passed, or says why it did not.
    pub(super) fn checked(&self, outcome: Result<(), String>) {
        self.change(|standing, now| standing.checked(outcome.map_err(Into::into), now));
    }

    /// Whether others are better asked first.
    pub(super) fn is_avoided(&self) -> bool {
        self.flags.load(Relaxed) & TROUBLED != 0 && self.lock().is_avoided(Instant::now())
    }

    /// Nothing is sent there from now on.
    pub(super) fn retire(&self) {
        let _held = self.lock();
        self.flags.fetch_or(RETIRED, Relaxed);
    }

    pub(super) fn is_retired(&self) -> bool {
        self.flags.load(Relaxed) & RETIRED != 0
    }

    /// A connection stands until this is dropped.
    pub(super) fn connected(self: &Arc<Self>) -> Standpoint {
        self.open.fetch_add(1, Relaxed);
        Standpoint(self.clone())
    }

    pub(super) fn known(&self) -> Known {
        let standing = self.lock();
        Known {
            at: self.at,
            state: standing.state(),
            since: standing.since(),
            trouble: standing.trouble().cloned(),
            connections: self.open.load(Relaxed),
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Standing, Instant) -> T) -> T {
        let mut standing = self.lock();
        let before = standing.state();
        let result = change(&mut standing, Instant::now());
        let after = standing.state();
        let guarded = if after == State::Up { 0 } else { GUARDED };
        let troubled = if standing.is_troubled() { TROUBLED } else { 0 };
        // Under the lock, so that the flags are those of the last change.
        let retired = self.flags.load(Relaxed) & RETIRED;
        self.flags.store(guarded | troubled | retired, Relaxed);
        if before != after {
            self.tell(before, after, standing.trouble());
        }
        result
    }

    fn tell(&self, before: State, after: State, trouble: Option<&Trouble>) {
        let (upstream, address) = (&*self.upstream, self.at);
        let error = trouble.map(|trouble| &*trouble.error);
        match (before, after) {
            (State::Probing, State::Ejected) | (State::Ejected, State::Probing) => {
                tracing::debug!(upstream, %address, error, state = after.name(), "a probe of an address");
            }
            (_, State::Ejected) => {
                self.tally.ejected();
                tracing::warn!(upstream, %address, error, "an address is ejected: requests got no answers");
            }
            (_, State::Down) => {
                tracing::warn!(upstream, %address, error, "an address is down: its checks fail");
            }
            (_, State::Returning) => tracing::info!(upstream, %address, "an address answers again"),
            (State::Down, _) => tracing::info!(upstream, %address, "an address is up: its checks pass"),
            (_, State::Up | State::Probing) => {
                tracing::info!(upstream, %address, "an address is back in full");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place among those of its address.
#[derive(Debug)]
pub(super) struct Standpoint(Arc<Address>);

impl std::ops::Deref for Standpoint {
    type Target = Arc<Address>;

    fn deref(&self) -> &Arc<Address> {
        &self.0
    }
}

impl Drop for Standpoint {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}
