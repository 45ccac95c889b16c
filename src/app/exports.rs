//! Carries the evidence into the lake that `[parallel_run] export` names: every minute, and once more at the end.

use std::{path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use tokio::{
    runtime::Runtime,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};

use super::in_force::InForce;
use crate::{
    evidence::{
        Ledger,
        lake::{
            Lake, LakeError, Place,
            export::{ExportError, Exporter},
        },
    },
    generator::settings::Aws,
    shutdown::Shutdown,
};

/// How long the last turn may take.
const LAST: Duration = Duration::from_secs(10);

/// Between two batches: few enough files, and young enough a report.
const PAUSE: Duration = Duration::from_mins(1);

/// What the metrics say of it.
#[derive(Clone, Debug, Default)]
struct Metrics {
    comparisons: Counter,
    failures: Counter,
    lost: Counter,
}

impl Metrics {
    fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "figueira_export_comparisons",
            "Comparisons that were written to the lake",
            metrics.comparisons.clone(),
        );
        registry.register(
            "figueira_export_failures",
            "Times that the lake could not be written; what waits is kept and tried again",
            metrics.failures.clone(),
        );
        registry.register(
            "figueira_export_lost",
            "Comparisons that were removed for their age while the lake could not be written, and too many waited",
            metrics.lost.clone(),
        );
        metrics
    }
}

/// Begins to carry the evidence of the data folder.
pub(super) fn start(
    work: &Runtime,
    life: &Shutdown,
    in_force: &Arc<InForce>,
    ledger: &Arc<Ledger>,
    registry: &mut Registry,
) -> JoinHandle<Exports> {
    let (in_force, data) = (in_force.clone(), in_force.config().start.data.clone());
    let (ledger, metrics) = (ledger.clone(), Metrics::register(registry));
    let exports = Exports { in_force, ledger, data, metrics, lake: None, failing: None };
    work.spawn(exports.follow(life.clone()))
}

/// Ends `exports` with one more turn; false when there was no time for it.
pub(super) async fn last(exports: JoinHandle<Exports>) -> bool {
    let turn = async {
        let Ok(mut exports) = exports.await else { return false };
        exports.carry().await;
        exports.failing.is_none()
    };
    timeout(LAST, turn).await.unwrap_or(false)
}

/// The evidence of one data folder, and where it goes.
pub(super) struct Exports {
    in_force: Arc<InForce>,
    ledger: Arc<Ledger>,
    data: PathBuf,
    metrics: Metrics,
    lake: Option<(Place, Lake)>,
    failing: Option<Place>,
}

impl Exports {
    /// Carries until `shutdown`, and gives itself back for the last time.
    async fn follow(mut self, shutdown: Shutdown) -> Self {
        let mut turns = interval(PAUSE);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.draining() => return self,
                _ = turns.tick() => self.carry().await,
            }
        }
    }

    /// Carries what waits, where the file names a place for it.
    async fn carry(&mut self) {
        self.metrics.lost.inc_by(self.ledger.unexported());
        let config = self.in_force.config();
        let Some(place) = config.export.clone() else { return };
        match self.carry_to(&place, &config.generator.aws).await {
            Ok(comparisons) => {
                self.metrics.comparisons.inc_by(comparisons);
                if self.failing.take().is_some() {
                    tracing::info!(%place, "evidence can be exported again");
                }
            }
            Err(error) => {
                self.metrics.failures.inc();
                if self.failing.as_ref() != Some(&place) {
                    tracing::error!(%place, %error, "evidence cannot be exported; trying again");
                }
                self.failing = Some(place);
            }
        }
    }

    async fn carry_to(&mut self, place: &Place, aws: &Aws) -> Result<u64, ExportError> {
        let lake = self.lake(place, aws).await?;
        Exporter::new(&self.data, lake, Timestamp::now).carry().await
    }

    /// Opened once: it keeps its connections and credentials.
    async fn lake(&mut self, place: &Place, aws: &Aws) -> Result<Lake, LakeError> {
        if let Some((known, lake)) = &self.lake
            && known == place
        {
            return Ok(lake.clone());
        }
        let lake = Lake::open(place, aws).await?;
        self.lake = Some((place.clone(), lake.clone()));
        Ok(lake)
    }
}
