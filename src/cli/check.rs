//! `figueira check`: is the file right?

use std::{path::Path, process::ExitCode};

use crate::config;

/// Prints every error and warning of the file at `path`, or that it is right; success means that `serve` would take it.
pub fn run(path: &Path) -> anyhow::Result<ExitCode> {
    match config::load(path) {
        Ok(config) => {
            if !config.warnings.is_empty() {
                eprintln!("{}", config.warnings);
            }
            println!("{}: ok, {}", path.display(), count(config.routes.routes().len(), "route"));
            Ok(ExitCode::SUCCESS)
        }
        Err(errors) => {
            eprint!("{errors}");
            eprintln!("\n{}: {}", path.display(), count(errors.len(), "error"));
            Ok(ExitCode::FAILURE)
        }
    }
}

fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}
