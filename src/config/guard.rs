//! `[route.guard]`.

use std::time::Duration;

use super::{
    kind::{DURATION, Number, OrOff, Whole},
    section::Section,
};
use crate::brake::guard::Settings;

pub(super) fn read(guard: &mut Section<'_>) -> Settings {
    Settings {
        window: guard.or("window", DURATION, Duration::from_mins(2)),
        min_requests: guard.or("min_requests", Whole(1..=1_000_000_000), 20),
        max_error_rate: guard.or("max_error_rate", OrOff(Number(0.0..=1.0)), Some(0.05)),
        max_latency_ratio: guard.or("max_latency_ratio", OrOff(Number(0.001..=1000.0)), Some(2.0)),
        max_fallback_rate: guard.or("max_fallback_rate", OrOff(Number(0.0..=1.0)), Some(0.05)),
    }
}
