//! How much of the site has walked, seen from its traffic: what each mode answers, and which paths no route names though
//! they look as if they drew images.
//!
//! Every worker keeps a sketch of its own, of bounded size, and never waits for whoever reads it.

mod report;
mod sketch;
mod template;

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http::{
    HeaderMap, Method,
    header::{CONTENT_TYPE, HeaderName},
};

pub use report::{Coverage, ModeShare, Sign, Unnamed};

use super::counters::Answerer;
use crate::routing::{Mode, Table};
use sketch::Sketch;

/// What one worker has seen.
#[derive(Debug, Default)]
pub struct Seen(Mutex<Sketch>);

/// One exchange, once it is over.
#[derive(Clone, Copy, Debug)]
pub struct Sighting<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its path, without the query.
    pub path: &'a str,
    /// The mode of the route that took it.
    pub mode: Option<Mode>,
    /// Who answered.
    pub answerer: Answerer,
    /// The answer's status; 0 where there was none.
    pub status: u16,
    /// From the head's arrival to the answer's last byte.
    pub total: Duration,
    /// What the heads say of it.
    pub signs: Signs,
}

/// What two heads say of an exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// The request brings JSON or a form.
    pub asks: bool,
    /// The answer is an image.
    pub image: bool,
}

impl Seen {
    /// Remembers an exchange; where somebody reads just now, it is forgotten.
    pub fn saw(&self, sighting: &Sighting<'_>) {
        if let Ok(mut sketch) = self.0.try_lock() {
            sketch.add(sighting);
        }
    }
}

/// What all workers have seen together; paths that `table` names by now are left out.
pub(super) fn of<'s>(workers: impl Iterator<Item = &'s Seen>, table: &Table) -> Coverage {
    let sketches = workers.map(|seen| seen.0.lock().unwrap_or_else(PoisonError::into_inner).clone());
    report::of(sketches, table)
}

impl Signs {
    /// What a request's head says; only methods that bring a body are looked at.
    pub(super) fn of_request(method: &Method, headers: &HeaderMap) -> Self {
        let brings = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
        let asks = brings
            && ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"]
                .iter()
                .any(|kind| begins(headers, &CONTENT_TYPE, kind));
        Self { asks, image: false }
    }

    /// The same, and what the answer's head says.
    pub(super) fn with_answer(self, headers: &HeaderMap) -> Self {
        Self { image: begins(headers, &CONTENT_TYPE, "image/"), ..self }
    }
}

fn begins(headers: &HeaderMap, name: &HeaderName, start: &str) -> bool {
    headers
        .get(name)
        .and_then(|value| value.as_bytes().get(..start.len()))
        .is_some_and(|value| value.eq_ignore_ascii_case(start.as_bytes()))
}

#[cfg(test)]
mod tests;
