//! Plans and requests for tests.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Uri, Version};
use uuid::Uuid;

use super::{
    candidate::CapturedRequest,
    settings::{Answers, Beside, Gate, ImageLimits, Plan, Reverse, Start},
};
use crate::routing::Share;

/// A request for the site's first page with these fields.
pub(crate) fn request_with(headers: HeaderMap) -> CapturedRequest {
    CapturedRequest {
        id: Uuid::nil(),
        route: "images".into(),
        method: Method::POST,
        target: Uri::from_static("/"),
        version: Version::HTTP_11,
        gained: [].into(),
        headers,
        body: Bytes::new(),
    }
}

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
        headers: ["content-type", "cache-control", "location"].map(str::to_owned).into(),
        images: Vec::new(),
        image: ImageLimits::DEFAULT,
        rules: Vec::new(),
        expired: Vec::new(),
        beside: Beside::Demanded,
        gate: Gate::DEFAULT,
        control: "monolith".into(),
        answers: Answers::default(),
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
