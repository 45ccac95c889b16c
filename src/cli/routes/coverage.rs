//! `figueira routes coverage`: how much of the site has walked?

use std::{
    fmt::Write as _,
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Args;
use comfy_table::Cell;
use secrecy::ExposeSecret;

use super::{Format, table};
use crate::{
    cli::{
        an_address,
        health::{client, reachable, unanswered},
    },
    config::{self, Purpose},
    gateway::coverage::{Coverage, ModeShare, Unnamed},
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Say how much of the traffic each mode answers, and which paths might want a route.
#[derive(Debug, Args)]
#[command(after_help = "\
It asks the running gateway, which remembers its traffic since it started.

Examples:
  figueira routes coverage
  figueira routes coverage --admin 127.0.0.1:9901 --format json")]
pub(super) struct CoverageArgs {
    /// Its admin address. [default: as in the file, or 127.0.0.1:9901]
    #[arg(long, value_name = "ADDR", value_parser = an_address)]
    admin: Option<SocketAddr>,
    /// For people or for machines.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl CoverageArgs {
    pub(super) fn run(&self, file: &Path) -> anyhow::Result<ExitCode> {
        // The file may be another machine's, or broken: then the address is given, or the usual one.
        let load = |purpose| config::load_for(file, purpose);
        let start = load(Purpose::Run).or_else(|_| load(Purpose::Command)).ok().map(|config| config.start);
        let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, 9901));
        let admin = self.admin.or(start.as_ref().and_then(|start| start.admin)).unwrap_or(usual);
        let token = start.and_then(|start| start.admin_token);
        let token = token.as_ref().map(ExposeSecret::expose_secret);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let coverage = runtime.block_on(ask(reachable(admin), token))?;
        let text = match self.format {
            Format::Text => text(&coverage),
            Format::Json => serde_json::to_string_pretty(&coverage)? + "\n",
        };
        io::stdout().write_all(text.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}

async fn ask(admin: SocketAddr, token: Option<&str>) -> anyhow::Result<Coverage> {
    let unanswered = || unanswered(admin);
    let mut request = client(PATIENCE)?.get(format!("http://{admin}/api/coverage"));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let response = request.send().await.with_context(unanswered)?;
    match response.status() {
        status if status.is_success() => {}
        reqwest::StatusCode::UNAUTHORIZED => {
            bail!(
                "{admin} wants its token: run this where what the file names as gateway.admin_token can be read"
            )
        }
        status => bail!("{admin} answered {status}: is it the admin address of a gateway of this version?"),
    }
    response.json().await.with_context(|| format!("{admin} gave an answer that is no coverage"))
}

/// Within 100 columns.
fn text(coverage: &Coverage) -> String {
    let mut out = modes(&coverage.modes);
    if coverage.unnamed.is_empty() {
        out += "\nNo path without a route looks like image generation, or is slow.\n";
    } else {
        out += "\nWithout a route, and like image generation or slow:\n\n";
        out += &unnamed(&coverage.unnamed);
    }
    // Writing to a string cannot fail.
    if coverage.more > 0 {
        let _ = writeln!(out, "and {} more", coverage.more);
    }
    if coverage.forgotten > 0 {
        let forgotten = coverage.forgotten;
        let _ = writeln!(out, "\n{forgotten} quick or rare kinds of paths were forgotten for want of room.");
    }
    out
}

fn modes(modes: &[ModeShare]) -> String {
    let sum = |value: fn(&ModeShare) -> f64| modes.iter().map(value).sum::<f64>();
    #[expect(clippy::cast_precision_loss, reason = "shown in percent")]
    let (requests, generations) =
        (|row: &ModeShare| row.requests as f64, |row: &ModeShare| row.generations as f64);
    let (all_requests, all_seconds, all_generations) =
        (sum(requests), sum(|row| row.seconds), sum(generations));
    let mut table = table::with_columns(
        &["answered in"],
        &["requests", "share", "time", "generations", "share", "by the candidate"],
    );
    for row in modes.iter().filter(|row| row.requests > 0) {
        table.add_row([
            Cell::new(&row.mode),
            table::right(row.requests),
            table::right(percent(requests(row), all_requests)),
            table::right(percent(row.seconds, all_seconds)),
            table::right(row.generations),
            table::right(percent(generations(row), all_generations)),
            table::right(row.candidate_requests),
        ]);
    }
    if all_requests == 0.0 {
        return "No traffic yet.\n".to_owned();
    }
    table::text(&table)
}

fn unnamed(paths: &[Unnamed]) -> String {
    let mut table = table::with_columns(&["path", "signs"], &["requests", "mean ms", "longest ms"]);
    for path in paths {
        let signs: Vec<_> = path.signs.iter().map(|sign| sign.name()).collect();
        let plain: String = path.path.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        table.add_row([
            Cell::new(format!("{} {plain}", path.method)),
            Cell::new(signs.join(", ")),
            table::right(path.requests),
            table::right(format!("{:.0}", path.mean_ms)),
            table::right(format!("{:.0}", path.max_ms)),
        ]);
    }
    table::text(&table)
}

fn percent(part: f64, whole: f64) -> String {
    if whole > 0.0 { format!("{:.1} %", 100.0 * part / whole) } else { "-".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::coverage::Sign;

    fn row(mode: &str, requests: u64, seconds: f64, generations: u64, candidate: u64) -> ModeShare {
        ModeShare {
            mode: mode.to_owned(),
            requests,
            seconds,
            generations,
            candidate_requests: candidate,
            candidate_generations: candidate / 2,
        }
    }

    #[test]
    fn a_page_for_people() {
        let path = |path: &str, signs: &[Sign], requests, mean_ms| Unnamed {
            method: "POST".to_owned(),
            path: path.to_owned(),
            signs: signs.into(),
            requests,
            seconds: 1.0,
            mean_ms,
            max_ms: 2.0 * mean_ms,
        };
        let coverage = Coverage {
            modes: vec![
                row("no route", 812_345, 9000.5, 40, 0),
                row("monolith", 0, 0.0, 0, 0),
                row("canary", 2000, 18_000.0, 1990, 214),
                row("images", 91_000, 30.0, 0, 0),
            ],
            unnamed: vec![
                path("/galeria/{}/gerar", &[Sign::Prompt, Sign::Slow], 40, 9120.4),
                path(&format!("/{}", "admin/relatorios/".repeat(8)), &[Sign::Slow], 3, 4001.0),
            ],
            more: 7,
            forgotten: 12,
        };
        let text = text(&coverage);
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn without_traffic_there_is_little_to_say() {
        let nothing = Coverage {
            modes: vec![row("no route", 0, 0.0, 0, 0)],
            unnamed: Vec::new(),
            more: 0,
            forgotten: 0,
        };
        assert_eq!(
            text(&nothing),
            "No traffic yet.\n\nNo path without a route looks like image generation, or is slow.\n"
        );
    }

    #[tokio::test]
    async fn nobody_there_says_what_to_do() {
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let error = format!("{:#}", ask(closed, None).await.unwrap_err());
        assert!(error.contains("is `figueira serve` running"), "{error}");
    }
}
