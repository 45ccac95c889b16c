//! Reads the evidence and says what it proves.
//!
//! ```text
//! evidence -> Collector -> Known; route, plan, Known -> assess -> Report -> render
//! ```

pub(crate) mod assess;
mod collect;
mod history;
mod latency;
mod standing;
mod suggestion;
pub mod summary;
mod trail;
pub mod render;

use jiff::Timestamp;

pub use standing::{Standing, Standings, standings};
pub use summary::Report;

use crate::{
    evidence::read::{Evidence, ReadError, pairs::Whole},
    parallel_run::settings::Plan,
    routing::Route,
};

/// Says what the evidence of `routes` proves at `now`; without any, none was ever sampled.
pub fn build<'a>(
    evidence: Option<&Evidence>,
    routes: impl IntoIterator<Item = (&'a Route, &'a Plan)>,
    now: Timestamp,
) -> Result<Report, ReadError> {
    let assess = |(route, plan): (&Route, &Plan)| {
        let read = |evidence: &Evidence| {
            let epoch = evidence.epoch_of(&route.name, plan)?;
            epoch.map(|epoch| collect::Known::read(evidence, &epoch, route, plan)).transpose()
        };
        let known = evidence.map(read).transpose()?.flatten();
        Ok(assess::route(route, plan, known.as_ref(), now))
    };
    let routes = routes.into_iter().map(assess).collect::<Result<_, ReadError>>()?;
    Ok(Report { schema: 1, generated_at: assess::instant(now), routes })
}

/// Pairs of `route` whose exchanges are kept and that have something to see, with everything that is known of each:
/// failures before matches, the newest first.
pub fn exhibits(evidence: &Evidence, route: &str, most: usize) -> Result<Vec<Whole>, ReadError> {
    let ids = evidence.kept(route, 2 * most);
    let pairs = ids.into_iter().filter_map(|id| evidence.comparison(id).transpose());
    let shows = |pair: &Whole| !pair.images.is_empty() || !pair.differences.is_empty();
    pairs.filter(|pair| pair.as_ref().map_or(true, shows)).take(most).collect()
}

#[cfg(test)]
mod tests;
