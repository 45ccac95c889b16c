//! What the socket and the driver of its connection say to each other: what it waits for, and since when.

use std::{
    io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering::Relaxed},
    },
    task::Poll,
    time::Instant,
};

use super::{Interim, Refusal, moment::Moment};

/// What the socket last waited for, and since when; read by the connection's driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// For nothing that hyper asked for.
    Nothing,
    /// For the first byte of a request, since then.
    Request(Instant),
    /// For the rest of a head whose first byte came then.
    Head(Instant),
    /// For more of a body, since then.
    Body(Instant),
}

/// What the next read is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Wants {
    /// Nothing that hyper asked for.
    Nothing,
    /// A request.
    Request,
    /// The rest of a head.
    Head,
    /// More of a body.
    Body,
}

/// What driver and socket say to each other. One task has both.
#[derive(Debug)]
pub(super) struct Wire {
    /// One of [`Wants`].
    wants: AtomicU8,
    /// Since when.
    wanting: Moment,
    /// Since when a write has made no progress.
    blocked: Moment,
    /// Everything that hyper wrote has reached the kernel.
    flushed: AtomicBool,
    /// All of the current request was read.
    received: AtomicBool,
    /// Whether the client is still there shows only when it is asked.
    doubtful: AtomicBool,
    /// More of the current request's body is not waited for.
    given_up: AtomicBool,
    /// Why the last head was refused. hyper keeps an error to itself where it was waiting for a request.
    refused: Mutex<Option<Refusal>>,
    pub(super) interim: Interim,
}

impl Wire {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            wants: AtomicU8::new(Wants::Nothing as u8),
            wanting: Moment::none(now),
            blocked: Moment::none(now),
            flushed: AtomicBool::new(true),
            received: AtomicBool::new(false),
            doubtful: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            refused: Mutex::new(None),
            interim: Interim::default(),
        }
    }

    pub(super) fn reading(&self) -> Waits {
        const REQUEST: u8 = Wants::Request as u8;
        const HEAD: u8 = Wants::Head as u8;
        const BODY: u8 = Wants::Body as u8;
        match (self.wants.load(Relaxed), self.wanting.get()) {
            (REQUEST, Some(since)) => Waits::Request(since),
            (HEAD, Some(since)) => Waits::Head(since),
            (BODY, Some(since)) if !self.has_given_up() => Waits::Body(since),
            _ => Waits::Nothing,
        }
    }

    /// Since when a write has made no progress.
    pub(super) fn blocked_since(&self) -> Option<Instant> {
        self.blocked.get()
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.flushed.load(Relaxed)
    }

    pub(super) fn is_received(&self) -> bool {
        self.received.load(Relaxed)
    }

    /// Whether the socket is to be flushed again within [`super::socket::LOOK`].
    pub(super) fn is_doubtful(&self) -> bool {
        self.doubtful.load(Relaxed)
    }

    /// The next read of the body fails, and so does its request.
    pub(super) fn gives_up(&self) {
        self.given_up.store(true, Relaxed);
    }

    pub(super) fn has_given_up(&self) -> bool {
        self.given_up.load(Relaxed)
    }

    /// The refusal of the last head, if it was refused.
    pub(super) fn take_refusal(&self) -> Option<Refusal> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Ends hyper's reading at a head, and keeps why.
    pub(super) fn refuse(&self, refusal: Refusal) -> io::Error {
        let detail = refusal.detail;
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
        io::Error::other(detail)
    }

    /// To be called when there is more to write than the socket knows of.
    pub(super) fn unflushed(&self) {
        self.flushed.store(false, Relaxed);
    }

    /// Everything has reached the kernel.
    pub(super) fn flushed(&self) {
        self.flushed.store(true, Relaxed);
    }

    /// A request has begun.
    pub(super) fn receives(&self) {
        self.received.store(false, Relaxed);
    }

    /// The request was read to its end.
    pub(super) fn received(&self) {
        self.received.store(true, Relaxed);
    }

    /// The client may have left.
    pub(super) fn doubts(&self) {
        self.doubtful.store(true, Relaxed);
    }

    /// The client is there.
    pub(super) fn trusts(&self) {
        self.doubtful.store(false, Relaxed);
    }

    /// What the next read is for.
    pub(super) fn reads(&self, wants: Wants) {
        // A wait that goes on keeps its beginning.
        if self.wants.load(Relaxed) != wants as u8 {
            self.wants.store(wants as u8, Relaxed);
            self.wanting.clear();
        }
        if wants != Wants::Nothing {
            self.wanting.begin();
        }
    }

    /// Whether a write made progress.
    pub(super) fn writes<T>(&self, written: &Poll<T>) {
        if written.is_pending() {
            self.blocked.begin();
        } else {
            self.blocked.clear();
        }
    }
}
