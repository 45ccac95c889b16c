//! The demonstration.

pub mod monolith;
