//! The contractual headers, by presence and shape: what a client branches on, not what a server happens to write.

use std::collections::BTreeSet;

use http::HeaderMap;
use serde_json::Value;

use super::Findings;
use crate::parallel_run::{calibration::class, comparison::DifferenceKind};

/// Values that are never kept, only that they differ.
const SECRET: [&str; 4] = ["authorization", "cookie", "set-cookie", "x-api-key"];

pub(super) fn compare(names: &[String], control: &HeaderMap, candidate: &HeaderMap, findings: &mut Findings) {
    for name in names {
        let (ours, theirs) = (joined(control, name), joined(candidate, name));
        let same = match (&ours, &theirs) {
            (None, None) => true,
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

/// `Text/HTML; charset=utf-8` as `text/html`.
pub(crate) fn media_type(value: &str) -> String {
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The part before `=` of each item.
fn keys(value: &str, separator: char) -> BTreeSet<String> {
    let names = value.split(separator).filter_map(|item| item.split(['=', ';']).next());
    names.map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty()).collect()
}
