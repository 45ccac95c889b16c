//! How AWS, or a server that speaks its language, is reached. Credentials come by the SDK's usual chain: environment,
//! profile, the role of the machine.

use std::time::Duration;

use aws_config::{
    BehaviorVersion, Region, SdkConfig, retry::RetryConfig,
    stalled_stream_protection::StalledStreamProtectionConfig, timeout::TimeoutConfig,
};

use super::settings::Aws;

const CONNECT: Duration = Duration::from_secs(3);
/// Tries of one call, the first included. Conditions make a second one harmless.
const ATTEMPTS: u32 = 4;
/// How long a body may stand still; the SDK's own five seconds cut off busy servers.
const STALLED: Duration = Duration::from_secs(20);

/// What an S3 client needs to know: images are large.
pub(crate) async fn for_objects(aws: &Aws) -> SdkConfig {
    load(aws, Duration::from_mins(1), Duration::from_mins(3)).await
}

/// What a `DynamoDB` client needs to know: records are small, and somebody waits.
pub(crate) async fn for_records(aws: &Aws) -> SdkConfig {
    load(aws, Duration::from_secs(3), Duration::from_secs(10)).await
}

async fn load(aws: &Aws, attempt: Duration, operation: Duration) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(attempt)
        .operation_timeout(operation)
        .build();
    aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(aws.region.clone()))
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(STALLED).build())
        .load()
        .await
}
