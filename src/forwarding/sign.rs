//! Signs requests as AWS asks for it (Signature Version 4), for services that answer nobody else.
//!
//! Only the host, the payload and our own fields are signed: whatever else a request carries may change on its way.
//! The credentials are those of the SDK's usual chain, fetched and renewed beside the requests.

#[cfg(feature = "aws")]
mod credentials;
#[cfg(not(feature = "aws"))]
#[path = "sign/without.rs"]
mod credentials;

use std::{collections::VecDeque, sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Uri, header::HOST, request};
use http_body::Body;
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};

use self::credentials::Credentials;
use super::{
    body::{Flow, Upload},
    head::Gained,
    upstream::Settings,
};
use crate::backend::Fault;

/// The largest body that is collected to be hashed: more than the services that ask for a hash take.
const LARGEST: u64 = 10 << 20;

/// How requests are signed: for what service, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign {
    /// As AWS names it in a signature, such as `lambda`.
    pub service: Box<str>,
    /// Where it runs; none: the SDK's own region.
    pub region: Option<Box<str>>,
}

/// What of a body a signature covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Payload {
    /// All of it, by its hash.
    Hashed([u8; 32]),
    /// Nothing: the service takes that, and the body can stream.
    Unsigned,
}

impl Payload {
    /// Of a whole body, in pieces.
    fn of<'b>(pieces: impl Iterator<Item = &'b [u8]>) -> Self {
        let mut digest = Sha256::new();
        pieces.for_each(|piece| digest.update(piece));
        Self::Hashed(digest.finalize().into())
    }
}

impl Sign {
    /// What the name of a host says of its service: AWS's own names tell both; any other is taken for one of API
    /// Gateway's custom domains, in the SDK's region.
    pub fn of_host(host: &str) -> Self {
        let labels: Vec<&str> = host.split('.').collect();
        let (service, region) = match *labels.as_slice() {
            [.., "lambda-url", region, "on", "aws"] => ("lambda", Some(region)),
            [.., "s3", region, "amazonaws", "com"] => ("s3", Some(region)),
            [.., service, region, "amazonaws", "com"] | [.., service, region, "amazonaws", "com", "cn"] => {
                // The name of the endpoint is not that of the service.
                (if service == "bedrock-runtime" { "bedrock" } else { service }, Some(region))
            }
            _ => ("execute-api", None),
        };
        Self { service: service.into(), region: region.map(Into::into) }
    }

    /// Whether it takes requests whose bodies are not signed.
    fn streams(&self) -> bool {
        &*self.service == "s3"
    }
}

/// Signs the requests to one upstream. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Signer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sign: Sign,
    /// The host that is signed, and so named.
    host: String,
    credentials: Credentials,
}

impl Signer {
    pub(super) fn new(sign: Sign, upstream: &Settings) -> Self {
        let credentials = Credentials::new(upstream.name.clone());
        Self(Arc::new(Inner { sign, host: upstream.authority(), credentials }))
    }

    pub(super) fn settings(&self) -> &Sign {
        &self.0.sign
    }

    /// Fetches credentials, and renews them before they end, for ever.
    pub(super) async fn follow(self) {
        self.0.credentials.follow().await;
    }

    /// The fields that a request gains, its host among them.
    async fn sign(
        &self,
        method: &Method,
        target: &Uri,
        payload: Payload,
        now: SystemTime,
    ) -> Result<Vec<Gained>, Fault> {
        let Inner { sign, host, credentials } = &*self.0;
        let target = target.path_and_query().map_or("/", |target| target.as_str());
        let asked = credentials::Asked { sign, host, method: method.as_str(), target, payload };
        let fields = credentials.sign(&asked, now).await.map_err(|reason| Fault::Unsigned { reason })?;
        let mut gained = Vec::with_capacity(fields.len() + 1);
        let unsaid = |error: http::Error| Fault::Unsigned { reason: error.to_string() };
        gained.push((HOST, HeaderValue::try_from(host).map_err(|error| unsaid(error.into()))?));
        for (name, value) in fields {
            let name = HeaderName::try_from(name).map_err(|error| unsaid(error.into()))?;
            gained.push((name, HeaderValue::try_from(value).map_err(|error| unsaid(error.into()))?));
        }
        Ok(gained)
    }
}

/// When a signature of now is dated. Nothing waits by this clock.
pub(super) fn today() -> SystemTime {
    SystemTime::now()
}

/// The body as it is to be sent, and what the request gains. Where its hash is asked for, it is collected first.
pub(super) async fn signed<B>(
    signer: &Signer,
    client: &request::Parts,
    mut body: B,
    now: SystemTime,
) -> Result<(Upload<B>, Vec<Gained>), Fault>
where
    B: Body<Data = Bytes, Error = Fault> + Default + Unpin,
{
    let (upload, payload) = if signer.0.sign.streams() {
        (Upload::flowing(body, Flow::AtOnce), Payload::Unsigned)
    } else {
        let (mut pieces, mut length) = (VecDeque::new(), 0);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            length += data.len() as u64;
            if length > LARGEST {
                return Err(Fault::TooLarge { limit: LARGEST });
            }
            if !data.is_empty() {
                pieces.push_back(data);
            }
        }
        let payload = Payload::of(pieces.iter().map(AsRef::as_ref));
        (Upload::of_pieces(pieces), payload)
    };
    let gained = signer.sign(&client.method, &client.uri, payload, now).await?;
    Ok((upload, gained))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_host_says_what_it_is() {
        let of = |host: &str| {
            let Sign { service, region } = Sign::of_host(host);
            format!("{service} {}", region.as_deref().unwrap_or("-"))
        };
        assert_eq!(of("abc.lambda-url.eu-west-1.on.aws"), "lambda eu-west-1");
        assert_eq!(of("x1.execute-api.sa-east-1.amazonaws.com"), "execute-api sa-east-1");
        assert_eq!(of("images.s3.us-west-2.amazonaws.com"), "s3 us-west-2");
        assert_eq!(of("bedrock-runtime.us-east-1.amazonaws.com"), "bedrock us-east-1");
        assert_eq!(of("sqs.cn-north-1.amazonaws.com.cn"), "sqs cn-north-1");
        assert_eq!(of("images.example.net"), "execute-api -");
    }
}
