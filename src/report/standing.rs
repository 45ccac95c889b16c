//! Where each route stands, for those who look often: the verdict, without the differences that only a report shows.

use jiff::Timestamp;

use super::{
    collect::{observation, tally},
    render::words,
};
use crate::{
    evidence::read::{Evidence, ReadError},
    parallel_run::{settings::Plan, verdict::State},
    routing::Route,
};

/// Where one route stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its name.
    pub route: Box<str>,
    /// What all evidence of its epoch proves.
    pub verdict: State,
    /// Why it is UNSAFE or BLOCKED.
    pub reasons: Vec<String>,
    /// What it proves, in a sentence.
    pub words: String,
    /// Why what was sampled since a person overruled the evidence proves it UNSAFE by itself; empty where it does not.
    pub charges: Vec<String>,
}

impl Standing {
    /// Of a route without evidence.
    fn unknown(route: &Route) -> Self {
        Self {
            route: (&*route.name).into(),
            verdict: State::None,
            reasons: Vec::new(),
            words: words::NEVER_SAMPLED.to_owned(),
            charges: Vec::new(),
        }
    }
}

/// Says where `routes` stand at `now`. `overruled` is when a person last let go what the evidence of a route held back:
/// what was sampled before was judged by them.
pub fn standings<'a>(
    evidence: Option<&Evidence>,
    routes: impl IntoIterator<Item = (&'a Route, &'a Plan)>,
    overruled: impl Fn(&str) -> Option<Timestamp>,
    now: Timestamp,
) -> Result<Vec<Standing>, ReadError> {
    let current = evidence.map(Evidence::current).transpose()?.unwrap_or_default();
    let stand = |(route, plan): (&Route, &Plan)| {
        let epoch = current.iter().find(|epoch| *epoch.route == *route.name);
        // Most routes of a site are never sampled, and what nothing proves need not be computed at each look.
        let Some((evidence, epoch)) = evidence.zip(epoch) else { return Ok(Standing::unknown(route)) };
        let mut all = tally(route, plan);
        let since = overruled(&route.name);
        let mut fresh = since.map(|since| (since, tally(route, plan)));
        evidence.pairs(epoch, |pair| {
            let observation = observation(pair);
            all.observe(&observation);
            if let Some((_, fresh)) = fresh.as_mut().filter(|(since, _)| pair.at > *since) {
                fresh.observe(&observation);
            }
        })?;
        let verdict = all.verdict(now);
        let charges = fresh.map_or_else(|| all.unsafe_reasons(), |(_, fresh)| fresh.unsafe_reasons());
        Ok(Standing {
            route: (&*route.name).into(),
            words: words::sentence(plan, &all, &verdict),
            verdict: verdict.state,
            reasons: verdict.reasons,
            charges,
        })
    };
    routes.into_iter().map(stand).collect()
}
