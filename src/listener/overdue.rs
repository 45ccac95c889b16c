//! What an active connection waits for: until when, and what follows if it does not come.

use std::time::{Duration, Instant};

use super::{
    Limits,
    ending::LINGER_TIME,
    exchange::{InFlight, Stage},
    wire::{Waits, Wire},
};

/// What has not come in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// A next request, waited for since then: the connection is idle.
    Request(Instant),
    /// The rest of a head: it is refused.
    Head,
    /// More of a body: the handler is told by what it reads, and answers.
    Body,
    /// The rest of a request that was answered early: the connection is over.
    Rest,
    /// More of an answer: it is told to break off.
    Answer,
    /// That the client takes more of its answer: the connection is cut.
    Reader,
}

/// What is overdue next, and when; `patience` is how long the next request is waited for.
pub(super) fn overdue(
    wire: &Wire,
    in_flight: &InFlight,
    limits: &Limits,
    patience: Duration,
    drains_since: Option<Instant>,
) -> Option<(Instant, Overdue)> {
    let reading = match (wire.reading(), in_flight.stage()) {
        (Waits::Request(since), Stage::Idle) if wire.is_flushed() => {
            Some((since + patience.min(limits.idle_timeout), Overdue::Request(since)))
        }
        (Waits::Head(since), _) => {
            Some((limits.until(since, limits.head_timeout, drains_since), Overdue::Head))
        }
        (Waits::Body(since), Stage::Handling) => Some((since + limits.body_timeout, Overdue::Body)),
        // Answered early: the rest of the body is drained, not waited for.
        (Waits::Body(since), Stage::Idle) if wire.is_flushed() => Some((since + LINGER_TIME, Overdue::Rest)),
        _ => None,
    };
    // A client that does not read, or an arm whose body stalls: the answer is cut, never ended as if whole.
    let writing = match (wire.blocked_since(), in_flight.starved_since()) {
        (Some(since), _) => Some((since, Overdue::Reader)),
        (None, since) => since.map(|since| (since, Overdue::Answer)),
    };
    let writing = writing.map(|(since, overdue)| (since + limits.body_timeout, overdue));
    reading.into_iter().chain(writing).min_by_key(|(at, _)| *at)
}
