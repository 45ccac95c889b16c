//! Conditional and range requests for one immutable representation (RFC 9110, sections 13 and 14).

use std::ops::Range;

use http::{
    HeaderMap, HeaderName,
    header::{IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE},
};

/// What of the representation is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selected {
    /// Nothing: the client has it.
    Unchanged,
    /// All of it.
    Whole,
    /// These bytes.
    Part(Range<u64>),
    /// Nothing: the range lies outside.
    Unsatisfiable,
    /// Nothing: the client wants only another one.
    Refused,
}

/// Chooses by `If-Match` and `If-None-Match`, then `Range` with `If-Range` (13.2.2).
pub(super) fn select(headers: &HeaderMap, etag: &str, length: u64) -> Selected {
    if let Some(nothing) = nothing(headers, etag) {
        return nothing;
    }
    // A date in If-Range never matches: we send no Last-Modified to compare with.
    let applies = headers.get(IF_RANGE).is_none_or(|condition| condition.as_bytes() == etag.as_bytes());
    let mut ranges = headers.get_all(RANGE).iter();
    match (ranges.next(), ranges.next()) {
        (Some(range), None) if applies => range.to_str().map_or(Selected::Whole, |range| part(range, length)),
        _ => Selected::Whole,
    }
}

/// Why nothing is sent, whatever part is asked for. Without a `Last-Modified` of ours conditions of dates are none.
pub(super) fn nothing(headers: &HeaderMap, etag: &str) -> Option<Selected> {
    let mut wanted = tags(headers, IF_MATCH).peekable();
    // The strong comparison (8.8.3.2): a weak tag is never the same.
    if wanted.peek().is_some() && !wanted.any(|tag| tag == "*" || tag == etag) {
        return Some(Selected::Refused);
    }
    tags(headers, IF_NONE_MATCH)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
        .then_some(Selected::Unchanged)
}

fn tags(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lists = headers.get_all(name).into_iter().filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(str::trim)
}

/// One range of bytes. Several, other units and what does not parse are as if absent (14.2).
fn part(range: &str, length: u64) -> Selected {
    let Some((first, last)) = range
        .split_once('=')
        .filter(|(unit, _)| unit.eq_ignore_ascii_case("bytes"))
        .and_then(|(_, spec)| spec.trim().split_once('-'))
    else {
        return Selected::Whole;
    };
    let selected = match (position(first), position(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(length),
        (Some(first), None) if last.is_empty() => first..length,
        (None, Some(suffix)) if first.is_empty() => length.saturating_sub(suffix)..length,
        _ => return Selected::Whole,
    };
    if selected.is_empty() { Selected::Unsatisfiable } else { Selected::Part(selected) }
}

/// A decimal position; one beyond 64 bits lies beyond every length.
fn position(digits: &str) -> Option<u64> {
    let decimal = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    decimal.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use http::{
        HeaderMap, HeaderValue,
        header::{IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE},
    };
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{Selected, part, select};

    const ETAG: &str = "\"abc\"";

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        for (range, expected) in [
            ("bytes=0-4", Selected::Part(0..5)),
            ("Bytes=3-", Selected::Part(3..10)),
            ("bytes=-4", Selected::Part(6..10)),
            ("bytes=-400", Selected::Part(0..10)),
            ("bytes=9-900", Selected::Part(9..10)),
            ("bytes=10-", Selected::Unsatisfiable),
            ("bytes=-0", Selected::Unsatisfiable),
            ("bytes=99999999999999999999-", Selected::Unsatisfiable),
            ("bytes=0-1,3-4", Selected::Whole),
            ("bytes=5-3", Selected::Whole),
            ("bytes=-", Selected::Whole),
            ("bytes=x-3", Selected::Whole),
            ("items=0-1", Selected::Whole),
            ("", Selected::Whole),
        ] {
            assert_eq!(part(range, 10), expected, "{range}");
        }
    }

    #[test]
    fn conditions_come_in_their_order() {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, HeaderValue::from_static("bytes=0-1"));
        assert_eq!(select(&headers, ETAG, 10), Selected::Part(0..2));
        headers.insert(IF_RANGE, HeaderValue::from_static("\"other\""));
        assert_eq!(select(&headers, ETAG, 10), Selected::Whole);
        headers.insert(IF_RANGE, HeaderValue::from_static(ETAG));
        assert_eq!(select(&headers, ETAG, 10), Selected::Part(0..2));
        for hit in ["\"x\", W/\"abc\"", "*", ETAG] {
            headers.insert(IF_NONE_MATCH, HeaderValue::from_static(hit));
            assert_eq!(select(&headers, ETAG, 10), Selected::Unchanged);
        }
        for (wanted, refused) in
            [("\"x\"", true), ("W/\"abc\"", true), ("", true), ("\"x\" , \"abc\"", false), ("*", false)]
        {
            headers.insert(IF_MATCH, HeaderValue::from_static(wanted));
            let selected = if refused { Selected::Refused } else { Selected::Unchanged };
            assert_eq!(select(&headers, ETAG, 10), selected, "{wanted}");
        }
    }

    proptest! {
        #[test]
        fn a_part_lies_inside(range in "bytes=[0-9-]{0,8}|.*", length in any::<u64>()) {
            if let Selected::Part(range) = part(&range, length) {
                prop_assert!(range.start < range.end && range.end <= length);
            }
        }

        #[test]
        fn a_plain_range_is_what_it_says(first in 0..1000_u64, more in 0..1000_u64) {
            let last = first + more;
            prop_assert_eq!(part(&format!("bytes={first}-{last}"), 5000), Selected::Part(first..last + 1));
        }
    }
}
