//! Which arm answers a request: a pure function of an immutable table. No tokio, no serde, no I/O.

pub mod route;
pub mod table;
pub mod live;

pub use live::Live;
pub use route::{Arm, Canary, Candidate, Fallback, Mode, Route, Share, Subject};
pub use table::{Conflict, Decision, Head, Table};
