//! `figueira ack`: somebody has looked at an alarm, and the route need not wait for it any more.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context;
use clap::Args;
use jiff::Timestamp;

use super::who;
use crate::{
    config,
    evidence::{
        AlarmId, Said,
        said::{Acknowledging, acknowledge},
    },
    parallel_run::comparison::words::Word as _,
    routing::said::{a_reason, printable},
};

/// Say that an alarm has been looked at: a route is BLOCKED until all of its alarms are acknowledged.
#[derive(Debug, Args)]
#[command(after_help = "\
The alarms and their names stand in `figueira report --route NAME`. What is acknowledged stays in the evidence, with who \
did it and why.

Examples:
  figueira ack 019a7f3c-0001-7000-8000-000000000001-blank --reason \"a night scene\"")]
pub(super) struct Ack {
    /// The file that names the data folder.
    #[arg(long, value_name = "FILE", default_value = "routes.toml")]
    config: PathBuf,
    /// Which alarms, as the report names them.
    #[arg(required = true, value_name = "ALARM")]
    alarms: Vec<String>,
    /// Why they need not hold the route back; it is kept.
    #[arg(long, value_parser = a_reason)]
    reason: String,
}

impl Ack {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        // Broken it may be: what has to be said of an alarm does not wait for it.
        fs::metadata(&self.config).with_context(|| {
            format!("{} cannot be read: another one is named by --config", self.config.display())
        })?;
        let data = config::data_folder(&self.config);
        // A name misspelt is found before anything is written.
        let alarms: Vec<AlarmId> = self.alarms.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
        let mut out = io::stdout();
        for alarm in alarms {
            let said = Said { at: Timestamp::now(), who: who::runs("ack").name, text: self.reason.clone() };
            let Acknowledging { route, before, left } = acknowledge(&data, alarm, &said)?;
            if let Some(before) = before {
                writeln!(
                    out,
                    "{alarm}: acknowledged already, by {} at {}: {}",
                    printable(&before.who),
                    before.at,
                    printable(&before.text)
                )?;
                continue;
            }
            let rest = match left {
                0 => "no alarm blocks it any more".to_owned(),
                1 => "1 alarm still blocks it".to_owned(),
                more => format!("{more} alarms still block it"),
            };
            writeln!(out, "{route}: {} acknowledged; {rest}", alarm.kind.word())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
