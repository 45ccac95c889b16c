//! What an arm is: a request in, a response or a [`BackendError`] out.

use std::{future::Future, time::Duration};

use http::{Request, Response};
use thiserror::Error;

/// An arm that can answer a request. Dropping the future abandons the exchange.
pub trait Backend: Send + Sync {
    /// The request's body.
    type Request;
    /// The response's body.
    type Body;

    /// Answers `request`.
    fn call(
        &self,
        request: Request<Self::Request>,
    ) -> impl Future<Output = Result<Response<Self::Body>, BackendError>> + Send;
}

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

/// What went wrong at an arm.
#[derive(Debug, Error)]
pub enum Fault {
    /// The address did not resolve or the connection was refused, unreachable or reset.
    #[error("cannot connect to {upstream} ({address}): {reason}")]
    Connect {
        /// The upstream's name.
        upstream: String,
        /// Host and port.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// No connection within `connect_timeout`.
    #[error("no connection to {upstream} within {after:?}")]
    ConnectTimeout {
        /// The upstream's name.
        upstream: String,
        /// The limit.
        after: Duration,
    },
    /// No response head within `first_byte_timeout`.
    #[error("no answer from {upstream} within {after:?}")]
    FirstByteTimeout {
        /// The upstream's name.
        upstream: String,
        /// The limit.
        after: Duration,
    },
    /// The upstream closed, reset, or spoke something that is not HTTP.
    #[error("{upstream} broke the exchange: {reason}")]
    Protocol {
        /// The upstream's name.
        upstream: String,
        /// What was wrong.
        reason: String,
    },
    /// The client went away or broke its own request.
    #[error("the client broke its request: {reason}")]
    Client {
        /// What was wrong.
        reason: String,
    },
}

/// A failed exchange: whose fault it is, and whether it can be tried elsewhere.
#[derive(Debug, Error)]
#[error("{fault}")]
pub struct BackendError {
    /// What went wrong.
    pub fault: Fault,
    /// How much may have been seen.
    pub sent: Sent,
}
