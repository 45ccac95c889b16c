//! Runs the same request on both arms and compares the answers, without the user noticing.
//!
//! A worker of the data plane asks a route's [`Shadow`] whether to [`observe`](Shadow::observe) a request, and puts the
//! [`Tee`]s of the [`Observation`] around both bodies of the control's exchange. When they have ended, the pair moves to
//! the work plane: there the candidate is called, the answers are compared, and the record goes to the [`Archive`].
//! What cannot be run is dropped on the spot, and leaves its record all the same.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use jiff::Timestamp;
use tokio::{runtime::Handle, sync::Semaphore};

use crate::{
    compute::{Compute, Crashed},
    routing::Live,
    schedstat::Crews,
    shutdown::Shutdown,
};

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
mod document;
pub mod encoding;
pub mod calibration;
mod rules;
mod allowance;
mod pulse;
mod purse;
mod leaks;
pub(crate) mod secrets;
pub mod compare;
mod epoch;
pub mod comparison;
pub mod verdict;
pub mod archive;
pub mod preview;
pub mod metrics;

pub use archive::{Archive, ArchiveError};
pub use candidate::{Candidate, Control, Images};
pub use capture::Tee;
pub use epoch::Subject;
pub use metrics::Metrics;
pub use observation::Observation;
pub use pair::ControlFault;
pub use shadow::{Facts, Setup, Shadow, Versions};

use allowance::Allowance;
use archive::EpochName;
use capture::Memory;
use comparison::{Class, Skip};
use epoch::Epoch;
use pulse::Pulse;
pub(crate) use purse::Purse;
pub use purse::SpentToday;
use settings::{Plan, Settings};
use shadow::Kept;

/// Captures together may hold this many bodies of `max_body`.
const BODIES: usize = 16;

/// The parallel run of the whole process. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct ParallelRun(Arc<Inner>);

/// Where a parallel run lives: everything that it needs and does not own.
#[derive(Clone)]
pub struct Surroundings {
    /// The plane on which candidates are called.
    pub plane: Handle,
    /// Whose times tell what may be taken of the processors.
    pub crews: Crews,
    /// Where answers are compared.
    pub compute: Compute,
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
    pub(crate) pulse: Arc<Pulse>,
    plane: Handle,
    compute: Compute,
    clock: fn() -> Timestamp,
    limits: Live<Limits>,
    active: Mutex<HashMap<Arc<str>, Kept>>,
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

impl ParallelRun {
    /// Begins with no route.
    pub fn new(settings: Settings, around: Surroundings) -> Self {
        let Surroundings { plane, crews, compute, lifetime, archive, metrics, clock, gateway } = around;
        let pulse = Arc::new(Pulse::new(Allowance::new(crews, settings.max_share)));
        let limits = Live::new(Limits::new(settings));
        let active = Mutex::default();
        let inner = Arc::new(Inner {
            lifetime: lifetime.clone(),
            archive,
            metrics,
            gateway,
            pulse: Arc::clone(&pulse),
            plane,
            compute,
            clock,
            limits,
            active,
        });
        inner.spawn(async move {
            tokio::select! {
                () = lifetime.draining() => pulse.rest(),
                () = Arc::clone(&pulse).beat() => {}
            }
        });
        Self(inner)
    }

    /// Puts other settings in force, for the shadows that are made from now on.
    pub fn configure(&self, settings: Settings) {
        if self.0.limits.load().settings != settings {
            self.0.pulse.may_take(settings.max_share);
            self.0.limits.replace(Limits::new(settings));
        }
    }

    /// One route's shadow under this setup. Takes up the evidence where it was left: what was learned, who has had a
    /// trial, what was spent. Reads the disk: for the work plane, at start and at each reload.
    pub fn shadow(&self, setup: Setup) -> Result<Arc<Shadow>, ArchiveError> {
        let Setup { route, plan, versions, candidate, control, images } = setup;
        let plan = plan.in_full();
        let mut active = self.0.lock();
        let before = active.get(&route);
        let version = match before.map(|before| before.epoch.load().version.clone()) {
            _ if versions == Versions::default() => None,
            Some(version) => version,
            None => self.0.archive.version(&route)?.map(Into::into),
        };
        let now = plan.basis(version.as_deref());
        let name = EpochName { id: epoch::id(&now), route: Arc::clone(&route) };
        let kept = match before {
            Some(before) if before.epoch.load().name == name => before.clone(),
            before => {
                let resumed = self.0.archive.resume(&name, &now)?;
                let purse = before.map_or_else(
                    || Purse::new(resumed.spent_today, resumed.previewed_today, self.0.now()),
                    |before| Arc::clone(&before.purse),
                );
                let epoch = Inner::epoch(&name, resumed, &plan, version)?;
                let in_flight = before.map_or_else(Default::default, |before| before.in_flight.clone());
                let crowded = self.0.metrics.counter(&route, Class::Skipped(Skip::Queue));
                Kept { epoch: Arc::new(Live::new(epoch)), is_safe: Arc::default(), purse, in_flight, crowded }
            }
        };
        let kept = kept.with_places(plan.max_in_flight);
        active.insert(route, kept.clone());
        let limits = self.0.limits.load_full();
        let (run, plan) = (Arc::clone(&self.0), Arc::new(plan));
        Ok(Arc::new(Shadow { run, limits, kept, plan, versions, candidate, control, images }))
    }

    /// What the candidates of each route have cost today, where they have a budget and have asked for some of it; and takes
    /// from it what previews have cost meanwhile. Reads the disk.
    pub fn spent_today(&self) -> Vec<SpentToday> {
        let now = self.0.now();
        let routes =
            self.0.lock().iter().map(|(route, kept)| (route.clone(), kept.purse.clone())).collect::<Vec<_>>();
        let today = |(route, purse): &(Arc<str>, Arc<Purse>)| {
            if purse.is_used() {
                match self.0.archive.previewed_today(route) {
                    Ok(dollars) => purse.previewed(dollars, now),
                    Err(error) => tracing::debug!(%error, "nobody knows what previews have cost"),
                }
            }
            purse.today(route, now)
        };
        routes.iter().filter_map(today).collect()
    }

    /// Says whether the verdict of `route` is SAFE: from then on fewer of its requests are sampled.
    pub fn settled(&self, route: &str, is_safe: IsSafe) {
        if let Some(kept) = self.0.lock().get(route) {
            kept.is_safe.store(is_safe == IsSafe::Yes, Ordering::Relaxed);
        }
    }
}

/// Whether a verdict is SAFE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsSafe {
    /// It is.
    Yes,
    /// It is not, or not yet.
    No,
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
        unless_crashed(self.compute.run(work).await)
    }

    /// Runs `work`, which is short, where it is; `None` when it panicked.
    pub(crate) fn at_once<T>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        unless_crashed(self.compute.at_once(work))
    }

    fn epoch(
        name: &EpochName,
        resumed: archive::Resumed,
        plan: &Plan,
        version: Option<Arc<str>>,
    ) -> Result<Arc<Epoch>, ArchiveError> {
        Epoch::resume(name.clone(), resumed, plan.gate.calibration, version)
            .map(Arc::new)
            .map_err(|error| ArchiveError { route: Arc::clone(&name.route), reason: error.to_string() })
    }

    /// The answers of `shadow`'s route say another version of themselves: what is sampled from now on belongs to
    /// another epoch, which goes on with what was learned of the control. Reads the disk.
    pub(crate) fn renew(&self, shadow: &Shadow, version: &Arc<str>) -> Result<(), ArchiveError> {
        let active = self.lock();
        let before = shadow.kept.epoch.load_full();
        let is_in_force =
            active.get(&before.name.route).is_some_and(|kept| Arc::ptr_eq(&kept.epoch, &shadow.kept.epoch));
        if !is_in_force || before.version.as_ref() == Some(version) {
            return Ok(());
        }
        let basis = shadow.plan.basis(Some(&**version));
        let name = EpochName { id: epoch::id(&basis), route: Arc::clone(&before.name.route) };
        let mut resumed = self.archive.resume(&name, &basis)?;
        if resumed.progress.is_none()
            && let Some(progress) = before.progress()
        {
            self.archive.learned(&name, progress.clone());
            resumed.progress = Some(progress);
        }
        let epoch = Self::epoch(&name, resumed, &shadow.plan, Some(Arc::clone(version)))?;
        tracing::info!(route = &*name.route, version = &**version, "a new version of an arm: a new epoch");
        shadow.kept.epoch.replace(epoch);
        shadow.kept.is_safe.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Kept>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
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

fn unless_crashed<T>(result: Result<T, Crashed>) -> Option<T> {
    result.inspect_err(|error| tracing::error!(%error, "a comparison panicked")).ok()
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
