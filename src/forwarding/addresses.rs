//! Where an upstream is: every address that its name means, which of them a request is sent to, and what is known of it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};

use super::{
    address::{Address, Known},
    health,
    standing::{Admission, Eject},
    tally::{Lookup, Tally},
    upstream::Settings,
};

/// What the name meant when it was last asked.
#[derive(Clone, Debug)]
pub enum Resolution {
    /// An address needs no asking.
    Literal,
    /// The first answer is on its way.
    Awaited,
    /// It was answered.
    Good,
    /// It was not; what was answered before holds.
    Failing {
        /// The first time of an unbroken row.
        since: Instant,
        /// Why, the last time.
        error: Box<str>,
    },
}

/// Whom a request is sent to.
#[derive(Debug)]
pub(super) enum Turn {
    /// Whoever has a connection: there is one address.
    Any,
    /// This one, whose turn it is.
    Of(Arc<Address>),
}

impl Turn {
    /// Where a new connection is to lead, where that is known.
    pub(super) fn wanted(self) -> Option<Arc<Address>> {
        match self {
            Self::Any => None,
            Self::Of(address) => Some(address),
        }
    }
}

/// Why nobody can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Nobody {
    /// All are down or ejected; one may be asked after this time.
    Admitted(Duration),
    /// The name has no address.
    Known(String),
}

/// The addresses of one upstream. They are kept while a reload leaves alone what they depend on.
#[derive(Debug)]
pub(super) struct Addresses {
    upstream: Arc<str>,
    host: Box<str>,
    port: u16,
    eject: Option<Eject>,
    health: Option<health::Settings>,
    known: ArcSwap<Vec<Arc<Address>>>,
    /// How many they are: one is asked without looking at any.
    count: AtomicUsize,
    turn: AtomicUsize,
    resolution: watch::Sender<Resolution>,
    wanted: Notify,
    tally: Arc<Tally>,
}

impl Addresses {
    pub(super) fn new(settings: &Settings, tally: Arc<Tally>) -> Self {
        let addresses = Self {
            upstream: settings.name.clone(),
            host: settings.host.clone(),
            port: settings.port,
            eject: settings.eject,
            health: settings.health.clone(),
            known: ArcSwap::default(),
            count: AtomicUsize::new(0),
            turn: AtomicUsize::new(0),
            resolution: watch::Sender::new(Resolution::Awaited),
            wanted: Notify::new(),
            tally,
        };
        if let Ok(literal) = settings.host.parse::<IpAddr>() {
            addresses.replace(&[SocketAddr::new(literal, settings.port)]);
            addresses.resolution.send_replace(Resolution::Literal);
        }
        addresses
    }

    /// Whether they are those of `settings`, with all that is known of them.
    pub(super) fn are_of(&self, settings: &Settings) -> bool {
        self.upstream == settings.name
            && self.host == settings.host
            && self.port == settings.port
            && self.eject == settings.eject
            && self.health == settings.health
    }

    /// Host and port, as they are to be resolved.
    pub(super) fn name(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    pub(super) fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// All of them, as they are now.
    pub(super) fn all(&self) -> Arc<Vec<Arc<Address>>> {
        self.known.load_full()
    }

    /// What is known of each.
    pub(super) fn known(&self) -> Vec<Known> {
        self.known.load().iter().map(|address| address.known()).collect()
    }

    pub(super) fn resolution(&self) -> Resolution {
        self.resolution.borrow().clone()
    }

    /// Whose turn it is. Several addresses are asked in rotation, so that each gets its share of the requests and not
    /// only of the connections.
    pub(super) fn turn(&self) -> Result<Turn, Nobody> {
        if self.count.load(Relaxed) <= 1 {
            return Ok(Turn::Any);
        }
        let known = self.known.load();
        // Their number may be ahead of them, or behind.
        let Some(first) = self.turn.fetch_add(1, Relaxed).checked_rem(known.len()) else {
            return Ok(Turn::Any);
        };
        let in_turn = || known.iter().cycle().skip(first).take(known.len());
        let (trusted, avoided) = (
            in_turn().filter(|address| !address.is_avoided()),
            in_turn().filter(|address| address.is_avoided()),
        );
        let (mut last_resort, mut soonest) = (None, Duration::MAX);
        for address in trusted.chain(avoided) {
            match address.admit() {
                Admission::Yes => return Ok(Turn::Of(address.clone())),
                Admission::LastResort => _ = last_resort.get_or_insert(address),
                Admission::No(wait) => soonest = soonest.min(wait),
            }
        }
        last_resort.map(|address| Turn::Of(address.clone())).ok_or(Nobody::Admitted(soonest))
    }

    /// All of them in the order in which they are to be tried. Those that had trouble of late come last.
    pub(super) fn in_turn(&self) -> Vec<Arc<Address>> {
        let mut addresses = Vec::clone(&self.known.load());
        if addresses.len() > 1 {
            let first = self.turn.load(Relaxed) % addresses.len();
            addresses.rotate_left(first);
            addresses.sort_by_cached_key(|address| address.is_avoided());
        }
        addresses
    }

    /// Returns once there is an address, or it is clear that there is none for now.
    pub(super) async fn first_answer(&self) -> Result<(), Nobody> {
        if self.count.load(Relaxed) > 0 {
            return Ok(());
        }
        let mut resolution = self.resolution.subscribe();
        let answered = resolution.wait_for(|now| !matches!(now, Resolution::Awaited)).await;
        match answered.as_deref() {
            Ok(Resolution::Failing { error, .. }) if self.count.load(Relaxed) == 0 => {
                self.look_again();
                Err(Nobody::Known(error.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Has the name looked up soon: what is known of it leads nowhere.
    pub(super) fn look_again(&self) {
        self.wanted.notify_one();
    }

    /// Resolves when somebody wants another answer.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// The name means these.
    pub(super) fn resolved(&self, found: &[SocketAddr]) {
        self.tally.looked_up(Lookup::Answered);
        let before = self.resolution();
        let changed = self.replace(found);
        self.resolution.send_replace(Resolution::Good);
        let upstream = &*self.upstream;
        if let Resolution::Failing { .. } = before {
            tracing::info!(upstream, host = &*self.host, "a name resolves again");
        }
        if changed {
            let addresses: Vec<_> = found.iter().map(ToString::to_string).collect();
            tracing::info!(
                upstream,
                host = &*self.host,
                addresses = addresses.join(","),
                "a name has new addresses"
            );
        }
    }

    /// What the name means could not be learned; what it meant holds.
    pub(super) fn unresolved(&self, outcome: Lookup, error: &str) {
        self.tally.looked_up(outcome);
        let since = if let Resolution::Failing { since, .. } = self.resolution() {
            since
        } else {
            let (upstream, host) = (&*self.upstream, &*self.host);
            if self.count.load(Relaxed) > 0 {
                tracing::warn!(upstream, host, error, "a name does not resolve: its last addresses serve");
            } else {
                tracing::warn!(upstream, host, error, "a name does not resolve and never has: requests fail");
            }
            Instant::now()
        };
        self.resolution.send_replace(Resolution::Failing { since, error: error.into() });
    }

    /// Puts `found` in force; an address that was known stays what it is. True where they are others than before.
    fn replace(&self, found: &[SocketAddr]) -> bool {
        let before = self.known.load_full();
        let mut after: Vec<Arc<Address>> = Vec::with_capacity(found.len());
        for at in found {
            if after.iter().any(|known| known.at() == *at) {
                continue;
            }
            let known = before.iter().find(|known| known.at() == *at).cloned();
            after.push(known.unwrap_or_else(|| Arc::new(self.address(*at))));
        }
        let gone = |known: &&Arc<Address>| !after.iter().any(|kept| Arc::ptr_eq(kept, known));
        let mut changed = after.len() != before.len();
        for address in before.iter().filter(gone) {
            address.retire();
            changed = true;
        }
        if changed {
            self.count.store(after.len(), Relaxed);
            self.known.store(Arc::new(after));
        }
        changed
    }

    fn address(&self, at: SocketAddr) -> Address {
        Address::new(at, self.upstream.clone(), self.eject, self.health.as_ref(), self.tally.clone())
    }
}

#[cfg(test)]
pub(super) mod tests;
