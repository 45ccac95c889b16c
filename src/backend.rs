//! How an arm fails.

use std::time::Duration;

use thiserror::Error;

/// What went wrong with an exchange.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// The name did not resolve, the connection was refused or unreachable, or it led to nobody who can be trusted.
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
    /// Its requests are signed, and this one could not be.
    #[error("the request cannot be signed: {reason}")]
    Unsigned {
        /// What was missing.
        reason: String,
    },
    /// No response head within `first_byte_timeout`.
    #[error("no answer within {after:?}")]
    FirstByteTimeout {
        /// The limit.
        after: Duration,
    },
    /// The answer's body stalled.
    #[error("no more of the answer within {after:?}")]
    Stalled {
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
    /// The client stopped in the middle of its request's body.
    #[error("the request body stalled")]
    ClientStalled,
    /// The request's body is larger than it may be.
    #[error("the request body is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
}
