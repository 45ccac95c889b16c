//! Accepts connections and drives each one: an HTTP/1.1 or HTTP/2 server, over TLS where asked, whose every byte passes
//! a guard first.
//!
//! A worker owns one listening socket per address (`SO_REUSEPORT`), so the kernel spreads connections and nothing is
//! shared between workers. What answers a request is a [`Handler`], which the listener knows nothing more of.

mod accept;
mod proxy;
pub mod tls;
mod connection;
mod relay;
mod ending;
mod moment;
mod exchange;
mod socket;
mod wire;
mod overdue;
pub mod guard;
mod chunked;
mod http2;
mod incoming;
mod handler;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;

pub use accept::{Opening, ProxyProtocol, accept, bind, meet};
pub use connection::Limits;
pub use guard::Refusal;
pub use handler::{Answer, ExtendedConnect, Handler, Interim, InterimQueue, Peer, Tunnel};
pub use incoming::{Incoming, Stalled};
pub use tls::{Tls, Transport};
