//! The report as pages: one file that can be sent to somebody, and the same sections on the operator's listener.
//!
//! Nothing is fetched: the style is inline and named by its hash, pictures are inline, and there is no script. All text is
//! escaped by the markup; what a client or an upstream sent is only ever text here.

mod chart;
mod overview;
mod pair;
mod route;

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, Render, html};
use sha2::{Digest, Sha256};

pub(crate) use self::{
    overview::{table, worst_first},
    pair::{alarms, class, whole},
    route::section,
};
use crate::{evidence::read::pairs::Whole, parallel_run::verdict::State, report::Report};

const STYLE: &str = include_str!("html/style.css");

/// Where a page lies, and so where its links lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In one file: to sections of it.
    File,
    /// On the operator's listener: to pages of it.
    Dashboard,
}

impl Place {
    fn route(self, name: &str) -> String {
        match self {
            Self::File => format!("#{name}"),
            Self::Dashboard => format!("/routes/{name}"),
        }
    }

    fn pair(self, id: &str) -> String {
        match self {
            Self::File => format!("#pair-{id}"),
            Self::Dashboard => format!("/comparisons/{id}"),
        }
    }
}

/// `Content-Security-Policy` of every page, with the sources that `more` allows beside the style and inline pictures.
pub(crate) fn policy(more: &str) -> String {
    format!(
        "default-src 'none'; style-src '{}'; img-src data:; base-uri 'none'; form-action 'none'{more}",
        hash(STYLE)
    )
}

/// A source of an inline style or script, as a policy names it (CSP 3, 2.3.1).
pub(crate) fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

/// A heading of a route: its name stands above, which is the title of its page on the operator's listener.
pub(crate) fn part(place: Place, name: impl Render) -> Markup {
    match place {
        Place::File => html! { h3.part { (name) } },
        Place::Dashboard => html! { h2.part { (name) } },
    }
}

/// A heading below [`part`].
fn piece(place: Place, name: impl Render) -> Markup {
    match place {
        Place::File => html! { h4.piece { (name) } },
        Place::Dashboard => html! { h3.piece { (name) } },
    }
}

/// `1024x1024/1/local`, without what the contract does not say.
pub(crate) fn stratum(key: &str) -> String {
    key.split('/').filter(|part| *part != "-").collect::<Vec<_>>().join("/")
}

/// A whole page: `head` is more for the document's head, `body` everything that is seen.
pub(crate) fn frame(title: &str, head: impl Render, body: impl Render) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                (head)
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    page.into_string()
}

/// `report` in one file, with `exhibits`: kept pairs, by the name of their route. What people asked for is not in it, so
/// that it may be sent on.
pub fn html(report: &Report, exhibits: &BTreeMap<String, Vec<Whole>>) -> String {
    let policy = html! { meta http-equiv="Content-Security-Policy" content=(policy("")); };
    let none = Vec::new();
    let body = html! {
        a.skip href="#routes" { "Skip to the routes" }
        header.top {
            p.brand { "figueira" }
            h1 { "Parallel runs" }
            p.quiet { "As of " (time(&report.generated_at)) }
        }
        main #routes {
            (table(report, Place::File))
            @for route in worst_first(report) {
                (section(route, exhibits.get(&route.name).unwrap_or(&none), Place::File))
            }
            (reading())
        }
        footer.bottom { p { "figueira " (env!("CARGO_PKG_VERSION")) ". This file is whole: it loads nothing." } }
    };
    frame("Parallel runs - figueira", policy, body)
}

/// How to read it, for somebody who sees it for the first time.
fn reading() -> Markup {
    html! {
        section.reading aria-labelledby="reading" {
            h2 #reading { "How to read this" }
            p {
                "Each sampled request was answered twice: by the monolith, whose answer the user got (the " b { "control" }
                "), and by what is to replace it (the " b { "candidate" } "). A pair " b { "failed" } " where the candidate "
                "broke the contract: another status, a missing field, a blank or misshapen image, or no answer."
            }
            p {
                "A route is " b { "SAFE" } " when the evidence rules out, at the stated confidence, that more than the allowed "
                "share of such requests would fail, and every other gate holds. The bound holds however often one looks: "
                "there is no need to wait for a planned number of pairs. SAFE speaks of traffic like that of the window; it is "
                "no promise about other traffic."
            }
        }
    }
}

/// A verdict: a shape, and its word.
pub(crate) fn verdict(state: State) -> Markup {
    let (class, shape) = match state {
        State::Safe => ("good", "\u{2713}"),
        State::Unsafe => ("bad", "\u{2715}"),
        State::Blocked => ("bad", "\u{25a0}"),
        State::Stale => ("wait", "\u{25f7}"),
        State::Inconclusive => ("wait", "?"),
        State::Calibrating | State::Collecting => ("wait", "\u{2026}"),
        State::None => ("quiet", "\u{2013}"),
    };
    html! { span.verdict.(class) { span.shape aria-hidden="true" { (shape) } " " (state.as_str()) } }
}

/// How a person acknowledges the alarm `id`: by a command, and where scripts run, on the spot.
pub(crate) fn acknowledging(id: &str) -> Markup {
    html! {
        form hidden data-method="POST" data-url={ "/api/alarms/" (id) "/ack" } {
            label { "Why it need not hold the route back " input type="text" name="reason" required autocomplete="off"; }
            button { "Acknowledge" }
            output role="alert" {}
        }
        p.quiet { "Or: " code { "figueira ack " (id) " --reason \"..\"" } }
    }
}

/// An instant of RFC 3339, for people and for machines.
pub(crate) fn time(instant: &str) -> Markup {
    let shown = match instant.split_once('T') {
        Some((date, clock)) => format!("{date} {} UTC", clock.trim_end_matches('Z')),
        None => instant.to_owned(),
    };
    html! { time datetime=(instant) { (shown) } }
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1.6 s`, `42 ms`; a dash for what is not known.
pub(crate) fn duration(millis: Option<f64>) -> String {
    match millis {
        None => "\u{2013}".to_owned(),
        Some(millis) if millis >= 10_000.0 => format!("{:.0} s", millis / 1e3),
        Some(millis) if millis >= 1_000.0 => format!("{:.2} s", millis / 1e3),
        Some(millis) if millis >= 10.0 => format!("{millis:.0} ms"),
        Some(millis) => format!("{millis:.1} ms"),
    }
}

/// `1.4 MB`, in powers of a thousand.
pub(crate) fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    let real = bytes as f64;
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", real / 1e3),
        _ => format!("{:.1} MB", real / 1e6),
    }
}

#[cfg(test)]
mod tests;
