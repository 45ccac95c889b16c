//! Paths of the monolith that are ours to call and nobody else's: those of `authorize` and `notify`.

/// The paths that are closed from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closed(Vec<String>);

impl Closed {
    /// Closes these paths, and every other spelling of them.
    pub fn new<'p>(paths: impl IntoIterator<Item = &'p str>) -> Self {
        let mut closed: Vec<_> = paths.into_iter().map(plain).collect();
        closed.sort_unstable();
        closed.dedup();
        Self(closed)
    }

    /// Whether `path` is one of them in any spelling that a server could take for it.
    pub(super) fn holds(&self, path: &str) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let once = plain(path);
        // Some servers decode twice.
        self.0.contains(&once) || (once.contains('%') && self.0.contains(&plain(&once)))
    }
}

/// The path as the most forgiving server would read it: decoded, in lower case, without empty segments, dots,
/// parameters of segments or a slash at its end.
fn plain(path: &str) -> String {
    let decoded = decoded(path).replace('\\', "/").to_lowercase();
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split('/') {
        match segment.split(';').next().unwrap_or_default() {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    segments.join("/")
}

fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex =
            after.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = hex.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    // A zero ends a path for some.
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    #[test]
    fn no_other_spelling_gets_through() {
        let closed = Closed::new(["/internal/may-generate", "/internal/image-created/"]);
        for path in [
            "/internal/may-generate",
            "/internal/may-generate/",
            "//internal///may-generate",
            "/./internal/x/../may-generate",
            "/internal/%6day-generate",
            "/internal/%256day-generate",
            "/INTERNAL/May-Generate",
            "/internal;v=1/may-generate;a",
            "/internal%2Fmay-generate",
            "/internal\\may-generate",
            "/internal/may-generate%00.png",
            "/internal/image-created",
        ] {
            assert!(closed.holds(path), "{path}");
        }
        for path in ["/", "/internal", "/internal/may-generate2", "/x/internal/may-generate", "/internal/%"] {
            assert!(!closed.holds(path), "{path}");
        }
        assert!(!Closed::default().holds("/internal/may-generate"));
    }

    proptest! {
        #[test]
        fn any_path_is_answered(path in any::<String>()) {
            Closed::new(["/a"]).holds(&path);
        }
    }
}
