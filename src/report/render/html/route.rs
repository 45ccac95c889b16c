//! One route: the verdict in words, then everything that it stands on.

use maud::{Markup, html};

use super::{Place, acknowledging, chart, duration, grouped, overview::held, pair, part, time, verdict};
use crate::{
    evidence::read::pairs::Whole,
    parallel_run::verdict::{
        State,
        figures::{at_most, percent},
    },
    report::render::words,
    report::summary::{AlarmReport, DifferenceReport, Example, Gate, RouteReport},
};

/// Everything about `route`, with kept pairs.
pub(crate) fn section(route: &RouteReport, exhibits: &[Whole], place: Place) -> Markup {
    html! {
        article.route id=(route.name) aria-labelledby={ "h-" (route.name) } {
            header {
                @match place {
                    Place::File => { h2 id={ "h-" (route.name) } { (route.name) } }
                    Place::Dashboard => { h1 id={ "h-" (route.name) } { (route.name) } }
                }
                p.state {
                    (verdict(route.verdict))
                    @if let Some(since) = &route.verdict_since { span.quiet { " since " (time(since)) } }
                }
            }
            p.words { (glued(&route.words)) }
            @for reason in &route.reasons { p.reason { span aria-hidden="true" { "! " } (reason) } }
            @if !route.missing.is_empty() && route.verdict != State::Safe {
                p { b { "Still missing: " } (route.missing.join("; ")) "." }
            }
            @if let Some(brake) = &route.brake {
                p.reason { "Held at " (brake.at) " since " (time(&brake.since)) " by " (brake.by) ": " (brake.reason) }
            }
            @if route.counts.sampled > 0 {
                (facts(route))
                (alarms(route, place))
                (gates(&route.gates, place))
                (charts(route, place))
                (strata(route, place))
                (differences(&route.differences, place))
                (rules(route, place))
                (pairs(exhibits, place))
                (counted(route, place))
            }
        }
    }
}

fn facts(route: &RouteReport) -> Markup {
    let fact = |name: &str, value: String, more: String| {
        html! { div { dt { (name) } dd { span.value { (value) } @if !more.is_empty() { span.quiet { (more) } } } } }
    };
    let proved = if route.pairs == 0 { "\u{2013}".to_owned() } else { at_most(route.upper_bound) };
    html! {
        dl.facts {
            (fact("mode", route.effective_mode.to_owned(), held(route).unwrap_or_default()))
            (fact("trials", grouped(route.pairs), format!("of {} users", grouped(route.counts.subjects))))
            (fact("failed", grouped(route.failures), String::new()))
            (fact("would fail, at most", proved, format!("limit {}", percent(route.max_failure_rate))))
            (fact("at worst", at_most(route.worst_case), "if all that was not compared had failed".to_owned()))
            (fact("p95", duration(route.latency_ms.candidate.p95),
                format!("control {}", duration(route.latency_ms.control.p95))))
        }
        @if let Some(cost) = words::cost(route) { p.quiet { "Cost: " (glued(&cost)) "." } }
    }
}

/// Those that do nothing, or nothing any more.
fn rules(route: &RouteReport, place: Place) -> Markup {
    let mut idle = words::idle_rules(route).peekable();
    html! {
        @if idle.peek().is_some() {
            section {
                (part(place, "Rules that do nothing"))
                ul { @for (rule, why) in idle { li { code { (rule.path) } " " (rule.rule) ": " (why) } } }
            }
        }
    }
}

fn alarms(route: &RouteReport, place: Place) -> Markup {
    let alarm = |alarm: &AlarmReport| {
        html! {
            li {
                b { (alarm.kind) } " " (time(&alarm.at)) " "
                @match &alarm.acknowledged {
                    Some(said) => {
                        span.good { "acknowledged" } " by " (said.by) ", " (time(&said.at)) ": " q { (said.reason) }
                    }
                    None => { span.bad { "not acknowledged" } }
                }
                @match (place, &alarm.acknowledged) {
                    (Place::Dashboard, None) => {
                        " " a href=(place.pair(&alarm.comparison)) { "The pair" }
                        (acknowledging(&alarm.id))
                    }
                    _ => { br; code { (alarm.id) } }
                }
            }
        }
    };
    let (open, known): (Vec<_>, Vec<_>) = route.alarms.iter().partition(|alarm| alarm.acknowledged.is_none());
    html! {
        @if !route.alarms.is_empty() {
            section.alarms {
                (part(place, "Alarms"))
                @if !open.is_empty() {
                    p {
                        "A person must look before this route walks on."
                        @if place == Place::File { " To acknowledge: " code { "figueira ack ALARM --reason \"..\"" } }
                    }
                    ul { @for one in open.iter().take(SHOWN) { (alarm(one)) } }
                    @if open.len() > SHOWN { p.quiet { "and " (open.len() - SHOWN) " more" } }
                }
                @if !known.is_empty() {
                    details {
                        summary { (known.len()) " acknowledged" }
                        ul { @for one in known.iter().take(SHOWN) { (alarm(one)) } }
                    }
                }
            }
        }
    }
}

/// Alarms shown of each kind.
const SHOWN: usize = 50;

fn gates(gates: &[Gate], place: Place) -> Markup {
    let state = |gate: &Gate| match gate.state {
        "pass" => ("good", "\u{2713}", "holds"),
        "fail" => ("bad", "\u{2715}", "fails"),
        _ => ("wait", "\u{2026}", "waits"),
    };
    html! {
        section {
            (part(place, "Gates"))
            table.gates {
                thead.unseen { tr { th scope="col" { "Gate" } th scope="col" { "State" } th scope="col" { "Where it stands" } } }
                tbody {
                    @for gate in gates {
                        @let (class, shape, word) = state(gate);
                        tr {
                            th scope="row" { (gate.id) }
                            td.nowrap { span.(class) { span.shape aria-hidden="true" { (shape) } " " (word) } }
                            td { (glued(&gate.text)) }
                        }
                    }
                }
            }
        }
    }
}

fn charts(route: &RouteReport, place: Place) -> Markup {
    html! {
        div.charts {
            @if route.history.len() > 1 { (chart::evidence(route, place)) }
            @if !route.latency_distribution.upper_ms.is_empty() { (chart::latency(route, place)) }
        }
    }
}

fn strata(route: &RouteReport, place: Place) -> Markup {
    html! {
        @if route.strata.len() > 1 {
            section {
                (part(place, "Strata"))
                div.wide tabindex="0" role="region" aria-label="Strata" {
                    table {
                        thead {
                            tr {
                                th scope="col" { "Size, number, model" } th.figure scope="col" { "Share" }
                                th.figure scope="col" { "Trials" } th.figure scope="col" { "Failed" }
                                th.figure scope="col" { "At most" }
                            }
                        }
                        tbody {
                            @for stratum in &route.strata {
                                tr {
                                    th scope="row" { (stratum.key) }
                                    td.figure { (percent(stratum.share)) }
                                    td.figure { (grouped(stratum.pairs)) }
                                    td.figure { (grouped(stratum.failures)) }
                                    td.figure { (at_most(stratum.upper_bound)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn differences(differences: &[DifferenceReport], place: Place) -> Markup {
    html! {
        section {
            (part(place, "Differences"))
            @if differences.is_empty() { p { "None: wherever both were compared, they agreed." } }
            @for difference in differences { (differs(difference, place)) }
        }
    }
}

fn differs(difference: &DifferenceReport, place: Place) -> Markup {
    let (class, word) = match difference.severity {
        "failure" => ("bad", "fails the pair"),
        "expected" => ("wait", "expected"),
        _ => ("quiet", "for information"),
    };
    let side = |text: &Option<String>| {
        html! {
            @if let Some(text) = text { code { (text) } } @else { span.quiet { "absent" } }
        }
    };
    html! {
        details.difference open[difference.severity == "failure"] {
            summary {
                code { (difference.path) } " "
                span.quiet { (difference.kind) ", " (pairs_of(difference.pairs)) } " "
                span.(class) { (word) }
            }
            @if difference.kind != "image" {
                p.quiet {
                    "Compared by " (difference.state)
                    @if let Some(rule) = &difference.rule { ", by the rule for " code { (rule) } }
                    "."
                }
            }
            @if let Some(rule) = &difference.suggestion {
                details {
                    summary { (words::SUGGESTED) }
                    pre { (rule) }
                }
            }
            @if difference.examples.is_empty() { p.quiet { (words::ELSEWHERE) } }
            @for example in told_apart(&difference.examples, place) {
                dl.sides {
                    div { dt { "control" } dd { (side(&example.control)) } }
                    div { dt { "candidate" } dd { (side(&example.candidate)) } }
                }
                @if place == Place::Dashboard {
                    p { a href=(place.pair(&example.comparison)) { "The whole pair" } }
                }
            }
        }
    }
}

/// In a file, where no example leads to its pair, what reads the same is shown once.
fn told_apart(examples: &[Example], place: Place) -> Vec<&Example> {
    let mut shown: Vec<&Example> = Vec::new();
    for example in examples {
        let same =
            |known: &&Example| (&known.control, &known.candidate) == (&example.control, &example.candidate);
        if place == Place::Dashboard || !shown.iter().any(same) {
            shown.push(example);
        }
    }
    shown
}

/// A figure and its sign stay on one line.
fn glued(text: &str) -> String {
    text.replace(" %", "\u{a0}%")
}

fn pairs_of(count: u64) -> String {
    if count == 1 { "1 pair".to_owned() } else { format!("{} pairs", grouped(count)) }
}

fn pairs(exhibits: &[Whole], place: Place) -> Markup {
    html! {
        @if !exhibits.is_empty() {
            section {
                (part(place, "Pairs"))
                p.quiet { "The newest that were kept, failures first." }
                @let shown = pair::told_apart(exhibits);
                @for exhibit in &shown { (pair::exhibit(exhibit, place)) }
                @if shown.len() < exhibits.len() {
                    p.quiet { "And " (exhibits.len() - shown.len()) " that read the same as one of these." }
                }
            }
        }
    }
}

fn counted(route: &RouteReport, place: Place) -> Markup {
    let counts = &route.counts;
    let mut rows = vec![
        ("trials", counts.trials),
        ("to learn the control\u{2019}s noise", counts.calibration),
        ("control failed", counts.control_failed),
        ("could not be compared", counts.incomparable),
        ("of a user who has had a trial", counts.duplicate_subject),
    ];
    let skipped: Vec<(String, u64)> =
        counts.skipped.iter().map(|(why, count)| (format!("skipped: {why}"), *count)).collect();
    rows.extend(skipped.iter().map(|(why, count)| (why.as_str(), *count)));
    rows.retain(|(name, count)| *count > 0 || *name == "trials");
    html! {
        section {
            (part(place, "Counted"))
            table.counts {
                tbody {
                    @for (name, count) in rows { tr { th scope="row" { (name) } td.figure { (grouped(count)) } } }
                }
                tfoot { tr { th scope="row" { "sampled" } td.figure { (grouped(counts.sampled)) } } }
            }
            p.quiet {
                @if let Some(requests) = counts.requests { (grouped(requests)) " requests seen. " }
                @if let Some(epoch) = &route.epoch {
                    "Epoch " (epoch.number) " (" code { (epoch.id) } ") since " (time(&epoch.started_at))
                    @if !epoch.changed.is_empty() { ", begun when " (epoch.changed.join(", ")) " changed" }
                    ". "
                }
                @if !route.gateways.is_empty() { "Written by " (route.gateways.join(", ")) "." }
            }
        }
    }
}
