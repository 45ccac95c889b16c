//! Handles one request: admits it, routes it, calls the arm that the decision names, answers.

pub mod settings;
