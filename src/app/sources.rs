//! What the operator's listener asks, answered from the rules in force.

use std::{collections::HashMap, sync::Arc, time::Instant};

use jiff::Timestamp;

use super::{in_force::InForce, verdicts::Glance};
use crate::{
    admin::{self, AddressLine, RouteLine, Trouble, UpstreamLine},
    forwarding::{Ending, Outcome, Resolution},
    gateway::{self, Gateway, Rules, counters::RouteCounters, rules::Upstream},
    parallel_run::verdict::State,
    report::summary::{Live, LiveCandidate, LiveControl},
    routing::{Arm, Route},
};

/// Routes, table and coverage, as they are when they are asked for.
pub(super) fn sources(in_force: &Arc<InForce>, glance: Arc<Glance>, gateway: Arc<Gateway>) -> admin::Sources {
    let rules = in_force.rules();
    let (standing, deciding, asking) = (rules.clone(), rules.clone(), rules.clone());
    let in_force = in_force.clone();
    admin::Sources {
        routes: Box::new(move || route_lines(&standing.load(), &glance)),
        table: Box::new(move || deciding.load().table.clone()),
        upstreams: Box::new(move || {
            asking.load().distinct_upstreams().into_iter().map(|upstream| upstream_line(upstream)).collect()
        }),
        config: Box::new(move || in_force.config().shown()),
        coverage: Box::new(move || serde_json::json!(gateway.coverage())),
    }
}

/// The routes as brakes leave them, each with how it is compared, and what its users have got.
pub(super) fn planned(in_force: &Arc<InForce>) -> admin::Planned {
    let in_force = in_force.clone();
    Box::new(move || {
        let (config, brakes) = (in_force.config(), in_force.brakes());
        let table = config.routes.held_by(&brakes);
        let rules = in_force.rules().load_full();
        let arms: HashMap<_, _> =
            rules.table.routes().iter().map(|route| &route.name).zip(&rules.arms).collect();
        let live = |route: &Route| arms.get(&route.name).map(|arms| live(&arms.counters)).unwrap_or_default();
        let routes = table.routes().iter().zip(&config.plans);
        routes.map(|(route, plan)| (route.clone(), plan.clone(), live(route))).collect()
    })
}

/// What users of a route have got since this gateway started.
fn live(counters: &RouteCounters) -> Live {
    let (requests, errors) = (|arm| Some(counters.requests(arm)), |arm| Some(counters.errors(arm)));
    let control = LiveControl { requests: requests(Arm::Control), errors: errors(Arm::Control) };
    let fallbacks = Some(counters.fallbacks());
    let candidate =
        LiveCandidate { requests: requests(Arm::Candidate), errors: errors(Arm::Candidate), fallbacks };
    Live { control, candidate }
}

fn route_lines(rules: &Rules, glance: &Glance) -> Vec<RouteLine> {
    let verdicts = glance.load();
    let line = |(route, arms): (&Route, &gateway::rules::Arms)| RouteLine {
        name: route.name.to_string(),
        line: route.line,
        takes: route.takes(),
        mode: route.mode,
        effective_mode: route.effective_mode(),
        held: route.brake.is_some(),
        share: route.canary.share,
        control: arms.counters.requests(Arm::Control),
        candidate: arms.counters.requests(Arm::Candidate),
        subjectless: arms.counters.requests_without_subject(),
        verdict: verdicts.get(&*route.name).copied().unwrap_or(State::None).to_string(),
    };
    rules.table.routes().iter().zip(&rules.arms).map(line).collect()
}

fn upstream_line(upstream: &Upstream) -> UpstreamLine {
    let (now, wall) = (Instant::now(), Timestamp::now());
    // The clock of a machine may be set; how long ago something was cannot.
    let at = |instant: Instant| {
        wall.checked_sub(now.saturating_duration_since(instant)).unwrap_or(Timestamp::UNIX_EPOCH)
    };
    let settings = upstream.settings();
    let (resolution, unresolved) = match upstream.resolution() {
        Resolution::Literal => ("literal", None),
        Resolution::Awaited => ("awaited", None),
        Resolution::Good => ("good", None),
        Resolution::Failing { since, error } => {
            ("failing", Some(Trouble { at: at(since), error: error.into() }))
        }
    };
    let (active, idle) = upstream.connections();
    let exchanges = Ending::ALL.iter().map(|(ending, name)| (*name, upstream.tally().endings(*ending)));
    let addresses = upstream.addresses().into_iter().map(|known| AddressLine {
        address: known.at.to_string(),
        state: known.state.name(),
        since: at(known.since),
        last_error: known.trouble.map(|trouble| Trouble { at: at(trouble.at), error: trouble.error.into() }),
        connections: known.connections,
    });
    UpstreamLine {
        name: settings.name.to_string(),
        host: format!("{}:{}", settings.host, settings.port),
        resolution,
        unresolved,
        active,
        idle,
        exchanges: exchanges.collect(),
        addresses: addresses.collect(),
    }
}
