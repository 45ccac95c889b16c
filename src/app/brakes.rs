//! Puts in force what a brake holds, within a moment of its being pulled in any process.

use std::{sync::Arc, time::Duration};

use prometheus_client::{metrics::gauge::Gauge, registry::Registry};
use tokio::{
    sync::Notify,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use super::in_force::InForce;
use crate::{brake::Watch, shutdown::Shutdown};

/// Between two looks at the file.
const LOOK: Duration = Duration::from_millis(250);

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
    shutdown: Shutdown,
) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    metrics.held(watch.brakes().iter().count());
    loop {
        tokio::select! {
            () = shutdown.draining() => return,
            _ = looks.tick() => {}
            () = pulled.notified() => {}
        }
        let (in_force, metrics) = (in_force.clone(), metrics.clone());
        let looked = spawn_blocking(move || {
            look(&mut watch, &in_force, &metrics);
            watch
        });
        watch = match looked.await {
            Ok(watch) => watch,
            Err(error) => {
                tracing::error!(%error, "the brakes are followed no more: what holds now holds on");
                return;
            }
        };
    }
}

fn look(watch: &mut Watch, in_force: &InForce, metrics: &Metrics) {
    match watch.look() {
        Ok(changed) => {
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
        }
        Err(error) => {
            if metrics.good.set(0) == 1 {
                tracing::error!(%error, "the brakes cannot be read: what was held last is held still");
            }
        }
    }
}
