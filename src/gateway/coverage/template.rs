//! Paths without what is different each time: `/pedidos/4711/nota` and `/pedidos/4712/nota` are one template.

use std::hash::{Hash, Hasher};

/// Deeper segments are left out.
const DEEPEST: usize = 8;
/// A longer segment is nobody's word.
const LONGEST: usize = 40;
/// Files of these kinds are alike, whatever their names.
const FILES: [&str; 20] = [
    "avif", "css", "gif", "ico", "jpeg", "jpg", "js", "map", "mjs", "mp4", "pdf", "png", "svg", "ttf", "txt",
    "webm", "webp", "woff", "woff2", "zip",
];

/// A segment of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Piece<'p> {
    /// The same in every request.
    Word(&'p str),
    /// An id, a number, a token.
    Any,
    /// Any file of this kind.
    File(&'static str),
    /// All that is deeper.
    Rest,
}

/// Feeds the template of `path` to `hasher`, without writing it.
pub(super) fn hash(path: &str, hasher: &mut impl Hasher) {
    pieces(path).for_each(|piece| piece.hash(hasher));
}

/// The template of `path`.
pub(super) fn write(path: &str) -> String {
    pieces(path).fold(String::new(), |template, piece| match piece {
        Piece::Word(word) => template + "/" + word,
        Piece::Any => template + "/{}",
        Piece::File(kind) => template + "/{}." + kind,
        Piece::Rest => template + "/{*}",
    })
}

fn pieces(path: &str) -> impl Iterator<Item = Piece<'_>> {
    path.strip_prefix('/')
        .unwrap_or(path)
        .split('/')
        .enumerate()
        .take(DEEPEST + 1)
        .map(|(depth, segment)| if depth == DEEPEST { Piece::Rest } else { piece(segment) })
}

fn piece(segment: &str) -> Piece<'_> {
    if let Some((_, kind)) = segment.rsplit_once('.')
        && let Some(kind) = FILES.iter().find(|known| known.eq_ignore_ascii_case(kind))
    {
        return Piece::File(kind);
    }
    if segment.len() > LONGEST || is_an_id(segment) { Piece::Any } else { Piece::Word(segment) }
}

/// A number, a UUID, a hash, an address: whatever people do not call things.
fn is_an_id(segment: &str) -> bool {
    let (mut digits, mut hexadecimal, mut odd) = (0_usize, 0_usize, false);
    for byte in segment.bytes() {
        digits += usize::from(byte.is_ascii_digit());
        hexadecimal += usize::from(byte.is_ascii_hexdigit() || byte == b'-');
        odd |= !byte.is_ascii() || matches!(byte, b'%' | b'@' | b'=' | b'+' | b',' | b';' | b':');
    }
    let length = segment.len();
    odd || digits >= 3 || (digits > 0 && (digits == length || (hexadecimal == length && length >= 8)))
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hasher as _};

    use super::*;

    #[test]
    fn ids_collapse_and_words_stay() {
        for (path, template) in [
            ("/", "/"),
            ("/api/images", "/api/images"),
            ("/api/v2/images/", "/api/v2/images/"),
            ("/pedidos/4711/nota", "/pedidos/{}/nota"),
            ("/u/7", "/u/{}"),
            ("/u/0b9a2c1e-5f3d-4c1a-9b7e-0123456789ab", "/u/{}"),
            ("/u/deadbeef", "/u/deadbeef"),
            ("/u/deadbee0", "/u/{}"),
            ("/u/ana@example.com", "/u/{}"),
            ("/busca/gato%20preto", "/busca/{}"),
            ("/img/sunset.PNG", "/img/{}.png"),
            ("/static/app.3f2a.js", "/static/{}.js"),
            ("/gerar.php", "/gerar.php"),
            ("/a/b/c/d/e/f/g/h/i/j", "/a/b/c/d/e/f/g/h/{*}"),
            ("*", "/*"),
        ] {
            assert_eq!(write(path), template, "{path}");
        }
        assert_eq!(write(&format!("/x/{}", "y".repeat(41))), "/x/{}");
    }

    proptest::proptest! {
        /// What is hashed and what is written tell the same paths apart, and what is written is short.
        #[test]
        fn a_template_is_known_by_its_hash(a in "(/[ab0-9.%]{0,4}|/x\\.png){0,10}", b in "(/[ab0-9.%]{0,4}|/x\\.png){0,10}") {
            let hashed = |path: &str| {
                let mut hasher = DefaultHasher::new();
                hash(path, &mut hasher);
                hasher.finish()
            };
            proptest::prop_assert_eq!(write(&a) == write(&b), hashed(&a) == hashed(&b));
            proptest::prop_assert!(write(&a).len() <= (DEEPEST + 1) * (LONGEST + 1));
        }
    }
}
