//! `figueira janitor`: one visit to unfinished jobs.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use tokio::{runtime::Builder, time::Instant};

use crate::{app::visiting, config, generator::Chores, shutdown::Shutdown};

/// What is left to finish in the end: a hook that is told of a dead letter.
const LAST_WORK: Duration = Duration::from_secs(10);

/// Finish or undo what gateways left that are no more, let go of what has had its time, and compare store and catalog.
#[derive(Debug, Args)]
#[command(after_help = "\
`serve` does the same by itself, every few seconds; this is for a schedule, and for a data folder that is no longer \
served. What was promised and not begun it begins, and stays until that has its images; what the monolith is to be told \
it is told, once. Beside a running gateway it only does what that one does not. With a catalog that others share and that \
holds unfinished jobs of theirs it takes a `lease` ([generator]) and a little more: so long they may be silent.

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
            let generator = visiting::open(&config, &config.start.data, &life).await?;
            // It ends by itself once a lease is over, and what it has begun by then has had its place and its images.
            let settings = generator.settings();
            let stay = settings.lease.saturating_add(settings.deadline).saturating_mul(2);
            generator.keep_house_once(Chores::Everything, Instant::now() + stay).await;
            life.begin();
            life.drained(LAST_WORK).await;
            anyhow::Ok(())
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
