//! `figueira routes`: where requests go, and how far each route has walked.

mod list;
mod explain;
mod coverage;
mod table;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand, ValueEnum};

/// Show where requests go, and how far each route has walked.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  figueira routes list
  figueira routes explain POST /api/images -H 'cookie: session=ana'
  figueira routes coverage")]
pub(super) struct Routes {
    /// The file that names the routes.
    #[arg(long, global = true, value_name = "FILE", default_value = "routes.toml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(list::List),
    Explain(explain::Explain),
    Coverage(coverage::CoverageArgs),
}

/// For people or for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Routes {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::List(list) => list.run(&self.config),
            Command::Explain(explain) => explain.run(&self.config),
            Command::Coverage(coverage) => coverage.run(&self.config),
        }
    }
}
