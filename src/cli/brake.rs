//! `figueira brake`: hold a route back at once, whatever the file says.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use tokio::runtime::{Builder, Runtime};

use super::who;
use crate::{
    brake::{self, Lever, Place, Pull, Pulled},
    config::{self, Config, Purpose},
    private,
    routing::{
        Brakes, Hold,
        said::{a_reason, printable},
    },
};

/// Said where no brake holds.
const NOTHING: &str = "nothing is held";

/// Hold routes back at once, in every gateway of this data folder or fleet, whatever routes.toml says.
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
    #[command(after_help = "\
Example:
  figueira brake list")]
    List,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  figueira brake set generate-image --reason \"blank images\"
  figueira brake set --all --at shadow --reason \"provider is down\"")]
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
#[command(after_help = "\
Examples:
  figueira brake release generate-image --reason \"mended\"
  figueira brake release --all --reason \"the provider is back\"")]
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

impl BrakeArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = config(&self.config)?;
        match &self.action {
            Action::Set(set) => set.run(&self.config, &config),
            Action::Release(release) => release.run(&config.brakes()),
            Action::List => list(&config.brakes()),
        }
    }
}

impl Set {
    fn run(&self, file: &Path, config: &Config) -> anyhow::Result<ExitCode> {
        let known: Vec<&str> = config.routes.routes().iter().map(|route| &*route.name).collect();
        let routes = self.which.of(&known, file)?;
        let reach = Reach::open(&config.brakes())?;
        let pull = Pull { routes: &routes, at: self.at.into(), reason: &self.reason };
        let pulled = reach.lever.pull(&pull, &who::runs("brake"))?;
        let (mut out, mut exit) = (io::stdout(), ExitCode::SUCCESS);
        for (route, pulled) in routes.iter().zip(pulled) {
            match pulled {
                Pulled::Now { .. } => writeln!(out, "{route}: held at {}", pull.at)?,
                Pulled::Already(held) => {
                    writeln!(
                        out,
                        "{route}: held at {} already, by {} since {}: {}",
                        held.at,
                        printable(&held.by),
                        held.since,
                        printable(&held.reason)
                    )?;
                }
                Pulled::Here { why, .. } => {
                    exit = ExitCode::FAILURE;
                    writeln!(
                        out,
                        "{route}: held at {} by the gateways of this data folder, and of the fleet as soon as one of \
                         them can tell it: {why}",
                        pull.at
                    )?;
                }
            }
        }
        Ok(exit)
    }
}

impl Release {
    fn run(&self, place: &Place) -> anyhow::Result<ExitCode> {
        let Reach { lever, .. } = &Reach::open(place)?;
        let held = lever.store().brakes()?;
        let names: Vec<&str> = held.iter().map(|(route, _)| route).collect();
        let mut out = io::stdout();
        let routes = match &self.which.name {
            Some(name) => vec![&**name],
            None => names.clone(),
        };
        if routes.is_empty() {
            writeln!(out, "{NOTHING}")?;
        }
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
    fn of<'a>(&'a self, known: &[&'a str], file: &Path) -> anyhow::Result<Vec<&'a str>> {
        match &self.name {
            Some(name) if known.contains(&&**name) => Ok(vec![name]),
            Some(name) => bail!("{} has no route {name}; it has: {}", file.display(), some(known)),
            None if known.is_empty() => bail!("{} names no route", file.display()),
            None => Ok(known.to_vec()),
        }
    }
}

fn list(place: &Place) -> anyhow::Result<ExitCode> {
    let brakes = held(place)?;
    let mut out = io::stdout();
    if brakes.is_empty() {
        writeln!(out, "{NOTHING}")?;
    }
    for (route, brake) in brakes.iter() {
        writeln!(
            out,
            "{route}: held at {} since {} by {}: {}",
            brake.at,
            brake.since,
            printable(&brake.by),
            printable(&brake.reason)
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the file says; what it said when it was last good where it is broken, since that is when a brake is wanted most.
fn config(file: &Path) -> anyhow::Result<Config> {
    let (data, purpose) = (config::data_folder(file), Purpose::Command);
    let last_good = |errors| config::last_good(file, &data, purpose).map_err(|_| errors);
    Ok(config::load_for(file, purpose).or_else(last_good)?)
}

/// The brakes that are kept at `place`.
pub(super) fn held(place: &Place) -> anyhow::Result<Brakes> {
    let runtime = runtime()?;
    Ok(brake::read(place, runtime.handle())?)
}

/// A lever, and what drives its calls.
struct Reach {
    lever: Lever,
    _runtime: Runtime,
}

impl Reach {
    fn open(place: &Place) -> anyhow::Result<Self> {
        if place.table.is_some() {
            // A fleet's brakes can be moved from anywhere; what was done is still written down here.
            private::folders(&place.data)
                .with_context(|| format!("cannot create {}", place.data.display()))?;
        } else if !place.data.is_dir() {
            bail!("no data folder {}: did a gateway ever run with this file?", place.data.display());
        }
        let runtime = runtime()?;
        let lever = Lever::open(place, runtime.handle(), Timestamp::now).context("cannot open the brakes")?;
        Ok(Self { lever, _runtime: runtime })
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(1).enable_all().build()
}

fn some(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
