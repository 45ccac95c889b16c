//! `figueira verify`: is the gateway transparent?

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, ValueEnum};

use crate::verify::{self, Draft, Exchange, Methods, Side};

/// Compare a site's own answers with those that come through a gateway, byte by byte.
#[derive(Debug, Args)]
#[command(after_help = "\
Every exchange is sent to the site, through the gateway, and to the site once more. What the site's own answers do not agree \
on (dates, random values) is learned from that, said, and not compared. A difference is asked for again before it is told. \
Both are told X-Forwarded-Host and X-Forwarded-Proto, as a gateway tells them.

Exits with 0 when all is the same, 3 when something differs, 1 when a side cannot be asked, 2 for wrong usage.

Examples:
  figueira verify --direct http://127.0.0.1:8000 --via http://127.0.0.1:8080
  figueira verify --direct https://origin.example --via https://shop.example --host shop.example
  figueira verify --direct http://127.0.0.1:8000 --via http://127.0.0.1:8080 --paths paths.txt")]
pub(super) struct Verify {
    /// The site itself: scheme, host and port.
    #[arg(long, value_name = "URL")]
    direct: Side,
    /// The gateway before it.
    #[arg(long, value_name = "URL")]
    via: Side,
    /// Ask for these instead of what is built in: a target a line, or a method and a target.
    #[arg(long, value_name = "FILE")]
    paths: Option<PathBuf>,
    /// Send methods that may change the site too: POST, PUT, PATCH, DELETE.
    #[arg(long)]
    unsafe_methods: bool,
    /// What both are asked for. [default: the host and port of --direct]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// A field of every request, as often as you like: a session's cookie, say.
    #[arg(short = 'H', long, value_name = "NAME: VALUE", value_parser = field)]
    header: Vec<String>,
    /// PEM file of who vouches for their certificates. [default: whom this system trusts]
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// For people or for machines.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

fn field(text: &str) -> Result<String, String> {
    const FRAMING: [&str; 2] = ["content-length", "transfer-encoding"];
    let is_token = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    match text.split_once(':') {
        Some((name, _)) if name.eq_ignore_ascii_case("host") => {
            Err("is said by --host: a request has one".to_owned())
        }
        Some((name, _)) if FRAMING.iter().any(|framing| name.eq_ignore_ascii_case(framing)) => {
            Err("says how long a body is: each request says that of its own".to_owned())
        }
        Some((name, value)) if is_token(name) && !value.contains(char::is_control) => Ok(text.to_owned()),
        _ => Err("has to be `name: value`".to_owned()),
    }
}

impl Verify {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let trusting = |side: Side| {
            let text = side.to_string();
            let trust = side.trusting(self.cacert.as_deref());
            trust.with_context(|| {
                format!("no certificate of {text} could be trusted: name a PEM file by --cacert")
            })
        };
        let (direct, via) = (trusting(self.direct.clone())?, trusting(self.via.clone())?);
        let host = self.host.clone().unwrap_or_else(|| direct.authority());
        // A site that builds links from what it is told of its clients builds the same for both.
        let told = [format!("X-Forwarded-Host: {host}"), format!("X-Forwarded-Proto: {}", via.scheme())];
        let draft = Draft::new(host, told.into_iter().chain(self.header.clone()).collect());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let exchanges = match self.own(&draft) {
            Some(Ok(exchanges)) => exchanges,
            Some(Err(wrong)) => {
                writeln!(io::stderr(), "{wrong}")?;
                return Ok(ExitCode::from(2));
            }
            None => runtime.block_on(self.built_in(&direct, &draft))?,
        };

        let mut out = io::stdout();
        if self.format == Format::Text {
            writeln!(out, "direct  {direct}\nvia     {via}\n")?;
        }
        let mut heard = Ok(());
        let report = runtime.block_on(verify::verify(&direct, &via, &exchanges, |outcome| {
            if self.format == Format::Text && heard.is_ok() {
                heard = out.write_all(outcome.text().as_bytes());
            }
        }))?;
        heard?;
        match self.format {
            Format::Text => out.write_all(report.summary().as_bytes())?,
            Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
        }
        Ok(if report.differing() == 0 { ExitCode::SUCCESS } else { ExitCode::from(3) })
    }

    /// The exchanges of `--paths`, or everything that is wrong with the file.
    fn own(&self, draft: &Draft) -> Option<Result<Vec<Exchange>, String>> {
        let file = self.paths.as_ref()?;
        let named = |what: String| format!("{}:{what}", file.display());
        let methods = if self.unsafe_methods { Methods::Any } else { Methods::Safe };
        Some(match fs::read_to_string(file) {
            Ok(text) => verify::in_file(&text, draft, methods)
                .map_err(|bad| bad.iter().map(|bad| named(bad.to_string())).collect::<Vec<_>>().join("\n")),
            Err(error) => Err(named(format!(" cannot be read: {error}"))),
        })
    }

    async fn built_in(&self, direct: &Side, draft: &Draft) -> anyhow::Result<Vec<Exchange>> {
        let page = verify::first_page(direct, draft).await?;
        let mut exchanges = verify::of_safe_methods(draft, &page);
        if self.unsafe_methods {
            exchanges.extend(verify::of_unsafe_methods(draft));
        }
        Ok(exchanges)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_each_request_has_of_its_own_are_refused() {
        for wrong in ["Host: b", "transfer-encoding: chunked", "Content-Length: 1", "X", ": b", "X: a\nb"] {
            assert!(field(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(field("X-Host: b"), Ok("X-Host: b".to_owned()));
    }
}
