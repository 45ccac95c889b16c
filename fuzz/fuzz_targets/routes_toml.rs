//! Whatever stands in the file: it is rules, or errors that can be shown; and never a panic.
#![no_main]

use std::path::Path;

use figueira::config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // Files that a text names would be opened.
    if text.contains("file") {
        return;
    }
    match config::parse(text, Path::new("routes.toml")) {
        Ok(config) => drop(config.warnings.to_string()),
        Err(errors) => assert!(!errors.to_string().is_empty()),
    }
});
