//! `figueira completions`: what a shell needs to complete the others.

use std::{io, process::ExitCode};

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::Cli;

/// Print a shell's completion script.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  figueira completions bash > /etc/bash_completion.d/figueira")]
pub(super) struct Completions {
    /// The shell to complete in.
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut script = Vec::new();
        generate(self.shell, &mut Cli::command(), "figueira", &mut script);
        io::Write::write_all(&mut io::stdout(), &script)?;
        Ok(ExitCode::SUCCESS)
    }
}
