//! Keeps the comparisons: one `SQLite` file that a second process can read while the gateway writes.

pub mod fleet;
pub mod lake;
pub mod ledger;
pub mod samples;
pub(crate) mod sqlite;
pub mod read;
pub mod said;
pub mod preview;
pub mod erase;
pub mod past;

pub use ledger::{Ledger, LedgerError};
pub use read::Evidence;
pub use said::{AlarmId, Said, SaidError};

#[cfg(test)]
mod tests;
