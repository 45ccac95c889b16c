//! `figueira brake`: hold a route back at once, whatever the file says.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;

use super::who;
use crate::{
    brake::{Lever, Pull, Pulled, read},
    config,
    routing::Hold,
};

/// Hold routes back at once, in every gateway of this data folder, whatever routes.toml says.
#[derive(Debug, Args)]
#[command(after_help = "\
A brake is in force within two seconds, also across restarts, until it is released; only `release` releases it.

Examples:
  figueira brake set generate-image --reason \"blank images\"
  figueira brake set --all --at shadow --reason \"provider is down\"
  figueira brake release generate-image --reason \"mended\"
  figueira brake list")]
pub(super) struct BrakeArgs {
    /// The file that names the routes and the data folder.
    #[arg(long, global = true, value_name = "FILE", default_value = "routes.toml")]
    config: PathBuf,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Hold a route, or every route, at a lower mode.
    Set(Set),
    /// Let a route, or every route, go back to the file's mode.
    Release(Release),
    /// Print what is held.
    List,
}

#[derive(Debug, Args)]
struct Set {
    #[command(flatten)]
    which: Which,
    /// The highest mode that is left.
    #[arg(long, value_enum, default_value_t = At::Monolith)]
    at: At,
    /// Why; it is kept, and people are told.
    #[arg(long, value_parser = a_reason)]
    reason: String,
}

#[derive(Debug, Args)]
struct Release {
    #[command(flatten)]
    which: Which,
    /// Why it is safe again; it is kept, and people are told.
    #[arg(long, value_parser = a_reason)]
    reason: String,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The route.
    name: Option<String>,
    /// Every route.
    #[arg(long)]
    all: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum At {
    Shadow,
    Monolith,
}

impl From<At> for Hold {
    fn from(at: At) -> Self {
        match at {
            At::Shadow => Self::Shadow,
            At::Monolith => Self::Monolith,
        }
    }
}

/// An empty reason is none.
pub(super) fn a_reason(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    if text.is_empty() { Err("say why, in a few words") } else { Ok(text.to_owned()) }
}

impl BrakeArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let data = config::data_folder(&self.config);
        match &self.action {
            Action::Set(set) => set.run(&self.config, &data),
            Action::Release(release) => release.run(&data),
            Action::List => list(&data),
        }
    }
}

impl Set {
    fn run(&self, file: &Path, data: &Path) -> anyhow::Result<ExitCode> {
        let routes = self.which.of(&known_routes(file, data), file)?;
        let lever = reach(data)?;
        let mut out = io::stdout();
        for route in &routes {
            let pull = Pull { route, at: self.at.into(), reason: &self.reason };
            match lever.pull(&pull, &who::runs("brake"))? {
                Pulled::Now { .. } => writeln!(out, "{route}: held at {}", pull.at)?,
                Pulled::Already(held) => {
                    writeln!(
                        out,
                        "{route}: held at {} already, by {} since {}: {}",
                        held.at, held.by, held.since, held.reason
                    )?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Release {
    fn run(&self, data: &Path) -> anyhow::Result<ExitCode> {
        let lever = reach(data)?;
        let held = lever.store().brakes()?;
        let names: Vec<&str> = held.iter().map(|(route, _)| route).collect();
        let mut out = io::stdout();
        let routes = match &self.which.name {
            Some(name) => vec![&**name],
            None => names.clone(),
        };
        for route in routes {
            if lever.release(route, &self.reason, &who::runs("brake"))?.is_none() {
                bail!("nothing holds {route}; held are: {}", some(&names));
            }
            writeln!(out, "{route}: released, the file's mode is in force")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Which {
    /// The names meant, all of which stand in the file.
    fn of(&self, known: &[String], file: &Path) -> anyhow::Result<Vec<String>> {
        match &self.name {
            Some(name) if known.contains(name) => Ok(vec![name.clone()]),
            Some(name) => {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                bail!("{} has no route {name}; it has: {}", file.display(), some(&known))
            }
            None if known.is_empty() => bail!("{} names no route", file.display()),
            None => Ok(known.to_vec()),
        }
    }
}

fn list(data: &Path) -> anyhow::Result<ExitCode> {
    let brakes = read(data)?;
    let mut out = io::stdout();
    if brakes.is_empty() {
        writeln!(out, "nothing is held")?;
    }
    for (route, brake) in brakes.iter() {
        writeln!(
            out,
            "{route}: held at {} since {} by {}: {}",
            brake.at, brake.since, brake.by, brake.reason
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The routes of the file; of the last good one where the file is broken, since that is when a brake is wanted most.
fn known_routes(file: &Path, data: &Path) -> Vec<String> {
    let config = config::load(file).or_else(|errors| config::last_good(file, data).map_err(|_| errors));
    let routes = config.map(|config| config.routes).unwrap_or_default();
    routes.routes().iter().map(|route| route.name.to_string()).collect()
}

fn reach(data: &Path) -> anyhow::Result<Lever> {
    let missing = || format!("no data folder {}: did a gateway ever run with this file?", data.display());
    if !data.is_dir() {
        bail!(missing());
    }
    Lever::open(data, Timestamp::now).context("cannot open the brakes")
}

fn some(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
