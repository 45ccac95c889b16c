//! Puts in force what a brake holds, within a moment of its being pulled in any process.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use prometheus_client::{metrics::gauge::Gauge, registry::Registry};
use tokio::{
    sync::Notify,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use super::{in_force::InForce, news};
use crate::{
    brake::Watch,
    shutdown::Shutdown,
    tell::{Teller, Topic},
};

/// Between two looks at the file.
const LOOK: Duration = Duration::from_millis(250);

/// What happened longer ago is history, and no news.
const OLD: SignedDuration = SignedDuration::from_hours(1);

/// What the metrics say of the brakes.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    held: Gauge,
    good: Gauge,
}

impl Metrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("figueira_brakes_held", "Routes that a brake holds", metrics.held.clone());
        registry.register(
            "figueira_brakes_good",
            "1 while brake.sqlite can be read, 0 while what was known of it last is in force",
            metrics.good.clone(),
        );
        metrics.good.set(1);
        metrics
    }

    fn held(&self, routes: usize) {
        self.held.set(i64::try_from(routes).unwrap_or(i64::MAX));
    }
}

/// Follows the brakes until `shutdown`; `pulled` says that this process has just moved one.
pub(super) async fn follow(
    mut watch: Watch,
    in_force: Arc<InForce>,
    pulled: Arc<Notify>,
    metrics: Metrics,
    teller: Teller,
    shutdown: Shutdown,
) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    metrics.held(watch.brakes().iter().count());
    // What was pulled while no gateway ran is told now.
    let mut telling = true;
    loop {
        tokio::select! {
            () = shutdown.draining() => return,
            _ = looks.tick() => {}
            () = pulled.notified() => {}
        }
        let (in_force, metrics, teller) = (in_force.clone(), metrics.clone(), teller.clone());
        let looked = spawn_blocking(move || {
            let changed = look(&mut watch, &in_force, &metrics);
            if changed || telling {
                tell(&watch, &teller);
            }
            watch
        });
        telling = false;
        watch = match looked.await {
            Ok(watch) => watch,
            Err(error) => {
                tracing::error!(%error, "the brakes are followed no more: what holds now holds on");
                return;
            }
        };
    }
}

/// Looks once; true where the brakes are not what they were.
fn look(watch: &mut Watch, in_force: &InForce, metrics: &Metrics) -> bool {
    match watch.look() {
        Ok(changed) => {
            let is_changed = changed.is_some();
            if let Some(brakes) = changed {
                metrics.held(brakes.iter().count());
                let held: Vec<String> =
                    brakes.iter().map(|(route, brake)| format!("{route} at {}", brake.at)).collect();
                in_force.braked(brakes.clone());
                tracing::warn!(held = held.join(", "), "the brakes changed");
            }
            if metrics.good.set(1) == 0 {
                tracing::info!("the brakes can be read again");
            }
            is_changed
        }
        Err(error) => {
            if metrics.good.set(0) == 1 {
                tracing::error!(%error, "the brakes cannot be read: what was held last is held still");
            }
            false
        }
    }
}

/// Tells people what nobody has told them yet; of several gateways with one file, the first that gets to it does.
fn tell(watch: &Watch, teller: &Teller) {
    if !teller.is_heard(Topic::Brake) {
        return;
    }
    let now = Timestamp::now();
    match watch.store().take_untold() {
        Ok(events) => events
            .iter()
            .filter(|event| now.duration_since(event.time) < OLD)
            .for_each(|event| teller.tell(&news::of_brake(event))),
        Err(error) => tracing::error!(%error, "people are not told of the brakes"),
    }
}
