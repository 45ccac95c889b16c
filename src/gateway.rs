//! Handles one request: admits it, routes it, calls the arm that the decision names, answers.

pub mod settings;
pub mod rules;
mod admission;
mod address;
mod provenance;
mod backends;
mod candidate;
mod served;
mod authorize;
mod closed;
mod body;
mod rescue;
mod access_log;
pub mod counters;
pub mod upstreams;
pub mod coverage;
#[cfg(any(test, fuzzing))]
mod testing;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Version, request};
use rand::{RngExt as _, SeedableRng, rngs::SmallRng};

use crate::{
    backend::Fault,
    listener::{self, Handler, Incoming, Interim, Peer, Refusal, guard::HeadLimits},
    routing::Live,
    telemetry::log::access,
};

pub use body::RequestBody;
pub use closed::Closed;
pub use rules::Rules;
#[cfg(feature = "aws")]
pub(crate) use {authorize::strip, provenance::client_of, rescue::problem};

use access_log::Entry;
use admission::{
    Rejection,
    http2::{self, Follows, Upgrade},
};
use backends::Exchange;
use body::{AnswerBody, Content};
use counters::Counters;
use coverage::Coverage;
use provenance::{Provenance, Trust};
use rescue::Failure;

/// How long a drain waits for requests that clients are about to make on connections that they have.
const FAREWELL: Duration = Duration::from_secs(1);

/// What the handlers of all workers share.
#[derive(Debug)]
pub struct Gateway {
    rules: Arc<Live<Rules>>,
    counters: Vec<Arc<Counters>>,
}

impl Gateway {
    /// For `workers`, under the rules that `rules` holds from moment to moment.
    pub fn new(rules: Arc<Live<Rules>>, workers: usize) -> Self {
        Self { rules, counters: (0..workers).map(|_| Arc::default()).collect() }
    }

    /// The counters of all workers, for the scrape.
    pub fn counters(&self) -> &[Arc<Counters>] {
        &self.counters
    }

    /// How much of the site has walked, from the traffic that all workers have seen.
    pub fn coverage(&self) -> Coverage {
        coverage::of(self.counters.iter().map(|counters| counters.seen()), &self.rules.load().table)
    }

    /// The handler of one worker; `seed` makes its request ids unique.
    pub fn worker(&self, worker: usize, seed: u64) -> Worker {
        let counters = self.counters.get(worker).cloned().unwrap_or_default();
        let ids = Mutex::new(SmallRng::seed_from_u64(seed));
        let in_force = Mutex::new(Arc::new(self.rules.load_full()));
        let (rules, warned) = (self.rules.clone(), AtomicU64::new(u64::MAX));
        Worker(Arc::new(Inner { rules, in_force, worker, counters, ids, warned }))
    }
}

/// Handles the requests of one worker. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Worker(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rules: Arc<Live<Rules>>,
    /// The same as this worker's requests hold them: a count that all workers wrote at every request would travel
    /// between their processors.
    in_force: Mutex<Held>,
    worker: usize,
    counters: Arc<Counters>,
    ids: Mutex<SmallRng>,
    /// The generation in which somebody was last said not to be believed.
    warned: AtomicU64,
}

/// Rules with two counts: the inner one is everybody's, the outer one a worker's.
type Held = Arc<Arc<Rules>>;

impl Worker {
    /// The rules in force, for one request.
    fn rules(&self) -> Held {
        let now = self.0.rules.load();
        let mut in_force = self.0.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&now, &in_force) {
            *in_force = Arc::new(now.clone());
        }
        in_force.clone()
    }

    /// Closes what has been idle for too long, and lets go of rules that are not in force. To be called about once a
    /// second.
    pub fn sweep(&self) {
        for upstream in self.rules().upstreams() {
            upstream.sweep(self.0.worker);
        }
    }

    /// Closes the connections to upstreams that nobody uses.
    pub fn close_idle(&self) {
        for upstream in self.0.rules.load().upstreams() {
            upstream.close(self.0.worker);
        }
    }

    /// How long what has begun may take once draining has.
    pub fn drain_deadline(&self) -> Duration {
        self.0.rules.load().settings.drain
    }

    fn new_id(&self) -> HeaderValue {
        let random = self.random().to_be_bytes();
        let mut id = [b'0'; 32];
        for (pair, byte) in id.chunks_exact_mut(2).zip(random) {
            for (digit, half) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
                // Without a table, it is many digits at a time.
                *digit = half + if half < 10 { b'0' } else { b'a' - 10 };
            }
        }
        // One allocation, which all who carry it share.
        HeaderValue::from_maybe_shared(Bytes::from_owner(id)).unwrap_or(HeaderValue::from_static(""))
    }

    fn random(&self) -> u128 {
        self.0.ids.lock().unwrap_or_else(PoisonError::into_inner).random()
    }

    /// Lets a request in: whence it comes, and what it asks to upgrade to.
    fn admit(
        &self,
        rules: &Rules,
        head: &mut request::Parts,
        incoming: &Incoming,
        peer: Peer,
    ) -> Result<(Provenance, Option<Box<Upgrade>>), Rejection> {
        let announced = http_body::Body::size_hint(incoming).exact();
        let settings = &rules.settings;
        let upgrade =
            if head.version == Version::HTTP_2 { self.translate(head, incoming, rules)? } else { None };
        admission::admit(head, announced, settings)?;
        if rules.closed.holds(head.uri.path()) {
            return Err(Rejection::Internal);
        }
        let provenance = Provenance::of(head, peer, settings, || self.new_id());
        if provenance.trust == Trust::Stranger {
            self.warn_of_claims(rules, &head.headers, peer);
        }
        // Also where nothing takes the place of what a stranger claims.
        authorize::strip_all(&mut head.headers, |name| provenance.disbelieves(name));
        Ok((provenance, upgrade))
    }

    /// Says once a generation that somebody is not believed: where it is the operator's own proxy, that is a mistake.
    fn warn_of_claims(&self, rules: &Rules, headers: &HeaderMap, peer: Peer) {
        if self.0.warned.load(Relaxed) == rules.generation || !provenance::any_claims(headers) {
            return;
        }
        self.0.warned.store(rules.generation, Relaxed);
        let (client, keys) = (peer.address, "trusted_proxies");
        tracing::warn!(%client, keys, "X-Forwarded-* of a peer that is not trusted are replaced");
    }

    fn translate(
        &self,
        head: &mut request::Parts,
        incoming: &Incoming,
        rules: &Rules,
    ) -> Result<Option<Box<Upgrade>>, Rejection> {
        let follows = if http_body::Body::is_end_stream(incoming) { Follows::Nothing } else { Follows::Body };
        let nonce = || self.random().to_be_bytes();
        let upgrade = http2::translate(head, follows, &rules.settings.limits, nonce)?;
        Ok(upgrade.map(Box::new))
    }
}

/// The answer as whoever asked for an upgrade in HTTP/2 expects it.
fn upgraded(
    upgrade: Option<Box<Upgrade>>,
    mut response: Response<Content>,
) -> Result<Response<Content>, Failure> {
    if let Some(upgrade) = upgrade {
        upgrade.answer(&mut response).map_err(|reason| {
            let fault = Fault::Protocol { reason: reason.to_owned() };
            Failure::Arm { upstream: "upgrade".to_owned(), fault }
        })?;
    }
    Ok(response)
}

impl Handler for Worker {
    type Body = AnswerBody;

    async fn handle(self, request: Request<Incoming>, peer: Peer, interim: Interim) -> Response<AnswerBody> {
        let rules = self.rules();
        let (mut head, incoming) = request.into_parts();
        let mut entry = Box::new(Entry::begin(&rules, &head, peer, self.0.counters.clone()));
        // Awaited here and not in a function of its own, whose future would be moved once more with every request.
        let answer = match self.admit(&rules, &mut head, &incoming, peer) {
            Ok((provenance, upgrade)) => {
                entry.came(&provenance, &head);
                let (rules, provenance) = (&*rules, &provenance);
                let exchange = Exchange { rules, worker: self.0.worker, provenance, interim };
                let answer = exchange.run(&mut head, incoming, &mut entry).await;
                answer.and_then(|response| upgraded(upgrade, response))
            }
            Err(rejection) => Err(rejection.into()),
        };
        let response = answer.unwrap_or_else(|failure| {
            entry.failed(&failure);
            rescue::response(&failure, entry.request_id()).map(Content::from)
        });
        entry.answered(&response);
        response.map(|content| AnswerBody::new(content, entry))
    }

    fn refuse(&self, refusal: &Refusal, peer: Peer) -> Vec<u8> {
        self.0.counters.refused();
        tracing::info!(
            target: access::TARGET,
            client = %peer.address.ip(), status = refusal.status.as_u16(), error = %refusal, "refused"
        );
        rescue::raw(refusal)
    }

    fn trusts(&self, proxy: IpAddr) -> bool {
        provenance::is_trusted(proxy, &self.0.rules.load().settings.trusted_proxies)
    }

    fn turned_away(&self, reason: &dyn fmt::Display, peer: Peer) {
        self.0.counters.refused();
        tracing::info!(
            target: access::TARGET,
            client = %peer.address.ip(), error = %reason, "refused"
        );
    }

    fn accept_failed(&self) {
        self.0.counters.accept_failed();
        // What is kept for later has descriptors, which somebody needs now.
        for upstream in self.0.rules.load().upstreams() {
            upstream.spare(self.0.worker);
        }
    }

    fn limits(&self) -> listener::Limits {
        let rules = self.0.rules.load();
        let (limits, drain) = (&rules.settings.limits, rules.settings.drain);
        listener::Limits {
            head: HeadLimits { head: limits.head, target: limits.target, fields: limits.headers },
            head_timeout: limits.head_timeout,
            idle_timeout: limits.idle_timeout,
            body_timeout: limits.body_timeout,
            farewell: FAREWELL.min(drain / 4),
        }
    }
}
