//! Why a route is UNSAFE.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One reason. Written as `failures: 3 of 60 trials failed, ..`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Of several that are about the same, the newest counts.
    pub about: About,
    /// What was proved, in words.
    pub proved: String,
}

/// What was proved to be worse than its gate allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum About {
    /// How many trials failed.
    Failures,
    /// How long the candidate took.
    Latency,
    /// What it cost.
    Cost,
    /// How many trials failed of the stratum with this key.
    Stratum(String),
}

impl Reason {
    pub(super) fn new(about: About, proved: String) -> Self {
        Self { about, proved }
    }

    /// Whether one of `reasons` is about the same.
    pub(super) fn is_among(&self, reasons: &[Self]) -> bool {
        reasons.iter().any(|reason| reason.about == self.about)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.about, self.proved)
    }
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failures => f.write_str("failures"),
            Self::Latency => f.write_str("latency"),
            Self::Cost => f.write_str("cost"),
            Self::Stratum(key) => write!(f, "stratum {key}"),
        }
    }
}
