//! What is in force: the rules that the file asks for, lowered by the brakes. Either may change at any time, and each
//! change puts a whole new snapshot in force.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::assembly::Assembly;
use crate::{
    config::Config,
    gateway::Rules,
    parallel_run::ParallelRun,
    routing::{Brakes, Live},
};

/// The one writer of the rules.
pub(super) struct InForce {
    assembly: Assembly,
    rules: Arc<Live<Rules>>,
    made_of: Mutex<MadeOf>,
}

/// What the rules were made of.
struct MadeOf {
    generation: u64,
    config: Arc<Config>,
    brakes: Brakes,
}

impl InForce {
    /// Generation 1.
    pub(super) fn new(assembly: Assembly, config: Arc<Config>, brakes: Brakes) -> Self {
        let rules = Arc::new(Live::new(assembly.rules(1, &config, &brakes, None)));
        let made_of = Mutex::new(MadeOf { generation: 1, config, brakes });
        Self { assembly, rules, made_of }
    }

    /// What every request reads.
    pub(super) fn rules(&self) -> &Arc<Live<Rules>> {
        &self.rules
    }

    /// The parallel run of all routes.
    pub(super) fn parallel_run(&self) -> &ParallelRun {
        &self.assembly.parallel_run
    }

    /// The configuration in force.
    pub(super) fn config(&self) -> Arc<Config> {
        self.lock().config.clone()
    }

    /// What is held.
    pub(super) fn brakes(&self) -> Brakes {
        self.lock().brakes.clone()
    }

    /// The file changed.
    pub(super) fn reloaded(&self, generation: u64, config: Arc<Config>) {
        self.put(|made_of| (made_of.generation, made_of.config) = (generation, config));
    }

    /// A brake was pulled or released.
    pub(super) fn braked(&self, brakes: Brakes) {
        if self.brakes() != brakes {
            self.put(|made_of| made_of.brakes = brakes);
        }
    }

    /// What could not be had before is there now: the same once more.
    pub(super) fn renewed(&self) {
        self.put(|_| {});
    }

    fn put(&self, change: impl FnOnce(&mut MadeOf)) {
        // Held to the end: of two changes, the later one's rules hold the earlier one too.
        let mut made_of = self.lock();
        change(&mut made_of);
        let MadeOf { generation, config, brakes } = &*made_of;
        let before = self.rules.load_full();
        self.rules.replace(self.assembly.rules(*generation, config, brakes, Some(&before)));
    }

    fn lock(&self) -> MutexGuard<'_, MadeOf> {
        self.made_of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
