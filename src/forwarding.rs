//! Sends a request to an upstream, byte for byte.

pub mod upstream;
