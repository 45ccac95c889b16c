//! `figueira routes`: where requests go, how far each route has walked, and its next step.

mod list;
mod explain;
mod set;
mod coverage;
mod table;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand, ValueEnum};

/// Show where requests go and how far each route has walked, and walk it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  figueira routes list
  figueira routes explain POST /api/images -H 'cookie: session=ana'
  figueira routes set generate-image --mode canary --percent 5
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
    Set(set::Set),
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
            Command::Set(set) => set.run(&self.config),
            Command::Coverage(coverage) => coverage.run(&self.config),
        }
    }
}
