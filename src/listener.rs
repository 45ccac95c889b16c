//! Accepts connections and drives each one: an HTTP/1.1 server whose every byte passes a guard first.
//!
//! A worker owns one listening socket per address (`SO_REUSEPORT`), so the kernel spreads connections and nothing is
//! shared between workers. What answers a request is a [`Handler`], which the listener knows nothing more of.

mod accept;
mod connection;
mod exchange;
mod socket;
pub mod guard;
mod chunked;
mod handler;

pub use accept::{accept, bind};
pub use connection::Limits;
pub use guard::Refusal;
pub use handler::{Handler, Interim, Peer, Tunnel};
