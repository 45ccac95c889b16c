//! Reads the evidence and says what it proves.
//!
//! ```text
//! evidence -> Collector -> Known; route, plan, Known -> assess -> Report -> render
//! ```

mod assess;
mod collect;
mod standing;
pub mod summary;
pub mod render;

use jiff::Timestamp;

pub use standing::{Standing, standings};
pub use summary::Report;

use crate::{
    evidence::read::{Evidence, ReadError},
    parallel_run::settings::Plan,
    routing::Route,
};

/// Says what the evidence of `routes` proves at `now`; without any, none was ever sampled.
pub fn build<'a>(
    evidence: Option<&Evidence>,
    routes: impl IntoIterator<Item = (&'a Route, &'a Plan)>,
    now: Timestamp,
) -> Result<Report, ReadError> {
    let current = evidence.map(Evidence::current).transpose()?.unwrap_or_default();
    let assess = |(route, plan): (&Route, &Plan)| {
        let epoch = current.iter().find(|epoch| *epoch.route == *route.name);
        let known = match evidence.zip(epoch) {
            Some((evidence, epoch)) => Some(collect::Known::read(evidence, epoch, route, plan)?),
            None => None,
        };
        Ok(assess::route(route, plan, known.as_ref(), now))
    };
    let routes = routes.into_iter().map(assess).collect::<Result<_, ReadError>>()?;
    Ok(Report { schema: 1, generated_at: assess::instant(now), routes })
}

#[cfg(test)]
mod tests;
