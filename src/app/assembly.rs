//! From a configuration to the rules in force, keeping what it leaves alone: connections, counters, evidence.

use std::{collections::HashMap, sync::Arc};

use tokio::sync::Semaphore;

use super::arms::{ControlArm, GeneratorArm, Reach, UpstreamArm, shown_at};
use crate::{
    config::Config,
    forwarding::{Surroundings, upstream},
    gateway::{
        Closed, Rules,
        rules::{Arms, CandidateArm, Upstream},
        settings::Authorize,
    },
    generator::{Generator, settings::Contract},
    parallel_run::{
        ParallelRun, Setup, Shadow, Versions,
        settings::{Plan, Reverse},
    },
    routing::{Brakes, Candidate, Mode, Route},
};

/// What outlives every reload.
pub(super) struct Assembly {
    pub(super) generator: Generator,
    pub(super) parallel_run: ParallelRun,
    pub(super) workers: usize,
    /// What upstreams need to look names up and to check health.
    pub(super) around: Surroundings,
}

/// The upstreams of one generation, by name.
type Upstreams = HashMap<Arc<str>, Arc<Upstream>>;

impl Assembly {
    /// The rules that `config` asks for and `brakes` leave, as generation `generation`.
    pub(super) fn rules(
        &self,
        generation: u64,
        config: &Config,
        brakes: &Brakes,
        before: Option<&Rules>,
    ) -> Rules {
        let table =
            if brakes.is_empty() { config.routes.clone() } else { Arc::new(config.routes.held_by(brakes)) };
        self.generator.reconfigure(config.generator.clone());
        self.parallel_run.configure(config.parallel_run.clone());
        let monolith = self.upstream(&config.monolith, config, before);
        let named = config.upstreams.iter().map(|settings| self.upstream(settings, config, before));
        let upstreams: Upstreams = std::iter::once(monolith.clone())
            .chain(named)
            .map(|upstream| (upstream.settings().name.clone(), upstream))
            .collect();
        let places = table.routes().iter().zip(&config.contracts).zip(&config.plans).zip(&config.guards);
        let places = places.zip(&config.authorizations);
        let arms = places
            .map(|((((route, contract), plan), guard), authorize)| {
                let find = |name: &Arc<str>| upstreams.get(name).unwrap_or(&monolith).clone();
                let control = find(&route.control);
                let candidate = match (&route.candidate, contract) {
                    (Candidate::Upstream(name), contract) => {
                        CandidateArm::Upstream(find(name), contract.clone())
                    }
                    (Candidate::Generator, contract) => {
                        CandidateArm::Generator(contract.clone().unwrap_or(Contract::Article))
                    }
                };
                let shadow = self.shadow(route, plan, &control, &candidate);
                let counters = before.and_then(|before| counters_of(before, route)).unwrap_or_default();
                Arms {
                    control,
                    candidate,
                    authorize: authorize.clone(),
                    shadow,
                    timeout: route.timeout,
                    guard: guard.clone(),
                    counters,
                }
            })
            .collect();
        let most = config.generator.fallback_max_in_flight;
        let fallbacks = before
            .filter(|before| before.generator.settings().fallback_max_in_flight == most)
            .map_or_else(|| Arc::new(Semaphore::new(most)), |before| before.fallbacks.clone());
        Rules {
            generation,
            settings: config.gateway.clone(),
            access: config.log.access,
            access_format: config.log.access_format,
            monolith,
            closed: closed(config),
            table,
            arms,
            generator: self.generator.keeping_settings(),
            fallbacks,
        }
    }

    /// The upstream that serves already where its settings are the same, with its connections.
    fn upstream(
        &self,
        settings: &upstream::Settings,
        config: &Config,
        before: Option<&Rules>,
    ) -> Arc<Upstream> {
        let head = config.gateway.limits.response_head;
        let same = |kept: &&Arc<Upstream>| kept.settings() == settings && kept.response_head() == head;
        let kept = before.and_then(|before| before.upstreams().find(same).cloned());
        let namesake = || before?.upstreams().find(|upstream| upstream.settings().name == settings.name);
        kept.unwrap_or_else(|| {
            // One shelf more, for the work plane.
            let (workers, namesake) = (self.workers + 1, namesake().map(AsRef::as_ref));
            Arc::new(Upstream::new(settings.clone(), head, workers, &self.around, namesake))
        })
    }

    /// The route's parallel run. Without its evidence the route still forwards, unobserved.
    fn shadow(
        &self,
        route: &Route,
        plan: &Plan,
        control: &Arc<Upstream>,
        candidate: &CandidateArm,
    ) -> Option<Arc<Shadow>> {
        match route.effective_mode() {
            Mode::Shadow | Mode::Canary => {}
            Mode::Migrated if plan.reverse == Reverse::On => {}
            Mode::Monolith | Mode::Learn | Mode::Migrated => return None,
        }
        let setup = setup(&self.generator, self.workers, route, plan, control, candidate);
        match self.parallel_run.shadow(setup) {
            Ok(shadow) => Some(shadow),
            Err(error) => {
                tracing::error!(route = &*route.name, %error, "this route is forwarded without its parallel run");
                None
            }
        }
    }
}

/// The paths that only we may ask for.
fn closed(config: &Config) -> Closed {
    let asked = config.authorizations.iter().filter_map(|authorize| match authorize {
        Authorize::Ask(ask) => Some(ask.url.path()),
        Authorize::Off | Authorize::Public => None,
    });
    let told = config.generator.notify.values().map(|notify| notify.url.path());
    let of_images = config.generator.serve.iter().filter_map(|serve| serve.authorize.as_ref());
    Closed::new(asked.chain(told).chain(of_images.map(http::Uri::path)))
}

/// What a route's parallel run is made of; `shelf` is that of the work plane.
pub(super) fn setup(
    generator: &Generator,
    shelf: usize,
    route: &Route,
    plan: &Plan,
    control: &Arc<Upstream>,
    candidate: &CandidateArm,
) -> Setup {
    let mut versions = Versions { control: control.settings().version_header.clone(), candidate: None };
    let control = Reach { upstream: control.clone(), shelf };
    let asked_again = Arc::new(ControlArm(control.clone()));
    let (route, plan) = (route.name.clone(), plan.clone());
    match candidate {
        CandidateArm::Generator(contract) => {
            let arm = Arc::new(GeneratorArm {
                generator: generator.clone(),
                contract: contract.clone(),
                model: generator.model(),
                control,
            });
            Setup { route, plan, versions, candidate: arm.clone(), control: asked_again, images: arm }
        }
        CandidateArm::Upstream(upstream, _) => {
            let candidate = Reach { upstream: upstream.clone(), shelf };
            versions.candidate.clone_from(&upstream.settings().version_header);
            let arm = Arc::new(UpstreamArm { candidate, control, shown_at: shown_at(generator) });
            Setup { route, plan, versions, candidate: arm.clone(), control: asked_again, images: arm }
        }
    }
}

fn counters_of(before: &Rules, route: &Route) -> Option<Arc<crate::gateway::counters::RouteCounters>> {
    let place = before.table.routes().iter().position(|known| known.name == route.name)?;
    before.arms.get(place).map(|arms| arms.counters.clone())
}
