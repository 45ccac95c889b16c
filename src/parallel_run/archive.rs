//! Where the records of a parallel run go, as this module sees it: a place that takes them without ever waiting.

use std::sync::{Arc, atomic::AtomicU64};

use jiff::Timestamp;
use thiserror::Error;

use super::{
    answer::Answer,
    candidate::CapturedRequest,
    capture::Lease,
    comparison::Comparison,
    sample::{Pseudonym, Pseudonyms},
};

/// Keeps the evidence. All but those that read the disk return at once, whatever it does.
pub trait Archive: Send + Sync {
    /// Takes up the evidence of an epoch, or begins it. Reads the disk: for the work plane.
    fn resume(&self, epoch: &EpochName, basis: &str) -> Result<Resumed, ArchiveError>;

    /// What of [`Resumed::spent_today`] previews of `route` have cost by now: whoever makes them is another process. Reads
    /// the disk.
    fn previewed_today(&self, route: &str) -> Result<f64, ArchiveError>;

    /// What of an answer's version the current epoch of `route` depends on, if it ever told one. Reads the disk.
    fn version(&self, route: &str) -> Result<Option<String>, ArchiveError>;

    /// How this evidence calls people and requests.
    fn pseudonyms(&self) -> &Pseudonyms;

    /// The candidate is about to be called. `comparison` is what stands if nothing more is heard of it until `due`.
    fn dispatched(&self, comparison: Comparison, due: Timestamp);

    /// The one record of a sampled request, and what was seen of it, to be kept if there is room.
    fn keep(&self, comparison: Comparison, sample: Option<Sample>);

    /// How far an epoch's calibration has come; the latest wins.
    fn learned(&self, epoch: &EpochName, progress: Progress);
}

/// Which evidence a record belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EpochName {
    /// The route's name.
    pub route: Arc<str>,
    /// What its answers depend on, hashed; path states are added by the archive once they are frozen.
    pub id: Arc<str>,
}

/// Images whose owners are remembered; the oldest are forgotten.
pub const OWNED: usize = 50_000;

/// An image that an answer showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// SHA-256 of its bytes, hex.
    pub hash: Box<str>,
    /// To whom.
    pub subject: Pseudonym,
    /// What they had asked, as a keyed hash.
    pub request: Box<str>,
}

/// What an epoch already knows.
#[derive(Clone, Debug, Default)]
pub struct Resumed {
    /// Calibration, as it was last [`learned`](Archive::learned).
    pub progress: Option<Progress>,
    /// Subjects and how many slots each has taken; `None` is the anonymous one.
    pub subjects: Vec<(Option<Pseudonym>, u64)>,
    /// What its last pairs of known subjects have shown, in their order, as far as it is remembered.
    pub shown: Vec<Shown>,
    /// What the route's candidates have cost since midnight UTC, in US dollars, in any epoch.
    pub spent_today: f64,
    /// What of it previews have cost.
    pub previewed_today: f64,
    /// To be counted up; the archive takes what has come together.
    pub traffic: Arc<Traffic>,
}

/// What the workers count of an epoch. Every request does, so it lies on one line of the processor's cache, alone: where
/// two workers take that from each other, they do it once a request.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Traffic {
    /// Requests that a route's shadow has seen.
    pub requests: AtomicU64,
    /// Of these, pairs that were skipped because there were too many, and have no record of their own.
    pub skipped: AtomicU64,
}

/// How far a calibration has come, as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The learner, to be taken up after a restart.
    Learning(String),
    /// The path states, never to change in this epoch.
    Frozen(String),
}

/// A whole pair, before redaction.
#[derive(Debug)]
pub struct Sample {
    /// What both arms were asked.
    pub request: CapturedRequest,
    /// The control's answer.
    pub control: Answer,
    /// The candidate's answer, where it gave one.
    pub candidate: Option<Answer>,
    /// The memory that the above was lent: bytes that wait for the disk are still counted.
    _leases: [Lease; 2],
}

impl Sample {
    pub(crate) fn new(
        request: CapturedRequest,
        control: Answer,
        candidate: Option<Answer>,
        leases: [Lease; 2],
    ) -> Self {
        Self { request, control, candidate, _leases: leases }
    }
}

/// The archive could not be read.
#[derive(Debug, Error)]
#[error("cannot take up the evidence of route {route}: {reason}")]
pub struct ArchiveError {
    /// The route's name.
    pub route: Arc<str>,
    /// What the system said.
    pub reason: String,
}
