//! The tasks that keep an upstream's addresses what they are: one looks its name up, one checks their health.

use std::{ops::Deref, sync::Arc};

use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

use super::{
    addresses::{Addresses, Resolution},
    health,
    resolver::{self, Pace, Resolve},
    sign::Signer,
    tally::Tally,
    tls::{self, Secure},
    upstream::{Http2, Settings},
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

/// Addresses, what is spoken with them, and the tasks of both, which end when this is dropped.
#[derive(Debug)]
pub(super) struct Watched {
    addresses: Arc<Addresses>,
    tls: Option<Arc<Secure>>,
    h2: Http2,
    signer: Option<Signer>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Watched {
    /// Begins to look the name up, where it is one; to follow the files of its TLS and the credentials that it is asked
    /// with; and to check health, where that is asked for.
    pub(super) fn start(settings: &Settings, tally: Arc<Tally>, around: &Surroundings) -> Self {
        let addresses = Arc::new(Addresses::new(settings, tally));
        let mut tasks = Vec::new();
        if !matches!(addresses.resolution(), Resolution::Literal) {
            let follow = resolver::follow(addresses.clone(), around.resolver.clone(), around.pace);
            tasks.push(around.run(follow));
        }
        let secure =
            |tls: &tls::Settings| Arc::new(Secure::new(tls.clone(), &settings.host, settings.name.clone()));
        let tls = settings.tls.as_ref().map(secure);
        if let Some(tls) = tls.clone().filter(|tls| tls.names_files()) {
            tasks.push(around.run(tls.follow()));
        }
        let signer = settings.sign.clone().map(|sign| Signer::new(sign, settings));
        if let Some(signer) = signer.clone() {
            tasks.push(around.run(signer.follow()));
        }
        if let Some(checks) = settings.health.clone() {
            let (addresses, tls, host) = (addresses.clone(), tls.clone(), settings.authority());
            let speak = settings.speak();
            let asking = health::Asking { tls, speak, host };
            tasks.push(around.run(health::check(addresses, asking, checks, (around.seed)())));
        }
        Self { addresses, tls, h2: settings.h2, signer, _tasks: tasks }
    }

    /// Whether all this is what `settings` ask for.
    pub(super) fn is_of(&self, settings: &Settings) -> bool {
        self.addresses.are_of(settings)
            && self.tls.as_ref().map(|tls| tls.settings()) == settings.tls.as_ref()
            && self.h2 == settings.h2
            && self.signer.as_ref().map(Signer::settings) == settings.sign.as_ref()
    }

    pub(super) fn tls(&self) -> Option<&Arc<Secure>> {
        self.tls.as_ref()
    }

    pub(super) fn signer(&self) -> Option<&Signer> {
        self.signer.as_ref()
    }
}

impl Deref for Watched {
    type Target = Arc<Addresses>;

    fn deref(&self) -> &Arc<Addresses> {
        &self.addresses
    }
}

impl Surroundings {
    /// On the runtime that this is called on, with the system's own resolver.
    pub fn current(lifetime: Shutdown) -> Self {
        Self {
            plane: Handle::current(),
            lifetime,
            resolver: Arc::new(resolver::System),
            pace: Pace::default(),
            seed: rand::random,
        }
    }

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
