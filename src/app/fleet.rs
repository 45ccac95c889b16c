//! Keeps the evidence of a fleet in one: once a second what was counted here is told, and what others told is heard.

use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};
use tokio::{
    runtime::Runtime,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{config::Config, evidence::fleet::Fleet, shutdown::Shutdown};

/// Between two turns: one request, and two for each batch of a turn with comparisons. What two gateways prove together is
/// told by one turn and heard by another, and the brake that it pulls is to be in force within two seconds.
const PAUSE: Duration = Duration::from_millis(250);
/// How long the last turn may take.
const LAST: Duration = Duration::from_secs(10);

/// What the metrics say of it.
#[derive(Clone, Debug, Default)]
struct Metrics {
    heard: Counter,
    good: Gauge,
}

impl Metrics {
    fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let help = "Comparisons of other gateways' that were taken into the evidence here";
        registry.register("figueira_fleet_comparisons", help, metrics.heard.clone());
        let help = "1 while the fleet's evidence is one, 0 while the table that it shares does not answer";
        registry.register("figueira_fleet_good", help, metrics.good.clone());
        metrics.good.set(1);
        metrics
    }
}

/// Joins the fleet whose table `config` names, if it names one, before its evidence is opened.
pub(super) fn join(config: &Config, work: &Runtime) -> anyhow::Result<Option<Fleet>> {
    let Some(table) = config.generator.shared_table() else { return Ok(None) };
    let joining = Fleet::join(&table, &config.start.data, rand::random(), Timestamp::now);
    Ok(Some(work.block_on(joining)?))
}

/// Begins to tell and to hear.
pub(super) fn start(
    fleet: Fleet,
    work: &Runtime,
    life: &Shutdown,
    registry: &mut Registry,
) -> JoinHandle<Follower> {
    let metrics = Metrics::register(registry);
    let follower = Follower { fleet, metrics, is_apart: false };
    work.spawn(follower.follow(life.clone()))
}

/// Tells once more; false when there was no time for it.
pub(super) async fn last(follower: JoinHandle<Follower>) -> bool {
    let turn = async {
        match follower.await {
            Ok(follower) => follower.fleet.tell().await.is_ok(),
            Err(_) => false,
        }
    };
    timeout(LAST, turn).await.unwrap_or(false)
}

/// One data folder's part.
pub(super) struct Follower {
    fleet: Fleet,
    metrics: Metrics,
    is_apart: bool,
}

impl Follower {
    /// Tells and hears until `shutdown`, and gives itself back for the last time.
    async fn follow(mut self, shutdown: Shutdown) -> Self {
        let mut turns = interval(PAUSE);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.draining() => return self,
                _ = turns.tick() => self.turn().await,
            }
        }
    }

    async fn turn(&mut self) {
        match self.fleet.turn().await {
            Ok(heard) => {
                self.metrics.good.set(1);
                self.metrics.heard.inc_by(heard as u64);
                if std::mem::take(&mut self.is_apart) {
                    tracing::info!("the fleet's evidence is one again");
                }
            }
            Err(error) => {
                self.metrics.good.set(0);
                if !std::mem::replace(&mut self.is_apart, true) {
                    tracing::error!(%error, "the fleet's evidence is not one: verdicts lack what others count now");
                }
            }
        }
    }
}
