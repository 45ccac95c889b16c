//! Clients, by what they are for: how long a call may take, and how often it is tried.

use std::{error::Error, iter::successors, time::Duration};

use aws_config::{
    BehaviorVersion, Region, SdkConfig, retry::RetryConfig,
    stalled_stream_protection::StalledStreamProtectionConfig, timeout::TimeoutConfig,
};
use aws_sdk_s3::config::{Builder, RequestChecksumCalculation, ResponseChecksumValidation};

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

/// A client of S3, or of the server that takes its place.
pub(crate) fn s3(known: &SdkConfig, aws: &Aws) -> aws_sdk_s3::Client {
    let mut config = Builder::from(known).force_path_style(aws.force_path_style);
    if let Some(url) = &aws.s3_endpoint_url {
        // Other servers fail on the trailing checksums that the SDK adds by default.
        config = config
            .endpoint_url(url)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    }
    aws_sdk_s3::Client::from_conf(config.build())
}

/// An error and all that it came from: the SDK's own texts say little.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let chain = successors(Some(error), |error| (*error).source()).map(ToString::to_string);
    chain.collect::<Vec<_>>().join(": ")
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
