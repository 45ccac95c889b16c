//! How a brake is pulled and released: in the store, and in the audit log.

use std::{fmt, path::Path};

use jiff::Timestamp;

use super::{BrakeError, Pulled, Store};
use crate::{
    audit::{self, Line, What},
    routing::{Brake, Hold},
};

/// The brakes of one data folder, within a person's or a guard's reach.
#[derive(Clone, Debug)]
pub struct Lever {
    store: Store,
    audit: audit::Log,
    clock: fn() -> Timestamp,
}

/// A wish to hold a route.
#[derive(Clone, Copy, Debug)]
pub struct Pull<'a> {
    /// Which.
    pub route: &'a str,
    /// Where.
    pub at: Hold,
    /// Why.
    pub reason: &'a str,
}

/// Who asks, and under which rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// As the log shall name them.
    pub name: String,
    /// The generation in force, where the asking process serves.
    pub generation: Option<u64>,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Lever {
    /// That of the folder `data`.
    pub fn open(data: &Path, clock: fn() -> Timestamp) -> Result<Self, BrakeError> {
        Ok(Self { store: Store::open(data)?, audit: audit::Log::in_folder(data), clock })
    }

    /// What it moves.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Holds a route, or keeps it lower.
    pub fn pull(&self, pull: &Pull<'_>, who: &Who) -> Result<Pulled, BrakeError> {
        let &Pull { route, at, reason } = pull;
        let since = (self.clock)();
        let brake = Brake { at, since, by: who.name.as_str().into(), reason: reason.into() };
        let pulled = self.store.pull(route, &brake)?;
        if let Pulled::Now { before } = pulled {
            self.note(route, since, (before, Some(at)), reason, who)?;
        }
        Ok(pulled)
    }

    /// Lets a route go; what held it, if anything did.
    pub fn release(&self, route: &str, reason: &str, who: &Who) -> Result<Option<Brake>, BrakeError> {
        let now = (self.clock)();
        let released = self.store.release(route, now, &who.name, reason)?;
        if let Some(brake) = &released {
            self.note(route, now, (Some(brake.at), None), reason, who)?;
        }
        Ok(released)
    }

    fn note(
        &self,
        route: &str,
        at: Timestamp,
        (before, after): (Option<Hold>, Option<Hold>),
        reason: &str,
        who: &Who,
    ) -> Result<(), BrakeError> {
        let word = |hold: Option<Hold>| Some(hold.map_or("off", Hold::as_str).to_owned());
        let line = Line {
            at,
            what: What::Brake,
            who: who.name.clone(),
            route: Some(route.to_owned()),
            from: word(before),
            to: word(after),
            why: Some(reason.to_owned()),
            generation: who.generation,
            file: None,
        };
        let because = |error| BrakeError::Audit { path: self.audit.path().to_owned(), error };
        self.audit.append(&[line]).map_err(because)
    }
}

#[cfg(test)]
mod tests;
