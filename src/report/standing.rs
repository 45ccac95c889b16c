//! Where each route stands, for those who look often: the verdict, without the differences that only a report shows. Each
//! look reads what is new since the last one, and says to the digit what all of the evidence says.

use std::collections::HashMap;

use jiff::Timestamp;
use uuid::Uuid;

use super::{collect::tally, render::words, trail::Trail};
use crate::{
    evidence::read::{Bookmark, Epoch, Evidence, Pair, ReadError},
    parallel_run::{
        settings::Plan,
        verdict::{Past, Proved, Reason, State},
    },
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
    /// What proves which epoch of it UNSAFE and is to be kept, because the pairs that prove it will not be.
    pub proved: Option<(Epoch, Proved)>,
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
            proved: None,
        }
    }

    /// What `trail` proves of `epoch` at `now`.
    fn of(trail: &Trail, epoch: &Epoch, route: &Route, plan: &Plan, now: Timestamp) -> Self {
        let verdict = trail.all().verdict(now);
        Self {
            route: (&*route.name).into(),
            words: words::sentence(plan, trail.all(), &verdict),
            verdict: verdict.state,
            reasons: verdict.reasons,
            charges: trail.fresh().unsafe_reasons().iter().map(Reason::to_string).collect(),
            proved: trail.all().to_be_kept().map(|proved| (epoch.clone(), proved)),
        }
    }
}

/// The evidence as it was read, from look to look.
#[derive(Debug, Default)]
pub struct Standings {
    bookmark: Option<Bookmark>,
    /// Most routes of a site are never sampled, and are not among them.
    routes: HashMap<Box<str>, Followed>,
}

/// One route that has evidence.
#[derive(Debug)]
struct Followed {
    epoch: Epoch,
    /// The epoch that the route took up last, and the plan: while both are the same, so is the epoch that counts.
    last: Epoch,
    plan: Plan,
    trail: Trail,
    standing: Standing,
}

impl Standings {
    /// Says where `routes` stand at `now`. `overruled` is when a person last let go what the evidence of a route held
    /// back: what was sampled before was judged by them.
    pub fn look<'a>(
        &mut self,
        evidence: Option<&Evidence>,
        routes: impl IntoIterator<Item = (&'a Route, &'a Plan)>,
        overruled: impl Fn(&str) -> Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Vec<Standing>, ReadError> {
        let mut before = std::mem::take(self);
        let Some(evidence) = evidence else {
            return Ok(routes.into_iter().map(|(route, _)| Standing::unknown(route)).collect());
        };
        let (changes, bookmark) = evidence.changes(before.bookmark)?;
        // Of many routes few have news: what the others stand on is asked for once for all of them.
        let mut taken_up: HashMap<String, Epoch> =
            evidence.current()?.into_iter().map(|epoch| (epoch.route.clone(), epoch)).collect();
        let has_past = evidence.with_a_past()?;
        let look = |(route, plan): (&Route, &Plan)| {
            let Some(last) = taken_up.remove(&*route.name) else { return Ok(Standing::unknown(route)) };
            let known = before.routes.remove(&*route.name);
            let epoch = match &known {
                Some(known) if known.last.is_still(&last) && known.plan == *plan => Some(known.epoch.clone()),
                _ => evidence.epoch_of(&route.name, plan)?,
            };
            let Some(epoch) = epoch else { return Ok(Standing::unknown(route)) };
            let past = if has_past(&epoch) { evidence.past(&epoch)? } else { Past::default() };
            let (empty, since) = (tally(route, plan, past), overruled(&route.name));
            let known =
                known.filter(|known| known.epoch.is_still(&epoch) && known.trail.is_of(&empty, since));
            let (mut followed, first) = match known {
                Some(known) => (known, changes.first_of(&epoch)),
                None => (Followed::new(route, plan, epoch, Trail::new(empty, since)), Some(Uuid::nil())),
            };
            followed.last = last;
            if followed.plan != *plan {
                followed.plan = plan.clone();
            }
            followed.look(evidence, first, route, plan, now)?;
            let standing = followed.standing.clone();
            self.routes.insert(standing.route.clone(), followed);
            Ok(standing)
        };
        let standings = routes.into_iter().map(look).collect::<Result<_, ReadError>>()?;
        self.bookmark = Some(bookmark);
        Ok(standings)
    }
}

impl Followed {
    fn new(route: &Route, plan: &Plan, epoch: Epoch, trail: Trail) -> Self {
        Self { last: epoch.clone(), plan: plan.clone(), epoch, trail, standing: Standing::unknown(route) }
    }

    /// Counts what is new, from the pair `first` on.
    fn look(
        &mut self,
        evidence: &Evidence,
        first: Option<Uuid>,
        route: &Route,
        plan: &Plan,
        now: Timestamp,
    ) -> Result<(), ReadError> {
        if let Some(first) = first {
            let after = self.trail.back_before(first);
            evidence.pairs_after(&self.epoch, after, |pair| self.trail.add(pair))?;
            self.trail.mark();
            let last = self.trail.last_at().unwrap_or(self.epoch.started_at);
            for (class, n) in evidence.counted_only(&self.epoch)? {
                self.trail.count(&Pair::counted_only(class, n, last));
            }
        } else if self.standing.verdict == self.trail.all().state_at(now) {
            return Ok(());
        }
        self.standing = Standing::of(&self.trail, &self.epoch, route, plan, now);
        Ok(())
    }
}

/// Says where `routes` stand at `now`, to who looks once.
pub fn standings<'a>(
    evidence: Option<&Evidence>,
    routes: impl IntoIterator<Item = (&'a Route, &'a Plan)>,
    now: Timestamp,
) -> Result<Vec<Standing>, ReadError> {
    Standings::default().look(evidence, routes, |_| None, now)
}

#[cfg(test)]
mod tests;
