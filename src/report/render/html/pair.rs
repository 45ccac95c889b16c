//! One pair: what came of it, its images side by side, and, where it is looked at on the spot, both exchanges.

use base64::{Engine, engine::general_purpose::STANDARD};
use maud::{Markup, html};
use similar::{ChangeTag, TextDiff};

use super::{Place, duration, part, piece, size, stratum, time};
use crate::{
    evidence::{
        AlarmId,
        read::{Raised, pairs::Whole},
        samples::KeptSide,
    },
    parallel_run::comparison::{
        ArmRecord, Class, Difference, ImageRecord, Outcome, Severity, words::Word as _,
    },
    report::assess::instant,
};

/// Lines of a body that are shown.
const LINES: usize = 400;
/// Characters of one of them: a longer one is an image in base64, most likely.
const LINE: usize = 240;

/// What came of it: a shape, and its word.
pub(crate) fn class(class: Class) -> Markup {
    let (colour, shape) = match class {
        Class::Match => ("good", "\u{2713}"),
        Class::Mismatch | Class::CandidateFailed => ("bad", "\u{2715}"),
        Class::Expected => ("wait", "~"),
        _ => ("quiet", "\u{2013}"),
    };
    html! { span.(colour) { span.shape aria-hidden="true" { (shape) } " " (class.word()) } }
}

/// Of pairs without images that fail in the same way, the first: the others would read the same.
pub(super) fn told_apart(pairs: &[Whole]) -> Vec<&Whole> {
    let mut shown: Vec<&Whole> = Vec::new();
    for pair in pairs {
        let reads_the_same = |known: &&Whole| {
            known.images.is_empty()
                && pair.images.is_empty()
                && known.line.class == pair.line.class
                && known.differences == pair.differences
        };
        if !shown.iter().any(reads_the_same) {
            shown.push(pair);
        }
    }
    shown
}

/// A pair as one of several of its route.
pub(super) fn exhibit(pair: &Whole, place: Place) -> Markup {
    let id = pair.line.id.to_string();
    let failed = pair.differences.iter().filter(|difference| difference.severity == Severity::Failure);
    html! {
        article.pair id={ "pair-" (id) } {
            (piece(place, html! {
                (class(pair.line.class)) " "
                span.quiet { (time(&instant(pair.line.at))) " " (stratum(&pair.line.stratum)) }
            }))
            ul.failed { @for difference in failed.take(8) { li { (one_line(difference)) } } }
            (images(pair))
            @if place == Place::Dashboard { p { a href=(place.pair(&id)) { "The whole pair" } } }
        }
    }
}

/// Everything that is kept of a pair; `said` stands between what came of it and what it was.
pub(crate) fn whole(pair: &Whole, said: &Markup) -> Markup {
    let line = &pair.line;
    html! {
        article.pair.whole {
            p.state {
                (class(line.class)) " "
                span.quiet { (time(&instant(line.at))) " " (stratum(&line.stratum)) ", epoch " (line.epoch) ", by " (line.gateway) }
            }
            (said)
            (arms(&line.control, line.candidate.as_ref()))
            @if !pair.differences.is_empty() {
                section {
                    (part(Place::Dashboard, "Differences"))
                    (differences(&pair.differences))
                }
            }
            @if !pair.images.is_empty() { section { (part(Place::Dashboard, "Images")) (images(pair)) } }
            @match &pair.kept {
                Some(kept) => {
                    section {
                        (part(Place::Dashboard, "Request"))
                        pre.head tabindex="0" { (kept.request.head) }
                        @if kept.request.bytes > 0 { (body(&kept.request)) }
                    }
                    section {
                        (part(Place::Dashboard, "Answers"))
                        div.sides {
                            (head("control", &kept.control))
                            @if let Some(candidate) = &kept.candidate { (head("candidate", candidate)) }
                        }
                        @match &kept.candidate {
                            Some(candidate) => { (side_by_side(&kept.control, candidate)) }
                            None => { (body(&kept.control)) }
                        }
                    }
                }
                None if is_told(&line.control) => {
                    p { "Another gateway of the fleet, " code { (line.gateway) } ", has seen it, and shows the rest: here is what counts of it." }
                }
                None => { p.quiet { "Its bodies are not kept: of each route some failures and a few matches are." } }
            }
        }
    }
}

/// Whether a fleet told it: who has seen an answer knows its status.
fn is_told(arm: &ArmRecord) -> bool {
    arm.status.is_none() && matches!(arm.outcome, Outcome::Ok | Outcome::Refused | Outcome::HttpError)
}

/// A pair's alarms, with what was said of them.
pub(crate) fn alarms(pair: &Whole) -> Vec<(AlarmId, &Raised)> {
    let id = pair.line.id;
    pair.alarms.iter().map(|raised| (AlarmId { comparison: id, kind: raised.kind }, raised)).collect()
}

fn one_line(difference: &Difference) -> Markup {
    let side = |text: &Option<String>| text.clone().unwrap_or_else(|| "absent".to_owned());
    html! {
        code { (difference.path) } " "
        span.quiet { (difference.kind.word()) ":" } " "
        code { (side(&difference.control)) } span aria-label="became" { " \u{2192} " } code { (side(&difference.candidate)) }
    }
}

fn differences(differences: &[Difference]) -> Markup {
    let cell = |text: &Option<String>| {
        html! {
            @if let Some(text) = text { code { (text) } } @else { span.quiet { "absent" } }
        }
    };
    html! {
        div.wide tabindex="0" role="region" aria-label="Differences" {
            table {
                thead {
                    tr {
                        th scope="col" { "Path" } th scope="col" { "Kind" } th scope="col" { "Control" }
                        th scope="col" { "Candidate" } th scope="col" { "Counts" }
                    }
                }
                tbody {
                    @for difference in differences {
                        tr {
                            th scope="row" { code { (difference.path) } }
                            td { (difference.kind.word()) }
                            td { (cell(&difference.control)) }
                            td { (cell(&difference.candidate)) }
                            td {
                                (difference.severity.word())
                                @if let Some(rule) = &difference.rule { " (rule " code { (rule) } ")" }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn arms(control: &ArmRecord, candidate: Option<&ArmRecord>) -> Markup {
    let arms = [("control", Some(control)), ("candidate", candidate)];
    html! {
        div.wide tabindex="0" role="region" aria-label="Both arms" {
            table {
                thead {
                    tr {
                        th scope="col" { "Arm" } th scope="col" { "Outcome" } th.figure scope="col" { "Status" }
                        th.figure scope="col" { "First byte" } th.figure scope="col" { "Last byte" }
                        th.figure scope="col" { "Body" } th scope="col" { "Type" }
                    }
                }
                tbody {
                    @for (name, arm) in arms {
                        tr {
                            th scope="row" { (name) }
                            @match arm {
                                Some(arm) => {
                                    td { (arm.outcome.word()) }
                                    td.figure { @match arm.status { Some(status) => (status), None => "\u{2013}" } }
                                    td.figure { (duration(arm.first_byte.map(|time| time.as_secs_f64() * 1e3))) }
                                    td.figure { (duration(arm.total.map(|time| time.as_secs_f64() * 1e3))) }
                                    td.figure { @if is_told(arm) { "\u{2013}" } @else { (size(arm.bytes)) } }
                                    td { (arm.media_type.as_deref().unwrap_or("\u{2013}")) }
                                }
                                None => { td colspan="6" { "not called" } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The images of both arms, each beside its fellow, with what was measured of them.
fn images(pair: &Whole) -> Markup {
    let of = |candidate: bool, index: usize| {
        pair.images.iter().find(|image| image.candidate == candidate && image.index == index)
    };
    let count = pair.images.iter().map(|image| image.index + 1).max().unwrap_or_default();
    let picture = |side: Option<&KeptSide>, index: usize| {
        side?.thumbnails.iter().find(|(place, _)| *place == index).map(|(_, jpeg)| STANDARD.encode(jpeg))
    };
    let kept = pair.kept.as_ref();
    html! {
        @for index in 0..count {
            @let (control, candidate) = (of(false, index), of(true, index));
            div.images {
                (shown("Control", control, picture(kept.map(|kept| &kept.control), index)))
                (shown("Candidate", candidate, picture(kept.and_then(|kept| kept.candidate.as_ref()), index)))
                (properties(control, candidate))
            }
        }
    }
}

fn shown(arm: &str, image: Option<&ImageRecord>, jpeg: Option<String>) -> Markup {
    html! {
        figure {
            figcaption { (arm) }
            @match (image, jpeg) {
                (Some(image), Some(jpeg)) => {
                    img src={ "data:image/jpeg;base64," (jpeg) } width=(small(image).0) height=(small(image).1)
                        alt={ (arm) ", " (image.width) " by " (image.height) " pixels" };
                }
                (Some(image), None) if image.decodes => { p.nothing { "its picture was not kept" } }
                (Some(_), None) => { p.nothing { "does not decode" } }
                (None, _) => { p.nothing { "no image" } }
            }
        }
    }
}

/// A thumbnail's measures, so that the page does not jump.
fn small(image: &ImageRecord) -> (u32, u32) {
    let longer = image.width.max(image.height).max(1);
    let scale = |side: u32| if longer > 320 { (side * 320 / longer).max(1) } else { side.max(1) };
    (scale(image.width), scale(image.height))
}

fn properties(control: Option<&ImageRecord>, candidate: Option<&ImageRecord>) -> Markup {
    type Property = (&'static str, fn(&ImageRecord) -> String);
    let must: [Property; 5] = [
        ("size", |image| format!("{} \u{d7} {}", image.width, image.height)),
        ("type", |image| image.sniffed.clone().unwrap_or_else(|| "unknown".to_owned())),
        ("declared", |image| image.declared.clone().unwrap_or_else(|| "\u{2013}".to_owned())),
        ("delivered as", |image| image.delivery.clone()),
        ("pixels", |image| if image.decodes { image.color.clone() } else { "does not decode".to_owned() }),
    ];
    let tells: [Property; 4] = [
        ("bytes", |image| size(image.bytes)),
        ("entropy", |image| format!("{:.2} bit", image.entropy)),
        ("luma deviation", |image| format!("{:.1}", image.luma_deviation)),
        ("commonest colour", |image| format!("{:.1} %", image.dominant * 100.0)),
    ];
    let both = |of: fn(&ImageRecord) -> String| (control.map(of), candidate.map(of));
    let text = |side: Option<String>| side.unwrap_or_else(|| "\u{2013}".to_owned());
    html! {
        table.properties {
            thead { tr { td {} th scope="col" { "Control" } th scope="col" { "Candidate" } } }
            tbody {
                @for (name, of) in must {
                    @let (ours, theirs) = both(of);
                    tr.differs[ours != theirs] {
                        th scope="row" { (name) @if ours != theirs { span.shape title="they differ" { " \u{2260}" } } }
                        td { (text(ours)) } td { (text(theirs)) }
                    }
                }
                @for (name, of) in tells {
                    @let (ours, theirs) = both(of);
                    tr { th scope="row" { (name) } td { (text(ours)) } td { (text(theirs)) } }
                }
            }
        }
    }
}

fn head(arm: &str, side: &KeptSide) -> Markup {
    html! { div { (piece(Place::Dashboard, arm)) pre.head tabindex="0" { (side.head) } } }
}

fn body(side: &KeptSide) -> Markup {
    html! {
        @match readable(side) {
            Some(text) => { pre.body tabindex="0" { (text) } }
            None => { p.quiet { (size(side.bytes)) " that are no text" } }
        }
    }
}

/// Both bodies line by line, JSON as it is read by people.
fn side_by_side(control: &KeptSide, candidate: &KeptSide) -> Markup {
    let (Some(ours), Some(theirs)) = (readable(control), readable(candidate)) else {
        return html! { div.sides { div { (body(control)) } div { (body(candidate)) } } };
    };
    let rows = aligned(&ours, &theirs);
    html! {
        div.wide tabindex="0" role="region" aria-label="Both bodies, line by line" {
            table.lines {
                thead { tr { th scope="col" { "Control" } th scope="col" { "Candidate" } } }
                tbody {
                    @for (ours, theirs) in rows.iter().take(LINES) {
                        @let differs = ours != theirs;
                        tr.differs[differs] {
                            td { @if differs && ours.is_some() { span.shape { "\u{2212} " } } (ours.as_deref().unwrap_or("")) }
                            td { @if differs && theirs.is_some() { span.shape { "+ " } } (theirs.as_deref().unwrap_or("")) }
                        }
                    }
                }
            }
            @if rows.len() > LINES { p.quiet { "and " (rows.len() - LINES) " more lines" } }
        }
    }
}

type Row = (Option<String>, Option<String>);

/// Lines that agree beside each other, and between them those that do not.
fn aligned(ours: &str, theirs: &str) -> Vec<Row> {
    let diff = TextDiff::from_lines(ours, theirs);
    let (mut rows, mut gone, mut come) = (Vec::new(), Vec::new(), Vec::new());
    let settle = |rows: &mut Vec<Row>, gone: &mut Vec<String>, come: &mut Vec<String>| {
        let (mut left, mut right) = (gone.drain(..), come.drain(..));
        loop {
            match (left.next(), right.next()) {
                (None, None) => return,
                row => rows.push(row),
            }
        }
    };
    for change in diff.iter_all_changes() {
        let line = change.value().trim_end_matches(['\r', '\n']).to_owned();
        match change.tag() {
            ChangeTag::Delete => gone.push(line),
            ChangeTag::Insert => come.push(line),
            ChangeTag::Equal => {
                settle(&mut rows, &mut gone, &mut come);
                rows.push((Some(line.clone()), Some(line)));
            }
        }
    }
    settle(&mut rows, &mut gone, &mut come);
    rows
}

/// The body as lines of text, JSON indented; `None` where it is no text.
fn readable(side: &KeptSide) -> Option<String> {
    let text = match serde_json::from_slice::<serde_json::Value>(&side.body) {
        Ok(json) => serde_json::to_string_pretty(&json).ok()?,
        // It may have been cut within a character.
        Err(_) => match std::str::from_utf8(&side.body) {
            Ok(text) => text.to_owned(),
            Err(error) if error.error_len().is_none() => {
                String::from_utf8_lossy(side.body.get(..error.valid_up_to())?).into_owned()
            }
            Err(_) => return None,
        },
    };
    if text.contains('\0') {
        return None;
    }
    let line = |line: &str| match line.char_indices().nth(LINE) {
        Some((end, _)) => format!("{}\u{2026}", line.get(..end).unwrap_or_default()),
        None => line.to_owned(),
    };
    Some(text.lines().map(line).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_agree_stand_beside_each_other() {
        let rows = aligned("a\nb\nc\n", "a\nx\ny\nc\n");
        let text: Vec<_> = rows.iter().map(|(l, r)| (l.as_deref(), r.as_deref())).collect();
        assert_eq!(
            text,
            [(Some("a"), Some("a")), (Some("b"), Some("x")), (None, Some("y")), (Some("c"), Some("c"))]
        );
    }

    #[test]
    fn bodies_are_read_as_what_they_are() {
        let side = |body: &[u8]| KeptSide { body: body.to_vec(), ..KeptSide::default() };
        assert_eq!(readable(&side(b"{\"a\":1}")).as_deref(), Some("{\n  \"a\": 1\n}"));
        assert_eq!(readable(&side("cut \u{e9}".as_bytes().split_last().unwrap().1)).as_deref(), Some("cut "));
        assert_eq!(readable(&side(b"\x89PNG\r\n\x1a\n\0\0")), None);
        assert_eq!(readable(&side(b"a\0b")), None);
        let long = readable(&side("x".repeat(1_000).as_bytes())).unwrap();
        assert_eq!(long.chars().count(), LINE + 1);
    }
}
