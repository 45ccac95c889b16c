//! Keeps the comparisons: one `SQLite` file that a second process can read while the gateway writes.

pub mod ledger;
mod samples;
mod sqlite;
pub mod read;

pub use ledger::{Ledger, LedgerError};
pub use read::Evidence;

#[cfg(test)]
mod tests;
