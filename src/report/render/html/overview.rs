//! All routes in one table, worst verdict first.

use maud::{Markup, html};

use super::{Place, duration, grouped, verdict};
use crate::{
    parallel_run::verdict::gate::percent,
    report::{Report, summary::RouteReport},
};

/// The table of routes; those that were never sampled stand last.
pub(crate) fn table(report: &Report, place: Place) -> Markup {
    let mut routes: Vec<&RouteReport> = report.routes.iter().collect();
    routes.sort_by_key(|route| route.verdict);
    html! {
        section.overview aria-labelledby="overview" {
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
            td.figure { @if route.pairs == 0 { "\u{2013}" } @else { (percent(route.upper_bound)) } }
            td.figure { (percent(route.max_failure_rate)) }
            td.figure { (duration(route.latency_ms.candidate.p95)) }
            td.figure { (duration(route.latency_ms.control.p95)) }
        }
    }
}

/// The mode in force, and what the file asks for where a brake holds it lower.
pub(super) fn mode(route: &RouteReport) -> String {
    if route.mode == route.effective_mode {
        route.mode.to_owned()
    } else {
        format!("{}, held (the file says {})", route.effective_mode, route.mode)
    }
}
