//! The demonstration.

pub mod monolith;
pub(crate) mod traffic;
