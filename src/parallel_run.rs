//! Runs the same request on both arms and compares the answers, without the user noticing.
//!
//! A worker of the data plane asks a route's [`Shadow`] whether to [`observe`](Shadow::observe) a request, and puts the
//! [`Tee`]s of the [`Observation`] around both bodies of the control's exchange. When they have ended, the pair moves to
//! the work plane: there the candidate is called, the answers are compared, and the record goes to the [`Archive`].
//! What cannot be run is dropped on the spot, and leaves its record all the same.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use tokio::{runtime::Handle, sync::Semaphore};

use crate::{routing::Live, shutdown::Shutdown};

pub mod settings;
pub mod sample;
pub mod capture;
pub mod observation;
pub mod shadow;
pub mod candidate;
pub mod answer;
mod images;
mod pair;
mod arms;
mod coding;
pub mod calibration;
mod rules;
pub mod compare;
mod epoch;
pub mod comparison;
pub mod verdict;
pub mod archive;
pub mod metrics;

pub use archive::{Archive, ArchiveError};
pub use candidate::{Candidate, Images};
pub use capture::Tee;
pub use epoch::Subject;
pub use metrics::Metrics;
pub use observation::Observation;
pub use pair::ControlFault;
pub use shadow::{Facts, Setup, Shadow};

use archive::EpochName;
use capture::Memory;
use epoch::Epoch;
use settings::Settings;

/// Captures together may hold this many bodies of `max_body`.
const BODIES: usize = 16;

/// The parallel run of the whole process. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct ParallelRun(Arc<Inner>);

/// Where a parallel run lives: everything that it needs and does not own.
#[derive(Clone)]
pub struct Surroundings {
    /// The work plane.
    pub plane: Handle,
    /// Whose tasks its pairs are.
    pub lifetime: Shutdown,
    /// Where its records go.
    pub archive: Arc<dyn Archive>,
    /// What it counts.
    pub metrics: Metrics,
    /// What time it is.
    pub clock: fn() -> Timestamp,
    /// The name of this process in its records.
    pub gateway: Arc<str>,
}

pub(crate) struct Inner {
    pub(crate) lifetime: Shutdown,
    pub(crate) archive: Arc<dyn Archive>,
    pub(crate) metrics: Metrics,
    pub(crate) gateway: Arc<str>,
    plane: Handle,
    clock: fn() -> Timestamp,
    limits: Live<Limits>,
    active: Mutex<HashMap<Arc<str>, Active>>,
}

/// What all routes share, under one version of the settings.
pub(crate) struct Limits {
    pub(crate) settings: Settings,
    /// Places of pairs that wait for their candidate.
    pub(crate) waiting: Arc<Semaphore>,
    /// What captures may hold.
    pub(crate) memory: Memory,
    comparing: Semaphore,
}

/// What a route keeps when its settings are reloaded.
struct Active {
    epoch: Arc<Epoch>,
    max_in_flight: usize,
    in_flight: Arc<Semaphore>,
}

impl ParallelRun {
    /// Begins with no route.
    pub fn new(settings: Settings, around: Surroundings) -> Self {
        let Surroundings { plane, lifetime, archive, metrics, clock, gateway } = around;
        let limits = Live::new(Limits::new(settings));
        let active = Mutex::default();
        Self(Arc::new(Inner { lifetime, archive, metrics, gateway, plane, clock, limits, active }))
    }

    /// Puts other settings in force, for the shadows that are made from now on.
    pub fn configure(&self, settings: Settings) {
        if self.0.limits.load().settings != settings {
            self.0.limits.replace(Limits::new(settings));
        }
    }

    /// One route's shadow under this setup. Takes up the evidence where it was left: what was learned, who has had a
    /// trial. Reads the disk: for the work plane, at start and at each reload.
    pub fn shadow(&self, setup: Setup) -> Result<Arc<Shadow>, ArchiveError> {
        let Setup { route, plan, behaviour, contract, candidate, images } = setup;
        let basis = epoch::basis(&behaviour, &contract, &plan);
        let name = EpochName { id: epoch::id(&basis), route };
        let mut active = self.0.active.lock().unwrap_or_else(PoisonError::into_inner);
        let before = active.get(&name.route);
        let epoch = match before {
            Some(before) if before.epoch.name == name => Arc::clone(&before.epoch),
            _ => Arc::new(self.0.resume(&name, &basis, plan.gate.calibration)?),
        };
        let in_flight = match before {
            Some(before) if before.max_in_flight == plan.max_in_flight => Arc::clone(&before.in_flight),
            _ => Arc::new(Semaphore::new(plan.max_in_flight)),
        };
        let kept = Active {
            epoch: Arc::clone(&epoch),
            max_in_flight: plan.max_in_flight,
            in_flight: Arc::clone(&in_flight),
        };
        active.insert(name.route, kept);
        let limits = self.0.limits.load_full();
        let (run, plan) = (Arc::clone(&self.0), Arc::new(plan));
        Ok(Arc::new(Shadow { run, limits, epoch, plan, in_flight, candidate, images }))
    }
}

impl Inner {
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Runs `task` on the work plane, from either plane.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let _plane = self.plane.enter();
        drop(self.lifetime.spawn(task));
    }

    /// Runs `work`, which computes long, beside the work plane; `None` when it panicked.
    pub(crate) async fn on_cpu<T: Send + 'static>(
        &self,
        limits: &Limits,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let _turn = limits.comparing.acquire().await.ok()?;
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => Some(result),
            Err(error) => {
                tracing::error!(%error, "a comparison panicked");
                None
            }
        }
    }

    fn resume(&self, name: &EpochName, basis: &str, calibration: u64) -> Result<Epoch, ArchiveError> {
        let resumed = self.archive.resume(name, basis)?;
        Epoch::resume(name.clone(), resumed, calibration)
            .map_err(|error| ArchiveError { route: Arc::clone(&name.route), reason: error.to_string() })
    }
}

impl Limits {
    fn new(settings: Settings) -> Self {
        Self {
            waiting: Arc::new(Semaphore::new(settings.queue)),
            memory: Memory::new(settings.max_body.saturating_mul(BODIES)),
            comparing: Semaphore::new(settings.workers),
            settings,
        }
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
