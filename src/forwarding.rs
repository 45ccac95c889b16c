//! Sends a request to an upstream and brings its answer back, byte for byte.
//!
//! The head is rebuilt hop by hop ([`head`]), the body streams both ways, connections are kept per worker, over TLS where
//! asked ([`tls`]) and shared where HTTP/2 is spoken, and nothing that an upstream may have seen is ever sent twice unless
//! RFC 9110, 9.2.2 allows it. What an upstream's name means is
//! looked up beside the requests ([`resolver`]), and addresses that do not answer are left alone for a while.

pub mod upstream;
mod address;
mod addresses;
mod watched;
pub mod resolver;
pub mod tls;
mod dial;
mod standing;
pub mod health;
mod tally;
mod pool;
mod bell;
mod connection;
mod last_word;
mod sieve;
mod awaits;
pub mod head;
mod sign;
mod body;
mod http2;
mod line;
mod exchange;

pub use address::Known;
pub use addresses::Resolution;
pub use body::{ResponseBody, Upload};
pub use exchange::{Failed, Forward, Forwarded, HearInterim, Sent};
pub use pool::Upgraded;
pub use sign::Sign;
pub use standing::{Eject, State, Trouble};
pub use tally::{Connect, Ending, Handshake, Lookup, Outcome, Tally};
pub use upstream::{Http2, Upstream};
pub use watched::Surroundings;
