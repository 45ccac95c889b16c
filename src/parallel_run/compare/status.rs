//! Status codes: which answers can be compared at all, and whether both sides said the same.

use super::Findings;
use crate::parallel_run::comparison::{DifferenceKind, Outcome};

/// Refusals that are part of a contract.
const CONTRACTUAL: [u16; 5] = [400, 402, 403, 413, 422];

/// What two statuses allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// No trial.
    ControlFailed,
    /// A failed trial.
    CandidateFailed,
    /// A failed trial: one answered, the other refused.
    OneRefused,
    /// The rest is worth comparing.
    Comparable,
}

/// How an arm ended, by its status.
pub fn outcome(status: u16) -> Outcome {
    match status {
        200..=399 => Outcome::Ok,
        refusal if CONTRACTUAL.contains(&refusal) => Outcome::Refused,
        _ => Outcome::HttpError,
    }
}

pub(super) fn compare(control: u16, candidate: u16, findings: &mut Findings) -> Standing {
    if control != candidate {
        let (control, candidate) = (control.to_string(), candidate.to_string());
        findings.failure("status", DifferenceKind::Status, Some(&control), Some(&candidate));
    }
    match (outcome(control), outcome(candidate)) {
        (Outcome::Ok, Outcome::Ok) | (Outcome::Refused, Outcome::Refused) => Standing::Comparable,
        (Outcome::Ok, Outcome::Refused) | (Outcome::Refused, Outcome::Ok) => Standing::OneRefused,
        (Outcome::Ok | Outcome::Refused, _) => Standing::CandidateFailed,
        _ => Standing::ControlFailed,
    }
}
