//! Runs the same request on both arms and compares the answers, without the user noticing.

pub mod settings;
pub mod answer;
pub mod comparison;
