//! The evidence of a fleet in one: what each data folder has counted goes to the table that all share, and what the
//! others have counted comes from there into the folder's own file, where every verdict is read.
//!
//! ```text
//! comparisons that ended -> numbered batches, each written once -> the table -> everybody else's evidence.sqlite
//! ```
//!
//! A comparison has one id wherever it is told, so that a batch that is told or heard twice counts nothing twice. What
//! does not count stays where it is: bodies, images, hashes of requests; and of differences all but a few examples.

#[cfg(feature = "aws")]
mod rows;
#[cfg(feature = "aws")]
mod table;
#[cfg(not(feature = "aws"))]
mod without;
#[cfg(feature = "aws")]
#[cfg(test)]
mod tests;

use thiserror::Error;

#[cfg(feature = "aws")]
pub use self::table::Fleet;
#[cfg(not(feature = "aws"))]
pub use self::without::Fleet;

/// Why a fleet is not of one mind. What waits is kept, and tried again.
#[derive(Debug, Error)]
pub enum FleetError {
    /// The evidence could not be read or written.
    #[error("the evidence cannot be used: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The table did not answer.
    #[error("the table {table} cannot be asked: {why}")]
    Table {
        /// Its name.
        table: String,
        /// What `DynamoDB` said, or the network.
        why: String,
    },
    /// A batch of another version, or of nobody.
    #[error("{item} of the shared table is not as this version writes it: {why}")]
    Malformed {
        /// Its key.
        item: String,
        /// What is wrong.
        why: String,
    },
    /// This binary cannot reach a table.
    #[error("DynamoDB is not in this binary: build it with the feature `aws`")]
    WithoutAws,
    /// A thread ended.
    #[error("the thread that keeps the fleet's evidence ended")]
    Crashed(#[from] tokio::task::JoinError),
}
