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
    /// How long a body may stand still.
    stalled: Duration,
}

/// What an S3 client needs to know: images are large.
pub(crate) async fn for_objects(aws: &Aws) -> SdkConfig {
    let patience = Patience {
        connect: Duration::from_secs(3),
        attempt: Duration::from_mins(1),
        operation: Duration::from_mins(3),
        attempts: 4,
        stalled: STALLED,
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
        stalled: STALLED,
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
        stalled: STALLED,
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
        .stalled_stream_protection(
            StalledStreamProtectionConfig::enabled().grace_period(patience.stalled).build(),
        )
        .load()
        .await
}

#[cfg(test)]
mod tests {
    use std::{
        error::Error,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        time::{Duration, Instant},
    };

    use aws_sdk_s3::{
        Client,
        config::{Credentials, SharedCredentialsProvider},
        operation::get_object::GetObjectOutput,
    };
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::{Aws, Patience, load, s3};

    /// More than any of these waits takes on a busy machine, and less than what they are held against.
    const SOON: Duration = Duration::from_secs(20);
    const NEVER: Duration = Duration::from_mins(5);

    /// A client of a server that takes every request, says no more than this, and stands still; and how many it took.
    async fn before(said: &'static str, patience: Patience) -> (Client, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let aws = Aws {
            region: "us-east-1".into(),
            s3_endpoint_url: Some(format!("http://{}", listener.local_addr().unwrap())),
            dynamodb_endpoint_url: None,
            force_path_style: true,
        };
        let requests = Arc::new(AtomicUsize::new(0));
        let taken = requests.clone();
        tokio::spawn(async move {
            let mut open = Vec::new();
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                assert!(socket.read_u8().await.is_ok());
                taken.fetch_add(1, Ordering::Relaxed);
                socket.write_all(said.as_bytes()).await.unwrap();
                open.push(socket);
            }
        });
        let key = Credentials::new("AKTESTAKTEST", "SKTESTSKTESTSKTEST", None, None, "test");
        let known = load(&aws, &patience).await.into_builder();
        let known = known.credentials_provider(SharedCredentialsProvider::new(key)).build();
        (s3(&known, &aws), requests)
    }

    async fn get(client: &Client) -> Result<GetObjectOutput, Box<dyn Error>> {
        Ok(client.get_object().bucket("shop").key("a.png").send().await?)
    }

    #[tokio::test]
    async fn a_server_that_never_answers_is_asked_again_and_given_up() {
        let short = Duration::from_millis(200);
        let whole =
            Patience { connect: NEVER, attempt: NEVER, operation: short, attempts: 4, stalled: NEVER };
        let each = Patience { connect: NEVER, attempt: short, operation: NEVER, attempts: 2, stalled: NEVER };
        for (patience, asked) in [(whole, 1), (each, 2)] {
            let (client, requests) = before("", patience).await;
            let began = Instant::now();
            get(&client).await.unwrap_err();
            assert!(began.elapsed() < SOON);
            assert_eq!(requests.load(Ordering::Relaxed), asked);
        }
    }

    #[tokio::test]
    async fn a_body_that_stands_still_is_given_up() {
        let stalled = Duration::from_millis(200);
        let patience = Patience { connect: NEVER, attempt: NEVER, operation: NEVER, attempts: 1, stalled };
        let (client, _) = before("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", patience).await;
        let began = Instant::now();
        let body = get(&client).await.unwrap().body;
        assert!(body.collect().await.is_err());
        assert!(began.elapsed() < SOON);
    }

    #[tokio::test]
    async fn images_may_stand_still_for_longer_than_the_sdk_thinks() {
        let aws = Aws {
            region: "us-east-1".into(),
            s3_endpoint_url: None,
            dynamodb_endpoint_url: None,
            force_path_style: false,
        };
        let known = super::for_objects(&aws).await;
        assert_eq!(known.stalled_stream_protection().unwrap().grace_period(), super::STALLED);
        let timeouts = known.timeout_config().unwrap();
        assert!(timeouts.connect_timeout() < timeouts.operation_attempt_timeout());
        assert!(timeouts.operation_attempt_timeout() < timeouts.operation_timeout());
    }
}
