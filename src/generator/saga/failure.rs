//! Why a job gave no images, now or for good.

use std::{error::Error, io};

use bytes::Bytes;
use thiserror::Error;

use crate::generator::{
    catalog::CatalogError,
    plane::Crashed,
    provider::{Cause, ProviderError, Receipt, Refused, WhyRefused},
    state::{Reason, State},
    store::StoreError,
};

/// Nothing was claimed: whoever wants may answer instead.
#[derive(Debug, Error)]
pub(crate) enum Unclaimed {
    /// The disk does not take what will be drawn.
    #[error("the disk does not take the images")]
    Disk(#[source] io::Error),
    /// The catalog did not take the claim, and says that it has none.
    #[error("the catalog does not take the claim")]
    Catalog(#[source] CatalogError),
    /// The day has no money left for it.
    #[error("the budget of today is used up")]
    Budget,
}

/// Why a job gave no images, now or for good.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// Before the claim.
    #[error(transparent)]
    Unclaimed(#[from] Unclaimed),
    /// The claim may or may not be written, and the catalog does not say.
    #[error("whether the claim was written is unknown")]
    Ambiguous(#[source] CatalogError),
    /// It was accepted, and there was no place or no room for it in time; the provider was not called.
    #[error("it was accepted and could not be begun")]
    NotBegun(#[source] Box<dyn Error + Send + Sync>),
    /// It was accepted, and the process drains: the next one begins it.
    #[error("it was accepted, and is begun by the next process")]
    Left,
    /// The provider did not draw.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// It drew fewer images.
    #[error("the provider drew {} images, asked were {asked}", paid.len())]
    Count {
        /// How many were asked.
        asked: u32,
        /// What it says of that.
        receipt: Receipt,
        /// What it drew.
        paid: Vec<Bytes>,
    },
    /// It drew something else.
    #[error("the provider's answer is unusable")]
    Unsound {
        /// What is wrong with it.
        #[source]
        why: Box<dyn Error + Send + Sync>,
        /// What the provider says of it.
        receipt: Receipt,
        /// What it drew.
        paid: Vec<Bytes>,
    },
    /// The provider did not draw, and the monolith may.
    #[error("handed over to the monolith: {0}")]
    HandedOver(Refused),
    /// The key of the claim is another job's.
    #[error("the key is taken")]
    Held,
    /// A thread ended while the images were examined.
    #[error(transparent)]
    Crashed(#[from] Crashed),
    /// Neither the spool took the images, nor the store or the catalog, and they are gone.
    #[error("the images could be neither kept ({spool}) nor stored")]
    Lost {
        /// What was wrong with the spool.
        spool: io::Error,
        /// What was wrong with the other.
        #[source]
        why: Box<dyn Error + Send + Sync>,
    },
    /// There are no images, and the catalog did not take that: its record is made later.
    #[error("{}; that is not on record yet", chain(&**why))]
    Unrecorded {
        /// Why there are none.
        why: Box<Failure>,
        /// What was wrong with the catalog.
        #[source]
        catalog: CatalogError,
    },
    /// The images are kept, and will be stored later.
    #[error("the images are kept and will be stored later")]
    Store(#[from] StoreError),
    /// A name that is theirs holds something else: no retry helps, and the job has failed.
    #[error("the images cannot be stored")]
    Taken(#[source] StoreError),
    /// The images are kept; the record could not be moved on, and will be later.
    #[error("the images are kept, and the record could not be moved on")]
    Catalog(#[source] CatalogError),
    /// The record is not where this owner left it.
    #[error("the record is elsewhere: {0:?}")]
    Elsewhere(Option<State>),
}

impl Failure {
    /// How a job that failed so while drawing is recorded.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Provider(ProviderError::Refused(_)) | Self::NotBegun(_) => Reason::Refused,
            Self::Provider(ProviderError::Unusable { .. }) | Self::Unsound { .. } | Self::Count { .. } => {
                Reason::PaidInvalid
            }
            Self::Taken(_) => Reason::PaidLost,
            _ => Reason::Unknown,
        }
    }

    /// What is recorded of a call that gave no images.
    pub(crate) fn receipt(&self) -> Receipt {
        let without = |request_id: Option<String>, cause: Option<Cause>| Receipt {
            request_id,
            cause: cause.map(Box::new),
            ..Receipt::default()
        };
        match self {
            Self::Count { receipt, .. }
            | Self::Unsound { receipt, .. }
            | Self::Provider(ProviderError::Unusable { receipt, .. }) => receipt.clone(),
            Self::Provider(ProviderError::Refused(Refused { why, blame, request_id, .. })) => {
                without(request_id.clone(), Some(Cause::Refused { why: *why, blame: blame.clone() }))
            }
            Self::Provider(ProviderError::Unknown { request_id, .. }) => without(request_id.clone(), None),
            Self::Provider(ProviderError::Late) => without(None, Some(Cause::Late)),
            Self::NotBegun(_) => without(None, Some(Cause::Refused { why: WhyRefused::NoRoom, blame: None })),
            _ => Receipt::default(),
        }
    }

    /// What was paid for and is no answer, as it came.
    pub(crate) fn paid(&self) -> Vec<Bytes> {
        match self {
            Self::Count { paid, .. }
            | Self::Unsound { paid, .. }
            | Self::Provider(ProviderError::Unusable { paid, .. }) => paid.clone(),
            _ => Vec::new(),
        }
    }

    /// Whether somebody has to come back to the job.
    pub(crate) fn stands_still(&self) -> bool {
        self.keeps_images() || matches!(self, Self::Lost { .. } | Self::Unrecorded { .. })
    }

    /// Whether its images come later.
    pub(crate) fn keeps_images(&self) -> bool {
        matches!(self, Self::Store(_) | Self::Catalog(_))
    }

    /// State and reason under which the job is counted.
    pub(crate) fn rest(&self) -> (&'static str, &'static str) {
        match self {
            Self::Unclaimed(_) | Self::Ambiguous(_) | Self::Held => ("unclaimed", ""),
            Self::HandedOver(_) => (State::HandedOver.name(), ""),
            Self::Store(_) | Self::Lost { .. } | Self::Catalog(_) | Self::Unrecorded { .. } | Self::Left => {
                ("parked", "")
            }
            Self::Elsewhere(_) => ("elsewhere", ""),
            failed => (State::Failed.name(), failed.reason().name()),
        }
    }
}

/// An error and what caused it, on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        source = cause.source();
    }
    line
}
