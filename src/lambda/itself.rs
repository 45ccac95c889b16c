//! Invokes this function once more, without waiting for it: what was promised to a client who does not wait is begun by
//! an event of its own, which Lambda keeps until it was answered.

use std::{env, sync::Arc, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, StatusCode, Uri, uri::Scheme};
use serde_json::json;
use uuid::Uuid;

use crate::{
    app::courier::ToUpstreams,
    forwarding::{Http2, Sign, Surroundings, upstream::Settings},
    gateway::rules::Upstream,
    generator::{Beginner, Beginning, Courier as _},
};

/// As its upstream is called in the log.
const NAME: &str = "lambda";
/// Of its answers, in bytes.
const RESPONSE_HEAD: usize = 16 << 10;
const INVOCATION_TYPE: HeaderName = HeaderName::from_static("x-amz-invocation-type");

/// This function, at Lambda's API (`Invoke` with `InvocationType` `Event`).
#[derive(Debug)]
pub(super) struct Itself {
    api: ToUpstreams,
    target: Uri,
}

impl Itself {
    /// As the environment names it: the same version of it, in the same region. `AWS_ENDPOINT_URL_LAMBDA` is another
    /// server of Lambda's API, as for every SDK. `region` is where it is if the environment does not say so.
    pub(super) fn of_environment(region: &str, around: &Surroundings) -> anyhow::Result<Self> {
        let said = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let region = said("AWS_REGION").unwrap_or_else(|| region.to_owned());
        let endpoint = said("AWS_ENDPOINT_URL_LAMBDA").unwrap_or_else(|| {
            let country = if region.starts_with("cn-") { ".cn" } else { "" };
            format!("https://lambda.{region}.amazonaws.com{country}")
        });
        let api: Uri = endpoint.parse().context("AWS_ENDPOINT_URL_LAMBDA is no URL")?;
        let function = said("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();
        let version = said("AWS_LAMBDA_FUNCTION_VERSION").filter(|version| version != "$LATEST");
        let qualifier = version.map(|version| format!("?Qualifier={version}")).unwrap_or_default();
        let path = api.path().trim_end_matches('/');
        let target = format!("{path}/2015-03-31/functions/{function}/invocations{qualifier}");
        let settings = settings(&api, region).context("AWS_ENDPOINT_URL_LAMBDA names no host")?;
        let upstream = Arc::new(Upstream::new(settings, RESPONSE_HEAD, 1, around, None));
        let find = move |_: &str| Some(upstream.clone());
        let target = target.parse().with_context(|| format!("{target} is no target"))?;
        Ok(Self { api: ToUpstreams { find: Box::new(find), shelf: 0 }, target })
    }

    async fn invoke(&self, job: Uuid) -> Result<(), String> {
        let event = json!({ "figueira": "begin", "job": job.hyphenated().to_string() });
        let mut request = Request::post(self.target.clone()).body(Bytes::from(event.to_string()));
        if let Ok(request) = &mut request {
            request.headers_mut().insert(INVOCATION_TYPE, HeaderValue::from_static("Event"));
        }
        let request = request.map_err(|error| error.to_string())?;
        match self.api.carry(NAME, request).await {
            // Any other success would be that of an invocation which has ended.
            Ok(StatusCode::ACCEPTED) => Ok(()),
            Ok(StatusCode::FORBIDDEN) => {
                Err("Lambda refuses it (403): the function's role needs lambda:InvokeFunction on itself"
                    .to_owned())
            }
            Ok(status) => Err(format!("Lambda answers {status}")),
            Err(error) => Err(error),
        }
    }
}

impl Beginner for Itself {
    fn begin(&self, job: Uuid) -> Beginning<'_> {
        Box::pin(self.invoke(job))
    }
}

fn settings(api: &Uri, region: String) -> Option<Settings> {
    let host = api.host()?.trim_matches(['[', ']']);
    let is_secure = api.scheme() == Some(&Scheme::HTTPS);
    let usual = if is_secure { 443 } else { 80 };
    Some(Settings {
        name: NAME.into(),
        host: host.into(),
        port: api.port_u16().unwrap_or(usual),
        tls: is_secure.then(Default::default),
        h2: Http2::Off,
        headers: Vec::new(),
        sign: Some(Sign { service: NAME.into(), region: Some(region.into()) }),
        connect_timeout: Duration::from_secs(3),
        first_byte_timeout: Duration::from_secs(10),
        // A sandbox may stand still for long between two of them.
        idle_connections: 0,
        idle_connection_timeout: Duration::ZERO,
        retries: 1,
        health: None,
        eject: None,
        pass: Vec::new(),
        version_header: None,
    })
}
