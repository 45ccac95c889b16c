//! The command line: one file a subcommand.
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0 success, 1 failure, 2 wrong usage,
//! and those that a command documents for itself.

mod serve;
mod demo;
mod check;
mod routes;
mod health;
mod completions;
mod report;
mod ack;
mod erase;
mod replay;
mod brake;
mod catalog;
mod janitor;
mod lambda;
mod who;
mod verify;

use std::{env, net::SocketAddr, process::ExitCode};

use clap::{Parser, Subcommand};
use thiserror::Error;

/// A strangler-fig gateway: forwards a monolith unchanged, and lets its image generation walk out one route at a time.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What was asked for makes no sense, whatever the files say.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct WrongUsage(String);

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Demo(demo::Demo),
    Check(check::Check),
    Routes(routes::Routes),
    Report(report::ReportArgs),
    Ack(ack::Ack),
    Erase(erase::Erase),
    Replay(replay::Replay),
    Brake(brake::BrakeArgs),
    Catalog(catalog::Catalog),
    Janitor(janitor::Janitor),
    Lambda(lambda::Lambda),
    Verify(verify::Verify),
    Health(health::Health),
    Completions(completions::Completions),
}

const EXAMPLES: &str = "\
Examples:
  figueira demo                                    see it work, on loopback, in a minute
  figueira serve --monolith http://127.0.0.1:8000  forward everything
  figueira serve --config routes.toml              and let routes walk
  figueira verify --direct URL --via URL           can anybody tell that it is there?
  figueira check                                   every error of routes.toml
  figueira routes explain POST /api/images         who answers, and why
  figueira report                                  can a route be cut over?";

/// An address of this machine or another.
fn an_address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "it takes an address with its port, such as 127.0.0.1:9901 or [::1]:9901".to_owned())
}

impl Cli {
    /// What this process was started to do. AWS Lambda starts it without an argument, to serve there.
    pub fn of_process() -> Self {
        if env::args_os().len() == 1 && env::var_os("AWS_LAMBDA_RUNTIME_API").is_some() {
            Self::parse_from(["figueira", "lambda"])
        } else {
            Self::parse()
        }
    }

    /// Runs the command to its end.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Serve(serve) => serve.run(),
            Command::Demo(demo) => demo.run(),
            Command::Check(check) => check.run(),
            Command::Routes(routes) => routes.run(),
            Command::Report(report) => report.run(),
            Command::Ack(ack) => ack.run(),
            Command::Erase(erase) => erase.run(),
            Command::Replay(replay) => replay.run(),
            Command::Brake(brake) => brake.run(),
            Command::Catalog(catalog) => catalog.run(),
            Command::Janitor(janitor) => janitor.run(),
            Command::Lambda(lambda) => lambda.run(),
            Command::Verify(verify) => verify.run(),
            Command::Health(health) => health.run(),
            Command::Completions(completions) => completions.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use clap::{Command as Described, CommandFactory};

    use super::*;

    /// `command` and all below it, to the last.
    fn all(command: &Described) -> Vec<&Described> {
        let below = command.get_subcommands().filter(|below| below.get_name() != "help");
        iter::once(command).chain(below.flat_map(all)).collect()
    }

    #[test]
    fn a_walk_takes_a_mode_or_a_share() {
        let walk = |rest: &[&str]| {
            Cli::try_parse_from(["figueira", "routes", "set", "r"].iter().chain(rest))
                .map_err(|error| error.to_string())
        };
        let error = walk(&[]).unwrap_err();
        assert!(error.contains("--mode") && error.contains("--percent"), "{error}");
        assert!(walk(&["--percent", "5"]).is_ok());
        let error = walk(&["--mode", "walk"]).unwrap_err();
        assert!(error.contains("canary") && !error.contains("learn"), "{error}");
        assert!(walk(&["--mode", "learn"]).is_ok(), "the file says that it is not in this version");
    }

    #[test]
    fn every_command_is_well_formed_and_shows_examples() {
        let mut cli = Cli::command();
        cli.build();
        cli.clone().debug_assert();
        for command in all(&cli) {
            let (name, help) = (command.get_name(), command.get_after_help().map(ToString::to_string));
            let help = help.unwrap_or_default();
            assert!(help.contains("Example"), "`{name}` shows no example:\n{help}");
            // Beyond, it is broken anywhere.
            let mut examples = help.lines().filter(|line| line.starts_with("  "));
            assert!(examples.all(|line| line.chars().count() <= 100), "`{name}`:\n{help}");
        }
    }
}
