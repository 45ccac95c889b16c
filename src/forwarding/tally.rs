//! What is counted of an upstream, by its name: kept when a reload changes its settings.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// What became of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The head of an answer came.
    Answered,
    /// No connection: refused, unreachable, no address.
    Unconnected,
    /// No connection in time.
    ConnectTimeout,
    /// No answer in time.
    Late,
    /// It broke before an answer came, or what came was none.
    Broken,
    /// Not asked: every address is down or ejected.
    Unavailable,
}

/// What became of a try to connect to one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connect {
    /// It stands.
    Connected,
    /// Refused or unreachable.
    Failed,
    /// No TLS session, or not the protocol that was to be spoken.
    Untrusted,
    /// None of these in time.
    TimedOut,
}

/// How a TLS session began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// From nothing.
    Full,
    /// From a session before it.
    Resumed,
}

/// What became of a lookup of the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Addresses.
    Answered,
    /// An error: no such name, no server, no network.
    Failed,
    /// No address.
    Empty,
    /// Nothing in time.
    Late,
}

/// Names of the values of an enum, as labels of a metric.
pub trait Outcome: Copy + Sized + 'static {
    /// Each value with its name, in their order.
    const ALL: &'static [(Self, &'static str)];
}

impl Outcome for Ending {
    const ALL: &'static [(Self, &'static str)] = &[
        (Self::Answered, "answered"),
        (Self::Unconnected, "connect"),
        (Self::ConnectTimeout, "connect-timeout"),
        (Self::Late, "timeout"),
        (Self::Broken, "protocol"),
        (Self::Unavailable, "unavailable"),
    ];
}

impl Outcome for Connect {
    const ALL: &'static [(Self, &'static str)] = &[
        (Self::Connected, "connected"),
        (Self::Failed, "failed"),
        (Self::Untrusted, "untrusted"),
        (Self::TimedOut, "timed-out"),
    ];
}

impl Outcome for Handshake {
    const ALL: &'static [(Self, &'static str)] = &[(Self::Full, "full"), (Self::Resumed, "resumed")];
}

impl Outcome for Lookup {
    const ALL: &'static [(Self, &'static str)] = &[
        (Self::Answered, "answered"),
        (Self::Failed, "failed"),
        (Self::Empty, "empty"),
        (Self::Late, "late"),
    ];
}

/// A count that no other count shares a cache line with.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Lone(AtomicU64);

impl Lone {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// The counters of one upstream. What every request touches is kept by worker.
#[derive(Debug, Default)]
pub struct Tally {
    answered: Vec<Arc<Lone>>,
    endings: [AtomicU64; Ending::ALL.len()],
    connects: [AtomicU64; Connect::ALL.len()],
    lookups: [AtomicU64; Lookup::ALL.len()],
    /// Passed and failed.
    checks: [AtomicU64; 2],
    /// TLS handshakes, full ones and those that resumed a session.
    handshakes: [AtomicU64; 2],
    ejections: AtomicU64,
    retries: AtomicU64,
}

impl Tally {
    pub(super) fn new(workers: usize) -> Self {
        Self { answered: (0..workers).map(|_| Arc::default()).collect(), ..Self::default() }
    }

    /// Where a worker counts its answered exchanges.
    pub(super) fn answered(&self, worker: usize) -> Arc<Lone> {
        self.answered.get(worker).cloned().unwrap_or_default()
    }

    pub(super) fn ended(&self, ending: Ending) {
        add(&self.endings, ending as usize);
    }

    pub(super) fn connect(&self, connect: Connect) {
        add(&self.connects, connect as usize);
    }

    pub(super) fn looked_up(&self, lookup: Lookup) {
        add(&self.lookups, lookup as usize);
    }

    pub(super) fn checked(&self, outcome: &Result<(), String>) {
        add(&self.checks, usize::from(outcome.is_err()));
    }

    pub(super) fn shaken(&self, kind: Handshake) {
        add(&self.handshakes, kind as usize);
    }

    pub(super) fn ejected(&self) {
        self.ejections.fetch_add(1, Relaxed);
    }

    pub(super) fn retried(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    /// Exchanges with this ending.
    pub fn endings(&self, ending: Ending) -> u64 {
        if ending == Ending::Answered {
            return self.answered.iter().map(|count| count.0.load(Relaxed)).sum();
        }
        of(&self.endings, ending as usize)
    }

    /// Tries to connect.
    pub fn connects(&self, connect: Connect) -> u64 {
        of(&self.connects, connect as usize)
    }

    /// Lookups of the name.
    pub fn lookups(&self, lookup: Lookup) -> u64 {
        of(&self.lookups, lookup as usize)
    }

    /// Health checks, those that passed and those that failed.
    pub fn checks(&self) -> (u64, u64) {
        (of(&self.checks, 0), of(&self.checks, 1))
    }

    /// TLS sessions, by how they began.
    pub fn handshakes(&self, kind: Handshake) -> u64 {
        of(&self.handshakes, kind as usize)
    }

    /// How often an address was ejected.
    pub fn ejections(&self) -> u64 {
        self.ejections.load(Relaxed)
    }

    /// Requests that were sent once more, on a fresh connection.
    pub fn retries(&self) -> u64 {
        self.retries.load(Relaxed)
    }
}

fn add(counters: &[AtomicU64], at: usize) {
    if let Some(counter) = counters.get(at) {
        counter.fetch_add(1, Relaxed);
    }
}

fn of(counters: &[AtomicU64], at: usize) -> u64 {
    counters.get(at).map_or(0, |counter| counter.load(Relaxed))
}
