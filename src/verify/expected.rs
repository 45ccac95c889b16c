//! What a value is expected to be, learned from several of the site's own: itself where they agree, and where they do not
//! what they share.

/// A value with the places at which it varies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// Always the same.
    Exactly(Vec<u8>),
    /// Words of which some vary, at least in what they are.
    Words(Vec<Option<Vec<u8>>>),
    /// Only how it begins and ends.
    Around(Vec<u8>, Vec<u8>),
}

/// Words of more bytes than this are not told apart.
const LARGEST: usize = 4 << 20;

impl Expected {
    /// Learns from at least one value.
    pub(super) fn of(samples: &[&[u8]]) -> Self {
        let first = samples.first().copied().unwrap_or_default();
        if samples.iter().all(|sample| *sample == first) {
            return Self::Exactly(first.to_vec());
        }
        let is_small = samples.iter().all(|sample| sample.len() <= LARGEST);
        let words: Vec<Vec<&[u8]>> =
            if is_small { samples.iter().map(|sample| words(sample)).collect() } else { Vec::new() };
        match words.split_first() {
            Some((first, rest)) if rest.iter().all(|other| other.len() == first.len()) => {
                let at = |place: usize, word: &&[u8]| {
                    let same = rest.iter().all(|other| other.get(place) == Some(word));
                    same.then(|| word.to_vec())
                };
                Self::Words(first.iter().enumerate().map(|(place, word)| at(place, word)).collect())
            }
            _ => {
                let begins = samples.iter().fold(first, |common, sample| {
                    let same = common.iter().zip(*sample).take_while(|(a, b)| a == b).count();
                    common.get(..same).unwrap_or_default()
                });
                let shortest = samples.iter().map(|sample| sample.len()).min().unwrap_or_default();
                let most = shortest - begins.len();
                let ends = samples.iter().fold(first, |common, sample| {
                    let same =
                        common.iter().rev().zip(sample.iter().rev()).take_while(|(a, b)| a == b).count();
                    common.get(common.len() - same.min(most)..).unwrap_or_default()
                });
                Self::Around(begins.to_vec(), ends.to_vec())
            }
        }
    }

    pub(super) fn varies(&self) -> bool {
        !matches!(self, Self::Exactly(_))
    }

    /// Where `value` is first another than expected.
    pub(super) fn differs(&self, value: &[u8]) -> Option<usize> {
        match self {
            Self::Exactly(wanted) => {
                let same = wanted.iter().zip(value).take_while(|(a, b)| a == b).count();
                (wanted != value).then_some(same)
            }
            Self::Words(wanted) => {
                let mut at = 0;
                let mut came = words(value).into_iter();
                for wanted in wanted {
                    let Some(word) = came.next() else { return Some(at) };
                    let fits = match wanted {
                        Some(wanted) => wanted == word,
                        None => true,
                    };
                    if !fits {
                        return Some(at);
                    }
                    at += word.len();
                }
                came.next().map(|_| at)
            }
            Self::Around(begins, ends) => {
                let fits = value.len() >= begins.len() + ends.len();
                if !value.starts_with(begins) {
                    Some(begins.iter().zip(value).take_while(|(a, b)| a == b).count())
                } else if fits && value.ends_with(ends) {
                    None
                } else {
                    Some(value.len())
                }
            }
        }
    }

    /// As it is shown: `*` where it varies.
    pub(super) fn shown(&self) -> Vec<u8> {
        match self {
            Self::Exactly(value) => value.clone(),
            Self::Words(words) => {
                words.iter().flat_map(|word| word.as_deref().unwrap_or(b"*")).copied().collect()
            }
            Self::Around(begins, ends) => [&begins[..], b"*", ends].concat(),
        }
    }
}

/// Runs of letters, digits and what stands in names and numbers; and the single bytes between them.
fn words(bytes: &[u8]) -> Vec<&[u8]> {
    let mut words = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let inside = rest.iter().take_while(|byte| is_inside(**byte)).count();
        let (word, after) = rest.split_at(inside.max(1));
        words.push(word);
        rest = after;
    }
    words
}

fn is_inside(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.') || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(samples: &[&str]) -> Expected {
        Expected::of(&samples.iter().map(|sample| sample.as_bytes()).collect::<Vec<_>>())
    }

    #[test]
    fn what_does_not_vary_is_compared_to_the_byte() {
        let expected = learned(&["abc", "abc"]);
        assert_eq!(expected.differs(b"abc"), None);
        assert_eq!(expected.differs(b"abd"), Some(2));
        assert_eq!(expected.differs(b"abcd"), Some(3));
        assert!(!expected.varies());
    }

    #[test]
    fn only_the_words_that_vary_are_free() {
        let expected = learned(&["session=a1b2.c; Path=/; Secure", "session=ffff; Path=/; Secure"]);
        assert_eq!(String::from_utf8(expected.shown()).unwrap(), "session=*; Path=/; Secure");
        assert_eq!(expected.differs(b"session=other-one; Path=/; Secure"), None);
        assert_eq!(expected.differs(b"session=x; Path=/; HttpOnly"), Some(19));
        assert_eq!(expected.differs(b"session=x; Path=/"), Some(17));
        assert_eq!(expected.differs(b"other=x; Path=/; Secure"), Some(0));
        let date = learned(&["Sat, 28 Nov 2026 07:16:06 GMT", "Sat, 28 Nov 2026 07:16:07 GMT"]);
        assert_eq!(date.differs(b"Sat, 28 Nov 2026 07:16:59 GMT"), None);
        assert_eq!(date.differs(b"Sat, 28 Nov 2026 07:16:59 UTC"), Some(26));
    }

    #[test]
    fn where_the_words_are_not_the_same_number_the_ends_count() {
        let expected = learned(&["token=a+b/c==&x", "token=abc&x"]);
        assert_eq!(String::from_utf8(expected.shown()).unwrap(), "token=a*&x");
        assert_eq!(expected.differs(b"token=a&x"), None);
        assert_eq!(expected.differs(b"token=a/b&y"), Some(11));
    }
}
