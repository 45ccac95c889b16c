//! The first page: is it well, and where does each route stand.

use maud::{Markup, html};

use super::{Ready, RouteLine, UpstreamLine, pages::Script, upstreams};
use crate::{
    parallel_run::verdict::figures::at_most,
    report::{
        Report,
        render::html::{duration, frame, grouped, verdict},
        summary::RouteReport,
    },
    routing::Mode,
};

/// How things stand at one moment.
pub(super) struct Standing {
    pub(super) ready: Ready,
    pub(super) routes: Vec<RouteLine>,
    pub(super) upstreams: Vec<UpstreamLine>,
}

/// The page as it stands now, with what the evidence says where it can be read.
pub(super) fn render(standing: &Standing, report: Option<&Report>) -> String {
    let body = html! {
        header.top {
            p.brand { "figueira" }
            h1 { "Routes" }
            div.standing { (state(&standing.ready)) }
            form.refresh hidden {
                label { input type="checkbox" checked autocomplete="off"; " anew every 15 seconds" }
                output {}
            }
        }
        main {
            (table(&standing.routes, report))
            h2 { "Upstreams" }
            div.wide tabindex="0" role="region" aria-label="Upstreams" { (upstreams::table(&standing.upstreams)) }
        }
        footer.bottom {
            p { a href="/metrics" { "metrics" } " " a href="/readyz" { "readiness" } " " a href="/healthz" { "health" } }
        }
        (Script::Refreshes.tag())
    };
    frame("figueira", html! {}, body)
}

fn state(ready: &Ready) -> Markup {
    let reasons: Vec<_> = ready.reasons().collect();
    html! {
        p {
            @if reasons.is_empty() { strong.good { "ready" } } @else { strong.bad { "not ready: " (reasons.join(", ")) } }
            @if let Some(generation) = ready.generation { ", rules of generation " (generation) }
        }
        @if let Some(refused) = &ready.refused {
            p.bad { "The file was refused, the last good rules serve:" }
            pre { (refused) }
        }
    }
}

/// The mode in force, what a canary takes, whether a brake holds it, and what the file asks for where that is another.
fn mode(route: &RouteLine) -> String {
    let share = match route.effective_mode {
        Mode::Canary => format!(" {} %", route.share.percent()),
        _ => String::new(),
    };
    let asked = match (route.held, route.mode == route.effective_mode) {
        (false, true) => String::new(),
        (true, true) => ", held".to_owned(),
        (_, false) => format!(", held: the file says {}", route.mode),
    };
    format!("{}{share}{asked}", route.effective_mode)
}

fn table(routes: &[RouteLine], report: Option<&Report>) -> Markup {
    if routes.is_empty() {
        return html! { p { "No routes: everything goes to the monolith." } };
    }
    let proved = |line: &RouteLine| report?.routes.iter().find(|route| route.name == line.name);
    html! {
        div.wide tabindex="0" role="region" aria-label="Routes" {
            table {
                thead {
                    tr {
                        th scope="col" { "Route" } th scope="col" { "Takes" } th scope="col" { "Mode" }
                        th scope="col" { "Verdict" }
                        th.figure scope="col" { "Trials" } th.figure scope="col" { "Failed" }
                        th.figure scope="col" { "At most" } th.figure scope="col" { "p95" }
                        th.figure scope="col" { "By monolith" } th.figure scope="col" { "By candidate" }
                    }
                }
                tbody { @for route in routes { (row(route, proved(route))) } }
            }
        }
    }
}

fn row(line: &RouteLine, proved: Option<&RouteReport>) -> Markup {
    let figures = proved.filter(|route| route.pairs > 0);
    let figure = |of: fn(&RouteReport) -> String| figures.map_or_else(|| "\u{2013}".to_owned(), of);
    html! {
        tr {
            th scope="row" {
                @if proved.is_some() { a href={ "/routes/" (line.name) } { (line.name) } } @else { (line.name) }
            }
            td { code { (line.takes) } }
            td { (mode(line)) }
            td {
                @match proved {
                    Some(route) => { (verdict(route.verdict)) }
                    None => { (line.verdict) }
                }
            }
            td.figure { (figure(|route| grouped(route.pairs))) }
            td.figure { (figure(|route| grouped(route.failures))) }
            td.figure { (figure(|route| at_most(route.upper_bound))) }
            td.figure { (figure(|route| duration(route.latency_ms.candidate.p95))) }
            td.figure { (grouped(line.control)) }
            td.figure { (grouped(line.candidate)) }
        }
    }
}
