//! Where brakes are kept: a file in the data folder, and for a fleet the table that its catalog is.

mod file;
#[cfg(feature = "aws")]
mod shared;
#[cfg(feature = "aws")]
mod table;
#[cfg(test)]
mod suite;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, path::PathBuf};

use jiff::Timestamp;
use rusqlite::ErrorCode;
use thiserror::Error;
use tokio::runtime::Handle;

pub(super) use self::file::{File, Watch as FileWatch};
#[cfg(feature = "aws")]
pub(super) use self::shared::Shared;
use crate::{
    aws::SharedTable,
    reserve,
    routing::{Brake, Brakes, Hold},
};

/// Where they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The data folder.
    pub data: PathBuf,
    /// What a fleet shares.
    pub table: Option<SharedTable>,
}

/// The brakes cannot be read or written.
#[derive(Debug, Error)]
pub enum BrakeError {
    /// `SQLite` said no.
    #[error("{path}: {error}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What `SQLite` said.
        error: rusqlite::Error,
    },
    /// The file is of another version of figueira.
    #[error("{path} has schema version {found}; this figueira reads version {}", file::VERSION)]
    Version {
        /// The file.
        path: PathBuf,
        /// Its `user_version`.
        found: i64,
    },
    /// The table cannot be read or written.
    #[error("the table {table} cannot be asked: {why}")]
    Table {
        /// Its name.
        table: String,
        /// What `DynamoDB` said, or the network.
        why: String,
    },
    /// This binary cannot reach a table.
    #[error("DynamoDB is not in this binary: build it with the feature `aws`")]
    WithoutAws,
    /// Moving it broke off.
    #[error("moving the brake broke off: {0}")]
    Failed(String),
    /// The brake did what it was asked, and the audit log did not.
    #[error("done, but {path} cannot be written: {error}")]
    Audit {
        /// The log.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
}

impl BrakeError {
    /// Whether the disk is full.
    pub(super) fn is_want_of_room(&self) -> bool {
        match self {
            Self::Sqlite { error, .. } => error.sqlite_error_code() == Some(ErrorCode::DiskFull),
            Self::Audit { error, .. } => reserve::is_want_of_room(error),
            _ => false,
        }
    }
}

/// The brakes, wherever they are kept. Its calls block: on the disk, or on a table that is far away.
#[derive(Clone, Debug)]
pub struct Store(pub(super) Kind);

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// One data folder's.
    File(File),
    /// A fleet's.
    #[cfg(feature = "aws")]
    Shared(Shared),
}

/// What came of a pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pulled {
    /// It holds now where it was asked to.
    Now {
        /// Where the route was held before.
        before: Option<Hold>,
    },
    /// It was held there, or lower, already: a pull never lets go.
    Already(Brake),
    /// It holds now in this data folder, and in the fleet as soon as a gateway here can tell it.
    Here {
        /// Where the route was held here before.
        before: Option<Hold>,
        /// Why the fleet does not know.
        why: String,
    },
}

/// One pull or release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// The route.
    pub route: Box<str>,
    /// Where it was held before.
    pub before: Option<Hold>,
    /// Where it is held since; nowhere after a release.
    pub after: Option<Hold>,
    /// Who did it.
    pub by: Box<str>,
    /// Why.
    pub reason: Box<str>,
}

/// The brakes as they are now, for who only wants to see them: no file is made.
pub fn read(place: &Place, runtime: &Handle) -> Result<Brakes, BrakeError> {
    match &place.table {
        None => file::read(&place.data),
        Some(_) => Store::open(place, runtime)?.brakes(),
    }
}

impl Store {
    /// The one at `place`; a file is made where there is none. A table is asked by `runtime`, whose threads drive it: no
    /// call of the store may be made on one of them.
    pub fn open(place: &Place, runtime: &Handle) -> Result<Self, BrakeError> {
        let file = File::open(&place.data)?;
        let kind = match &place.table {
            None => Kind::File(file),
            #[cfg(feature = "aws")]
            Some(table) => Kind::Shared(Shared::new(file, table, runtime)),
            #[cfg(not(feature = "aws"))]
            Some(_) => {
                let _ = runtime;
                return Err(BrakeError::WithoutAws);
            }
        };
        Ok(Self(kind))
    }

    /// Holds each of `routes` as `brake` says, or keeps it lower.
    pub fn pull(&self, routes: &[&str], brake: &Brake) -> Result<Vec<Pulled>, BrakeError> {
        match &self.0 {
            Kind::File(file) => file.pull(routes, brake),
            #[cfg(feature = "aws")]
            Kind::Shared(shared) => shared.pull(routes, brake),
        }
    }

    /// Lets `route` go; what held it, if anything did.
    pub fn release(
        &self,
        route: &str,
        now: Timestamp,
        by: &str,
        reason: &str,
    ) -> Result<Option<Brake>, BrakeError> {
        match &self.0 {
            Kind::File(file) => file.release(route, now, by, reason),
            #[cfg(feature = "aws")]
            Kind::Shared(shared) => shared.release(route, now, by, reason),
        }
    }

    /// Everything that is held.
    pub fn brakes(&self) -> Result<Brakes, BrakeError> {
        match &self.0 {
            Kind::File(file) => file.brakes(),
            #[cfg(feature = "aws")]
            Kind::Shared(shared) => shared.brakes(),
        }
    }

    /// What is held in the data folder: all of it, or only what a fleet's table has not taken yet.
    pub fn held_here(&self) -> Result<Brakes, BrakeError> {
        match &self.0 {
            Kind::File(file) => file.brakes(),
            #[cfg(feature = "aws")]
            Kind::Shared(shared) => shared.file().brakes(),
        }
    }

    /// The last pulls and releases, the newest first.
    pub fn history(&self, most: u32) -> Result<Vec<Event>, BrakeError> {
        match &self.0 {
            Kind::File(file) => file.history(most),
            #[cfg(feature = "aws")]
            Kind::Shared(shared) => shared.history(most),
        }
    }

    /// What nobody has told people of yet. It is the caller's to tell now, and nobody else's.
    pub fn take_untold(&self) -> Result<Vec<Event>, BrakeError> {
        match &self.0 {
            Kind::File(file) => file.take_untold(),
            #[cfg(feature = "aws")]
            Kind::Shared(shared) => shared.take_untold(),
        }
    }

    /// When each route was let go last, as far as this process has seen.
    pub fn released(&self) -> Result<HashMap<Box<str>, Timestamp>, BrakeError> {
        match &self.0 {
            Kind::File(file) => file.released(),
            #[cfg(feature = "aws")]
            Kind::Shared(shared) => shared.released(),
        }
    }
}
