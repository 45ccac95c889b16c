//! `figueira erase`: a person asks to be forgotten (LGPD, art. 18; GDPR, art. 17).

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, builder::NonEmptyStringValueParser};
use jiff::Timestamp;

use crate::{
    config::{self, Purpose},
    evidence, generator,
};

/// Erase what is kept of one person: generations with their images and what is spooled of them, idempotency keys, and
/// compared pairs.
#[derive(Debug, Args)]
#[command(after_help = "\
The tenant is what the monolith named in the header that `tenant` of [route.authorize] says. Generations for which it named \
nobody, pairs of a parallel run, with their samples, and keys of requests that the monolith answered are known by the value \
of the route's `subject` instead: a session or a user's id, as it came in the cookie or header. Where that is the tenant's name, it need not be said. Gateways may run meanwhile; generations that are \
under way are left alone, and the exit code is 1 then: run it again. Parquet that was exported, and backups, are yours to \
erase.

Examples:
  figueira erase --tenant ana
  figueira erase --tenant ana --subject 5f2c81d09e --subject 77a0b3c4d2")]
pub(super) struct Erase {
    /// The file that names the data folder.
    #[arg(long, value_name = "FILE", default_value = "routes.toml")]
    config: PathBuf,
    /// Whose.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    tenant: String,
    /// A value of the route's `subject` that was this person's; may be given more than once.
    #[arg(long, value_name = "VALUE", value_parser = NonEmptyStringValueParser::new())]
    subject: Vec<String>,
}

impl Erase {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = config::load_for(&self.config, Purpose::Command)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let erased = runtime.block_on(generator::erase(
            &config.generator,
            &config.start.data,
            &self.tenant,
            &self.subject,
        ))?;
        let mut compared = evidence::erase::Erased::default();
        for subject in std::iter::once(&self.tenant).chain(&self.subject) {
            compared += evidence::erase::erase(&config.start.data, subject.as_bytes(), Timestamp::now())?;
        }
        let mut out = io::stdout();
        writeln!(
            out,
            "erased {} generations with {} images, {} keys of other requests, and {} compared pairs",
            erased.jobs, erased.images, erased.keys, compared.pairs
        )?;
        if compared.alarms > 0 {
            writeln!(out, "alarms among them that nobody had acknowledged: {}", compared.alarms)?;
        }
        if erased.open > 0 {
            writeln!(out, "{} are under way and were left alone: run it again", erased.open)?;
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    }
}
