//! `figueira demo`: the product on loopback, in a minute.

use std::{
    io::{self, IsTerminal},
    net::SocketAddr,
    process::ExitCode,
};

use clap::{Args, value_parser};

use super::an_address;
use crate::demo::{self, Afterwards, Ending, Ink, Options};

/// What a shell reports of a program that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// See it work: a sample monolith, the gateway in front of it, and traffic, all on loopback.
#[derive(Debug, Args)]
#[command(after_help = "\
Walks the image route through monolith, shadow, canary and migrated by editing its routes.toml while traffic flows. \
Exits with 0 when every answer was as it should be; the monolith's own errors, passed on, are no failures.

Examples:
  figueira demo                                  and then open the addresses
  figueira demo --requests 80 --exit             a quick check
  figueira demo --monolith-only 127.0.0.1:8000   only the sample monolith
  figueira demo --provider-only 127.0.0.1:8100   only the stand-in for OpenAI's API, below /v1")]
pub(super) struct Demo {
    /// Requests in all.
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = value_parser!(u32).range(1..=100_000))]
    requests: u32,
    /// End after the report, not at Ctrl-C.
    #[arg(long)]
    exit: bool,
    /// Serve only the sample monolith, here.
    #[arg(long, value_name = "ADDR", value_parser = an_address, conflicts_with_all = ["requests", "exit"])]
    monolith_only: Option<SocketAddr>,
    /// Serve only the stand-in for the provider's API, here.
    #[arg(long, value_name = "ADDR", value_parser = an_address, conflicts_with_all = ["requests", "exit", "monolith_only"])]
    provider_only: Option<SocketAddr>,
}

impl Demo {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut out = io::stdout();
        if let Some(listen) = self.monolith_only {
            demo::run_monolith(listen, &mut out)?;
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(listen) = self.provider_only {
            demo::run_provider(listen, demo::provider::Settings::default(), &mut out)?;
            return Ok(ExitCode::SUCCESS);
        }
        let options = Options {
            requests: usize::try_from(self.requests)?,
            afterwards: if self.exit { Afterwards::Exit } else { Afterwards::Stay },
            ink: if out.is_terminal() { Ink::Colour } else { Ink::Plain },
        };
        Ok(match demo::run(options, &mut out)? {
            Ending::Clean => ExitCode::SUCCESS,
            Ending::Failures(_) => ExitCode::FAILURE,
            Ending::Interrupted => ExitCode::from(INTERRUPTED),
        })
    }
}
