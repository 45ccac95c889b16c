//! What the operator's listener asks, answered from the rules in force.

use std::sync::Arc;

use super::{in_force::InForce, verdicts::Glance};
use crate::{
    admin::{self, RouteLine},
    gateway::{self, Gateway, Rules},
    parallel_run::verdict::State,
    routing::{Arm, Live, Route},
};

/// Routes, table and coverage, as they are when they are asked for.
pub(super) fn sources(
    rules: &Arc<Live<Rules>>,
    glance: Arc<Glance>,
    gateway: Arc<Gateway>,
) -> admin::Sources {
    let (standing, deciding) = (rules.clone(), rules.clone());
    admin::Sources {
        routes: Box::new(move || route_lines(&standing.load(), &glance)),
        table: Box::new(move || deciding.load().table.clone()),
        coverage: Box::new(move || serde_json::json!(gateway.coverage())),
    }
}

/// The routes as brakes leave them, each with how it is compared.
pub(super) fn planned(in_force: &Arc<InForce>) -> admin::Planned {
    let in_force = in_force.clone();
    Box::new(move || {
        let (config, brakes) = (in_force.config(), in_force.brakes());
        let table = config.routes.held_by(&brakes);
        table.routes().iter().cloned().zip(config.plans.iter().cloned()).collect()
    })
}

fn route_lines(rules: &Rules, glance: &Glance) -> Vec<RouteLine> {
    let verdicts = glance.load();
    let line = |(route, arms): (&Route, &gateway::rules::Arms)| RouteLine {
        name: route.name.to_string(),
        line: route.line,
        takes: route.takes(),
        mode: route.mode,
        effective_mode: route.effective_mode(),
        share: route.canary.share,
        control: arms.counters.requests(Arm::Control),
        candidate: arms.counters.requests(Arm::Candidate),
        subjectless: arms.counters.requests_without_subject(),
        verdict: verdicts.get(&*route.name).copied().unwrap_or(State::None).to_string(),
    };
    rules.table.routes().iter().zip(&rules.arms).map(line).collect()
}
