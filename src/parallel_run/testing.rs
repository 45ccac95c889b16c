//! Plans for tests.

use std::time::Duration;

use super::settings::{Beside, Gate, ImageLimits, Plan, Reverse, Start};
use crate::routing::Share;

/// The defaults, as `routes.toml` has them.
pub(crate) fn plan() -> Plan {
    Plan {
        sample: Share::ALL,
        after_verdict: Share::ALL,
        max_in_flight: 4,
        max_per_minute: None,
        start: Start::AfterControl,
        deadline: Duration::from_mins(5),
        budget_usd_per_day: None,
        repeat_control: Share::NONE,
        reverse: Reverse::Off,
        headers: vec!["content-type".to_owned(), "cache-control".to_owned()],
        images: Vec::new(),
        image: ImageLimits { min_luma_deviation: 2.0, min_entropy: 1.0, max_dominant: 0.98 },
        rules: Vec::new(),
        expired: Vec::new(),
        beside: Beside::Demanded,
        gate: Gate {
            max_failure_rate: 0.01,
            confidence: 0.95,
            calibration: 20,
            per_subject: 1,
            min_subjects: 30,
            min_pairs_per_stratum: 30,
            min_days: 0,
            max_skipped: 0.1,
            max_latency_ratio: Some(1.0),
            max_cost_ratio: None,
            max_pairs: None,
        },
    }
}

/// A gate that asks for a low failure rate alone, and learns nothing before.
pub(crate) fn bare_gate() -> Gate {
    Gate {
        calibration: 0,
        per_subject: u64::MAX,
        min_subjects: 0,
        min_pairs_per_stratum: 0,
        max_latency_ratio: None,
        ..plan().gate
    }
}
