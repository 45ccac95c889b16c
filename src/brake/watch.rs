//! Sees that the brakes changed, whoever changed them: cheap enough to be asked several times a second.

use jiff::Timestamp;
#[cfg(feature = "aws")]
use std::time::{Duration, Instant};

#[cfg(feature = "aws")]
use super::store::Shared;
use super::{
    BrakeError, Store,
    store::{FileWatch, Kind},
};
use crate::routing::Brakes;
#[cfg(feature = "aws")]
use crate::routing::{Brake, Hold};

/// Between two looks at a table: two requests a second of each process.
#[cfg(feature = "aws")]
const ASK: Duration = Duration::from_millis(500);

/// One process' view of the brakes.
#[derive(Debug)]
pub struct Watch {
    store: Store,
    file: FileWatch,
    known: Brakes,
    trouble: Option<BrakeError>,
    #[cfg(feature = "aws")]
    table: TableWatch,
}

/// How well the brakes are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// As they are.
    Current,
    /// As they were when they could be read last.
    LastKnown,
    /// Not at all: every route is held at monolith.
    Unknown,
}

impl Standing {
    /// As `/readyz` says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::LastKnown => "last-known",
            Self::Unknown => "unknown",
        }
    }
}

/// When the table was asked last, and what went wrong then.
#[cfg(feature = "aws")]
#[derive(Debug)]
struct TableWatch {
    asked: Option<Instant>,
    /// Holds every route until the table has answered once.
    until_known: Brake,
}

impl Watch {
    /// Watches `store`, beginning with what it holds `now`. A table that does not answer is no error: until it does,
    /// every route is held at monolith, since nobody can tell what people have held back.
    pub fn new(store: Store, now: Timestamp) -> Result<Self, BrakeError> {
        #[cfg_attr(
            not(feature = "aws"),
            expect(clippy::infallible_destructuring_match, reason = "a table is another kind")
        )]
        let file = match &store.0 {
            Kind::File(file) => file,
            #[cfg(feature = "aws")]
            Kind::Shared(shared) => shared.file(),
        };
        #[cfg(feature = "aws")]
        let table = TableWatch {
            asked: None,
            until_known: Brake {
                at: Hold::Monolith,
                since: now,
                by: "figueira".into(),
                reason: "the table that holds the brakes has not answered since the start".into(),
            },
        };
        #[cfg(not(feature = "aws"))]
        let _ = now;
        let file = FileWatch::new(file.clone())?;
        let mut watch = Self {
            known: file.brakes().clone(),
            store,
            file,
            trouble: None,
            #[cfg(feature = "aws")]
            table,
        };
        watch.look();
        Ok(watch)
    }

    /// What it watches.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What was held when it was looked at last: an error changes nothing here.
    pub fn brakes(&self) -> &Brakes {
        &self.known
    }

    /// Why they could not be read when that was tried last, if it failed.
    pub fn trouble(&self) -> Option<&BrakeError> {
        self.trouble.as_ref()
    }

    /// How well they are known.
    pub fn standing(&self) -> Standing {
        match &self.store.0 {
            #[cfg(feature = "aws")]
            Kind::Shared(shared) if shared.latest().is_none() => Standing::Unknown,
            _ if self.trouble.is_some() => Standing::LastKnown,
            _ => Standing::Current,
        }
    }

    /// Looks; what is held, where that is not what it was. An unchanged file is not read.
    pub fn look(&mut self) -> Option<&Brakes> {
        let held = self.held();
        if held == self.known {
            return None;
        }
        self.known = held;
        Some(&self.known)
    }

    fn held(&mut self) -> Brakes {
        let seen = self.file.look().map(drop);
        match &self.store.0 {
            Kind::File(_) => {
                self.trouble = seen.err();
                self.file.brakes().clone()
            }
            #[cfg(feature = "aws")]
            Kind::Shared(shared) => {
                if let Err(error) = seen {
                    self.trouble = Some(error);
                } else if self.table.is_due() {
                    self.trouble = shared.refresh().err();
                }
                self.table.held(shared).and(self.file.brakes())
            }
        }
    }
}

#[cfg(feature = "aws")]
impl TableWatch {
    fn is_due(&mut self) -> bool {
        let is_due = self.asked.is_none_or(|asked| asked.elapsed() >= ASK);
        if is_due {
            self.asked = Some(Instant::now());
        }
        is_due
    }

    fn held(&self, shared: &Shared) -> Brakes {
        shared.latest().unwrap_or_else(|| Brakes::default().and_every_route(self.until_known.clone()))
    }
}
