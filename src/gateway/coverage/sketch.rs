//! What one worker remembers of its traffic: all of the modes, and of the paths that no route names the ones on which
//! most time is spent.
//!
//! *Space-saving* (Metwally, Agrawal and El Abbadi, 2005), weighted by time: a template that finds no room takes the
//! place and the weight of the lightest, so whatever takes more than one part in [`ROOM`] of all the time is there. By
//! time and not by count, because a scan of a thousand odd paths is short, and a rare slow path is what is looked for.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hash, Hasher},
    time::Duration,
};

use http::Method;

use super::{Sighting, template};
use crate::{gateway::counters::Answerer, routing::Mode};

/// Templates that are remembered.
const ROOM: usize = 512;
/// A longer path is remembered by its template alone, in bytes.
const LONGEST_EXAMPLE: usize = 256;
/// An answer that took longer was slow.
pub(super) const SLOW: Duration = Duration::from_secs(1);
/// No route, every mode, and stored images.
pub(super) const ROWS: usize = Mode::ALL.len() + 2;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Sketch {
    /// Where each template's path stands below, by the hash of both.
    places: HashMap<u64, usize, BuildHasherDefault<Quick>>,
    paths: Vec<Path>,
    /// Of each path: its time in microseconds, and that of those whose place it took. Side by side, so that the lightest
    /// is found in a blink.
    weights: Vec<u64>,
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
    key: u64,
    pub(super) method: Method,
    pub(super) template: Box<str>,
    /// One of them.
    pub(super) example: Box<str>,
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
            let place = self.place(sighting);
            if let (Some(path), Some(weight)) = (self.paths.get_mut(place), self.weights.get_mut(place)) {
                path.add(sighting, micros);
                // At least one, so that paths that take no time count too.
                *weight = weight.saturating_add(micros.max(1));
            }
        }
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.paths.iter()
    }

    /// Where the path of `sighting` is remembered, once it is.
    fn place(&mut self, sighting: &Sighting<'_>) -> usize {
        let mut hasher = Quick::default();
        sighting.method.hash(&mut hasher);
        template::hash(sighting.path, &mut hasher);
        let key = hasher.finish();
        if let Some(place) = self.places.get(&key) {
            return *place;
        }
        let path = Path::new(key, sighting);
        let place = if self.paths.len() < ROOM {
            self.paths.push(path);
            self.weights.push(0);
            self.paths.len() - 1
        } else {
            self.replace_the_lightest(path)
        };
        self.places.insert(key, place);
        place
    }

    /// Its weight stays.
    fn replace_the_lightest(&mut self, path: Path) -> usize {
        let lightest = self.weights.iter().enumerate().min_by_key(|(_, weight)| **weight);
        let place = lightest.map_or(0, |(place, _)| place);
        if let Some(old) = self.paths.get_mut(place) {
            self.places.remove(&old.key);
            self.forgotten += 1;
            *old = path;
        }
        place
    }
}

/// As quick as a hash may be whose collisions only add up two rows of a report (the multiplication of `FxHash`).
#[derive(Clone, Copy, Debug, Default)]
struct Quick(u64);

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        self.write_u64(rest.iter().fold(rest.len() as u64, |word, byte| (word << 8) | u64::from(*byte)));
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(byte.into());
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number.cast_unsigned() as u64);
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        // Tables look at the lowest bits, and a product is best in its highest.
        self.0.rotate_left(26)
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
    fn new(key: u64, sighting: &Sighting<'_>) -> Self {
        let template: Box<str> = template::write(sighting.path).into();
        let example = if sighting.path.len() > LONGEST_EXAMPLE { &template } else { sighting.path };
        Self {
            key,
            method: sighting.method.clone(),
            example: example.into(),
            template,
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
