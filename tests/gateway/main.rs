//! Stories of the whole gateway: it runs in this process between a client and an upstream that both speak raw bytes.
//!
//! A story is a script: one end sends, the other is asked what arrived. Nothing sleeps; whatever is waited for fails
//! after [`harness::wire::PATIENCE`] with what was seen until then.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod harness;
mod heads;
mod framing;
mod refusals;
mod mutations;
mod continuing;
mod upgrades;
mod leaving;
mod endings;
mod logged;
mod abandoned;
mod secure;
mod streams;
mod connections;
mod limits;
mod failing;
mod standing;
mod killed;
mod modes;
mod arms;
mod candidates;
mod fallback;
mod passing;
mod authorizing;
mod permitting;
mod releasing;
mod elsewhere;
mod keys;
mod polling;
mod parallel;
mod fetching;
mod epochs;
mod evidence;
mod reload;
mod lifecycle;
mod introduced;
mod succession;
mod manager;
mod crowds;
mod http2;
