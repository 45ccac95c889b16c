//! All routes in one table, worst verdict first.

use maud::{Markup, html};

use super::{Place, duration, grouped, verdict};
use crate::{
    parallel_run::verdict::figures::{at_most, percent},
    report::{Report, summary::RouteReport},
};

/// The routes by their verdicts; those that were never sampled come last.
pub(crate) fn worst_first(report: &Report) -> Vec<&RouteReport> {
    let mut routes: Vec<&RouteReport> = report.routes.iter().collect();
    routes.sort_by_key(|route| route.verdict);
    routes
}

/// The table of routes.
pub(crate) fn table(report: &Report, place: Place) -> Markup {
    let routes = worst_first(report);
    html! {
        section.overview {
            h2 #overview { "Routes" }
            @if routes.is_empty() {
                p { "No routes: everything goes to the monolith." }
            } @else {
                div.wide tabindex="0" role="region" aria-labelledby="overview" {
                    table {
                        thead {
                            tr {
                                th scope="col" { "Route" } th scope="col" { "Verdict" } th scope="col" { "Mode" }
                                th.figure scope="col" { "Trials" } th.figure scope="col" { "Failed" }
                                th.figure scope="col" { "At most" } th.figure scope="col" { "Limit" }
                                th.figure scope="col" { "p95" } th.figure scope="col" { "Control\u{2019}s" }
                            }
                        }
                        tbody { @for route in routes { (row(route, place)) } }
                    }
                }
            }
        }
    }
}

fn row(route: &RouteReport, place: Place) -> Markup {
    html! {
        tr {
            th scope="row" { a href=(place.route(&route.name)) { (route.name) } }
            td { (verdict(route.verdict)) }
            td { (mode(route)) }
            td.figure { (grouped(route.pairs)) }
            td.figure { (grouped(route.failures)) }
            td.figure { @if route.pairs == 0 { "\u{2013}" } @else { (at_most(route.upper_bound)) } }
            td.figure { (percent(route.max_failure_rate)) }
            td.figure { (duration(route.latency_ms.candidate.p95)) }
            td.figure { (duration(route.latency_ms.control.p95)) }
        }
    }
}

/// The mode in force, and what the file asks for where a brake holds it lower.
fn mode(route: &RouteReport) -> String {
    match held(route) {
        None => route.effective_mode.to_owned(),
        Some(held) => format!("{}, {held}", route.effective_mode),
    }
}

/// What a brake does to the mode, where there is one.
pub(super) fn held(route: &RouteReport) -> Option<String> {
    let lower = || format!("held: the file says {}", route.mode);
    route.brake.as_ref().map(|_| if route.mode == route.effective_mode { "held".to_owned() } else { lower() })
}
