//! The credentials that requests are signed with: fetched beside the requests, renewed before they end.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_config::BehaviorVersion;
use aws_sdk_s3::config::{Credentials as Secret, ProvideCredentials as _};
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4::SigningParams,
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{Payload, Sign};

/// Renewed so long before they end.
const AHEAD: Duration = Duration::from_mins(5);
/// Renewed at the latest; also what says nothing of its end may be changed by whoever rotates it.
const RENEWED: Duration = Duration::from_mins(15);
/// Between two tries, doubled at each.
const AGAIN: Duration = Duration::from_secs(1);
const SELDOM: Duration = Duration::from_mins(1);
/// How long the first requests wait for the first answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a signature is of.
pub(super) struct Asked<'a> {
    pub(super) sign: &'a Sign,
    pub(super) host: &'a str,
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    pub(super) payload: Payload,
}

/// What is known of them.
#[derive(Clone, Debug)]
enum Known {
    Awaited,
    Good(Arc<Good>),
    Failing(Arc<str>),
}

#[derive(Debug)]
struct Good {
    secret: Secret,
    region: Option<String>,
}

/// The credentials of one upstream's requests.
#[derive(Debug)]
pub(super) struct Credentials {
    known: watch::Sender<Known>,
    upstream: Arc<str>,
}

impl Credentials {
    pub(super) fn new(upstream: Arc<str>) -> Self {
        Self { known: watch::Sender::new(Known::Awaited), upstream }
    }

    pub(super) async fn follow(&self) {
        let chain = aws_config::defaults(BehaviorVersion::latest()).load().await;
        let mut pause = AGAIN;
        loop {
            let next = match self.fetch(&chain).await {
                Ok(good) => {
                    pause = AGAIN;
                    let left = |end: SystemTime| end.duration_since(SystemTime::now()).unwrap_or_default();
                    let next = good.secret.expiry().map_or(RENEWED, |end| left(end).saturating_sub(AHEAD));
                    self.found(good);
                    next.clamp(AGAIN, RENEWED)
                }
                Err(error) => {
                    self.missing(&error);
                    let longer = (pause * 2).min(SELDOM);
                    std::mem::replace(&mut pause, longer)
                }
            };
            sleep(next).await;
        }
    }

    async fn fetch(&self, chain: &aws_config::SdkConfig) -> Result<Good, String> {
        let provider = chain.credentials_provider().ok_or("there is no credentials provider")?;
        let secret = provider.provide_credentials().await.map_err(|error| told(&error))?;
        Ok(Good { secret, region: chain.region().map(ToString::to_string) })
    }

    fn found(&self, good: Good) {
        let before = self.known.send_replace(Known::Good(Arc::new(good)));
        if let Known::Failing(_) = before {
            tracing::info!(upstream = &*self.upstream, "requests to an upstream are signed again");
        }
    }

    /// Those that have not ended stay in use.
    fn missing(&self, error: &str) {
        let usable = match &*self.known.borrow() {
            Known::Good(good) => good.secret.expiry().is_none_or(|end| end > SystemTime::now()),
            Known::Awaited | Known::Failing(_) => false,
        };
        let first = !matches!(&*self.known.borrow(), Known::Failing(_));
        if first {
            let upstream = &*self.upstream;
            tracing::error!(
                upstream,
                error,
                usable,
                "no AWS credentials to sign an upstream's requests with"
            );
        }
        if !usable {
            self.known.send_replace(Known::Failing(error.into()));
        }
    }

    /// The fields that sign a request.
    pub(super) async fn sign(
        &self,
        asked: &Asked<'_>,
        now: SystemTime,
    ) -> Result<Vec<(String, String)>, String> {
        let mut known = self.known.subscribe();
        let known = timeout(PATIENCE, known.wait_for(|known| !matches!(known, Known::Awaited))).await;
        let known = known.ok().and_then(Result::ok).map(|known| known.clone());
        match known {
            Some(Known::Good(good)) => signed(&good, asked, now),
            Some(Known::Failing(error)) => Err(format!("no AWS credentials: {error}")),
            Some(Known::Awaited) | None => Err(format!("no AWS credentials within {PATIENCE:?}")),
        }
    }
}

fn signed(good: &Good, asked: &Asked<'_>, now: SystemTime) -> Result<Vec<(String, String)>, String> {
    let region = asked.sign.region.as_deref().or(good.region.as_deref());
    let region = region.ok_or("no AWS region: set AWS_REGION, or name the service by its AWS host")?;
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    if asked.sign.streams() {
        // Paths are keys, and sent as they are.
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    }
    let identity = good.secret.clone().into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(&asked.sign.service)
        .time(now)
        .settings(settings)
        .build()
        .map_err(|error| error.to_string())?;
    let body = match asked.payload {
        Payload::Hashed(hash) => SignableBody::Precomputed(hex(&hash)),
        Payload::Unsigned => SignableBody::UnsignedPayload,
    };
    let uri = format!("https://{}{}", asked.host, asked.target);
    let host = [("host", asked.host)].into_iter();
    let request = SignableRequest::new(asked.method, uri, host, body).map_err(|error| told(&error))?;
    let (instructions, _signature) =
        sign(request, &params.into()).map_err(|error| told(&error))?.into_parts();
    let fields = instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok(fields.collect())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut hex, byte| {
        // A String takes whatever is written.
        let _written = write!(hex, "{byte:02x}");
        hex
    })
}

/// An error of the SDK, whose own words are few.
fn told(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        told = format!("{told}: {cause}");
        source = cause.source();
    }
    told
}
