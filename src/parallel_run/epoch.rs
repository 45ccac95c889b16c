//! One epoch of a route: what its answers depend on, what was learned of its noise, who has had a trial in it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::json;

use super::{
    answer::Answer,
    archive::{EpochName, Progress, Resumed},
    calibration::{Learner, PathStates},
    sample::{Pseudonym, sha256_hex},
    settings::{Action, Plan},
};

/// Subjects that are told apart. Later ones share the anonymous slot: fewer trials, never dependent ones.
const MAX_SUBJECTS: usize = 1_000_000;

/// Version of the comparison itself: another one is another epoch.
const COMPARER: u32 = 1;

/// What the answers and their comparison depend on, as JSON. Never mode, sample, percent or a gate other than
/// `confidence`: promoting a route must not erase its evidence.
pub(crate) fn basis(behaviour: &str, contract: &str, plan: &Plan) -> String {
    let rules: Vec<_> = plan
        .rules
        .iter()
        .map(|rule| {
            let action = match rule.action {
                Action::Ignore => "ignore",
                Action::Shape => "shape",
            };
            json!([rule.path, action])
        })
        .collect();
    json!({
        "comparer": COMPARER,
        "behaviour": behaviour,
        "contract": contract,
        "headers": plan.headers,
        "images": plan.images,
        "image": [plan.image.min_luma_deviation, plan.image.min_entropy, plan.image.max_dominant],
        "rules": rules,
        "confidence": plan.gate.confidence,
    })
    .to_string()
}

/// The id of the epoch with this basis: 64 bits of SHA-256, hex.
pub(crate) fn id(basis: &str) -> Arc<str> {
    let mut hash = sha256_hex([basis.as_bytes()]);
    hash.truncate(16);
    hash.into()
}

/// Who a request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// The route names no subject: pairs are assumed independent.
    Unconfigured,
    /// The request lacks it: all of these share one slot.
    Anonymous,
    /// Its raw value.
    Known(&'a [u8]),
}

/// The running state of an epoch. Shared by everything that runs a pair in it.
#[derive(Debug)]
pub(crate) struct Epoch {
    pub(crate) name: EpochName,
    requests: Arc<AtomicU64>,
    /// Apart from the learner, so that a data-plane worker never waits for one that learns.
    states: OnceLock<Arc<PathStates>>,
    learner: Mutex<Learner>,
    slots: Mutex<HashMap<Option<Pseudonym>, u64>>,
}

impl Epoch {
    /// From where it was left; without calibration it begins frozen.
    pub(crate) fn resume(name: EpochName, resumed: Resumed, calibration: u64) -> Result<Self, serde_json::Error> {
        let (learner, states) = match resumed.progress {
            Some(Progress::Frozen(json)) => (Learner::default(), OnceLock::from(serde_json::from_str(&json).map(Arc::new)?)),
            Some(Progress::Learning(json)) => (serde_json::from_str(&json)?, OnceLock::new()),
            None if calibration == 0 => (Learner::default(), OnceLock::from(Arc::default())),
            None => (Learner::default(), OnceLock::new()),
        };
        Ok(Self {
            name,
            requests: resumed.requests,
            states,
            learner: Mutex::new(learner),
            slots: Mutex::new(resumed.subjects.into_iter().collect()),
        })
    }

    /// One more request that the route's shadow has seen.
    pub(crate) fn count_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// The path states, once calibration is over.
    pub(crate) fn states(&self) -> Option<&Arc<PathStates>> {
        self.states.get()
    }

    /// Takes one of `subject`'s slots, before any outcome is known; false when all are taken.
    pub(crate) fn take_slot(&self, subject: Option<Pseudonym>, per_subject: u64) -> bool {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let full = slots.len() >= MAX_SUBJECTS;
        let slot = subject.filter(|subject| !full || slots.contains_key(&Some(*subject)));
        let taken = slots.entry(slot).or_default();
        let free = *taken < per_subject;
        *taken += u64::from(free);
        free
    }

    /// Learns from one control answer; freezes after `calibration` of them. `None` where that is already so.
    pub(crate) fn learn(&self, answer: &Answer, calibration: u64) -> Option<Progress> {
        let mut learner = self.learner.lock().unwrap_or_else(PoisonError::into_inner);
        if self.states.get().is_some() {
            return None;
        }
        learner.observe(answer);
        if u64::from(learner.exchanges()) < calibration {
            return serde_json::to_string(&*learner).ok().map(Progress::Learning);
        }
        let states = self.states.get_or_init(|| Arc::new(learner.freeze()));
        *learner = Learner::default();
        serde_json::to_string(&**states).ok().map(Progress::Frozen)
    }
}
