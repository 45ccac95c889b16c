//! What the shop has seen, so that a test can tell who really answered.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a request was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A server-rendered page.
    Page,
    /// A file under `/static`.
    Static,
    /// Signing in or out.
    Account,
    /// An upload.
    Upload,
    /// The streamed page.
    Stream,
    /// `POST /api/images`.
    Order,
    /// `GET /img/...`.
    Picture,
    /// Anything else.
    Other,
}

/// Counters since the shop opened.
#[derive(Debug, Default)]
pub struct Counts {
    pages: AtomicU64,
    statics: AtomicU64,
    accounts: AtomicU64,
    uploads: AtomicU64,
    streams: AtomicU64,
    orders: AtomicU64,
    pictures: AtomicU64,
    others: AtomicU64,
    breakdowns: AtomicU64,
}

impl Counts {
    /// Requests of one kind.
    pub fn of(&self, kind: Kind) -> u64 {
        self.counter(kind).load(Relaxed)
    }

    /// Requests of any kind.
    pub fn all(&self) -> u64 {
        [
            Kind::Page,
            Kind::Static,
            Kind::Account,
            Kind::Upload,
            Kind::Stream,
            Kind::Order,
            Kind::Picture,
            Kind::Other,
        ]
        .into_iter()
        .map(|kind| self.of(kind))
        .sum()
    }

    /// Orders that the shop failed by itself with a 500.
    pub fn breakdowns(&self) -> u64 {
        self.breakdowns.load(Relaxed)
    }

    pub(super) fn saw(&self, kind: Kind) {
        self.counter(kind).fetch_add(1, Relaxed);
    }

    pub(super) fn broke_down(&self) {
        self.breakdowns.fetch_add(1, Relaxed);
    }

    fn counter(&self, kind: Kind) -> &AtomicU64 {
        match kind {
            Kind::Page => &self.pages,
            Kind::Static => &self.statics,
            Kind::Account => &self.accounts,
            Kind::Upload => &self.uploads,
            Kind::Stream => &self.streams,
            Kind::Order => &self.orders,
            Kind::Picture => &self.pictures,
            Kind::Other => &self.others,
        }
    }
}
