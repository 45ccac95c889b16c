//! Opens the evidence for a gateway, alone or in a fleet.

use jiff::Timestamp;
use tokio::runtime::Runtime;

use super::fleet;
use crate::{
    config::Config,
    evidence::{Ledger, fleet::Fleet, ledger},
};

/// What may wait for a lake that cannot be written, beyond `keep_comparisons`: more than a million comparisons.
const KEEP_UNEXPORTED: u64 = 1 << 30;

/// Where the parallel runs are kept, and the fleet that shares them. No request needs either: where the file cannot be used
/// there are none, and people are told.
pub(super) fn open(config: &Config, work: &Runtime) -> (Option<Fleet>, Ledger) {
    let opened = || -> anyhow::Result<_> {
        let fleet = fleet::join(config, work)?;
        Ok((fleet, Ledger::open(keeping(config), rand::random(), Timestamp::now)?))
    };
    opened().unwrap_or_else(|error| {
        let error = format!("{error:#}");
        tracing::error!(
            error,
            "the evidence cannot be opened: routes are served without their parallel runs until the next start"
        );
        (None, Ledger::shut(keeping(config), error, Timestamp::now))
    })
}

/// Where the evidence is kept, and how long.
pub(super) fn keeping(config: &Config) -> ledger::Settings {
    ledger::Settings {
        data: config.start.data.clone(),
        keep_samples: config.parallel_run.keep_samples,
        keep_comparisons: config.parallel_run.keep_comparisons,
        keep_unexported: if config.export.is_some() { KEEP_UNEXPORTED } else { 0 },
        redact: config.parallel_run.redact.clone(),
    }
}
