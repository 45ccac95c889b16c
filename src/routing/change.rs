//! A person's wish to walk a route, and what became of it: what the admin listener and the command line say to the owner
//! of `routes.toml`.

use thiserror::Error;

use super::{Mode, Route, Share};

/// A wish to change what `routes.toml` says of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The route's name.
    pub route: Box<str>,
    /// Its mode from now on; absent, it stays.
    pub mode: Option<Mode>,
    /// The canary's share from now on; absent, it stays.
    pub share: Option<Share>,
    /// Who wishes it.
    pub by: Box<str>,
    /// Why.
    pub reason: Option<Box<str>>,
    /// Whether to walk forward without a SAFE verdict, which takes a reason.
    pub force: bool,
    /// Only while this generation is in force, where the wisher has looked at one.
    pub generation: Option<u64>,
}

/// A change that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The generation that it is in force with.
    pub generation: u64,
    /// The file's lines before and after, as a unified diff; empty where the file said so already.
    pub diff: String,
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// No route has this name.
    #[error("there is no route {name}; there are: {known}")]
    Unknown {
        /// The name.
        name: Box<str>,
        /// Those that there are.
        known: String,
    },
    /// The file as it stands cannot be used, so that nothing can be built on it.
    #[error("the file is broken as it stands, mend it first:\n{0}")]
    Broken(String),
    /// The file would be wrong.
    #[error("the file would be wrong:\n{0}")]
    Invalid(String),
    /// The route cannot be edited where it is written.
    #[error("{0}")]
    Uneditable(String),
    /// It would walk forward, and nothing proves that it may.
    #[error(
        "{route} would walk forward to {to}, and its verdict is {verdict}, not SAFE; to do it all the same, say `force` and a `reason` (--force --reason R)"
    )]
    Unproven {
        /// The route.
        route: Box<str>,
        /// Where it would stand.
        to: String,
        /// Its verdict, or why there is none.
        verdict: String,
    },
    /// Forced, and nobody said why.
    #[error("walking forward by force takes a reason")]
    Unreasoned,
    /// Another generation is in force than the wisher looked at.
    #[error("generation {current} is in force, not {asked}: look again")]
    Stale {
        /// What is in force.
        current: u64,
        /// What was looked at.
        asked: u64,
    },
    /// Somebody else changed the file meanwhile.
    #[error("the file changed meanwhile: look at it, and try again")]
    Moved,
    /// The file cannot be written.
    #[error("{0}")]
    Unwritable(String),
    /// There is no file, or the gateway is ending.
    #[error("the rules of this gateway cannot be changed: {0}")]
    Closed(&'static str),
}

/// Whether going from `before` to `after` exposes more users to the candidate: that takes a proof. Going back never does.
pub fn is_forward(before: &Route, after: &Route) -> bool {
    let canary = |route: &Route| route.canary.share;
    match (before.mode, after.mode) {
        (from, to) if to < Mode::Canary || to < from => false,
        (Mode::Canary, Mode::Canary) => canary(after) > canary(before),
        (from, to) => to > from,
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};

    use super::*;
    use crate::routing::{Canary, table::tests::route};

    fn standing(mode: Mode, share: f64) -> Route {
        let canary = Canary { share: Share::from_fraction(share).unwrap(), ..Canary::default() };
        Route { mode, canary, ..route("a", "/a") }
    }

    #[test]
    fn forward_is_towards_the_candidate() {
        use Mode::{Canary, Migrated, Monolith, Shadow};
        let forward = |before, after| is_forward(&before, &after);
        assert!(!forward(standing(Monolith, 0.0), standing(Shadow, 0.0)));
        assert!(forward(standing(Shadow, 0.0), standing(Canary, 0.0)));
        assert!(forward(standing(Canary, 0.05), standing(Canary, 0.06)));
        assert!(!forward(standing(Canary, 0.05), standing(Canary, 0.04)));
        assert!(forward(standing(Canary, 1.0), standing(Migrated, 0.0)));
        assert!(!forward(standing(Migrated, 0.0), standing(Canary, 1.0)));
        assert!(!forward(standing(Shadow, 0.05), standing(Shadow, 1.0)), "a share without effect");
        assert!(!forward(standing(Migrated, 0.05), standing(Migrated, 1.0)));
    }

    proptest! {
        #[test]
        fn nothing_is_forward_both_ways(
            (a, b) in (select(&Mode::ALL[..]), select(&Mode::ALL[..])),
            (x, y) in (0.0..=1.0_f64, 0.0..=1.0_f64),
        ) {
            let (a, b) = (standing(a, x), standing(b, y));
            prop_assert!(!(is_forward(&a, &b) && is_forward(&b, &a)));
            prop_assert!(!is_forward(&a, &a));
        }
    }
}
