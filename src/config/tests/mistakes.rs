//! What a person is told: every mistake with its message, as it is printed.

mod text;
mod gateway;
mod route;
mod matching;
mod proof;
mod contract;

use std::path::Path;

use crate::config::parse;

/// What is printed of a file that ends with `text`, whose monolith and routes are right unless `text` says otherwise.
fn said(text: &str) -> String {
    match parse(text, Path::new("routes.toml")) {
        Ok(config) => config.warnings.to_string(),
        Err(errors) => errors.to_string(),
    }
}

/// A file that is right but for `text`, which stands first.
fn beside_a_monolith(text: &str) -> String {
    said(&format!("{text}\n[monolith]\nurl = \"http://127.0.0.1:8000\"\n"))
}

/// A route that is right but for `text`.
fn in_a_route(text: &str) -> String {
    said(&format!(
        "monolith.url = \"http://127.0.0.1:8000\"\n\n[[route]]\nname = \"images\"\npath = \"/api/images\"\n{text}\n"
    ))
}
