//! Tells people when a route's verdict changes. It reads the evidence as `figueira report` does, on a thread of its own,
//! and only while a hook wants to hear of it.

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use super::{in_force::InForce, news};
use crate::{
    evidence::{Evidence, read::ReadError},
    report::{self, Report},
    shutdown::Shutdown,
    tell::{Teller, Topic},
};

/// Between two looks: a report over a million comparisons takes a second.
const LOOK: Duration = Duration::from_mins(1);

/// Follows the verdicts until `shutdown`.
pub(super) async fn follow(in_force: Arc<InForce>, data: PathBuf, teller: Teller, shutdown: Shutdown) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known = HashMap::new();
    loop {
        tokio::select! {
            () = shutdown.draining() => return,
            _ = looks.tick() => {}
        }
        if !teller.is_heard(Topic::Verdict) {
            continue;
        }
        let (in_force, data, now) = (in_force.clone(), data.clone(), Timestamp::now());
        match spawn_blocking(move || report(&in_force, &data, now)).await {
            Ok(Ok(report)) => {
                for news in news::of_verdicts(&report, &mut known, now) {
                    teller.tell(&news);
                }
            }
            Ok(Err(ReadError::Missing(_))) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the verdicts cannot be read"),
            Err(error) => tracing::error!(%error, "reading the verdicts failed"),
        }
    }
}

fn report(in_force: &InForce, data: &std::path::Path, now: Timestamp) -> Result<Report, ReadError> {
    let config = in_force.config();
    let evidence = Evidence::open(data, now)?;
    report::build(Some(&evidence), config.routes.routes().iter().zip(&config.plans), now)
}
