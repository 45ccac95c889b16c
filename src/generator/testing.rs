//! Settings for tests.

use std::time::Duration;

use super::settings::{Draws, Settings};

/// The defaults, as `routes.toml` has them.
pub(crate) fn settings() -> Settings {
    Settings {
        draws: Draws::Local,
        max_in_flight: 16,
        queue: 64,
        memory: 1 << 30,
        deadline: Duration::from_mins(5),
        max_request: 1 << 20,
        max_image: 50 << 20,
        max_pixels: 33_554_432,
        fallback_max_in_flight: 8,
        idempotency_ttl: Duration::from_hours(24),
        keep_prompts: false,
        name_prefix: "fg-".into(),
        public_url: "/figueira/images".into(),
        serve: Vec::new(),
        jobs_url: "/figueira/jobs".into(),
        polls: Vec::new(),
        notify: std::collections::BTreeMap::new(),
    }
}
