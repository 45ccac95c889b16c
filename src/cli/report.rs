//! `figueira report`: can a route be cut over?

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::runtime::Builder;

use crate::{
    cli::brake::held,
    config::{self, Purpose},
    evidence::{
        lake::{Lake, Place, import},
        read::{Evidence, ReadError, pairs::Whole},
    },
    generator::settings::Aws,
    parallel_run::verdict::State,
    report::{self, Report, render},
};

/// Pairs of a route that a page shows.
const EXHIBITS: usize = 12;

/// Say what the parallel runs prove: can a route be cut over?
#[derive(Debug, Args)]
#[command(after_help = "\
With --gate it exits with 0 when every route is SAFE, 10 when one is UNSAFE or BLOCKED, 12 when one is STALE, 11 when one \
needs more evidence. Routes that were never sampled count only when named, or when there is no other. Where there is no \
evidence to ask, it exits with 1.

Examples:
  figueira report
  figueira report --route generate-image
  figueira report --route generate-image --gate
  figueira report --format json --output report.json
  figueira report --evidence /srv/evidence               of every gateway that exports there
  figueira report --evidence s3://evidence/shop
  figueira report --format html --output report.html     one file, to be read anywhere")]
pub(super) struct ReportArgs {
    /// The file that names the routes.
    #[arg(long, value_name = "FILE", default_value = "routes.toml")]
    config: PathBuf,
    /// Read this evidence instead of the gateway's own: a folder that gateways export to, a bucket,
    /// or another data folder.
    #[arg(long, value_name = "DIR|S3")]
    evidence: Option<String>,
    /// Only this route, with everything that is known of it.
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// For people or for machines.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write it here instead of to standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Say the verdict with the exit code.
    #[arg(long)]
    gate: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Html,
}

impl ReportArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let (report, exhibits) = self.report(Timestamp::now())?;
        let detail = if self.route.is_some() { render::Detail::Full } else { render::Detail::Table };
        let text = match self.format {
            Format::Text => render::text(&report, detail),
            Format::Json => render::json(&report)?,
            Format::Html => render::html(&report, &exhibits),
        };
        if let Some(path) = &self.output {
            fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        } else {
            io::stdout().write_all(text.as_bytes())?;
        }
        Ok(if self.gate { ExitCode::from(gate(&report)) } else { ExitCode::SUCCESS })
    }

    /// The report, and for pages the kept pairs of each route.
    fn report(&self, now: Timestamp) -> anyhow::Result<(Report, BTreeMap<String, Vec<Whole>>)> {
        let config = config::load_for(&self.config, Purpose::Command)?;
        let table = config.routes.held_by(&held(&config.brakes())?);
        let all = table.routes().iter().zip(&config.plans);
        let routes: Vec<_> =
            all.filter(|(route, _)| self.route.as_deref().is_none_or(|name| *route.name == *name)).collect();
        if let (Some(name), true) = (&self.route, routes.is_empty()) {
            let names: Vec<_> = config.routes.routes().iter().map(|route| &*route.name).collect();
            bail!("{} has no route {name}; it has: {}", self.config.display(), names.join(", "));
        }
        let fetched =
            self.evidence.as_deref().map(|place| fetch(place, &config.generator.aws)).transpose()?;
        let data = fetched.as_ref().map_or(&*config.start.data, Fetched::folder);
        let evidence = match Evidence::open(data, now) {
            Ok(evidence) => Some(evidence),
            // A gateway that never sampled anything has left none, and a gate must not take that for a yes.
            Err(ReadError::Missing(_)) if !self.gate => None,
            Err(error) => return Err(error.into()),
        };
        let report = report::build(evidence.as_ref(), routes, now)?;
        let mut exhibits = BTreeMap::new();
        if let (Format::Html, Some(evidence)) = (self.format, &evidence) {
            for route in &report.routes {
                exhibits.insert(route.name.clone(), report::exhibits(evidence, &route.name, EXHIBITS)?);
            }
        }
        Ok((report, exhibits))
    }
}

/// Evidence that is not the gateway's own.
enum Fetched {
    /// As it stands.
    Data(PathBuf),
    /// Read from a lake, for as long as this lives.
    Lake(TempDir),
}

impl Fetched {
    fn folder(&self) -> &Path {
        match self {
            Self::Data(folder) => folder,
            Self::Lake(folder) => folder.path(),
        }
    }
}

/// Finds out what `place` is, and reads a lake whole.
fn fetch(place: &str, aws: &Aws) -> anyhow::Result<Fetched> {
    let parsed = Place::parse(place).with_context(|| format!("--evidence {place}"))?;
    if let Place::Folder(folder) = &parsed
        && folder.join("evidence.sqlite").exists()
    {
        return Ok(Fetched::Data(folder.clone()));
    }
    let folder = tempfile::tempdir().context("cannot make a folder for what is read")?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime
        .block_on(async { import::fetch(&Lake::open(&parsed, aws).await?, place, folder.path()).await })
        .with_context(|| format!("cannot read the evidence in {place}"))?;
    Ok(Fetched::Lake(folder))
}

/// The worst of all verdicts, as an exit code.
fn gate(report: &Report) -> u8 {
    let worst = report.routes.iter().map(|route| route.verdict).min();
    match worst.unwrap_or(State::None) {
        State::Safe => 0,
        State::Blocked | State::Unsafe => 10,
        State::Stale => 12,
        State::Inconclusive | State::Calibrating | State::Collecting | State::None => 11,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(verdicts: &[State]) -> Report {
        let text = "[monolith]\nurl = \"http://127.0.0.1:1\"\n[[route]]\nname = \"a\"\npath = \"/a\"\nmode = \"monolith\"\ncontract = \"article\"\n";
        let config = config::parse(text, std::path::Path::new("routes.toml")).unwrap();
        let routes = || config.routes.routes().iter().zip(&config.plans);
        let mut report =
            report::build(None, verdicts.iter().flat_map(|_| routes()), Timestamp::now()).unwrap();
        for (route, verdict) in report.routes.iter_mut().zip(verdicts) {
            assert_eq!(route.verdict, State::None);
            route.verdict = *verdict;
        }
        report
    }

    #[test]
    fn the_gate_says_the_worst_of_all_routes() {
        let code = |verdicts: &[State]| gate(&reported(verdicts));
        assert_eq!(code(&[State::Safe]), 0);
        assert_eq!(code(&[State::Safe, State::None]), 0);
        assert_eq!(code(&[State::None]), 11);
        assert_eq!(code(&[]), 11);
        assert_eq!(code(&[State::Safe, State::Calibrating]), 11);
        assert_eq!(code(&[State::Stale, State::Collecting]), 12);
        assert_eq!(code(&[State::Stale, State::Unsafe]), 10);
        assert_eq!(code(&[State::Blocked, State::Safe]), 10);
    }
}
