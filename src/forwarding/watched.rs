//! The tasks that keep an upstream's addresses what they are: one looks its name up, one checks their health.

use std::{ops::Deref, sync::Arc};

use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

use super::{
    addresses::{Addresses, Resolution},
    health,
    resolver::{self, Pace, Resolve},
    tally::Tally,
    upstream::Settings,
};
use crate::shutdown::Shutdown;

/// What looks names up and checks health, where and for how long.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Where it runs.
    pub plane: Handle,
    /// The lifetime it belongs to.
    pub lifetime: Shutdown,
    /// Who is asked what a name means.
    pub resolver: Arc<dyn Resolve>,
    /// How often.
    pub pace: Pace,
    /// Makes the times of health checks differ from those of other gateways.
    pub seed: fn() -> u64,
}

/// Addresses and their tasks, which end when this is dropped.
#[derive(Debug)]
pub(super) struct Watched {
    addresses: Arc<Addresses>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Watched {
    /// Begins to look the name up, where it is one, and to check health, where that is asked for.
    pub(super) fn start(settings: &Settings, tally: Arc<Tally>, around: &Surroundings) -> Self {
        let addresses = Arc::new(Addresses::new(settings, tally));
        let mut tasks = Vec::new();
        if !matches!(addresses.resolution(), Resolution::Literal) {
            let follow = resolver::follow(addresses.clone(), around.resolver.clone(), around.pace);
            tasks.push(around.run(follow));
        }
        if let Some(checks) = settings.health.clone() {
            tasks.push(around.run(health::check(addresses.clone(), checks, (around.seed)())));
        }
        Self { addresses, _tasks: tasks }
    }
}

impl Deref for Watched {
    type Target = Arc<Addresses>;

    fn deref(&self) -> &Arc<Addresses> {
        &self.addresses
    }
}

impl Surroundings {
    fn run(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
        let ending = self.lifetime.clone();
        let _entered = self.plane.enter();
        AbortOnDropHandle::new(self.lifetime.spawn(async move {
            tokio::select! {
                () = task => {}
                () = ending.draining() => {}
            }
        }))
    }
}
