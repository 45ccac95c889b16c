//! `figueira replay`: what a changed rule, or a mended candidate, would have made of pairs that were kept.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Args;
use jiff::Timestamp;
use tokio::runtime::Runtime;

use crate::{
    app::replay::{self, Known},
    config::{self, Purpose},
    evidence::{preview, read::Evidence},
    parallel_run::{
        comparison::{Class, Comparison, Severity, words::Word as _},
        verdict::figures::plural,
    },
    shutdown::Shutdown,
};

/// How long tasks of the candidate may take to end.
const ENDING: Duration = Duration::from_secs(2);

/// Ask today's candidate what the control was asked in pairs that were kept, or judge the pairs by today's rules.
#[derive(Debug, Args)]
#[command(after_help = "\
What comes of it is a preview: it is kept and shown, and never counted. Only fresh pairs prove anything. What was redacted \
(cookies, as a rule) is not sent. The first column says what the pair was, the second what it would be.

Examples:
  figueira replay --route generate-image                  is what failed mended?
  figueira replay --route generate-image --rejudge        what would another rule have said?")]
pub(super) struct Replay {
    /// The file that names the routes.
    #[arg(long, value_name = "FILE", default_value = "routes.toml")]
    config: PathBuf,
    /// Of which route.
    #[arg(long, value_name = "NAME")]
    route: String,
    /// Call nobody: judge what both arms answered then by the rules of now.
    #[arg(long)]
    rejudge: bool,
    /// How many pairs, failures first.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

/// One kept pair: what it was, and what it would be.
struct Line {
    was: Class,
    preview: Comparison,
}

impl Replay {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        // Only a candidate that is asked again needs its secrets.
        let purpose = if self.rejudge { Purpose::Command } else { Purpose::Run };
        let config = config::load_for(&self.config, purpose)?;
        let names = || config.routes.routes().iter().map(|route| &*route.name);
        let Some(place) = names().position(|name| name == self.route) else {
            let names: Vec<_> = names().collect();
            bail!("{} has no route {}; it has: {}", self.config.display(), self.route, names.join(", "));
        };
        let evidence = Evidence::open(&config.start.data, Timestamp::now())?;
        if evidence.epochs_of(&self.route)?.is_empty() {
            bail!("route {} was never sampled", self.route);
        }
        let plan = config.plans.get(place).context("no such route")?;
        let epoch = evidence.epoch_of(&self.route, plan)?;
        let learned = epoch.map(|epoch| evidence.states(&epoch)).transpose()?.flatten();
        let states = match learned {
            Some(states) => states,
            // A change of rules begins an epoch that has learned nothing yet: the control is the same.
            None => evidence.last_states(&self.route)?.unwrap_or_default(),
        };
        let known = Known { place, states, spent_today: evidence.spent_today(&self.route)? };

        let folder = tempfile::tempdir().context("cannot make a folder for the generator")?;
        let runtime = Runtime::new()?;
        let lifetime = Shutdown::default();
        let (lines, unpaid) = runtime.block_on(async {
            let judge = replay::judge(&config, known, folder.path(), &lifetime).await?;
            let (mut lines, mut unpaid) = (Vec::new(), 0);
            for id in evidence.kept(&self.route, self.limit) {
                let (Some(whole), Some(stored)) =
                    (evidence.comparison(id)?, evidence.stored(&self.route, id)?)
                else {
                    continue;
                };
                let preview = match (&stored.candidate, self.rejudge) {
                    (Some(given), true) => Some(judge.again(&stored.request, &stored.control, given)),
                    // What gave no answer then cannot be judged otherwise now.
                    (None, true) => continue,
                    (_, false) => judge.anew(&stored.request, &stored.control).await,
                };
                let Some(preview) = preview else {
                    unpaid += 1;
                    continue;
                };
                // One by one: what was paid is on record whatever becomes of the next.
                preview::keep(&config.start.data, &self.route, &preview)?;
                lines.push(Line { was: whole.line.class, preview });
            }
            lifetime.begin();
            lifetime.drained(ENDING).await;
            anyhow::Ok((lines, unpaid))
        })?;
        let mut text = told(&self.route, &lines);
        if unpaid > 0 {
            let pairs = plural(unpaid, "pair");
            let _ = writeln!(
                text,
                "Left out: {pairs}, for which `budget_usd_per_day` has not enough left today."
            );
        }
        io::stdout().write_all(text.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}

fn failed(class: Class) -> bool {
    matches!(class, Class::Mismatch | Class::CandidateFailed)
}

fn told(route: &str, lines: &[Line]) -> String {
    let mut text = String::new();
    for Line { was, preview } in lines {
        let worst = preview.differences.iter().find(|difference| difference.severity == Severity::Failure);
        let path = worst.map_or("", |difference| &*difference.path);
        let path: String = path.chars().take(50).filter(|letter| !letter.is_control()).collect();
        let _ = writeln!(text, "  {:<17} {:<17} {path}", was.word(), preview.class.word());
    }
    let count = |class: fn(&Line) -> Class| lines.iter().filter(|line| failed(class(line))).count();
    let (before, now) = (count(|line| line.was), count(|line| line.preview.class));
    let kept = plural(lines.len() as u64, "kept pair");
    let _ = writeln!(text, "\n{route}: {kept}, of which {before} failed and {now} would fail now.");
    let cost: f64 = lines.iter().filter_map(|line| line.preview.candidate.as_ref()?.cost_usd).sum();
    if cost > 0.0 {
        let _ = writeln!(text, "It cost {cost:.2} US dollars.");
    }
    text.push_str("A preview: it counts for nothing, and only fresh pairs prove anything.\n");
    text
}
