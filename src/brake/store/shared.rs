//! The brakes of a fleet: those of its table, and what is held in the data folder until the table takes it.
//!
//! A pull that the table does not take holds here all the same, in `brake.sqlite`, also across restarts; a release without
//! the table is none. So is a brake never lost, and never let go by what is broken.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use jiff::Timestamp;
use tokio::runtime::Handle;

use super::{
    BrakeError, Event, File, Pulled,
    table::{self, Moves, State, Written},
};
use crate::{
    aws::{SharedTable, table::Table},
    routing::{Brake, Brakes},
};

/// How often a change is tried again when others are at it.
const CONFLICTS: u32 = 12;
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(300);

/// A table, and the file beside it.
#[derive(Clone, Debug)]
pub(in crate::brake) struct Shared {
    table: Table,
    file: File,
    plane: Handle,
    /// What the table held when this process saw it last.
    latest: Arc<Mutex<Option<State>>>,
}

impl Shared {
    pub(super) fn new(file: File, table: &SharedTable, plane: &Handle) -> Self {
        let table = plane.block_on(Table::of_glances(table));
        Self { table, file, plane: plane.clone(), latest: Arc::default() }
    }

    pub(super) fn pull(&self, routes: &[&str], brake: &Brake) -> Result<Vec<Pulled>, BrakeError> {
        let why = match self.pull_there(routes, brake) {
            Ok(pulled) => return Ok(pulled),
            Err(error) => error.to_string(),
        };
        let pulled = self.file.pull(routes, brake)?;
        let here = |pulled| match pulled {
            Pulled::Now { before } => Pulled::Here { before, why: why.clone() },
            known => known,
        };
        Ok(pulled.into_iter().map(here).collect())
    }

    pub(super) fn release(
        &self,
        route: &str,
        now: Timestamp,
        by: &str,
        reason: &str,
    ) -> Result<Option<Brake>, BrakeError> {
        let released = self.change(|state| {
            let held = state.held.remove(route);
            let routes = held.iter().map(|held| (route.into(), Some(held.at), None)).collect();
            if held.is_some() {
                state.released.insert(route.into(), now);
            }
            (Moves { time: now, by: by.into(), reason: reason.into(), routes }, held)
        })?;
        let here = self.file.brakes()?.of(route).cloned();
        match (released, here) {
            (Some(released), Some(here)) => {
                self.file.hand_over(route, &here)?;
                Ok(Some(released))
            }
            (None, Some(_)) => self.file.release(route, now, by, reason),
            (released, None) => Ok(released),
        }
    }

    pub(super) fn brakes(&self) -> Result<Brakes, BrakeError> {
        Ok(self.read()?.brakes().and(&self.file.brakes()?))
    }

    pub(super) fn history(&self, most: u32) -> Result<Vec<Event>, BrakeError> {
        let version = self.read()?.version;
        let from = version.saturating_sub(most.into());
        let mut events = self.plane.block_on(table::events(&self.table, from, version))?;
        events.reverse();
        events.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        Ok(events)
    }

    pub(super) fn take_untold(&self) -> Result<Vec<Event>, BrakeError> {
        let mut untold = self.file.take_untold()?;
        let State { told, version, .. } = match self.read() {
            Ok(state) => state,
            Err(error) if untold.is_empty() => return Err(error),
            Err(_) => return Ok(untold),
        };
        if told < version && self.plane.block_on(table::tell(&self.table, told, version))? == Written::Done {
            untold.extend(self.plane.block_on(table::events(&self.table, told, version))?);
        }
        Ok(untold)
    }

    /// Asks nobody: what is seen not to be held was seen to be released at the same time.
    pub(super) fn released(&self) -> Result<HashMap<Box<str>, Timestamp>, BrakeError> {
        let mut released = self.file.released()?;
        for (route, at) in self.lock().iter().flat_map(|state| &state.released) {
            let known = released.entry(route.clone()).or_insert(*at);
            *known = (*known).max(*at);
        }
        Ok(released)
    }

    /// The file beside the table.
    pub(in crate::brake) fn file(&self) -> &File {
        &self.file
    }

    /// What the table held when it was seen last; none where it never was.
    pub(in crate::brake) fn latest(&self) -> Option<Brakes> {
        self.lock().as_ref().map(State::brakes)
    }

    /// Gives the table what it has not taken yet, and sees what it holds.
    pub(in crate::brake) fn refresh(&self) -> Result<(), BrakeError> {
        let waiting = self.file.brakes()?;
        for (route, brake) in waiting.iter() {
            self.pull_there(&[route], brake)?;
            if self.file.hand_over(route, brake)? {
                tracing::info!(route, at = %brake.at, "a brake that held here holds in the whole fleet");
            } else {
                let reason = "released while it was handed over";
                self.release(route, brake.since, &brake.by, reason)?;
            }
        }
        self.read().map(drop)
    }

    fn pull_there(&self, routes: &[&str], brake: &Brake) -> Result<Vec<Pulled>, BrakeError> {
        self.change(|state| {
            let (mut pulled, mut moved) = (Vec::new(), Vec::new());
            for route in routes {
                let held = state.held.get(*route);
                if let Some(held) = held.filter(|held| held.at <= brake.at) {
                    pulled.push(Pulled::Already(held.clone()));
                    continue;
                }
                let before = held.map(|held| held.at);
                state.held.insert((*route).into(), brake.clone());
                moved.push(((*route).into(), before, Some(brake.at)));
                pulled.push(Pulled::Now { before });
            }
            let (by, reason) = (brake.by.clone(), brake.reason.clone());
            (Moves { time: brake.since, by, reason, routes: moved }, pulled)
        })
    }

    /// Changes what the table holds, as often as it takes until nobody is faster. What moves nothing is not written.
    fn change<T>(&self, change: impl Fn(&mut State) -> (Moves, T)) -> Result<T, BrakeError> {
        for attempt in 0..CONFLICTS {
            let before = self.read()?;
            let mut after = before.clone();
            let (moves, done) = change(&mut after);
            if moves.routes.is_empty() {
                return Ok(done);
            }
            after.version += 1;
            match self.plane.block_on(table::write(&self.table, &before, &after, &moves))? {
                Written::Done => {
                    self.saw(after);
                    return Ok(done);
                }
                Written::Overtaken => thread::sleep(backoff(attempt)),
            }
        }
        Err(BrakeError::Failed("others were changing the brakes all the time".to_owned()))
    }

    fn read(&self) -> Result<State, BrakeError> {
        let state = self.plane.block_on(table::read(&self.table))?;
        let known = self.lock().clone();
        match known {
            Some(known) if state.version < known.version => self.restore(&known),
            _ => {
                self.saw(state.clone());
                Ok(state)
            }
        }
    }

    /// Another table of the same name has taken the place of the one that held `known`: only a release releases, so that
    /// it takes over what it has never heard of.
    fn restore(&self, known: &State) -> Result<State, BrakeError> {
        for attempt in 0..CONFLICTS {
            let before = self.plane.block_on(table::read(&self.table))?;
            if before.version >= known.version {
                // That answer was only late.
                self.saw(before.clone());
                return Ok(before);
            }
            let mut after = before.clone();
            after.version = known.version + 1;
            let unheard =
                |route: &str| !before.held.contains_key(route) && !before.released.contains_key(route);
            let kept: Vec<_> = known.held.iter().filter(|(route, _)| unheard(route)).collect();
            after.held.extend(kept.iter().map(|(route, brake)| ((*route).clone(), (*brake).clone())));
            for (route, at) in &known.released {
                after.released.entry(route.clone()).or_insert(*at);
            }
            let routes = kept.iter().map(|(route, brake)| ((*route).clone(), None, Some(brake.at))).collect();
            let moves = Moves {
                time: kept.iter().map(|(_, brake)| brake.since).max().unwrap_or(Timestamp::UNIX_EPOCH),
                by: "figueira".into(),
                reason: "kept: the table was replaced".into(),
                routes,
            };
            match self.plane.block_on(table::write(&self.table, &before, &after, &moves))? {
                Written::Done => {
                    tracing::warn!(table = self.table.name, "the table was replaced; what held holds on");
                    *self.lock() = Some(after.clone());
                    return Ok(after);
                }
                Written::Overtaken => thread::sleep(backoff(attempt)),
            }
        }
        Err(BrakeError::Failed("others were changing the brakes all the time".to_owned()))
    }

    /// An answer that was overtaken by a later one is forgotten.
    fn saw(&self, state: State) {
        let mut latest = self.lock();
        if latest.as_ref().is_none_or(|known| known.version <= state.version) {
            *latest = Some(state);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<State>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Longer each time, and never two gateways alike.
fn backoff(attempt: u32) -> Duration {
    let most = SHORTEST.saturating_mul(1 << attempt.min(6)).min(LONGEST);
    most.mul_f64(0.5 + 0.5 * rand::random::<f64>())
}
