//! One epoch of a route: what its answers depend on, what was learned of its noise, who has had a trial in it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, OnceLock, PoisonError, atomic::Ordering},
};

use serde_json::{Value, json};

use super::{
    answer::Answer,
    archive::{EpochName, OWNED, Progress, Resumed, Shown, Traffic},
    calibration::{Learner, PathStates},
    sample::{Pseudonym, sha256_hex},
    settings::{Beside, Plan, Rule},
};

/// Subjects that are told apart. Later ones share the anonymous slot: fewer trials, never dependent ones.
const MAX_SUBJECTS: usize = 1_000_000;

/// Version of the comparison itself: another one is another epoch.
const COMPARER: u32 = 6;

impl Plan {
    /// What the answers and their comparison depend on, as JSON, where they say `version` of themselves. Never mode,
    /// sample, percent or a gate other than `confidence`: promoting a route must not erase its evidence.
    pub fn basis(&self, version: Option<&str>) -> String {
        let rule = |rule: &Rule| match rule.action.argument() {
            argument if argument.is_empty() => json!([rule.path, rule.action.word()]),
            argument => json!([rule.path, rule.action.word(), argument]),
        };
        let (image, answers) = (&self.image, &self.answers);
        json!({
            "comparer": COMPARER,
            "control": &*self.control,
            "behaviour": answers.behaviour,
            "contract": answers.contract,
            "version": version,
            "headers": self.headers,
            "images": self.images.iter().chain(&answers.images).collect::<Vec<_>>(),
            "image": [image.min_luma_deviation, image.min_entropy, image.max_dominant],
            "rules": self.rules.iter().chain(&answers.wordings).map(rule).collect::<Vec<_>>(),
            "beside": if self.beside == Beside::Told { "told" } else { "demanded" },
            "confidence": self.gate.confidence,
        })
        .to_string()
    }

    /// Whether what was compared on this basis speaks of what is compared now. Which version the answers say that they
    /// are of, only they know.
    pub fn is_based_on(&self, basis: &str) -> bool {
        let but_for_version = |json: &str| {
            let mut basis: Value = serde_json::from_str(json).ok()?;
            basis.as_object_mut()?.remove("version");
            Some(basis)
        };
        let ours = self.basis(None);
        ours == basis || but_for_version(basis).is_some_and(|theirs| Some(theirs) == but_for_version(&ours))
    }
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
    traffic: Arc<Traffic>,
    /// Apart from the learner, so that a data-plane worker never waits for one that learns.
    states: OnceLock<Arc<PathStates>>,
    learner: Mutex<Learner>,
    slots: Mutex<HashMap<Option<Pseudonym>, u64>>,
    owners: Mutex<Owners>,
    /// What the answers say of their own version, where the route knows where to look.
    pub(crate) version: Option<Arc<str>>,
}

impl Epoch {
    /// From where it was left; without calibration it begins frozen.
    pub(crate) fn resume(
        name: EpochName,
        resumed: Resumed,
        calibration: u64,
        version: Option<Arc<str>>,
    ) -> Result<Self, serde_json::Error> {
        let (learner, states) = match resumed.progress {
            Some(Progress::Frozen(json)) => {
                (Learner::default(), OnceLock::from(serde_json::from_str(&json).map(Arc::new)?))
            }
            Some(Progress::Learning(json)) => (serde_json::from_str(&json)?, OnceLock::new()),
            None if calibration == 0 => (Learner::default(), OnceLock::from(Arc::default())),
            None => (Learner::default(), OnceLock::new()),
        };
        Ok(Self {
            name,
            traffic: resumed.traffic,
            states,
            learner: Mutex::new(learner),
            slots: Mutex::new(resumed.subjects.into_iter().collect()),
            owners: Mutex::new(Owners::of(resumed.shown)),
            version,
        })
    }

    /// One more request that the route's shadow has seen.
    pub(crate) fn count_request(&self) {
        self.traffic.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// One more that was sampled, and skipped because there were too many: its record is that it was counted.
    pub(crate) fn count_skipped(&self) {
        self.traffic.skipped.fetch_add(1, Ordering::Relaxed);
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

    /// Learns from one control answer, and from what it answered when it was asked again; freezes after `calibration`
    /// of them that are no refusals. `None` where that is already so.
    pub(crate) fn learn(
        &self,
        answer: &Answer,
        again: Option<&Answer>,
        calibration: u64,
    ) -> Option<Progress> {
        let mut learner = self.learner.lock().unwrap_or_else(PoisonError::into_inner);
        if self.states.get().is_some() {
            return None;
        }
        learner.observe(answer);
        if let Some(again) = again {
            learner.repeated(answer, again);
        }
        if u64::from(learner.taught()) < calibration {
            return serde_json::to_string(&*learner).ok().map(Progress::Learning);
        }
        let states = self.states.get_or_init(|| Arc::new(learner.freeze()));
        *learner = Learner::default();
        serde_json::to_string(&**states).ok().map(Progress::Frozen)
    }

    /// How far it has come, for an epoch that goes on with the same control.
    pub(crate) fn progress(&self) -> Option<Progress> {
        let learner = self.learner.lock().unwrap_or_else(PoisonError::into_inner);
        match self.states.get() {
            Some(states) => serde_json::to_string(&**states).ok().map(Progress::Frozen),
            None => serde_json::to_string(&*learner).ok().map(Progress::Learning),
        }
    }

    /// Whether an image is another subject's: `hash` was seen before, in an answer to somebody else's other request.
    pub(crate) fn is_of_another(&self, hash: &str, subject: Pseudonym, request: &str) -> bool {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        owners
            .see(hash, (subject, request.into()))
            .is_some_and(|(owner, asked)| owner != subject && *asked != *request)
    }
}

/// Whose answers showed an image first: subject, and request.
#[derive(Debug, Default)]
struct Owners {
    first: HashMap<Box<str>, (Pseudonym, Box<str>)>,
    order: VecDeque<Box<str>>,
}

impl Owners {
    /// Those of what was shown before.
    fn of(shown: Vec<Shown>) -> Self {
        let mut owners = Self::default();
        for Shown { hash, subject, request } in shown {
            owners.see(&hash, (subject, request));
        }
        owners
    }

    /// Who was there before, if anybody; else it is `owner`'s from now on.
    fn see(&mut self, hash: &str, owner: (Pseudonym, Box<str>)) -> Option<(Pseudonym, Box<str>)> {
        if let Some(before) = self.first.get(hash) {
            return Some(before.clone());
        }
        if self.order.len() >= OWNED
            && let Some(oldest) = self.order.pop_front()
        {
            self.first.remove(&oldest);
        }
        self.order.push_back(hash.into());
        self.first.insert(hash.into(), owner);
        None
    }
}
