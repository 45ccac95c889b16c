//! Watches routes.toml.
