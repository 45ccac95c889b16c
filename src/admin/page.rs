//! The dashboard: one page without script, whose only style is the one that its policy names by hash.

use base64::{Engine, engine::general_purpose::STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::{Ready, RouteLine, UpstreamLine, upstreams};
use crate::routing::Mode;

const STYLE: &str = include_str!("page.css");

/// `Content-Security-Policy` of the page.
pub(super) fn policy() -> String {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// The page as it stands now.
pub(super) fn render(ready: &Ready, routes: &[RouteLine], lines: &[UpstreamLine]) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="refresh" content="5";
                title { "figueira" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "figueira" }
                    (state(ready))
                }
                main { (table(routes)) (upstreams::table(lines)) }
                footer {
                    a href="/metrics" { "metrics" } " "
                    a href="/readyz" { "readiness" } " "
                    a href="/healthz" { "health" }
                }
            }
        }
    };
    page.into_string()
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

/// The mode in force, what a canary takes, and what the file asks for where that is another.
fn mode(route: &RouteLine) -> String {
    let share = match route.effective_mode {
        Mode::Canary => format!(" {} %", route.share.percent()),
        _ => String::new(),
    };
    let asked = if route.mode == route.effective_mode {
        String::new()
    } else {
        format!(", held: the file says {}", route.mode)
    };
    format!("{}{share}{asked}", route.effective_mode)
}

fn table(routes: &[RouteLine]) -> Markup {
    if routes.is_empty() {
        return html! { p { "No routes: everything goes to the monolith." } };
    }
    html! {
        table {
            thead {
                tr {
                    th { "route" } th { "takes" } th { "mode" }
                    th.figure { "monolith" } th.figure { "candidate" } th { "verdict" }
                }
            }
            tbody {
                @for route in routes {
                    tr {
                        td { (route.name) }
                        td { code { (route.takes) } }
                        td { (mode(route)) }
                        td.figure { (route.control) }
                        td.figure { (route.candidate) }
                        td { (route.verdict) }
                    }
                }
            }
        }
    }
}
