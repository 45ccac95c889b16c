//! Made-up names, and the URLs that they stand in.

use super::{SHORTEST_HEX, is_hex};

pub(super) const SHORTEST_NAME: usize = 6;
/// Of letters alone.
const SHORTEST_RANDOM: usize = 10;
const LONGEST_NAME: usize = 160;

/// Scheme, host and path template.
pub(crate) fn url(text: &str) -> Option<String> {
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return None;
    }
    let (origin, path) = match text.split_once("://") {
        Some((scheme @ ("http" | "https" | "s3" | "gs"), rest)) => {
            let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
            (!host.is_empty()).then(|| (format!("{scheme}://{}", host.to_ascii_lowercase()), path))?
        }
        None if text.starts_with("//") => {
            let rest = text.trim_start_matches('/');
            let (host, path) = rest.split_at(rest.find('/')?);
            host.contains('.').then(|| (format!("//{}", host.to_ascii_lowercase()), path))?
        }
        None if text.starts_with('/') && text.len() <= LONGEST_NAME => (String::new(), text),
        // A file that is named from where the page lies.
        None if text.contains('/') && text.len() <= LONGEST_NAME && is_file(text) => (String::new(), text),
        Some(_) | None => return None,
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let segments = path.split('/').map(|segment| {
        if !is_generated(segment) {
            return segment.to_owned();
        }
        let extension = stem_and_extension(segment).1.filter(|end| end.contains(char::is_alphabetic));
        extension.map_or_else(|| "*".to_owned(), |extension| format!("*.{extension}"))
    });
    Some(origin + &segments.collect::<Vec<_>>().join("/"))
}

/// The template of a URL without the extensions of what is generated in it.
pub(super) fn bare(template: &str) -> String {
    let segments = template.split('/').map(|segment| if segment.starts_with("*.") { "*" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

fn is_generated(segment: &str) -> bool {
    !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit())
        || uuid::Uuid::try_parse(segment).is_ok()
        || segment.len() >= SHORTEST_HEX && is_hex(segment)
        || generated_name(segment).is_some()
        || is_random_name(segment)
}

fn is_random_name(segment: &str) -> bool {
    let (stem, _) = stem_and_extension(segment);
    is_plain(stem) && is_random(stem)
}

/// Whether a path ends with a made-up name that has an extension.
fn is_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    generated_name(name).is_some_and(|extension| extension.is_some())
}

/// Whether letters are in no case that anybody writes in: `V1StGXR8_Z5jdHi6B` has no digit now and then.
pub(super) fn is_random(text: &str) -> bool {
    let beyond_the_first = text.bytes().skip(1);
    text.len() >= SHORTEST_RANDOM
        && beyond_the_first.clone().filter(u8::is_ascii_uppercase).count() >= 2
        && beyond_the_first.filter(u8::is_ascii_lowercase).count() >= 2
}

/// The extension of a made-up name.
#[expect(clippy::option_option, reason = "no name; a name; a name with an extension")]
pub(super) fn generated_name(text: &str) -> Option<Option<String>> {
    let (stem, extension) = stem_and_extension(text);
    let made_up = is_plain(stem)
        && stem.bytes().any(|byte| byte.is_ascii_digit())
        && stem.bytes().any(|byte| byte.is_ascii_alphabetic() || extension.is_some());
    made_up.then_some(extension)
}

pub(super) fn stem_and_extension(name: &str) -> (&str, Option<String>) {
    match name.rsplit_once('.') {
        Some((stem, end))
            if (1..=5).contains(&end.len()) && end.bytes().all(|b| b.is_ascii_alphanumeric()) =>
        {
            (stem, Some(end.to_ascii_lowercase()))
        }
        _ => (name, None),
    }
}

/// Whether it has the letters and the length of a made-up name.
pub(super) fn is_plain(stem: &str) -> bool {
    (SHORTEST_NAME..=LONGEST_NAME).contains(&stem.len())
        && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
