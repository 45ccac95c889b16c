//! Where job records live. One narrow door: whoever else keeps records comes in through it.

pub(crate) mod sqlite;
#[cfg(test)]
mod tests;

use std::{collections::HashSet, time::SystemTime};

use thiserror::Error;
use uuid::Uuid;

use self::sqlite::Sqlite;
use super::{
    digest::Digest,
    order::Size,
    plane::Crashed,
    state::{Reason, State, Step},
};

/// One image of a job, as the record names it before the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    /// Its stored name.
    pub(crate) name: String,
    /// What its bytes are.
    pub(crate) media_type: String,
    /// How many bytes.
    pub(crate) bytes: u64,
    /// Their hash.
    pub(crate) sha256: Digest,
}

/// A claim and its job, before either exists.
#[derive(Clone, Debug)]
pub(crate) struct NewJob {
    /// A `UUIDv7` of its own.
    pub(crate) id: Uuid,
    /// Whose key it is.
    pub(crate) scope: String,
    /// The client's key, or a fresh one.
    pub(crate) key: String,
    /// Hash of what was asked.
    pub(crate) request: Digest,
    /// When the claim may be forgotten.
    pub(crate) claim_expires: SystemTime,
    /// Who draws.
    pub(crate) provider: &'static str,
    /// Hash of the prompt.
    pub(crate) prompt_sha256: Digest,
    /// Length of the prompt in characters.
    pub(crate) prompt_chars: usize,
    /// The prompt, where it may be kept.
    pub(crate) prompt: Option<String>,
    /// How many images.
    pub(crate) count: u32,
    /// How large.
    pub(crate) size: Size,
    /// Which boot does the work.
    pub(crate) owner: Uuid,
    /// Now.
    pub(crate) at: SystemTime,
}

/// What a transition is conditional on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    /// The job.
    pub(crate) job: Uuid,
    /// Where it stands.
    pub(crate) state: State,
    /// Whose it is.
    pub(crate) owner: Uuid,
    /// How often it changed hands.
    pub(crate) fence: u64,
}

/// A job as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// What a transition from here is conditional on.
    pub(crate) lease: Lease,
    /// Its images, in order; none before `storing`.
    pub(crate) objects: Vec<Object>,
}

/// A step with what it carries.
#[derive(Clone, Debug)]
pub(crate) enum Transition {
    /// [`Step::Store`].
    Store(Vec<Object>),
    /// [`Step::Commit`].
    Commit,
    /// [`Step::Fail`].
    Fail(Reason),
    /// [`Step::Undo`].
    Undo,
    /// [`Step::Lose`].
    Lose,
}

impl Transition {
    /// What the pure machine knows of it.
    pub(crate) fn step(&self) -> Step {
        match self {
            Self::Store(_) => Step::Store,
            Self::Commit => Step::Commit,
            Self::Fail(reason) => Step::Fail(*reason),
            Self::Undo => Step::Undo,
            Self::Lose => Step::Lose,
        }
    }
}

/// What came of a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advance {
    /// It happened; the next one is conditional on this.
    Moved(Lease),
    /// The record is elsewhere: another state, owner or fence. The record says where.
    Refused,
}

/// The catalog did not answer. Whether a write happened is unknown until read back.
#[derive(Debug, Error)]
pub(crate) enum CatalogError {
    /// `SQLite` failed.
    #[error("the catalog failed")]
    Sqlite(#[from] rusqlite::Error),
    /// The thread that asked ended.
    #[error("the catalog's thread ended")]
    Crashed(#[from] Crashed),
    /// A later version of this program wrote it.
    #[error("the catalog has schema {found}, this version knows {known}: run the version that wrote it")]
    Newer {
        /// What the file says.
        found: i64,
        /// What this version writes.
        known: i64,
    },
}

/// Where job records live.
#[derive(Clone, Debug)]
pub(crate) enum Catalog {
    /// One file, one gateway.
    Sqlite(Sqlite),
}

impl Catalog {
    /// Writes claim and job in one transaction; the job is `drawing`.
    pub(crate) async fn claim(&self, job: NewJob) -> Result<Lease, CatalogError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.claim(job).await,
        }
    }

    /// Takes a step, if the record is still what `lease` says.
    pub(crate) async fn advance(
        &self,
        lease: Lease,
        to: Transition,
        at: SystemTime,
    ) -> Result<Advance, CatalogError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.advance(lease, to, at).await,
        }
    }

    /// A job's record.
    pub(crate) async fn record(&self, job: Uuid) -> Result<Option<Record>, CatalogError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.record(job).await,
        }
    }

    /// The image of this name, if its job is done.
    pub(crate) async fn visible(&self, name: String) -> Result<Option<Object>, CatalogError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.visible(name).await,
        }
    }

    /// Makes every open job `owner`'s whose boot is not among the `living`, under a new fence. Nobody may begin to live
    /// meanwhile.
    pub(crate) async fn take_over(
        &self,
        owner: Uuid,
        living: HashSet<Uuid>,
        at: SystemTime,
    ) -> Result<HashSet<Uuid>, CatalogError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.take_over(owner, living, at).await,
        }
    }

    /// Forgets the claims that expired before `at`; their jobs stay.
    pub(crate) async fn forget_claims(&self, at: SystemTime) -> Result<usize, CatalogError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.forget_claims(at).await,
        }
    }
}
