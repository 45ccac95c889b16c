//! What the process says of itself: logs and metrics, in a written vocabulary (`docs/logging.md`).

pub mod histogram;
pub mod latency;
pub mod log;
pub mod metrics;
