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
    admin::Readiness,
    brake::{Pulled, Standing, Watch},
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
            "1 while the brakes can be read, 0 while what was known of them last is in force",
            metrics.good.clone(),
        );
        metrics.good.set(1);
        metrics
    }

    fn held(&self, routes: usize) {
        self.held.set(i64::try_from(routes).unwrap_or(i64::MAX));
    }
}

/// Whom a change of the brakes concerns.
#[derive(Clone)]
pub(super) struct Concerned {
    pub(super) in_force: Arc<InForce>,
    pub(super) metrics: Metrics,
    pub(super) readiness: Arc<Readiness>,
    pub(super) teller: Teller,
}

/// Says that a brake does not hold in the whole fleet, if that is so.
pub(super) fn held_here_only(route: &str, pulled: &[Pulled]) {
    if let [Pulled::Here { why, .. }] = pulled {
        tracing::error!(route, error = why, "a brake holds here only: the fleet cannot be told yet");
    }
}

/// Follows the brakes until `shutdown`; `pulled` says that this process has just moved one.
pub(super) async fn follow(mut watch: Watch, concerned: Concerned, pulled: Arc<Notify>, shutdown: Shutdown) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    concerned.metrics.held(watch.brakes().iter().count());
    // What was pulled while no gateway ran is told now.
    let mut telling = true;
    loop {
        tokio::select! {
            () = shutdown.draining() => return,
            _ = looks.tick() => {}
            () = pulled.notified() => {}
        }
        let concerned = concerned.clone();
        let looked = spawn_blocking(move || {
            let changed = concerned.look(&mut watch);
            let telling = changed || telling;
            let is_time = telling && (changed || watch.trouble().is_none());
            (if is_time { !tell(&watch, &concerned.teller) } else { telling }, watch)
        });
        (telling, watch) = match looked.await {
            Ok(watch) => watch,
            Err(error) => {
                tracing::error!(%error, "the brakes are followed no more: what holds now holds on");
                return;
            }
        };
    }
}

impl Concerned {
    /// Looks once; true where the brakes are not what they were, or can be read again.
    fn look(&self, watch: &mut Watch) -> bool {
        let changed = watch.look();
        let mut is_news = changed.is_some();
        if let Some(brakes) = changed {
            self.metrics.held(brakes.iter().count());
            let held: Vec<String> =
                brakes.iter().map(|(route, brake)| format!("{route} at {}", brake.at)).collect();
            self.in_force.braked(brakes.clone());
            tracing::warn!(held = held.join(", "), "the brakes changed");
        }
        self.readiness.brakes_are(watch.standing().as_str());
        match watch.trouble() {
            None if self.metrics.good.set(1) == 0 => {
                tracing::info!("the brakes can be read again");
                is_news = true;
            }
            Some(error) if self.metrics.good.set(0) == 1 => match watch.standing() {
                Standing::Unknown => {
                    tracing::error!(%error, "the brakes are not known: every route is held at monolith");
                }
                Standing::Current | Standing::LastKnown => {
                    tracing::error!(%error, "the brakes cannot be read: what was held last is held still");
                }
            },
            _ => {}
        }
        is_news
    }
}

/// Tells people what nobody has told them yet; of several gateways with the same brakes, the first that gets to it does.
/// False where that is to be tried again.
fn tell(watch: &Watch, teller: &Teller) -> bool {
    if !teller.is_heard(Topic::Brake) {
        return true;
    }
    let now = Timestamp::now();
    match watch.store().take_untold() {
        Ok(events) => {
            let fresh = events.iter().filter(|event| now.duration_since(event.time) < OLD);
            fresh.for_each(|event| teller.tell(&news::of_brake(event)));
            true
        }
        Err(error) => {
            tracing::error!(%error, "people are not told of the brakes yet");
            false
        }
    }
}
