//! `figueira erase`: a person asks to be forgotten (LGPD, art. 18; GDPR, art. 17).

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;

use crate::{config, generator};

/// Erase what is kept of one tenant's generations: records, images, and what is spooled of them.
#[derive(Debug, Args)]
#[command(after_help = "\
The tenant is what the monolith named in the header that `tenant` of [route.authorize] says. Gateways may run meanwhile; \
generations that are under way are left alone, and the exit code is 1 then: run it again. Comparisons of a parallel run \
know nobody by name; their samples end with `keep_samples`.

Examples:
  figueira erase --tenant ana")]
pub(super) struct Erase {
    /// The file that names the data folder.
    #[arg(long, value_name = "FILE", default_value = "routes.toml")]
    config: PathBuf,
    /// Whose.
    #[arg(long)]
    tenant: String,
}

impl Erase {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = config::load(&self.config)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let erased =
            runtime.block_on(generator::erase(&config.generator, &config.start.data, &self.tenant))?;
        let mut out = io::stdout();
        writeln!(out, "erased {} generations with {} images", erased.jobs, erased.images)?;
        if erased.open > 0 {
            writeln!(out, "{} are under way and were left alone: run it again", erased.open)?;
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    }
}
