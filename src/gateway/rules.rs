//! Everything that a reload can change, as one immutable value: a request sees one of these and no other.

use std::{sync::Arc, time::Duration};

use http::request;
use tokio::sync::Semaphore;

use super::{
    Closed, RequestBody,
    counters::RouteCounters,
    settings::{Authorize, Settings},
};
use crate::{
    brake::guard,
    forwarding,
    generator::{Generator, settings::Contract},
    parallel_run::Shadow,
    routing::Table,
    telemetry::log::{Access, AccessFormat},
};

/// An upstream as the data plane uses it.
pub type Upstream = forwarding::Upstream<RequestBody>;

/// One generation of rules.
#[derive(Debug)]
pub struct Rules {
    /// 1 at start, one more at each reload.
    pub generation: u64,
    /// What every request is held to.
    pub settings: Settings,
    /// Which requests leave an access line.
    pub access: Access,
    /// How such a line looks.
    pub access_format: AccessFormat,
    /// Who answers what no route takes.
    pub monolith: Arc<Upstream>,
    /// Paths that nobody but us may ask for.
    pub closed: Closed,
    /// The routes.
    pub table: Arc<Table>,
    /// At the place of each route: its arms.
    pub arms: Vec<Arms>,
    /// Answers for the candidates that are its.
    pub generator: Generator,
    /// How many of the generator's requests may be with the monolith at once.
    pub fallbacks: Arc<Semaphore>,
}

/// Who can answer the requests of one route.
#[derive(Debug)]
pub struct Arms {
    /// The arm that is to be replaced.
    pub control: Arc<Upstream>,
    /// The arm that is to replace it.
    pub candidate: CandidateArm,
    /// Who says whether the candidate may answer.
    pub authorize: Authorize,
    /// Its parallel run, in the modes that have one.
    pub shadow: Option<Arc<Shadow>>,
    /// Limit of the whole exchange.
    pub timeout: Option<Duration>,
    /// What its candidate is held to while it answers users.
    pub guard: guard::Settings,
    /// What it has counted, across reloads.
    pub counters: Arc<RouteCounters>,
}

/// The candidate of a route.
#[derive(Debug)]
pub enum CandidateArm {
    /// The generator, by this contract.
    Generator(Contract),
    /// Another upstream; and what its clients speak, where the control has to be told what they ask for.
    Upstream(Arc<Upstream>, Option<Contract>),
}

impl CandidateArm {
    /// Whether it has an answer to requests of this head: the generator has none to what is not for images.
    pub fn answers(&self, head: &request::Parts) -> bool {
        match self {
            Self::Generator(contract) => contract.is_for_images(&head.method, head.uri.path()),
            Self::Upstream(..) => true,
        }
    }

    /// What its clients speak, where that is known here.
    pub fn contract(&self) -> Option<&Contract> {
        match self {
            Self::Generator(contract) => Some(contract),
            Self::Upstream(_, contract) => contract.as_ref(),
        }
    }
}

impl Rules {
    /// Every upstream that these rules name; one may come more than once.
    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        let of_routes = self.arms.iter().flat_map(|arms| {
            let candidate = match &arms.candidate {
                CandidateArm::Upstream(upstream, _) => Some(upstream),
                CandidateArm::Generator(_) => None,
            };
            std::iter::once(&arms.control).chain(candidate)
        });
        std::iter::once(&self.monolith).chain(of_routes)
    }

    /// Each of them once: the monolith first, the others by name.
    pub fn distinct_upstreams(&self) -> Vec<&Arc<Upstream>> {
        let name = |upstream: &&Arc<Upstream>| upstream.settings().name.clone();
        let mut others: Vec<_> =
            self.upstreams().filter(|upstream| name(upstream) != name(&&self.monolith)).collect();
        others.sort_by_key(name);
        others.dedup_by_key(|upstream| name(&&**upstream));
        std::iter::once(&self.monolith).chain(others).collect()
    }
}
