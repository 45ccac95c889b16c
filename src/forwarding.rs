//! Sends a request to an upstream and brings its answer back, byte for byte.
//!
//! The head is rebuilt hop by hop ([`head`]), the body streams both ways, connections are kept per worker, and nothing
//! that an upstream may have seen is ever sent twice unless RFC 9110, 9.2.2 allows it.

pub mod upstream;
mod pool;
mod last_word;
mod awaits;
pub mod head;
mod body;
mod exchange;

pub use body::{ResponseBody, Upload};
pub use exchange::{Forward, Forwarded, OnInterim};
pub use pool::Upgraded;
pub use upstream::Upstream;
