//! `figueira catalog`: the table that a `DynamoDB` catalog needs.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Subcommand};
use tokio::runtime::Builder;

use crate::{
    config::{self, Purpose},
    generator::catalog_table,
};

/// Make what the catalog needs and does not make by itself.
#[derive(Debug, Args)]
#[command(after_help = "\
A catalog in SQLite needs nothing. A table of DynamoDB is made on demand pricing, with its index and its expiry; one that \
is there is left as it is.

Examples:
  figueira catalog create
  figueira catalog create --config site/routes.toml")]
pub(super) struct Catalog {
    /// The file that names the catalog.
    #[arg(long, global = true, value_name = "FILE", default_value = "routes.toml")]
    config: PathBuf,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create the table that `[generator.catalog]` names.
    #[command(after_help = "\
Example:
  figueira catalog create --config site/routes.toml")]
    Create,
}

impl Catalog {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let Action::Create = self.action;
        let config = config::load_for(&self.config, Purpose::Command)?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let said = runtime.block_on(catalog_table(&config.generator)).map_err(anyhow::Error::from_boxed)?;
        writeln!(io::stdout(), "{said}")?;
        Ok(ExitCode::SUCCESS)
    }
}
