//! How an arm fails: what went wrong, and how much of the request the other side may have seen.

use std::time::Duration;

use thiserror::Error;

/// How much of a request the other side may have seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sent {
    /// No byte.
    Nothing,
    /// Perhaps the head, no body.
    Head,
    /// Perhaps part of the body.
    Body,
}

/// What went wrong with an exchange.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// The name did not resolve, or the connection was refused or unreachable.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// Host and port.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// No connection within `connect_timeout`.
    #[error("no connection to {address} within {after:?}")]
    ConnectTimeout {
        /// Host and port.
        address: String,
        /// The limit.
        after: Duration,
    },
    /// Every address is down or ejected: nobody was asked.
    #[error("no address of {address} is in service")]
    Unavailable {
        /// Host and port.
        address: String,
        /// When one may be asked again.
        retry_after: Duration,
    },
    /// No response head within `first_byte_timeout`.
    #[error("no answer within {after:?}")]
    FirstByteTimeout {
        /// The limit.
        after: Duration,
    },
    /// The whole exchange took longer than the route's `timeout`.
    #[error("the exchange took longer than {after:?}")]
    Deadline {
        /// The limit.
        after: Duration,
    },
    /// The upstream closed, reset, or spoke something that is not HTTP.
    #[error("the upstream broke the exchange: {reason}")]
    Protocol {
        /// What was wrong.
        reason: String,
    },
    /// The client broke its request.
    #[error("the client broke its request: {reason}")]
    Client {
        /// What was wrong.
        reason: String,
    },
    /// The request's body is larger than it may be.
    #[error("the request body is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
}

/// A failed exchange: what went wrong, and whether it can be tried elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{fault}")]
pub struct BackendError {
    /// What went wrong.
    pub fault: Fault,
    /// How much the other side may have seen.
    pub sent: Sent,
}
