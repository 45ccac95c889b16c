//! `figueira check`: is the file right?

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;

use crate::config::{self, Purpose};

/// Print every error and warning of `routes.toml`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exits with 0 when `serve` would take the file, with 1 when it would not. Editors know the schema where the file's first \
line is `#:schema ./routes.schema.json`.

Examples:
  figueira check
  figueira check --config site/routes.toml
  figueira check --schema > routes.schema.json")]
pub(super) struct Check {
    /// The file.
    #[arg(long, value_name = "FILE", default_value = "routes.toml")]
    config: PathBuf,
    /// Print a JSON Schema of the file instead, for editors.
    #[arg(long, conflicts_with = "config")]
    schema: bool,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        if self.schema {
            writeln!(io::stdout(), "{:#}", config::schema())?;
            return Ok(ExitCode::SUCCESS);
        }
        let path = self.config.display();
        match config::load_for(&self.config, Purpose::Start) {
            Ok(config) => {
                if !config.warnings.is_empty() {
                    writeln!(io::stderr(), "{}", config.warnings)?;
                }
                writeln!(io::stdout(), "{path}: ok, {}", count(config.routes.routes().len(), "route"))?;
                Ok(ExitCode::SUCCESS)
            }
            Err(errors) => {
                writeln!(io::stderr(), "{errors}\n{path}: {}", count(errors.len(), "error"))?;
                Ok(ExitCode::FAILURE)
            }
        }
    }
}

fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}
