//! A report for people, within 100 columns.

use std::{fmt::Write as _, iter};

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::words;
use crate::{
    parallel_run::verdict::figures::{at_most, percent, plural},
    report::summary::{DifferenceReport, Percentiles, Report, RouteReport},
    routing::said::printable,
};

const WIDTH: usize = 100;
/// Differences of which the rule is told that lets them pass.
const SUGGESTIONS: usize = 5;

/// How much of each route is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// One line a route.
    Table,
    /// Everything that is known of it.
    Full,
}

/// The table of routes, then each route's sentence or all of its detail.
pub fn text(report: &Report, detail: Detail) -> String {
    let mut out = String::new();
    match detail {
        Detail::Table => {
            line(&mut out, &table(&report.routes));
            for route in report.routes.iter().filter(|route| route.counts.sampled > 0) {
                heading(&mut out, &wrapped(&format!("{}: {}", route.name, route.verdict), ""));
                in_words(&mut out, route);
            }
        }
        Detail::Full => {
            for (index, route) in report.routes.iter().enumerate() {
                if index > 0 {
                    line(&mut out, "");
                }
                full(&mut out, route);
            }
        }
    }
    out
}

fn table(routes: &[RouteReport]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(100);
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let mut header: Vec<Cell> = ["route", "mode", "brake", "verdict"].map(Cell::new).into();
    header.extend(
        ["trials", "failed", "at most", "limit", "p95 ms", "control's"].map(|name| right(name.to_owned())),
    );
    table.set_header(header);
    for route in routes {
        let bound = if route.pairs == 0 { "-".to_owned() } else { at_most(route.upper_bound) };
        table.add_row([
            Cell::new(&route.name),
            Cell::new(route.mode),
            Cell::new(route.brake.as_ref().map_or("-", |brake| brake.at.as_str())),
            Cell::new(route.verdict),
            right(route.pairs.to_string()),
            right(route.failures.to_string()),
            right(bound),
            right(percent(route.max_failure_rate)),
            right(whole(route.latency_ms.candidate.p95)),
            right(whole(route.latency_ms.control.p95)),
        ]);
    }
    table.lines().map(|row| row.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// What it proves, what it proves against, what it cost, and what it still lacks.
fn in_words(out: &mut String, route: &RouteReport) {
    line(out, &wrapped(&route.words, "  "));
    for reason in &route.reasons {
        line(out, &wrapped(reason, "  ! "));
    }
    if let Some(cost) = words::cost(route) {
        line(out, &wrapped(&cost, "  cost: "));
    }
    if !route.missing.is_empty() {
        line(out, &wrapped(&route.missing.join("; "), "  missing: "));
    }
}

fn full(out: &mut String, route: &RouteReport) {
    let since = route.verdict_since.as_ref().map(|since| format!(" since {since}")).unwrap_or_default();
    line(out, &wrapped(&format!("{}, {}: {}{since}", route.name, route.mode, route.verdict), ""));
    if let Some(brake) = &route.brake {
        let text = format!(
            "held at {} since {} by {}: {}",
            brake.at,
            brake.since,
            brake.by,
            printable(&brake.reason)
        );
        line(out, &wrapped(&text, "  "));
    }
    line(out, "");
    in_words(out, route);
    if route.counts.sampled == 0 {
        return;
    }
    heading(out, "gates");
    for gate in &route.gates {
        line(out, &wrapped(&gate.text, &format!("  {}  {:<10}", gate.state, gate.id)));
    }
    latency(out, route);
    if route.strata.len() > 1 {
        heading(out, "strata");
        for stratum in &route.strata {
            let (pairs, share) = (plural(stratum.pairs, "trial"), percent(stratum.share));
            let bound = at_most(stratum.upper_bound);
            let text = format!(
                "{}: {share} of the pairs, {pairs}, {} failed, at most {bound}",
                stratum.key, stratum.failures
            );
            line(out, &wrapped(&text, "  "));
        }
    }
    if !route.differences.is_empty() {
        heading(out, "differences");
        for (place, difference) in route.differences.iter().enumerate() {
            differs(out, difference);
            // The worst stand first; a page of rules is read by nobody.
            if place < SUGGESTIONS
                && let Some(rule) = &difference.suggestion
            {
                line(out, &format!("      {}", words::SUGGESTED));
                rule.lines().for_each(|text| line(out, &format!("        {text}")));
            }
        }
    }
    rules(out, route);
    if !route.alarms.is_empty() {
        heading(out, "alarms");
        for alarm in &route.alarms {
            let state = match &alarm.acknowledged {
                None => "not acknowledged".to_owned(),
                Some(said) => format!("acknowledged by {}: {}", said.by, printable(&said.reason)),
            };
            line(out, &format!("  {}  {}", alarm.at, alarm.id));
            line(out, &wrapped(&state, "      "));
        }
        if route.alarms.iter().any(|alarm| alarm.acknowledged.is_none()) {
            line(out, &wrapped("To acknowledge: figueira ack ALARM --reason \"..\"", "  "));
        }
    }
    counts(out, route);
}

/// Those that do nothing, or nothing any more.
fn rules(out: &mut String, route: &RouteReport) {
    for (place, (rule, why)) in words::idle_rules(route).enumerate() {
        if place == 0 {
            heading(out, "rules that do nothing");
        }
        line(out, &wrapped(&clipped(&format!("{} {}: {why}", rule.path, rule.rule)), "  "));
    }
}

fn latency(out: &mut String, route: &RouteReport) {
    let row = |arm: &str, times: &Percentiles| {
        format!("  {arm:<12}{:>8}{:>8}{:>8}", whole(times.p50), whole(times.p95), whole(times.p99))
    };
    line(out, "");
    line(out, &format!("{:<14}{:>8}{:>8}{:>8}", "latency, ms", "p50", "p95", "p99"));
    line(out, &row("control", &route.latency_ms.control));
    line(out, &row("candidate", &route.latency_ms.candidate));
}

fn differs(out: &mut String, difference: &DifferenceReport) {
    let DifferenceReport { path, kind, severity, .. } = difference;
    let pairs = plural(difference.pairs, "pair");
    let said = format!("  {kind}, {pairs}, {severity}");
    // The path gives way: what is to be said of it stands behind.
    line(out, &(clipped_to(&format!("  {path}"), WIDTH - said.width()) + &said));
    if let Some(example) = difference.examples.first() {
        let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "(absent)".to_owned());
        line(out, &clipped(&format!("      control    {}", side(&example.control))));
        line(out, &clipped(&format!("      candidate  {}", side(&example.candidate))));
    } else {
        line(out, &wrapped(words::ELSEWHERE, "      "));
    }
}

fn counts(out: &mut String, route: &RouteReport) {
    let counts = &route.counts;
    heading(out, "counted");
    let others = [
        ("calibration", counts.calibration),
        ("control failed", counts.control_failed),
        ("incomparable", counts.incomparable),
        ("same subject", counts.duplicate_subject),
    ];
    let skipped = counts.skipped.iter().map(|(why, count)| (*why, *count));
    let mut text = format!("{} sampled: {}", counts.sampled, plural(counts.trials, "trial"));
    for (name, count) in others.into_iter().filter(|(_, count)| *count > 0) {
        let _ = write!(text, ", {count} {name}");
    }
    for (why, count) in skipped.filter(|(_, count)| *count > 0) {
        let _ = write!(text, ", {count} skipped ({why})");
    }
    line(out, &wrapped(&text, "  "));
    if let Some(epoch) = &route.epoch {
        line(
            out,
            &wrapped(&format!("epoch {} ({}), since {}", epoch.number, epoch.id, epoch.started_at), "  "),
        );
    }
}

fn heading(out: &mut String, title: &str) {
    line(out, "");
    line(out, title);
}

fn line(out: &mut String, text: &str) {
    for text in text.trim_end().split('\n') {
        out.push_str(&printable(text));
        out.push('\n');
    }
}

fn whole(millis: Option<f64>) -> String {
    millis.map_or_else(|| "-".to_owned(), |millis| format!("{millis:.0}"))
}

/// `text` after `lead`, broken at spaces, or anywhere in what has none; later lines under the first.
fn wrapped(text: &str, lead: &str) -> String {
    let indent = lead.width();
    let (mut out, mut column) = (lead.to_owned(), indent);
    // A figure and its sign stay together.
    let glued = text.replace(" %", "\u{a0}%");
    for word in glued.split(' ') {
        if column > indent && column + 1 + word.width() > WIDTH {
            column = next_line(&mut out, indent);
        } else if column > indent {
            out.push(' ');
            column += 1;
        }
        let mut rest = word;
        while column + rest.width() > WIDTH {
            let (fits, more) = rest.split_at(within(rest, WIDTH - column));
            out.push_str(fits);
            column = next_line(&mut out, indent);
            rest = more;
        }
        out.push_str(rest);
        column += rest.width();
    }
    out.replace('\u{a0}', " ")
}

fn next_line(out: &mut String, indent: usize) -> usize {
    out.push('\n');
    out.extend(iter::repeat_n(' ', indent));
    indent
}

/// One line, what is too long ending in an ellipsis; nothing that a terminal would obey.
fn clipped(text: &str) -> String {
    clipped_to(text, WIDTH)
}

fn clipped_to(text: &str, columns: usize) -> String {
    let plain = |character: char| if is_obeyed(character) { '\u{fffd}' } else { character };
    let mut line: String = text.chars().map(plain).collect();
    if line.width() > columns {
        line.truncate(within(&line, columns - 1));
        line.push('\u{2026}');
    }
    line
}

/// Whether a terminal does something at it: what turns the direction turns all of the line that follows.
fn is_obeyed(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Where the part of `text` ends that fits into `columns`.
fn within(text: &str, columns: usize) -> usize {
    let mut width = 0;
    let fits = text.chars().take_while(|character| {
        width += character.width().unwrap_or_default();
        width <= columns
    });
    fits.map(char::len_utf8).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_line_is_wider_than_a_page(
            words in proptest::collection::vec("[a-z]{0,9}|[\u{4e00}-\u{4f00}]{0,70}|[a-z]{90,260}|%|\u{e9}\u{301}", 0..30),
        ) {
            let text = words.join(" ");
            let one = clipped(&text);
            prop_assert!(one.width() <= WIDTH, "{one}");
            for lead in ["", "  held  ", "  pass  failures    "] {
                let all = wrapped(&text, lead);
                for line in all.lines() {
                    prop_assert!(line.width() <= WIDTH, "{line}");
                }
                let letters = |text: &str| -> String { text.chars().filter(|c| !c.is_whitespace()).collect() };
                prop_assert_eq!(letters(&all), letters(lead) + &letters(&text), "nothing is lost");
            }
        }
    }

    #[test]
    fn nothing_of_a_path_moves_what_stands_behind_it() {
        assert_eq!(clipped("/a\u{1b}[2J\u{202e}b\n\u{2066}c"), "/a\u{fffd}[2J\u{fffd}b\u{fffd}\u{fffd}c");
        assert_eq!(clipped_to("/a/long/path", 8), "/a/long\u{2026}");
    }

    #[test]
    fn a_wide_character_takes_two_columns() {
        let wide = clipped(&"\u{56fe}".repeat(90));
        assert_eq!((wide.width(), wide.chars().count()), (99, 50));
        assert_eq!(clipped(&"\u{56fe}".repeat(50)).chars().count(), 50, "it fits");
        assert_eq!(wrapped(&"x".repeat(250), "  ").lines().map(str::len).collect::<Vec<_>>(), [100, 100, 56]);
    }
}
