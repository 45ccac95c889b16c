//! Sends a request to an upstream and brings its answer back, byte for byte.
//!
//! The head is rebuilt hop by hop ([`head`]), the body streams both ways, connections are kept per worker, and nothing
//! that an upstream may have seen is ever sent twice unless RFC 9110, 9.2.2 allows it. What an upstream's name means is
//! looked up beside the requests ([`resolver`]), and addresses that do not answer are left alone for a while.

pub mod upstream;
mod address;
mod addresses;
mod watched;
pub mod resolver;
mod dial;
mod standing;
pub mod health;
mod tally;
mod pool;
mod last_word;
mod reason;
mod awaits;
pub mod head;
mod body;
mod exchange;

pub use address::Known;
pub use addresses::Resolution;
pub use body::{ResponseBody, Upload};
pub use exchange::{Forward, Forwarded, OnInterim};
pub use pool::Upgraded;
pub use standing::{Eject, State, Trouble};
pub use tally::{Connect, Ending, Lookup, Outcome, Tally};
pub use upstream::Upstream;
pub use watched::Surroundings;
