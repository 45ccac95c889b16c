//! A report as text and pages for people, and as JSON for machines.

mod text;
mod json;
pub(crate) mod html;
pub(super) mod words;

pub use html::html;
pub use json::json;
pub use text::{Detail, text};
