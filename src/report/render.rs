//! A report as text for people and as JSON for machines.

mod text;
mod json;
pub(super) mod words;

pub use json::json;
pub use text::{Detail, text};
