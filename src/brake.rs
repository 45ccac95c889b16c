//! Keeps the brakes: a small `SQLite` file that every process with the same data folder shares, or a table of `DynamoDB`
//! that a fleet does.
//!
//! ```text
//! a person, the guard, the verdict -> Lever -> Store -> Watch (each process) -> the routing table, lowered
//! ```

pub mod guard;
mod lever;
mod store;
mod watch;

pub use lever::{Lever, Pull, Who};
pub use store::{BrakeError, Event, Place, Pulled, Store, read};
pub use watch::{Standing, Watch};
