//! Runs the same request on both arms and compares the answers, without the user noticing.

pub mod settings;
pub mod comparison;
pub mod answer;
pub mod compare;
pub mod calibration;
mod rules;
pub mod verdict;
