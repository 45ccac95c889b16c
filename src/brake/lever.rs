//! How a brake is pulled and released: in the store, and in the audit log.

use std::{fmt, path::PathBuf};

use jiff::Timestamp;
use tokio::runtime::Handle;

use super::{BrakeError, Place, Pulled, Store};
use crate::{
    audit::{self, Line, What},
    reserve,
    routing::{Brake, Hold},
};

/// The brakes of a data folder, or of a fleet, within a person's or a guard's reach.
#[derive(Clone, Debug)]
pub struct Lever {
    store: Store,
    data: PathBuf,
    audit: audit::Log,
    clock: fn() -> Timestamp,
}

/// A wish to hold routes.
#[derive(Clone, Copy, Debug)]
pub struct Pull<'a> {
    /// Which.
    pub routes: &'a [&'a str],
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
    /// That of the brakes at `place`, which are asked by `runtime`: see [`Store::open`].
    pub fn open(place: &Place, runtime: &Handle, clock: fn() -> Timestamp) -> Result<Self, BrakeError> {
        let audit = audit::Log::in_folder(&place.data);
        Ok(Self { store: Store::open(place, runtime)?, data: place.data.clone(), audit, clock })
    }

    /// What it moves.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Holds routes, or keeps them lower; what came of each, in their order.
    pub fn pull(&self, pull: &Pull<'_>, who: &Who) -> Result<Vec<Pulled>, BrakeError> {
        let &Pull { routes, at, reason } = pull;
        let since = (self.clock)();
        let brake = Brake { at, since, by: who.name.as_str().into(), reason: reason.into() };
        let pulled = self.with_room(|| self.store.pull(routes, &brake))?;
        let moved = routes.iter().zip(&pulled).filter_map(|(route, pulled)| match pulled {
            Pulled::Now { before } | Pulled::Here { before, .. } => {
                Some(line(route, since, (*before, Some(at)), reason, who))
            }
            Pulled::Already(_) => None,
        });
        self.note(&moved.collect::<Vec<_>>())?;
        Ok(pulled)
    }

    /// Lets a route go; what held it, if anything did.
    pub fn release(&self, route: &str, reason: &str, who: &Who) -> Result<Option<Brake>, BrakeError> {
        let now = (self.clock)();
        let released = self.with_room(|| self.store.release(route, now, &who.name, reason))?;
        if let Some(brake) = &released {
            self.note(&[line(route, now, (Some(brake.at), None), reason, who)])?;
        }
        Ok(released)
    }

    fn note(&self, lines: &[Line]) -> Result<(), BrakeError> {
        if lines.is_empty() {
            return Ok(());
        }
        let because = |error| BrakeError::Audit { path: self.audit.path().to_owned(), error };
        self.with_room(|| self.audit.append(lines).map_err(because))
    }

    /// Does it; once more with what is kept in reserve where the disk is full.
    fn with_room<T>(&self, act: impl Fn() -> Result<T, BrakeError>) -> Result<T, BrakeError> {
        match act() {
            Err(error) if error.is_want_of_room() && reserve::give_up(&self.data) => {
                let done = act();
                // What is left of it is for the next.
                reserve::keep(&self.data).ok();
                done
            }
            done => done,
        }
    }
}

fn line(
    route: &str,
    at: Timestamp,
    (before, after): (Option<Hold>, Option<Hold>),
    reason: &str,
    who: &Who,
) -> Line {
    let word = |hold: Option<Hold>| Some(hold.map_or("off", Hold::as_str).to_owned());
    Line {
        at,
        what: What::Brake,
        who: who.name.clone(),
        route: Some(route.to_owned()),
        from: word(before),
        to: word(after),
        why: Some(reason.to_owned()),
        generation: who.generation,
        file: None,
    }
}

#[cfg(test)]
mod tests;
