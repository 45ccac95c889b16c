//! Which arm answers a request: a pure function of an immutable table. No tokio, no serde, no I/O.

pub mod pattern;
pub mod host;
pub mod condition;
pub mod route;
mod precedence;
pub mod brake;
mod paths;
pub mod table;
mod subject;
mod assignment;
pub mod explain;
pub mod diff;
pub mod change;
pub mod said;
pub mod live;

pub use assignment::Reason;
pub use brake::{Brake, Brakes, Hold};
pub use condition::{Condition, is_telling};
pub use explain::{Explanation, explain};
pub use host::Host;
pub use live::Live;
pub use pattern::{Pattern, PatternError};
pub use route::{Arm, Canary, Candidate, Fallback, Mode, Route, Share, Subject};
pub use table::{Conflict, Decision, Head, SubjectValue, Table};
