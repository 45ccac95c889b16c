//! How what differs is told: in lines of bounded length that begin a little before the difference.

use similar::{ChangeTag, TextDiff};

use crate::verify::answer::{End, Head};

pub(super) fn ending(end: End) -> &'static str {
    match end {
        End::Whole => "the answer is whole",
        End::Cut => "the answer is cut",
        End::Late => "the answer does not end in time",
        End::Unread => "the answer is more than what is compared",
        End::Followed => "more comes after the answer",
    }
}

pub(super) fn line_of(head: Option<&Head>) -> String {
    head.map_or_else(|| "no answer".to_owned(), |head| shown(&head.line))
}

pub(super) fn line(name: &[u8], value: &[u8]) -> String {
    format!("{}: {}", shown(name), shown(value))
}

/// Both sides' lines as they are told.
pub(super) fn abridged(ours: &[String], theirs: &[String]) -> (Vec<String>, Vec<String>) {
    let told = |lines: &[String], others: &[String]| {
        lines.iter().enumerate().map(|(place, line)| told(line, others.get(place))).collect()
    };
    (told(ours, theirs), told(theirs, ours))
}

/// A line as it is told: a long one from a little before where it is not the other's.
pub(super) fn told(line: &str, other: Option<&String>) -> String {
    const MOST: usize = 400;
    const BEFORE: usize = 20;
    if line.len() <= MOST {
        return line.to_owned();
    }
    let other = other.map(String::as_str).unwrap_or_default();
    let same = line.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    let name = line.find(": ").map_or(0, |at| at + 2);
    let from = same.saturating_sub(BEFORE).max(name);
    let (before, rest) = (if from > name { ".." } else { "" }, line.get(from..).unwrap_or_default());
    let more = if rest.len() > MOST { ".." } else { "" };
    let name = line.get(..name).unwrap_or_default();
    format!("{name}{before}{}{more}", rest.get(..MOST).unwrap_or(rest))
}

/// The lines of each that the other has not, or has elsewhere.
pub(super) fn apart(ours: &[String], theirs: &[String]) -> (Vec<String>, Vec<String>) {
    let text = |lines: &[String]| lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect::<String>();
    let (ours, theirs) = (text(ours), text(theirs));
    let changes = TextDiff::from_lines(&ours, &theirs);
    let of = |tag| {
        let lines = changes.iter_all_changes().filter(|change| change.tag() == tag);
        lines.map(|change| change.value().trim_end_matches('\n').to_owned()).collect()
    };
    let (ours, theirs): (Vec<String>, Vec<String>) = (of(ChangeTag::Delete), of(ChangeTag::Insert));
    abridged(&ours, &theirs)
}

pub(super) fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// At most `most` bytes from `from` on.
pub(super) fn excerpt(bytes: &[u8], from: usize, most: usize) -> String {
    let rest = bytes.get(from..).unwrap_or_default();
    let more = if rest.len() > most { ".." } else { "" };
    format!("{}{more}", shown(rest.get(..most).unwrap_or(rest)))
}

/// What stands around a place.
pub(super) fn around(body: &[u8], at: usize) -> String {
    const BEFORE: usize = 20;
    let from = at.saturating_sub(BEFORE);
    let before = if from > 0 { ".." } else { "" };
    format!("{before}{}", excerpt(body, from, 3 * BEFORE))
}
