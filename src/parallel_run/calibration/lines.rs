//! A line of text, as of a page in HTML: what is made up anew in it stands among words that are the same each time.

use super::{PathStates, ValueClass, class, short_hash};

/// What stands between the words of a line. A word may be a URL with a query, or Base64 with its padding.
const BETWEEN: [char; 12] = ['"', '\'', '<', '>', '(', ')', '[', ']', '{', '}', '`', '|'];
/// What may stand before a word, and is none of it.
const BEFORE: [char; 3] = [':', '=', '#'];
/// And behind it.
const BEHIND: [char; 4] = [',', ';', ':', '.'];

/// Years and prices are shorter.
const SHORTEST_NUMBER: usize = 5;

/// The parts of a line that are judged each for itself: a page may be one line, of which much depends on the request.
pub(super) fn pieces(line: &str) -> impl Iterator<Item = &str> {
    line.trim_end().split_inclusive('>')
}

/// One piece of a line, and the words of it that look made up.
#[derive(Debug)]
pub(crate) struct Line<'t> {
    template: String,
    words: Vec<&'t str>,
}

impl<'t> Line<'t> {
    /// Tells them by their looks.
    pub(crate) fn of(text: &'t str) -> Self {
        Self::with(text, |_| false)
    }

    /// Tells them by a digit too: much that has one is another each time, and much is not.
    pub(super) fn with_digits(text: &'t str) -> Self {
        Self::with(text, |word| word.contains(|c: char| c.is_ascii_digit()))
    }

    /// Those that `is_word` tells count beside what looks made up.
    fn with(text: &'t str, is_word: impl Fn(&str) -> bool) -> Self {
        let mut line = Self { template: String::with_capacity(text.len()), words: Vec::new() };
        let is_between = |c: char| c.is_whitespace() || BETWEEN.contains(&c);
        for piece in text.split_inclusive(is_between) {
            let word = piece.trim_end_matches(is_between);
            line.add(word, &is_word);
            line.template.push_str(piece.get(word.len()..).unwrap_or_default());
        }
        line
    }

    fn add(&mut self, piece: &'t str, is_word: impl Fn(&str) -> bool) {
        let behind = piece.trim_start_matches(BEFORE);
        let word = behind.trim_end_matches(BEHIND);
        let before = piece.len() - behind.len();
        let place = before..before + word.len();
        if looks_made_up(word) {
            return self.add_word(piece, place);
        }
        // A value behind its name, as in `id=V1StGXR8` or `sha256:9f86d081`.
        match word.split_once('=').or_else(|| word.rsplit_once(':')) {
            Some((_, value)) if looks_made_up(value) => {
                self.add_word(piece, place.end - value.len()..place.end);
            }
            _ if is_word(word) => self.add_word(piece, place),
            _ => self.template.push_str(piece),
        }
    }

    fn add_word(&mut self, piece: &'t str, place: std::ops::Range<usize>) {
        self.template.push_str(piece.get(..place.start).unwrap_or_default());
        self.template.push('\0');
        self.template.push_str(piece.get(place.end..).unwrap_or_default());
        self.words.extend(piece.get(place));
    }

    /// Whether it is one such word and nothing else.
    pub(super) fn is_bare(&self) -> bool {
        self.template == "\0"
    }

    /// Whether all but those words are the same.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.template == other.template
    }

    /// Those words, each with the path under which is learned what it is: wherever such a line stands in the text at
    /// `within`, which is empty where the text is the whole answer.
    pub(crate) fn words(&self, within: &str) -> impl Iterator<Item = (String, &'t str)> {
        let hash = short_hash(self.template.as_bytes());
        let slash = if within.is_empty() { "" } else { "/" };
        let path = move |place| format!("{within}{slash}line:{hash:016x}/{place}");
        self.words.iter().enumerate().map(move |(place, word)| (path(place), *word))
    }
}

/// What of a text is the same where only its words that look made up or have a digit are others.
pub(super) fn outline_of(text: &str) -> u64 {
    short_hash(Line::with_digits(text).template.as_bytes())
}

impl PathStates {
    /// Whether two texts at `within` differ in nothing but what the control makes up anew.
    pub(crate) fn agree_in_text(&self, within: &str, control: &str, candidate: &str) -> bool {
        control.lines().count() == candidate.lines().count()
            && control
                .lines()
                .zip(candidate.lines())
                .all(|(one, two)| self.part_at(within, one, two).is_none())
    }

    /// Where in each of two lines the first piece begins that differs in more than that.
    pub(crate) fn part_at(&self, within: &str, control: &str, candidate: &str) -> Option<(usize, usize)> {
        let (mut ours, mut theirs) = (pieces(control), pieces(candidate));
        let mut place = (0, 0);
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return None,
                (Some(one), Some(two)) if one == two || self.agree_in_words(within, one, two) => {
                    place = (place.0 + one.len(), place.1 + two.len());
                }
                _ => return Some(place),
            }
        }
    }

    fn agree_in_words(&self, within: &str, control: &str, candidate: &str) -> bool {
        let agree = |((path, one), (_, two)): ((String, &str), (String, &str))| {
            one == two || self.agree(&path, &one.into(), &two.into()) == Some(true)
        };
        let agree_in = |ours: &Line<'_>, theirs: &Line<'_>| {
            ours.is_like(theirs) && ours.words(within).zip(theirs.words(within)).all(agree)
        };
        agree_in(&Line::of(control), &Line::of(candidate))
            || self.repeats > 0 && agree_in(&Line::with_digits(control), &Line::with_digits(candidate))
    }
}

/// Random letters have no digit now and then, a number may be an order's, and a time of day that of the answer.
fn looks_made_up(word: &str) -> bool {
    let of_letters = || ValueClass::of_letters(&word.into());
    let is_number = word.len() >= SHORTEST_NUMBER && word.bytes().all(|byte| byte.is_ascii_digit());
    is_number
        || class::clock(word).is_some()
        || ValueClass::of_text(word).is_some()
        || matches!(of_letters(), Some(ValueClass::GeneratedName(_)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn made_up_words_are_found_among_the_others() {
        for (line, words) in [
            ("<input name=\"csrf\" value=\"Zk93jd02Bt04ke13\">", &["Zk93jd02Bt04ke13"][..]),
            (
                "var t={\"id\":\"9f86d081884c7d65\",\"ts\":1795465440123};",
                &["9f86d081884c7d65", "1795465440123"],
            ),
            (
                "<img src=/a/9f86d081884c7d65.png?exp=1&amp;sig=2>",
                &["/a/9f86d081884c7d65.png?exp=1&amp;sig=2"],
            ),
            ("token=VStGXRabZjdHiBKmyT; secure", &["VStGXRabZjdHiBKmyT"]),
            ("sha256:9f86d081884c7d65", &["9f86d081884c7d65"]),
            ("<h1>Uma figueira, 1920.</h1>", &[]),
        ] {
            let found = Line::of(line);
            assert_eq!(found.words, words, "{line}");
        }
    }

    proptest! {
        #[test]
        fn a_line_is_its_words_in_their_template(text in "([a-zA-Z0-9]{0,20}[\"<>=:;,. /+é]{0,3}){0,6}") {
            let line = Line::of(&text);
            let mut words = line.words.iter();
            let parts = line.template.split('\0').enumerate();
            let whole: String = parts.flat_map(|(place, part)| {
                let word = if place == 0 { "" } else { words.next().copied().unwrap_or_default() };
                [word, part]
            }).collect();
            prop_assert_eq!(whole, text);
        }
    }
}
