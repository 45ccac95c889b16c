//! The pages below the first one: a route, its pairs, and one pair with what a person can say of it.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use maud::{Markup, PreEscaped, html};

use super::reports::Asked;
use crate::{
    evidence::read::pairs::{Line, Whole},
    parallel_run::comparison::{Class, words::Word as _},
    report::{
        assess::instant,
        render::html::{
            Place, acknowledging, alarms, class, duration, frame, hash, part, policy, section, stratum, time,
            whole,
        },
        summary::RouteReport,
    },
};

/// What a page does by itself. All of them say the same without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    /// Nothing.
    None,
    /// It sends what is filled in as JSON, which a form cannot.
    Says,
    /// It shows how things stand now.
    Refreshes,
}

impl Script {
    fn text(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Says => Some(include_str!("pages/say.js")),
            Self::Refreshes => Some(include_str!("pages/refresh.js")),
        }
    }

    /// At the end of its page.
    pub(super) fn tag(self) -> Markup {
        html! { @if let Some(text) = self.text() { script { (PreEscaped(text)) } } }
    }
}

/// A page with its policy.
pub(super) fn answer(page: String, script: Script) -> Response<Full<Bytes>> {
    let more = match script.text() {
        None => "; frame-ancestors 'none'".to_owned(),
        Some(text) => format!("; script-src '{}'; connect-src 'self'; frame-ancestors 'none'", hash(text)),
    };
    let mut response = super::answer(StatusCode::OK, "text/html; charset=utf-8", page);
    if let Ok(policy) = HeaderValue::try_from(policy(&more)) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// Where a page lies: the pages above it, each with its address.
fn way(above: &[(&str, &str)], here: &str) -> Markup {
    html! {
        nav aria-label="Where this is" {
            ol {
                @for (name, address) in above { li { a href=(address) { (name) } } }
                li aria-current="page" { (here) }
            }
        }
    }
}

/// One route: gates, evidence, latency, differences, and the newest pairs that are kept.
pub(super) fn route(route: &RouteReport, exhibits: &[Whole]) -> String {
    let pairs = format!("/routes/{}/pairs", route.name);
    let body = html! {
        header.top { (way(&[("Routes", "/")], &route.name)) }
        main {
            (section(route, exhibits, Place::Dashboard))
            p { a href=(pairs) { "All pairs of this route" } }
        }
        (Script::Says.tag())
    };
    frame(&format!("{} - figueira", route.name), html! {}, body)
}

/// A page of a route's pairs, the newest first.
pub(super) fn pairs(route: &str, asked: &Asked, lines: &[Line], next: Option<&str>) -> String {
    let here = format!("/routes/{route}");
    let of = |class: &str| format!("/routes/{route}/pairs?class={class}");
    let current = asked.class.as_deref().unwrap_or_default();
    let body = html! {
        header.top {
            (way(&[("Routes", "/"), (route, &here)], "pairs"))
            h1 { "Pairs" }
            nav aria-label="What came of them" {
                ol {
                    li { @if current.is_empty() { b { "all" } } @else { a href={ (here) "/pairs" } { "all" } } }
                    @for word in ["mismatch", "candidate-failed", "match", "expected", "control-failed", "incomparable", "skipped"] {
                        li { @if word == current { b { (word) } } @else { a href=(of(word)) { (word) } } }
                    }
                }
            }
        }
        main {
            @if lines.is_empty() { p { "None." } } @else { (list(lines)) }
            @if let Some(next) = next {
                p { a rel="next" href={ (here) "/pairs?class=" (current) "&after=" (next) } { "Older" } }
            }
        }
    };
    frame(&format!("Pairs of {route} - figueira"), html! {}, body)
}

fn list(lines: &[Line]) -> Markup {
    let millis = |time: Option<std::time::Duration>| duration(time.map(|time| time.as_secs_f64() * 1e3));
    html! {
        div.wide tabindex="0" role="region" aria-label="Pairs" {
            table {
                thead {
                    tr {
                        th scope="col" { "When" } th scope="col" { "Class" } th scope="col" { "Stratum" }
                        th.figure scope="col" { "Control" } th.figure scope="col" { "Candidate" } th scope="col" { "Label" }
                    }
                }
                tbody {
                    @for line in lines {
                        tr {
                            th scope="row" { a href={ "/comparisons/" (line.id) } { (time(&instant(line.at))) } }
                            td { (class(line.class)) }
                            td { (stratum(&line.stratum)) }
                            td.figure { (millis(line.control.total)) }
                            td.figure { (millis(line.candidate.as_ref().and_then(|arm| arm.total))) }
                            td { @if let Some(label) = &line.label { (label.text) } }
                        }
                    }
                }
            }
        }
    }
}

/// One pair, with what a person can say of it.
pub(super) fn pair(pair: &Whole) -> String {
    let line = &pair.line;
    let (route, id) = (format!("/routes/{}", line.route), line.id.to_string());
    let said = html! {
        @for (id, raised) in alarms(pair) {
            section.alarms {
                (part(Place::Dashboard, format!("Alarm: {}", raised.kind.word())))
                @match &raised.acknowledged {
                    Some(said) => {
                        p { span.good { "acknowledged" } " by " (said.who) ", " (time(&instant(said.at))) ": " q { (said.reason) } }
                    }
                    None => { (acknowledging(&id.to_string())) }
                }
            }
        }
    };
    let body = html! {
        header.top {
            (way(&[("Routes", "/"), (&line.route, &route), ("pairs", &format!("{route}/pairs"))], &id))
            h1 { (title(line.class)) }
        }
        main {
            (whole(pair, &said))
            (labelling(&id, pair))
        }
        (Script::Says.tag())
    };
    frame(&format!("{} - figueira", title(line.class)), html! {}, body)
}

fn title(class: Class) -> &'static str {
    match class {
        Class::Match => "A pair that agrees",
        Class::Expected => "A pair that differs as expected",
        Class::Mismatch => "A pair that differs",
        Class::CandidateFailed => "A candidate that failed",
        _ => "A pair that was not compared",
    }
}

/// What a person thinks of it, which changes no count.
fn labelling(id: &str, pair: &Whole) -> Markup {
    let label = pair.line.label.as_ref();
    html! {
        section {
            (part(Place::Dashboard, "Label"))
            @match label {
                Some(said) => { p { b { (said.text) } " " span.quiet { "by " (said.who) ", " (time(&instant(said.at))) } } }
                None => { p.quiet { "A note for people; it changes no count." } }
            }
            form hidden data-method="PUT" data-url={ "/api/comparisons/" (id) "/label" } {
                label { "Label " input type="text" name="label" maxlength="80" required autocomplete="off"
                    value=(label.map_or("", |said| said.text.as_str())); }
                button { "Keep" }
                output role="alert" {}
            }
        }
    }
}
