//! What becomes of one attempt to have an answer, and what is left of it for another.

use std::time::Duration;

use http::{Extensions, request};

use super::{
    super::body::{Progress, Upload},
    Failed, Sent,
};
use crate::backend::Fault;

/// What is used up by trying to send it, and comes back when not a byte was sent.
pub(super) struct Attempt<B> {
    /// hyper keeps the case of field names here.
    pub(super) extensions: Extensions,
    pub(super) upload: Upload<B>,
}

/// Whether an upstream has broken an exchange after it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Never,
    Perhaps,
}

impl<B: Default> Attempt<B> {
    /// Ends all trying: the request is the caller's again, unless it was `seen`.
    pub(super) fn given_back(self, client: &mut request::Parts, fault: Fault, seen: Seen) -> Failed<B> {
        client.extensions = self.extensions;
        let sent = match seen {
            Seen::Never => Sent::Nothing(self.upload.untouched()),
            Seen::Perhaps => Sent::Perhaps,
        };
        Failed { fault, sent }
    }
}

/// Why an attempt has no answer.
pub(super) enum Failure<B> {
    /// The connection was gone before the first byte, or the upstream did not look at the request.
    Unsent(Box<Attempt<B>>),
    /// The version that the upstream speaks has no words for it.
    Unsayable(Box<Attempt<B>>, Fault),
    /// The upstream found fault with it.
    Refused(Fault),
    /// It broke afterwards.
    Broken(Fault),
    /// No answer in time.
    Late(Duration),
}

/// Every connection was gone before the first byte.
pub(super) fn unsent_to_all() -> Fault {
    Fault::Protocol { reason: "it closed every connection before the request".to_owned() }
}

impl<B> Failure<B> {
    pub(super) fn into_failed(self, progress: Option<&Progress>) -> Failed<B> {
        let fault = match self {
            Self::Unsent(_) => unsent_to_all(),
            Self::Unsayable(_, fault) | Self::Refused(fault) => fault,
            Self::Broken(fault) => progress.and_then(Progress::fault).unwrap_or(fault),
            Self::Late(after) => Fault::FirstByteTimeout { after },
        };
        Failed { fault, sent: Sent::Perhaps }
    }
}
