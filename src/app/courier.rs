//! Carries what the generator has to tell to the upstream that waits for it.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body_util::{BodyExt as _, Full, Limited};

use crate::{
    config::Config,
    forwarding::{Forward, Surroundings},
    gateway::{RequestBody, Rules, rules::Upstream},
    generator::{Carrying, Courier},
    routing::Live,
};

/// One try.
const PATIENCE: Duration = Duration::from_secs(10);
/// Of an answer that nobody reads.
const ANSWER: usize = 64 << 10;

/// Finds an upstream by its name.
pub(crate) type Find = Box<dyn Fn(&str) -> Option<Arc<Upstream>> + Send + Sync>;

/// To the upstreams that are found when there is something to carry.
pub(crate) struct ToUpstreams {
    pub(crate) find: Find,
    /// The work plane's shelf of connections.
    pub(crate) shelf: usize,
}

impl ToUpstreams {
    /// To those that `config` has told of generations.
    pub(crate) fn of_config(config: &Config, around: &Surroundings) -> Self {
        let head = config.gateway.limits.response_head;
        let upstreams = std::iter::once(&config.monolith).chain(&config.upstreams);
        let upstreams: Vec<Arc<Upstream>> = upstreams
            .filter(|upstream| {
                config.generator.notify.values().any(|notify| notify.upstream == upstream.name)
            })
            .map(|settings| Arc::new(Upstream::new(settings.clone(), head, 1, around, None)))
            .collect();
        let find =
            move |name: &str| upstreams.iter().find(|upstream| *upstream.settings().name == *name).cloned();
        Self { find: Box::new(find), shelf: 0 }
    }

    /// To those of the rules in force.
    pub(super) fn of_rules(rules: Arc<Live<Rules>>, shelf: usize) -> Self {
        let find = move |name: &str| {
            let rules = rules.load_full();
            let mut upstreams = rules.distinct_upstreams().into_iter();
            upstreams.find(|upstream| *upstream.settings().name == *name).cloned()
        };
        Self { find: Box::new(find), shelf }
    }
}

impl fmt::Debug for ToUpstreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToUpstreams").finish_non_exhaustive()
    }
}

impl Courier for ToUpstreams {
    fn carry<'a>(&'a self, upstream: &'a str, request: Request<Bytes>) -> Carrying<'a> {
        Box::pin(async move {
            let tried = tokio::time::timeout(PATIENCE, self.send(upstream, request)).await;
            tried.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")))
        })
    }
}

impl ToUpstreams {
    async fn send(&self, name: &str, request: Request<Bytes>) -> Result<StatusCode, String> {
        let upstream =
            (self.find)(name).ok_or_else(|| format!("there is no upstream \"{name}\" any more"))?;
        let (mut head, body) = request.into_parts();
        head.version = Version::HTTP_11;
        let forward = Forward { upstream: &upstream, worker: self.shelf, gained: &[], on_interim: None };
        let sent = forward.send(&mut head, RequestBody::Whole(Full::new(body))).await;
        let answer = sent.map_err(|failed| failed.fault.to_string())?.response;
        let status = answer.status();
        // Read to its end where that is near, so that its connection can be used again.
        drop(Limited::new(answer.into_body(), ANSWER).collect().await);
        Ok(status)
    }
}
