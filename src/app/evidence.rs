//! Opens the evidence for a gateway, alone or in a fleet.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{runtime::Runtime, task::spawn_blocking, time::sleep};

use super::{fleet, in_force::InForce};
use crate::{
    config::Config,
    evidence::{Ledger, fleet::Fleet, ledger},
    shutdown::Shutdown,
};

/// What may wait for a lake that cannot be written, beyond `keep_comparisons`: more than a million comparisons.
const KEEP_UNEXPORTED: u64 = 1 << 30;

/// Between two attempts to open what could not be opened.
const AGAIN: Duration = Duration::from_secs(5);

/// What came of opening the evidence.
pub(super) struct Opened {
    pub(super) fleet: Option<Fleet>,
    pub(super) ledger: Ledger,
    /// It is shut, and may be had later.
    pub(super) may_pass: bool,
}

/// Where the parallel runs are kept, and the fleet that shares them. No request needs either: where the file cannot be used
/// there are none, and people are told.
pub(super) fn open(config: &Config, work: &Runtime) -> Opened {
    let shut = |error: &anyhow::Error| Ledger::shut(keeping(config), format!("{error:#}"), Timestamp::now);
    let failed = match fleet::join(config, work) {
        Err(error) => (error, false),
        Ok(fleet) => match Ledger::open(keeping(config), rand::random(), Timestamp::now) {
            Ok(ledger) => return Opened { fleet, ledger, may_pass: false },
            // Who is in a fleet opens the same file: it would be told of what is not kept.
            Err(error) => {
                let may_pass = error.may_pass() && fleet.is_none();
                (error.into(), may_pass)
            }
        },
    };
    let (error, may_pass) = failed;
    let ledger = shut(&error);
    let error = format!("{error:#}");
    if may_pass {
        tracing::error!(
            error,
            "the evidence cannot be opened yet: routes are served without their parallel runs"
        );
    } else {
        tracing::error!(
            error,
            "the evidence cannot be opened: routes are served without their parallel runs until the next start"
        );
    }
    Opened { fleet: None, ledger, may_pass }
}

/// Tries until it can be opened, and lets the routes begin their parallel runs then.
pub(super) async fn open_later(ledger: Arc<Ledger>, in_force: Arc<InForce>, life: Shutdown) {
    loop {
        tokio::select! {
            () = life.draining() => return,
            () = sleep(AGAIN) => {}
        }
        let (opening, begin) = (ledger.clone(), in_force.clone());
        let opened = spawn_blocking(move || opening.begin(rand::random()).map(|()| begin.renewed())).await;
        match opened {
            Ok(Ok(())) => return tracing::info!("the evidence is open: parallel runs begin"),
            Ok(Err(error)) if error.may_pass() => {}
            Ok(Err(error)) => {
                return tracing::error!(%error, "the evidence cannot be opened until the next start");
            }
            Err(_) => return,
        }
    }
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
