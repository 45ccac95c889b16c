//! What one worker remembers of its traffic: all of the modes, and of the paths that no route names the ones on which
//! most time is spent.
//!
//! *Space-saving* (Metwally, Agrawal and El Abbadi, 2005), weighted by time: a template that finds no room takes the
//! place and the weight of the lightest, so whatever takes more than one part in [`ROOM`] of all the time is there. By
//! time and not by count, because a scan of a thousand odd paths is short, and a rare slow path is what is looked for.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::{BuildHasher, Hash, Hasher},
    time::Duration,
};

use http::Method;

use super::{Sighting, template};
use crate::{gateway::counters::Answerer, routing::Mode};

/// Templates that are remembered.
const ROOM: usize = 512;
/// An answer that took longer was slow.
pub(super) const SLOW: Duration = Duration::from_secs(1);
/// No route, every mode, and stored images.
pub(super) const ROWS: usize = Mode::ALL.len() + 2;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Sketch {
    keys: RandomState,
    paths: HashMap<u64, Path>,
    /// Templates that lost their place.
    pub(super) forgotten: u64,
    pub(super) rows: [Row; ROWS],
}

/// What one row of modes answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) all: Tally,
    /// Of all, what the candidate answered.
    pub(super) candidate: Tally,
}

/// Requests, their time, and how many of them were answered generations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) requests: u64,
    pub(super) micros: u64,
    pub(super) generations: u64,
}

/// What is remembered of the paths of one template.
#[derive(Clone, Debug)]
pub(super) struct Path {
    pub(super) method: Method,
    pub(super) template: Box<str>,
    /// One of them.
    pub(super) example: Box<str>,
    /// Its own time in microseconds, and that of those whose place it took.
    weight: u64,
    pub(super) requests: u64,
    pub(super) succeeded: u64,
    pub(super) micros: u64,
    pub(super) longest: u64,
    pub(super) slow: u64,
    pub(super) images: u64,
    pub(super) asked: u64,
    /// Of those that succeeded.
    pub(super) asked_and_succeeded: u64,
}

impl Sketch {
    pub(super) fn add(&mut self, sighting: &Sighting<'_>) {
        let micros = u64::try_from(sighting.total.as_micros()).unwrap_or(u64::MAX);
        let row = match (sighting.mode, sighting.answerer) {
            (Some(mode), _) => 1 + mode as usize,
            (None, Answerer::Images) => ROWS - 1,
            (None, Answerer::Gateway) => return,
            (None, _) => 0,
        };
        let generated = sighting.mode.is_some() && sighting.signs.asks && is_success(sighting.status);
        if let Some(row) = self.rows.get_mut(row) {
            row.all.add(micros, generated);
            if sighting.answerer == Answerer::Candidate {
                row.candidate.add(micros, generated);
            }
        }
        // What is not there, and what became a tunnel, is no path of the site's.
        if row == 0 && !matches!(sighting.status, 101 | 404 | 405 | 410) {
            self.path(sighting).add(sighting, micros);
        }
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.paths.values()
    }

    fn path(&mut self, sighting: &Sighting<'_>) -> &mut Path {
        let key = self.key(sighting);
        let weight =
            if self.paths.len() < ROOM || self.paths.contains_key(&key) { 0 } else { self.make_room() };
        self.paths.entry(key).or_insert_with(|| Path::new(sighting, weight))
    }

    fn key(&self, sighting: &Sighting<'_>) -> u64 {
        let mut hasher = self.keys.build_hasher();
        sighting.method.hash(&mut hasher);
        template::hash(sighting.path, &mut hasher);
        hasher.finish()
    }

    /// Forgets the lightest template; its weight.
    fn make_room(&mut self) -> u64 {
        let lightest =
            self.paths.iter().min_by_key(|(_, path)| path.weight).map(|(key, path)| (*key, path.weight));
        lightest.map_or(0, |(key, weight)| {
            self.paths.remove(&key);
            self.forgotten += 1;
            weight
        })
    }
}

impl Tally {
    fn add(&mut self, micros: u64, generated: bool) {
        self.requests += 1;
        self.micros = self.micros.saturating_add(micros);
        self.generations += u64::from(generated);
    }
}

impl Path {
    fn new(sighting: &Sighting<'_>, weight: u64) -> Self {
        Self {
            method: sighting.method.clone(),
            template: template::write(sighting.path).into(),
            example: sighting.path.into(),
            weight,
            requests: 0,
            succeeded: 0,
            micros: 0,
            longest: 0,
            slow: 0,
            images: 0,
            asked: 0,
            asked_and_succeeded: 0,
        }
    }

    fn add(&mut self, sighting: &Sighting<'_>, micros: u64) {
        let (succeeded, asks) = (is_success(sighting.status), sighting.signs.asks);
        // At least one, so that paths that take no time count too.
        self.weight = self.weight.saturating_add(micros.max(1));
        self.requests += 1;
        self.succeeded += u64::from(succeeded);
        self.micros = self.micros.saturating_add(micros);
        self.longest = self.longest.max(micros);
        self.slow += u64::from(sighting.total >= SLOW);
        self.images += u64::from(succeeded && sighting.signs.image);
        self.asked += u64::from(asks);
        self.asked_and_succeeded += u64::from(asks && succeeded);
    }

    /// Adds what another worker has seen of the same template.
    pub(super) fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.succeeded += other.succeeded;
        self.micros = self.micros.saturating_add(other.micros);
        self.longest = self.longest.max(other.longest);
        self.slow += other.slow;
        self.images += other.images;
        self.asked += other.asked;
        self.asked_and_succeeded += other.asked_and_succeeded;
    }
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}
