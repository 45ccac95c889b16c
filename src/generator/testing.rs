//! Settings for tests.

use std::time::Duration;

use super::settings::{Aws, Draws, Images, PublicUrl, Records, Settings};

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
        tenant_max_in_flight: None,
        lease: Duration::from_mins(1),
        daily_budget: None,
        idempotency_ttl: Duration::from_hours(24),
        keep_images: None,
        keep_paid: Duration::from_hours(7 * 24),
        spool_grace: Duration::from_hours(24),
        keep_prompts: false,
        name_prefix: "fg-".into(),
        public_url: PublicUrl::Path("/figueira/images".into()),
        store: Images::Filesystem,
        catalog: Records::Sqlite,
        aws: Aws {
            region: "us-east-1".into(),
            s3_endpoint_url: None,
            dynamodb_endpoint_url: None,
            force_path_style: false,
        },
        idempotency: std::collections::BTreeMap::new(),
        serve: Vec::new(),
        jobs_url: "/figueira/jobs".into(),
        polls: Vec::new(),
        notify: std::collections::BTreeMap::new(),
    }
}
