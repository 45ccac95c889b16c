//! `figueira routes explain`: who would answer this request, and why?

use std::{
    io::{self, Write},
    net::IpAddr,
    path::Path,
    process::ExitCode,
};

use clap::Args;

use crate::{
    cli::{WrongUsage, brake::held},
    config::{self, Purpose},
    routing::{explain, explain::Ask},
};

/// Say who would answer a request, and why nobody else.
#[derive(Debug, Args)]
#[command(after_help = "\
It reads the file and the brakes, and asks no gateway: a running gateway answers the same at /api/routes/explain.

Examples:
  figueira routes explain POST /api/images
  figueira routes explain GET 'http://www.example.com/img/a.png?v=2' -H 'cookie: session=ana'")]
pub(super) struct Explain {
    /// As on the wire: POST.
    method: String,
    /// A path with its query, or a whole URL.
    url: String,
    /// A header, as `name: value`; may be repeated.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Who asks.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    client: IpAddr,
}

impl Explain {
    pub(super) fn run(&self, file: &Path) -> anyhow::Result<ExitCode> {
        let headers = self.headers.iter().map(String::as_str);
        let ask = Ask::new(&self.method, &self.url, headers)
            .map_err(|error| WrongUsage(error.to_string()))?
            .from(self.client);
        let config = config::load_for(file, Purpose::Command)?;
        let held = config.routes.held_by(&held(&config.brakes())?);
        let text = explain(&held, &ask.head()).text(&file.display().to_string());
        io::stdout().write_all(text.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}
