//! Where job records live. One narrow door: whoever else keeps records comes in through it.

mod record;
pub(crate) mod sqlite;
#[cfg(feature = "aws")]
pub(crate) mod dynamodb;
#[cfg(test)]
pub(crate) mod suite;
#[cfg(test)]
mod tests;

use std::time::SystemTime;

use thiserror::Error;
use uuid::Uuid;

pub(crate) use self::record::{
    Advance, Claim, ClaimKey, Claimed, First, Lease, Letter, NewJob, Object, Owner, Posted, Record, Seen,
    Transition,
};
use self::sqlite::Sqlite;
use super::{budget::Day, digest::Digest, money::Usd, plane::Crashed, settings::Settings, state::State};
use crate::routing::Arm;

/// The catalog did not answer. Whether a write happened is unknown until read back.
#[derive(Debug, Error)]
pub(crate) enum CatalogError {
    /// `SQLite` failed.
    #[error("the catalog failed")]
    Sqlite(#[from] rusqlite::Error),
    /// The thread that asked ended.
    #[error("the catalog's thread ended")]
    Crashed(#[from] Crashed),
    /// `DynamoDB` failed, or cannot be reached.
    #[cfg(feature = "aws")]
    #[error("the catalog failed")]
    DynamoDb(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A record is none of ours.
    #[cfg(feature = "aws")]
    #[error("a record of the catalog is not as this version writes it: {0}")]
    Malformed(&'static str),
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
    /// One table, a fleet.
    #[cfg(feature = "aws")]
    DynamoDb(dynamodb::DynamoDb),
}

/// Makes the table that the catalog of these settings needs; what came of it, for people.
pub async fn catalog_table(settings: &Settings) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    match settings.shared_table() {
        None => Ok("the catalog is a SQLite file: it needs no table".to_owned()),
        #[cfg(feature = "aws")]
        Some(table) => {
            use crate::aws::table::{Created, Table};
            let created = Table::of_records(&table).await.create().await?;
            Ok(match created {
                Created::New => format!("created the table {}", table.name),
                Created::AlreadyThere => format!("the table {} is there", table.name),
            })
        }
        #[cfg(not(feature = "aws"))]
        Some(_) => Err("DynamoDB is not in this binary: build it with the feature `aws`".into()),
    }
}

impl Catalog {
    /// Writes claim, job and reservation in one transaction, unless the key is taken or the budget used up. A claim
    /// that expired, or whose job is the one that this replaces, is not in the way.
    pub(crate) async fn claim(&self, job: NewJob) -> Result<Claimed, CatalogError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.claim(job).await,
            #[cfg(feature = "aws")]
            Self::DynamoDb(table) => table.claim(job).await,
        }
    }

    /// Who has a key at `at`.
    pub(crate) async fn holder(
        &self,
        claim: ClaimKey,
        at: SystemTime,
    ) -> Result<Option<Claim>, CatalogError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.holder(claim, at).await,
            #[cfg(feature = "aws")]
            Self::DynamoDb(table) => table.standing_claim(&claim, at).await,
        }
    }

    /// Gives a key to `arm`, unless it has one already; says which it has.
    pub(crate) async fn pin(
        &self,
        claim: ClaimKey,
        arm: Arm,
        at: SystemTime,
        expires: SystemTime,
    ) -> Result<Arm, CatalogError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.pin(claim, arm, at, expires).await,
            #[cfg(feature = "aws")]
            Self::DynamoDb(table) => table.pin(claim, arm, at, expires).await,
        }
    }

    /// Gives a key to the control, which answers in the candidate's place: one that has no job, or only the one that
    /// `refused`. Whether the control has it then.
    pub(crate) async fn leave(
        &self,
        claim: ClaimKey,
        refused: Option<Uuid>,
        at: SystemTime,
        expires: SystemTime,
    ) -> Result<bool, CatalogError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.leave(claim, refused, at, expires).await,
            #[cfg(feature = "aws")]
            Self::DynamoDb(table) => table.leave(claim, refused, at, expires).await,
        }
    }

    /// Takes a step, if the record is still what `lease` says: moves the job, its budget, and where somebody waits
    /// for its end also its news, in one transaction.
    pub(crate) async fn advance(
        &self,
        lease: Lease,
        to: Transition,
        at: SystemTime,
    ) -> Result<Advance, CatalogError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.advance(lease, to, at).await,
            #[cfg(feature = "aws")]
            Self::DynamoDb(table) => table.advance(lease, to, at).await,
        }
    }

    /// A job's record.
    pub(crate) async fn record(&self, job: Uuid) -> Result<Option<Record>, CatalogError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.record(job).await,
            #[cfg(feature = "aws")]
            Self::DynamoDb(table) => table.record(job).await,
        }
    }

    /// At most `most` jobs, the newest first; of those that are older than `before`, where that is named.
    pub(crate) async fn newest(
        &self,
        before: Option<Uuid>,
        most: usize,
    ) -> Result<Vec<Record>, CatalogError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.newest(before, most).await,
            #[cfg(feature = "aws")]
            Self::DynamoDb(table) => table.newest(before, most).await,
        }
    }

    /// The image of this name, if its job is done.
    pub(crate) async fn visible(&self, name: String) -> Result<Option<Object>, CatalogError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.visible(name).await,
            #[cfg(feature = "aws")]
            Self::DynamoDb(table) => table.visible(name).await,
        }
    }

    /// Every job that somebody has to move on, oldest first.
    pub(crate) async fn open_jobs(&self) -> Result<Vec<Seen>, CatalogError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.open_jobs().await,
            #[cfg(feature = "aws")]
            Self::DynamoDb(table) => table.open_jobs().await,
        }
    }

    /// A sign of life from the owner of these jobs.
    pub(crate) async fn beat(&self, jobs: Vec<Lease>, at: SystemTime) -> Result<(), CatalogError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.beat(jobs, at).await,
            #[cfg(feature = "aws")]
            Self::DynamoDb(table) => table.beat(jobs, at).await,
        }
    }

    /// Takes a job from an owner that is gone, if nothing of `seen` has changed: see [`Lease::taken_over`].
    pub(crate) async fn take_over(
        &self,
        seen: Seen,
        owner: Owner,
        at: SystemTime,
    ) -> Result<Advance, CatalogError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.take_over(seen, owner, at).await,
            #[cfg(feature = "aws")]
            Self::DynamoDb(table) => table.take_over(seen, owner, at).await,
        }
    }

    /// Forgets the claims that expired before `at`; their jobs stay.
    pub(crate) async fn forget_claims(&self, at: SystemTime) -> Result<usize, CatalogError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.forget_claims(at).await,
            // Expired items go by themselves.
            #[cfg(feature = "aws")]
            Self::DynamoDb(_) => Ok(0),
        }
    }

    /// What the budget of a day holds: reserved, or spent.
    pub(crate) async fn spent(&self, day: Day) -> Result<Usd, CatalogError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.spent(day).await,
            #[cfg(feature = "aws")]
            Self::DynamoDb(table) => table.spent(day).await,
        }
    }

    /// At most `most` letters that are due at `at`, from this end.
    pub(crate) async fn letters(
        &self,
        at: SystemTime,
        first: First,
        most: u32,
    ) -> Result<Vec<Letter>, CatalogError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.letters(at, first, most).await,
            #[cfg(feature = "aws")]
            Self::DynamoDb(table) => table.letters(at, first, most).await,
        }
    }

    /// The letter of a job, as it is now and whenever it is due; none where nothing is left to be told.
    pub(crate) async fn letter(&self, job: Uuid) -> Result<Option<Letter>, CatalogError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.letter(job).await,
            #[cfg(feature = "aws")]
            Self::DynamoDb(table) => table.letter(job).await,
        }
    }

    /// Writes down what became of a letter, unless the job has other news by now.
    pub(crate) async fn posted(&self, letter: Letter, posted: Posted) -> Result<(), CatalogError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.posted(letter, posted).await,
            #[cfg(feature = "aws")]
            Self::DynamoDb(table) => table.posted(letter, posted).await,
        }
    }

    /// At most `most` jobs in `state`, one of the ends, that came there before `before` and have no news that will be sent,
    /// oldest first.
    pub(crate) async fn ended(
        &self,
        state: State,
        before: SystemTime,
        most: u32,
    ) -> Result<Vec<Uuid>, CatalogError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.ended(state, before, most).await,
            #[cfg(feature = "aws")]
            Self::DynamoDb(table) => table.ended(state, before, most).await,
        }
    }

    /// Which catalog this is, for as long as it exists.
    pub(crate) async fn identity(&self) -> Result<Uuid, CatalogError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.identity().await,
            #[cfg(feature = "aws")]
            Self::DynamoDb(table) => table.identity().await,
        }
    }

    /// Whether other gateways may work in it as well.
    pub(crate) fn is_shared(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            #[cfg(feature = "aws")]
            Self::DynamoDb(_) => true,
        }
    }

    /// The jobs of a tenant, given by its hash: those of whom the monolith has named so, and those of whom the route's
    /// subject does where it has named nobody.
    pub(crate) async fn of_tenant(&self, tenant: Digest) -> Result<Vec<Uuid>, CatalogError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.of_tenant(tenant).await,
            #[cfg(feature = "aws")]
            Self::DynamoDb(table) => table.of_tenant(tenant).await,
        }
    }

    /// Forgets the keys of a tenant, given by its hash, under which nothing was begun here; how many.
    pub(crate) async fn forget_keys(&self, tenant: Digest) -> Result<usize, CatalogError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.forget_keys(tenant).await,
            #[cfg(feature = "aws")]
            Self::DynamoDb(table) => table.forget_keys(tenant).await,
        }
    }

    /// Leaves nothing of what was deleted or is no longer so where it lay.
    pub(crate) async fn scrub(&self) -> Result<(), CatalogError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.scrub().await,
            #[cfg(feature = "aws")]
            Self::DynamoDb(_) => Ok(()),
        }
    }

    /// Deletes a job that is over, with its claims and the names of its images.
    pub(crate) async fn erase(&self, job: Uuid) -> Result<(), CatalogError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.erase(job).await,
            #[cfg(feature = "aws")]
            Self::DynamoDb(table) => table.erase(job).await,
        }
    }
}
