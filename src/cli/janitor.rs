//! `figueira janitor`: one visit to unfinished jobs.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use tokio::runtime::Builder;

use crate::{
    app::visiting,
    config,
    telemetry::log::{self, Sink},
};

/// Finish or undo what gateways left that are no more, let go of what has had its time, and compare store and catalog.
#[derive(Debug, Args)]
#[command(after_help = "\
`serve` does the same by itself, every few seconds; this is for a schedule, and for a data folder that is no longer \
served. What was promised and not begun it begins, and stays until that has its images; what the monolith is to be told \
it is told, once. Beside a running gateway it only does what that one does not. With a catalog that others share and that \
holds unfinished jobs of theirs it takes a `lease` ([generator]) and a little more: so long they may be silent.

It logs to standard error, as [log] says. SIGTERM and SIGINT end it as they end `serve`: it begins nothing more, finishes \
what it has begun, and ends with 0, or with 1 where `drain` ([gateway]) was not enough for that. A second one ends at once.

Examples:
  figueira janitor
  figueira janitor --config site/routes.toml")]
pub(super) struct Janitor {
    /// The file that names the data folder, store and catalog.
    #[arg(long, value_name = "FILE", default_value = "routes.toml")]
    config: PathBuf,
}

impl Janitor {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = config::load(&self.config)?;
        let _log = log::init(&config.log, Sink::Stderr)?;
        let runtime = Builder::new_multi_thread().thread_name("work").enable_all().build()?;
        let outcome = runtime.block_on(visiting::janitor(config))?;
        // What was cut is not waited for.
        runtime.shutdown_background();
        Ok(outcome.into())
    }
}
