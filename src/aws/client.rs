//! Clients, by what they are for: how long a call may take, and how often it is tried.

use std::time::Duration;

use aws_config::{
    BehaviorVersion, Region, SdkConfig, retry::RetryConfig,
    stalled_stream_protection::StalledStreamProtectionConfig, timeout::TimeoutConfig,
};

use super::Aws;

/// How long a body may stand still; the SDK's own five seconds cut off busy servers.
const STALLED: Duration = Duration::from_secs(20);

/// What one call may take.
struct Patience {
    connect: Duration,
    attempt: Duration,
    operation: Duration,
    /// The first one included. Conditions make a second one harmless.
    attempts: u32,
}

/// What an S3 client needs to know: images are large.
pub(crate) async fn for_objects(aws: &Aws) -> SdkConfig {
    let patience = Patience {
        connect: Duration::from_secs(3),
        attempt: Duration::from_mins(1),
        operation: Duration::from_mins(3),
        attempts: 4,
    };
    load(aws, &patience).await
}

/// What a `DynamoDB` client needs to know: records are small, and somebody waits.
pub(crate) async fn for_records(aws: &Aws) -> SdkConfig {
    let patience = Patience {
        connect: Duration::from_secs(3),
        attempt: Duration::from_secs(3),
        operation: Duration::from_secs(10),
        attempts: 4,
    };
    load(aws, &patience).await
}

/// The same for what is looked at every second: an answer that comes late is asked for again.
pub(crate) async fn for_glances(aws: &Aws) -> SdkConfig {
    let patience = Patience {
        connect: Duration::from_secs(1),
        attempt: Duration::from_secs(1),
        operation: Duration::from_millis(2_500),
        attempts: 2,
    };
    load(aws, &patience).await
}

async fn load(aws: &Aws, patience: &Patience) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(patience.connect)
        .operation_attempt_timeout(patience.attempt)
        .operation_timeout(patience.operation)
        .build();
    aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(aws.region.clone()))
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(patience.attempts))
        .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(STALLED).build())
        .load()
        .await
}
