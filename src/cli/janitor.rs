//! `figueira janitor`: one visit to unfinished jobs.

use std::{path::PathBuf, process::ExitCode, time::SystemTime};

use anyhow::Context;
use clap::Args;
use prometheus_client::registry::Registry;
use tokio::{runtime::Builder, time::Instant};

use crate::{
    compute::Compute,
    config,
    generator::{Chores, Generator, Metrics},
    shutdown::Shutdown,
};

/// Finish or undo what gateways left that are no more, let go of what has had its time, and compare store and catalog.
#[derive(Debug, Args)]
#[command(after_help = "\
`serve` does the same by itself, every few seconds; this is for a schedule, and for a data folder that is no longer \
served. Beside a running gateway it only does what that one does not. With a catalog that others share and that holds \
unfinished jobs of theirs it takes a `lease` ([generator]) and a little more: so long they may be silent.

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
        let runtime = Builder::new_multi_thread().thread_name("work").enable_all().build()?;
        let life = Shutdown::default();
        runtime.block_on(async {
            let metrics = Metrics::register(&mut Registry::default());
            let data = &config.start.data;
            let generator =
                Generator::open(config.generator, data, life, metrics, Compute::default(), SystemTime::now)
                    .await
                    .context("cannot open the generator")?;
            // It ends by itself once a lease is over.
            let until = Instant::now() + generator.settings().lease.saturating_mul(2);
            generator.keep_house_once(Chores::Everything, until).await;
            anyhow::Ok(())
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
