//! Two drawings: how the evidence grew, and how long both arms took. No colour stands alone: lines differ in their
//! strokes and stand under their names.

use std::fmt::Write as _;

use jiff::Timestamp;
use maud::{Markup, html};

use super::{Place, duration, part};
use crate::{
    parallel_run::verdict::martingale::{real, threshold},
    report::summary::{Distribution, Percentiles, Point, RouteReport},
};

/// The drawing proper, in a picture of 440 by 220.
const LEFT: f64 = 34.0;
const RIGHT: f64 = 430.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 190.0;
/// The evidence that is drawn, as powers of ten: what lies beyond is drawn at the edge.
const LOWEST: f64 = -2.0;
const HIGHEST: f64 = 4.0;

/// log10 of E+ and E- over time, and what they must reach.
pub(super) fn evidence(route: &RouteReport, place: Place) -> Markup {
    let needed = threshold(route.alpha, 1);
    let points = &route.history;
    let top = points
        .iter()
        .map(|point| point.log10_e_safe.max(point.log10_e_unsafe))
        .fold(needed + 0.4, f64::max)
        .min(HIGHEST);
    let y = |value: f64| BOTTOM - (value.clamp(LOWEST, top) - LOWEST) / (top - LOWEST) * (BOTTOM - TOP);
    let xs = places(points);
    let path = |of: fn(&Point) -> f64| {
        let mut path = String::new();
        for (x, point) in xs.iter().zip(points) {
            let step = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{step}{x:.1} {:.1}", y(of(point)));
        }
        path
    };
    let failures: Vec<f64> = points
        .windows(2)
        .zip(xs.iter().skip(1))
        .filter(|(pair, _)| matches!(pair, [before, after] if after.x > before.x))
        .map(|(_, x)| *x)
        .collect();
    let (from, to) = ends(points);
    let said = format!(
        "After {} trials the evidence for SAFE is 10 to the power of {:.2}, for UNSAFE {:.2}; {:.2} is needed.",
        route.pairs, route.log10_e_safe, route.log10_e_unsafe, needed
    );
    html! {
        figure {
            (part(place, "Evidence over time"))
            svg.chart viewBox="0 0 440 220" role="img" aria-label=(said) {
                line.axis x1=(LEFT) x2=(RIGHT) y1=(y(0.0)) y2=(y(0.0)) {}
                text.tick x="28" y=(y(0.0) + 4.0) text-anchor="end" { "1" }
                line.limit x1=(LEFT) x2=(RIGHT) y1=(y(needed)) y2=(y(needed)) {}
                text.tick x="28" y=(y(needed) + 4.0) text-anchor="end" { (format!("{:.0}", 10f64.powf(needed))) }
                text.tick x=(LEFT + 4.0) y=(y(needed) - 5.0) { "proved" }
                @for x in &failures { line.failed x1=(x) x2=(x) y1=(BOTTOM - 8.0) y2=(BOTTOM) {} }
                path.unsafe-line d=(path(|point| point.log10_e_unsafe)) {}
                path.safe-line d=(path(|point| point.log10_e_safe)) {}
                text.tick x=(LEFT) y="210" { (from) }
                text.tick x=(RIGHT) y="210" text-anchor="end" { (to) }
            }
            figcaption {
                span.key {
                    svg.sample viewBox="0 0 28 8" aria-hidden="true" { path.safe-line d="M0 4L28 4" {} }
                    " for SAFE: " (strength(route.log10_e_safe))
                } " "
                span.key {
                    svg.sample viewBox="0 0 28 8" aria-hidden="true" { path.unsafe-line d="M0 4L28 4" {} }
                    " for UNSAFE: " (strength(route.log10_e_unsafe))
                }
                @if !failures.is_empty() {
                    " " span.key {
                        svg.sample viewBox="0 0 28 8" aria-hidden="true" { line.failed x1="14" x2="14" y1="0" y2="8" {} }
                        " a failed pair"
                    }
                }
            }
        }
    }
}

/// E itself, where it can be read.
fn strength(log10: f64) -> String {
    match log10 {
        log if log >= 5.0 => format!("10^{log:.0}"),
        log if log >= -2.0 => format!("{:.2}", 10f64.powf(log)),
        _ => "0".to_owned(),
    }
}

/// By time; evenly where all came in one moment.
fn places(points: &[Point]) -> Vec<f64> {
    let at = |point: &Point| point.at.parse::<Timestamp>().map_or(0, Timestamp::as_millisecond);
    let (first, last) = (points.first().map_or(0, at), points.last().map_or(0, at));
    let all = last - first;
    // Below a few seconds the clock's steps would show, and not the evidence's.
    let evenly = all < 10_000;
    let share = |(place, point): (usize, &Point)| {
        if evenly {
            real(place as u64) / real(points.len().saturating_sub(1).max(1) as u64)
        } else {
            real((at(point) - first).unsigned_abs()) / real(all.unsigned_abs())
        }
    };
    points.iter().enumerate().map(|point| LEFT + share(point) * (RIGHT - LEFT)).collect()
}

/// When it began and ended: `14 Nov 09:30`, and to the second where both would read the same.
fn ends(points: &[Point]) -> (String, String) {
    let label = |point: Option<&Point>, form: &str| {
        let at = point.and_then(|point| point.at.parse::<Timestamp>().ok());
        at.map(|at| at.strftime(form).to_string()).unwrap_or_default()
    };
    let both = |form| (label(points.first(), form), label(points.last(), form));
    let (from, to) = both("%-d %b %H:%M");
    if from == to { both("%-d %b %H:%M:%S") } else { (from, to) }
}

/// Both arms' times on one logarithmic scale: the control's bars stand, the candidate's hang.
pub(super) fn latency(route: &RouteReport, place: Place) -> Markup {
    let shape = &route.latency_distribution;
    let (control, candidate) = (&route.latency_ms.control, &route.latency_ms.candidate);
    let said = format!(
        "Half of the control's answers took up to {}, 95 % up to {}; of the candidate's {} and {}.",
        duration(control.p50),
        duration(control.p95),
        duration(candidate.p50),
        duration(candidate.p95)
    );
    let middle = f64::midpoint(TOP, BOTTOM);
    html! {
        figure {
            (part(place, "Latency"))
            svg.chart viewBox="0 0 440 220" role="img" aria-label=(said) {
                path.control-bars d=(bars(&shape.control, middle, TOP)) {}
                path.candidate-bars d=(bars(&shape.candidate, middle, BOTTOM)) {}
                line.axis x1=(LEFT) x2=(RIGHT) y1=(middle) y2=(middle) {}
                (marker(shape, control, middle, TOP))
                (marker(shape, candidate, middle, BOTTOM))
                @for (x, text) in ticks(shape) { text.tick x=(x) y="210" text-anchor="middle" { (text) } }
            }
            figcaption {
                span.key { span.swatch.control-fill aria-hidden="true" {} " above: control" } " "
                span.key { span.swatch.candidate-fill aria-hidden="true" {} " below: candidate" } " "
                span.key { "line: p95" }
            }
            table.percentiles {
                thead {
                    tr {
                        td {} th.figure scope="col" { "p50" } th.figure scope="col" { "p95" } th.figure scope="col" { "p99" }
                    }
                }
                tbody {
                    @for (arm, times) in [("control", control), ("candidate", candidate)] {
                        tr {
                            th scope="row" { (arm) }
                            td.figure { (duration(times.p50)) }
                            td.figure { (duration(times.p95)) }
                            td.figure { (duration(times.p99)) }
                        }
                    }
                }
            }
        }
    }
}

/// Bars from `base` towards `end`, the highest of them to near it.
fn bars(counts: &[u64], base: f64, end: f64) -> String {
    let most = counts.iter().copied().max().unwrap_or_default().max(1);
    let width = (RIGHT - LEFT) / real(counts.len().max(1) as u64);
    let mut path = String::new();
    for (place, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let x = LEFT + width * real(place as u64);
        let height = (end - base) * 0.86 * real(*count) / real(most);
        // The rarest still shows.
        let height = if height.abs() < 1.5 { 1.5 * height.signum() } else { height };
        let _ = write!(path, "M{x:.1} {base:.1}v{height:.1}h{:.1}V{base:.1}z", (width - 1.0).max(1.0));
    }
    path
}

fn marker(shape: &Distribution, times: &Percentiles, base: f64, end: f64) -> Markup {
    html! {
        @if let Some(x) = times.p95.and_then(|p95| place(shape, p95)) {
            line.p95 x1=(format!("{x:.1}")) x2=(format!("{x:.1}")) y1=(base) y2=(end) {}
        }
    }
}

/// Where a time lies, in milliseconds.
fn place(shape: &Distribution, millis: f64) -> Option<f64> {
    let (least, most) = (shape.from_ms?, *shape.upper_ms.last()?);
    let along = (millis.max(least) / least).ln() / (most / least).ln();
    along.is_finite().then(|| LEFT + along.clamp(0.0, 1.0) * (RIGHT - LEFT))
}

/// Round times, far enough from each other to be read.
fn ticks(shape: &Distribution) -> Vec<(f64, String)> {
    let rounds = (-1..7).flat_map(|power| [1.0, 2.0, 5.0].map(|first| first * 10f64.powi(power)));
    let (Some(least), Some(most)) = (shape.from_ms, shape.upper_ms.last()) else { return Vec::new() };
    let mut ticks: Vec<(f64, String)> = Vec::new();
    for millis in rounds.filter(|millis| (least..=*most).contains(millis)) {
        if let Some(x) = place(shape, millis)
            && ticks.last().is_none_or(|(before, _)| x - before > 52.0)
            && (LEFT + 12.0..RIGHT - 12.0).contains(&x)
        {
            let text = if millis >= 1e3 { format!("{} s", millis / 1e3) } else { format!("{millis} ms") };
            ticks.push((x, text));
        }
    }
    ticks
}
