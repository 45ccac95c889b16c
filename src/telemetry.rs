//! What the process says of itself: logs and metrics, in a written vocabulary.

pub mod log;
