//! The command line: one file a subcommand.

mod demo;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A strangler-fig gateway: forwards a monolith unchanged, and lets its image generation walk out one route at a time.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
}

impl Cli {
    /// Runs the command to its end.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Demo(demo) => demo.run(),
        }
    }
}
