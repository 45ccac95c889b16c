//! `figueira routes`: the routes of the file.

mod set;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};

/// Look at the routes of routes.toml, and walk them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  figueira routes set generate-image --mode shadow
  figueira routes set generate-image --mode canary --percent 5
  figueira routes set generate-image --mode migrated --force --reason \"tested by hand\"")]
pub(super) struct Routes {
    /// The file.
    #[arg(long, global = true, value_name = "FILE", default_value = "routes.toml")]
    config: PathBuf,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Set(set::Set),
}

impl Routes {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self.action {
            Action::Set(set) => set.run(&self.config),
        }
    }
}
