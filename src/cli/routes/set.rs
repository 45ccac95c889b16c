//! `figueira routes set`: walk a route, by an edit of the file.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::Context;
use clap::{ArgGroup, Args, ValueEnum};
use jiff::Timestamp;

use crate::{
    audit,
    cli::{brake::held, who},
    config::{self, Purpose},
    private,
    reload::{
        amend::Plan,
        audited::{Author, lines},
    },
    routing::{
        Mode, Share,
        change::Change,
        said::{a_reason, printable},
    },
};

/// Walk a route: edit its mode or its canary's percentage in place.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("step").args(["mode", "percent"]).required(true).multiple(true))]
#[command(after_help = "\
Comments and layout are kept, the whole file is checked first, and what changes is printed. A running gateway takes the \
change up at once. Walking forward, to canary or migrated or to more percent, takes a SAFE verdict, or --force with a \
--reason; walking back never does.

Examples:
  figueira routes set generate-image --mode canary --percent 5
  figueira routes set generate-image --percent 20
  figueira routes set generate-image --mode monolith --reason \"too slow at noon\"")]
pub(super) struct Set {
    /// The route.
    name: String,
    /// Where it is to stand.
    #[arg(long, value_enum)]
    mode: Option<To>,
    /// The canary's share of subjects.
    #[arg(long, value_name = "P", value_parser = a_percentage)]
    percent: Option<Share>,
    /// Why; the audit log keeps it.
    #[arg(long, value_parser = a_reason)]
    reason: Option<String>,
    /// Walk forward without a SAFE verdict.
    #[arg(long, requires = "reason")]
    force: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum To {
    Monolith,
    /// The file refuses it, and says that this version does not do it.
    #[value(hide = true)]
    Learn,
    Shadow,
    Canary,
    Migrated,
}

impl From<To> for Mode {
    fn from(to: To) -> Self {
        match to {
            To::Monolith => Self::Monolith,
            To::Learn => Self::Learn,
            To::Shadow => Self::Shadow,
            To::Canary => Self::Canary,
            To::Migrated => Self::Migrated,
        }
    }
}

fn a_percentage(text: &str) -> Result<Share, &'static str> {
    let percent: Option<f64> = text.parse().ok();
    percent.and_then(|percent| Share::from_fraction(percent / 100.0)).ok_or("a number from 0 to 100")
}

impl Set {
    pub(super) fn run(self, file: &Path) -> anyhow::Result<ExitCode> {
        let data = config::data_folder(file);
        let who = who::runs("routes set");
        let now = Timestamp::now();
        let change = Change {
            route: self.name.as_str().into(),
            mode: self.mode.map(Mode::from),
            share: self.percent,
            by: who.name.as_str().into(),
            reason: self.reason.as_deref().map(Into::into),
            force: self.force,
            generation: None,
        };
        let plan = Plan::new(file, &data, &change, Purpose::Command, now)?;
        let mut out = io::stdout();
        private::folders(&data).with_context(|| format!("cannot create {}", data.display()))?;
        let log = audit::Log::in_folder(&data);
        let Some(mut book) = plan.write(file, &log)? else {
            writeln!(out, "{}: the file says so already", self.name)?;
            return Ok(ExitCode::SUCCESS);
        };
        let author = Author { who: &who.name, why: self.reason.as_deref(), generation: None };
        let lines = lines(&plan.before, &plan.after, author, now);
        book.append(&lines)
            .with_context(|| format!("the file is changed, and {} does not say so", log.path().display()))?;
        write!(out, "{}", plan.diff())?;
        let warnings = plan.after.warnings.beyond(&plan.before.warnings);
        if !warnings.is_empty() {
            writeln!(io::stderr(), "{warnings}")?;
        }
        if let Some(held) = held(&plan.after.brakes())?.of(&self.name) {
            writeln!(
                io::stderr(),
                "{} is held at {} by the brake all the same, by {}: {}\nto let it go: figueira brake release {} --reason R",
                self.name,
                held.at,
                printable(&held.by),
                printable(&held.reason),
                self.name
            )?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
