//! The `figueira` binary.

fn main() {}
