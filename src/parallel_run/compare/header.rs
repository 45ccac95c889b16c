//! The contractual headers, by presence and shape: what a client branches on, not what a server happens to write.

use std::collections::BTreeSet;

use http::{HeaderMap, Method};

use super::Findings;
use crate::parallel_run::{answer::Answer, calibration::class, comparison::DifferenceKind, document::Value};

/// Values that are never kept, only that they differ.
const SECRET: [&str; 4] = ["authorization", "cookie", "set-cookie", "x-api-key"];

pub(super) fn compare(names: &[String], control: &Answer, candidate: &Answer, findings: &mut Findings) {
    let method = &candidate.asked.method;
    for name in names {
        let (ours, theirs) = (joined(&control.headers, name), joined(&candidate.headers, name));
        let same = match (&ours, &theirs) {
            (None, None) => true,
            _ if name == "cache-control" && !is_stored_by_default(method) => {
                storing(ours.as_deref()) == storing(theirs.as_deref())
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
        "set-cookie" => keys(control, '\n') == keys(candidate, '\n'),
        _ => class::alike(&Value::from(control), &Value::from(candidate)),
    }
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
