//! The contractual headers, by presence and shape: what a client branches on, not what a server happens to write.

use std::collections::BTreeSet;

use http::{HeaderMap, Method};

use super::Findings;
use crate::parallel_run::{
    answer::Answer,
    calibration::{Line, ValueClass, class},
    comparison::DifferenceKind,
};

/// Values that are never kept, only that they differ.
const SECRET: [&str; 4] = ["authorization", "cookie", "set-cookie", "x-api-key"];

pub(super) fn compare(names: &[String], control: &Answer, candidate: &Answer, findings: &mut Findings) {
    let asked = &candidate.asked;
    for name in names {
        let (ours, theirs) = (joined(&control.headers, name), joined(&candidate.headers, name));
        let same = match (&ours, &theirs) {
            (None, None) => true,
            _ if name == "cache-control" && !is_stored_by_default(&asked.method) => {
                storing(ours.as_deref()) == storing(theirs.as_deref())
            }
            (Some(ours), Some(theirs)) if name == "location" => {
                lead_alike(ours, theirs, asked.host.as_deref())
            }
            (Some(ours), Some(theirs)) => same_shape(name, ours, theirs),
            _ => false,
        };
        if !same {
            let shown = |value: &Option<String>| {
                let hidden = SECRET.contains(&name.as_str());
                value.as_ref().map(|value| if hidden { "(not kept)".to_owned() } else { value.clone() })
            };
            let path = format!("header:{name}");
            findings.failure(
                path,
                DifferenceKind::Header,
                shown(&ours).as_deref(),
                shown(&theirs).as_deref(),
            );
        }
    }
}

/// All values of one name, as RFC 9110, 5.3 joins them; cookies keep their lines.
fn joined(headers: &HeaderMap, name: &str) -> Option<String> {
    let values: Vec<_> =
        headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    let separator = if name == "set-cookie" { "\n" } else { ", " };
    (!values.is_empty()).then(|| values.join(separator))
}

fn same_shape(name: &str, control: &str, candidate: &str) -> bool {
    match name {
        // Parameters say how it is written, the type says what it is.
        "content-type" => media_type(control) == media_type(candidate),
        // `max-age=60` and `max-age=90` are one policy; `no-store` is another.
        "cache-control" | "vary" | "allow" => keys(control, ',') == keys(candidate, ','),
        "set-cookie" => cookies(control) == cookies(candidate),
        _ if is_number(control) && is_number(candidate) => true,
        _ => alike(control, candidate),
    }
}

fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok()
}

/// Whether both look alike as a whole, or else are the same but for what looks made up in them.
fn alike(control: &str, candidate: &str) -> bool {
    let looks = |ours: &str, theirs: &str| class::alike(&ours.into(), &theirs.into());
    let is_of_words = [control, candidate].iter().all(|text| ValueClass::of_text(text).is_none());
    if !is_of_words {
        return looks(control, candidate);
    }
    let (ours, theirs) = (Line::of(control), Line::of(candidate));
    ours.is_like(&theirs) && ours.words("").zip(theirs.words("")).all(|((_, one), (_, two))| looks(one, two))
}

/// Whether a client that follows either comes to the same kind of place, with the same parameters: a path alone is of the
/// `host` that was asked.
fn lead_alike(control: &str, candidate: &str, host: Option<&str>) -> bool {
    let place = |location: &str| {
        let path = location.split(['?', '#']).next().unwrap_or_default();
        class::url(path).unwrap_or_else(|| path.to_owned())
    };
    let parameters = |location: &str| {
        let query = location.split('#').next().and_then(|target| target.split_once('?'));
        keys(query.map_or("", |(_, query)| query), '&')
    };
    let (ours, theirs) = (place(control), place(candidate));
    let is_same = ours == theirs || at(host, &ours) == theirs || ours == at(host, &theirs);
    is_same && parameters(control) == parameters(candidate)
}

/// The path alone, where a place is of this host.
fn at<'p>(host: Option<&str>, place: &'p str) -> &'p str {
    let path = host.and_then(|host| {
        let rest = place.split_once("//")?.1;
        let (theirs, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        theirs.eq_ignore_ascii_case(host).then_some(if path.is_empty() { "/" } else { path })
    });
    path.unwrap_or(place)
}

/// What is told of each cookie, but for its value: the day on which it ends is another each time, that it is taken away
/// is not.
fn cookies(lines: &str) -> BTreeSet<String> {
    lines.split('\n').map(cookie).collect()
}

fn cookie(line: &str) -> String {
    let mut parts = line.split(';').map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (name.trim(), value.trim())
    });
    let (name, value) = parts.next().unwrap_or_default();
    let is_over = |name: &str, value: &str| match name {
        "max-age" => value.parse::<i64>().is_ok_and(|seconds| seconds <= 0),
        _ => class::seconds_of_text(value).is_some_and(|seconds| seconds <= 0),
    };
    let (mut is_taken_away, mut told) = (value.is_empty(), BTreeSet::new());
    for (name, value) in parts {
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "max-age" | "expires" => {
                is_taken_away |= is_over(&name, value);
                told.insert("lasts".to_owned());
            }
            _ => {
                told.insert(format!("{name}={}", value.to_ascii_lowercase()));
            }
        }
    }
    if is_taken_away {
        return format!("{name} is taken away");
    }
    let told: Vec<_> = told.into_iter().collect();
    format!("{name}; {}", told.join("; "))
}

/// RFC 9110, 9.2.3: whether caches may keep answers to this method that say nothing of it.
fn is_stored_by_default(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// What lets an answer to any other method be kept: without any of these it is not, whatever else is said (RFC 9111, 3
/// and 4.2.1), so that nothing and `no-store` are one policy.
fn storing(cache_control: Option<&str>) -> BTreeSet<String> {
    let mut directives = keys(cache_control.unwrap_or_default(), ',');
    let is_kept = ["max-age", "s-maxage", "public"].iter().any(|lets| directives.contains(*lets));
    if !is_kept || directives.contains("no-store") {
        directives.clear();
    }
    directives
}

/// `Text/HTML; charset=utf-8` as `text/html`.
pub(crate) fn media_type(value: &str) -> String {
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The part before `=` of each item.
fn keys(value: &str, separator: char) -> BTreeSet<String> {
    let names = value.split(separator).filter_map(|item| item.split(['=', ';']).next());
    names.map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty()).collect()
}
