//! `figueira routes list`: how far has each route walked?

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use clap::Args;
use comfy_table::Cell;
use jiff::Timestamp;
use serde_json::json;

use super::{Format, table};
use crate::{
    cli::brake::held,
    config::{self, Config, Purpose},
    evidence::read::{Evidence, ReadError},
    parallel_run::verdict::State,
    report,
    routing::{Mode, Route},
};

/// Show every route, its mode, and its verdict.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  figueira routes list")]
pub(super) struct List {
    /// For people or for machines.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl List {
    pub(super) fn run(&self, file: &Path) -> anyhow::Result<ExitCode> {
        let config = config::load_for(file, Purpose::Command)?;
        let held = config.routes.held_by(&held(&config.brakes())?);
        // Where a route stands is to be seen also while the evidence cannot be read.
        let (verdicts, exit) = match verdicts(&config, Timestamp::now()) {
            Ok(verdicts) => (verdicts.into_iter().map(Some).collect(), ExitCode::SUCCESS),
            Err(error) => {
                writeln!(io::stderr(), "figueira: the verdicts are not known: {error:#}")?;
                (vec![None; held.routes().len()], ExitCode::FAILURE)
            }
        };
        let routes: Vec<_> = held.routes().iter().zip(verdicts).collect();
        let text = match self.format {
            Format::Text => text(&routes),
            Format::Json => json(&routes),
        };
        io::stdout().write_all(text.as_bytes())?;
        Ok(exit)
    }
}

/// What the evidence says of each route.
fn verdicts(config: &Config, now: Timestamp) -> anyhow::Result<Vec<State>> {
    let evidence = match Evidence::open(&config.start.data, now) {
        Ok(evidence) => Some(evidence),
        Err(ReadError::Missing(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let routes = config.routes.routes().iter().zip(&config.plans);
    let standings = report::standings(evidence.as_ref(), routes, now)?;
    Ok(standings.iter().map(|standing| standing.verdict).collect())
}

fn text(routes: &[(&Route, Option<State>)]) -> String {
    if routes.is_empty() {
        return "no routes: everything goes to the monolith\n".to_owned();
    }
    let mut table = table::with_columns(&["route", "mode", "in force", "share", "verdict", "takes"], &[]);
    for (route, verdict) in routes {
        let share = match route.mode {
            Mode::Canary => format!("{} %", route.canary.share.percent()),
            _ => "-".to_owned(),
        };
        table.add_row([
            Cell::new(&route.name),
            Cell::new(route.mode),
            Cell::new(in_force(route)),
            table::right(share),
            Cell::new(verdict.map_or("unknown", State::as_str)),
            Cell::new(route.takes()),
        ]);
    }
    table::text(&table)
}

/// The mode in force, and whether a brake holds it.
fn in_force(route: &Route) -> String {
    let held = if route.brake.is_some() { ", held" } else { "" };
    format!("{}{held}", route.effective_mode())
}

fn json(routes: &[(&Route, Option<State>)]) -> String {
    let route = |(route, verdict): &(&Route, Option<State>)| {
        json!({
            "name": *route.name,
            "line": route.line,
            "takes": route.takes(),
            "mode": route.mode.as_str(),
            "effective_mode": route.effective_mode().as_str(),
            "percent": route.canary.share.percent(),
            "verdict": verdict.map(State::as_str),
            "held_by": route.brake.as_deref().map(|brake| format!("{}: {}", brake.by, brake.reason)),
        })
    };
    format!("{:#}\n", json!({ "routes": routes.iter().map(route).collect::<Vec<_>>() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_route() {
        let text = r#"
monolith.url = "http://127.0.0.1:1"
[[route]]
name = "generate-image"
methods = ["POST"]
path = "/api/images"
mode = "canary"
contract = "article"
subject = "cookie:session"
canary.percent = 12.5
[[route]]
name = "beta"
host = "*.example.com"
path = "/api/images/{id}/variations"
headers = { x-beta = { prefix = "v2" }, x-customer = { present = true } }
mode = "shadow"
contract = "openai"
"#;
        let config = config::parse(text, Path::new("routes.toml")).unwrap();
        let routes: Vec<_> = config.routes.routes().iter().zip([Some(State::Safe), None]).collect();
        insta::assert_snapshot!(super::text(&routes));
        let parsed: serde_json::Value = serde_json::from_str(&json(&routes)).unwrap();
        assert_eq!(parsed["routes"][0]["verdict"], "SAFE");
        assert_eq!(parsed["routes"][1]["verdict"], serde_json::Value::Null);
        assert_eq!(super::text(&[]), "no routes: everything goes to the monolith\n");
    }
}
