//! A route's candidate outside a gateway, for previews: with a store of its own that goes with it, and no clients.

use std::{path::Path, sync::Arc, time::SystemTime};

use anyhow::Context;
use jiff::Timestamp;
use prometheus_client::registry::Registry;

use super::assembly::setup;
use crate::{
    compute::Compute,
    config::Config,
    forwarding::{Surroundings, upstream},
    gateway::rules::{CandidateArm, Upstream},
    generator::{self, Generator, settings::Contract},
    parallel_run::{Purse, Setup, calibration::PathStates, preview::Judge},
    routing::Candidate,
    shutdown::Shutdown,
};

/// What is known of the route whose pairs are judged again.
#[derive(Debug)]
pub struct Known {
    /// Its place in the file.
    pub place: usize,
    /// What was learned of the control's noise.
    pub states: PathStates,
    /// What its candidates have cost today, in US dollars.
    pub spent_today: f64,
}

/// The judge of a route, whose generator keeps what it must in `folder`. To be called on a runtime.
pub async fn judge(
    config: &Config,
    known: Known,
    folder: &Path,
    lifetime: &Shutdown,
) -> anyhow::Result<Judge> {
    let Known { place, states, spent_today } = known;
    let route = config.routes.routes().get(place).context("no such route")?;
    let plan = config.plans.get(place).context("no such route")?;
    let metrics = generator::Metrics::register(&mut Registry::default());
    let settings = config.generator.clone();
    let generator =
        Generator::open(settings, folder, lifetime.clone(), metrics, Compute::default(), SystemTime::now)
            .await
            .context("cannot open a generator")?;
    let around = Surroundings::current(lifetime.clone());
    let head = config.gateway.limits.response_head;
    let open =
        |settings: &upstream::Settings| Arc::new(Upstream::new(settings.clone(), head, 1, &around, None));
    let named = |name: &str| {
        let known = config.upstreams.iter().find(|upstream| *upstream.name == *name);
        open(known.unwrap_or(&config.monolith))
    };
    let candidate = match (&route.candidate, config.contracts.get(place).cloned().flatten()) {
        (Candidate::Upstream(name), contract) => CandidateArm::Upstream(named(name), contract),
        (Candidate::Generator, contract) => CandidateArm::Generator(contract.unwrap_or(Contract::Article)),
    };
    let Setup { plan, candidate, images, .. } =
        setup(&generator, 0, route, plan, &named(&route.control), &candidate);
    let (max_body, redact) = (config.parallel_run.max_body, config.parallel_run.redact.clone());
    Ok(Judge {
        plan: plan.in_full(),
        states,
        candidate,
        images,
        lifetime: lifetime.clone(),
        max_body,
        redact,
        purse: Purse::new(spent_today, 0.0, Timestamp::now()),
    })
}
