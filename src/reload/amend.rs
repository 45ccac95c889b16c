//! Changes the file for a person: works out what it would say, checks that it may, writes it.

use std::{path::Path, sync::Arc};

use jiff::Timestamp;
use similar::TextDiff;

use crate::{
    audit::{self, Book},
    config::{
        self, Config, Purpose,
        edit::{self, Edit, ReplaceError},
    },
    evidence::{Evidence, read::ReadError},
    parallel_run::verdict::State,
    report,
    routing::{
        Route,
        change::{Change, Refused, is_forward},
    },
};

/// A change that may be made.
#[derive(Debug)]
pub struct Plan {
    /// What the file says now.
    pub before: Config,
    /// What it would say.
    pub after: Config,
}

impl Plan {
    /// Works out `change` of the file at `path`, for whoever runs by it or only changes it. The verdict that walking
    /// forward takes is that of the evidence in the folder `data`.
    pub fn new(
        path: &Path,
        data: &Path,
        change: &Change,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<Self, Refused> {
        let before = config::load_for(path, purpose).map_err(|errors| Refused::Broken(errors.to_string()))?;
        let old = find(&before, change)?;
        let edit = Edit { mode: change.mode, share: change.share };
        let text = edit::edited(&before.text, &change.route, &edit)
            .map_err(|error| Refused::Uneditable(error.to_string()))?;
        let after =
            config::parse_for(&text, path, purpose).map_err(|errors| Refused::Invalid(errors.to_string()))?;
        let new = find(&after, change)?;
        if is_forward(old, new) {
            may_walk(&before, new, data, change, now)?;
        }
        Ok(Self { before, after })
    }

    /// Puts the new text in the file's place, and leaves the log open to say so; nothing where the file says so already.
    /// What cannot be written down is not done.
    pub fn write(&self, path: &Path, audit: &audit::Log) -> Result<Option<Book>, Refused> {
        if self.is_empty() {
            return Ok(None);
        }
        let book = audit.open().map_err(|error| {
            Refused::Unwritable(format!("no change without a line in {}: {error}", audit.path().display()))
        })?;
        edit::replace(path, &self.before.digest, &self.after.text).map_err(|error| match error {
            ReplaceError::Changed(_) => Refused::Moved,
            ReplaceError::Io { .. } => Refused::Unwritable(error.to_string()),
        })?;
        Ok(Some(book))
    }

    /// True where the file says so already.
    pub fn is_empty(&self) -> bool {
        self.before.digest == self.after.digest
    }

    /// The lines that change, as a unified diff.
    pub fn diff(&self) -> String {
        let diff = TextDiff::from_lines(&*self.before.text, &*self.after.text);
        diff.unified_diff().context_radius(2).to_string()
    }
}

fn find<'c>(config: &'c Config, change: &Change) -> Result<&'c Route, Refused> {
    let routes = config.routes.routes();
    routes.iter().find(|route| route.name == Arc::from(&*change.route)).ok_or_else(|| {
        let known: Vec<_> = routes.iter().map(|route| &*route.name).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Refused::Unknown { name: change.route.clone(), known }
    })
}

/// Forward is for who has a proof, or a reason.
fn may_walk(
    config: &Config,
    to: &Route,
    data: &Path,
    change: &Change,
    now: Timestamp,
) -> Result<(), Refused> {
    if change.force {
        return if change.reason.is_some() { Ok(()) } else { Err(Refused::Unreasoned) };
    }
    match verdict(config, to, data, now) {
        Ok(State::Safe) => Ok(()),
        verdict => Err(Refused::Unproven {
            route: change.route.clone(),
            to: to.mode.to_string(),
            verdict: verdict.map_or_else(|error| format!("unknown ({error})"), |state| state.to_string()),
        }),
    }
}

fn verdict(config: &Config, route: &Route, data: &Path, now: Timestamp) -> Result<State, ReadError> {
    let evidence = match Evidence::open(data, now) {
        Ok(evidence) => evidence,
        Err(ReadError::Missing(_)) => return Ok(State::None),
        Err(error) => return Err(error),
    };
    let all = config.routes.routes().iter().zip(&config.plans);
    let one = all.filter(|(known, _)| known.name == route.name);
    let standings = report::standings(Some(&evidence), one, now)?;
    Ok(standings.first().map_or(State::None, |route| route.verdict))
}
