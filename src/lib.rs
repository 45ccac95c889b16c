//! Figueira, a strangler-fig gateway. The modules stand in the order in which a request meets them.
//!
//! # The life of a request
//!
//! ```text
//! accept -> connection -> guard -> admit -> route -> forward | generate -> respond -> access log
//!                                               \-- observe (bounded tee) --> candidate -> compare -> evidence -> report
//! ```
//!
//! Two planes share one process. The *data plane* is one single-threaded runtime per core; a request stays on the
//! worker that accepted it. The *work plane* is one multi-threaded runtime for everything that may be slow. A module
//! may use only modules of a lower layer; `tests/layers.rs` holds the rows.

pub mod shutdown;
mod timer;
mod priority;
mod private;
mod database;
pub mod schedstat;
pub mod compute;
mod reserve;
mod stream;
mod text;
pub mod aws;
pub mod certificate;
pub mod telemetry;
pub mod audit;
pub mod tell;
pub mod routing;
pub mod backend;
pub mod listener;
pub mod gateway;
pub mod forwarding;
pub mod generator;
pub mod parallel_run;
pub mod brake;
pub mod evidence;
pub mod report;
pub mod admin;
pub mod config;
pub mod reload;
pub mod app;
pub mod verify;
#[cfg(feature = "aws")]
pub mod lambda;
pub mod cli;
pub mod demo;
