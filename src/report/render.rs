//! A report as text for people and as JSON for machines.

pub mod text;
pub mod json;
pub(super) mod words;
