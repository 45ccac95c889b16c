//! A route's path pattern: matchit's syntax, and the two questions that matchit does not answer.
//!
//! matchit finds *one* pattern for a path. A table also needs to know whether two patterns could take the same path,
//! and which of the two says more about it, so that a route may decline a request and leave it to a wider one.

use std::{cmp::Ordering, fmt};

use thiserror::Error;

/// A valid pattern: `/img/{id}`, `/img/{name}.png`, `/files/{*rest}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    segments: Box<[Segment]>,
}

/// What stands between two slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    /// These bytes, braces unescaped.
    Text(Box<str>),
    /// One or more bytes between a fixed beginning and a fixed end.
    Parameter { prefix: Box<str>, suffix: Box<str> },
    /// All that is left, at least one byte.
    Rest,
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PatternError {
    /// Does not begin at the root.
    #[error("a path starts with `/`")]
    NoSlash,
    /// Holds what can never be in a path's raw bytes.
    #[error("a path holds no {0:?}: write it percent-encoded, as clients send it")]
    Character(char),
    /// Holds a query or a fragment.
    #[error("a path ends before the `?` or `#`")]
    Query,
    /// Braces do not match, or hold no name.
    #[error(
        "a parameter is written `{{name}}`, the rest of a path `{{*name}}`, a literal brace `{{{{` or `}}}}`"
    )]
    Braces,
    /// Two parameters between two slashes.
    #[error("only one parameter fits between two slashes")]
    TwoParameters,
    /// A catch-all that is not the whole last segment.
    #[error("`{{*name}}` must be the whole last segment")]
    RestNotLast,
}

impl Pattern {
    /// Reads matchit's syntax.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let path = text.strip_prefix('/').ok_or(PatternError::NoSlash)?;
        if text.contains(['?', '#']) {
            return Err(PatternError::Query);
        }
        if let Some(odd) = text.chars().find(|c| !c.is_ascii_graphic()) {
            return Err(PatternError::Character(odd));
        }
        let segments = path.split('/').map(Segment::new).collect::<Result<Box<[_]>, _>>()?;
        if segments.iter().rev().skip(1).any(|segment| *segment == Segment::Rest) {
            return Err(PatternError::RestNotLast);
        }
        let pattern = Self { text: text.into(), segments };
        // matchit has the last word: it refuses a literal brace right behind a parameter.
        matchit::Router::new().insert(pattern.shape(), ()).map_err(|_| PatternError::Braces)?;
        Ok(pattern)
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it takes `path`. A table asks all its patterns at once; this is for explaining.
    pub(super) fn takes(&self, path: &str) -> bool {
        let agreeing = self.agreeing(path);
        agreeing == self.segments.len()
            && (self.ends_in_rest() || agreeing == path.split('/').skip(1).count())
    }

    /// How many segments of `path`, from the left, are as this pattern wants them.
    pub(super) fn agreeing(&self, path: &str) -> usize {
        let Some(path) = path.strip_prefix('/') else { return 0 };
        let mut rest = Some(path);
        let mut agrees = |segment: &&Segment| {
            let Some(left) = rest else { return false };
            let (text, more) = left.split_once('/').map_or((left, None), |(text, more)| (text, Some(more)));
            rest = more;
            segment.takes(text, left)
        };
        self.segments.iter().take_while(|segment| agrees(segment)).count()
    }

    fn ends_in_rest(&self) -> bool {
        self.segments.last() == Some(&Segment::Rest)
    }

    /// The pattern without its parameters' names: equal for two patterns that take the same paths.
    pub(super) fn shape(&self) -> String {
        let escape = |text: &str| text.replace('{', "{{").replace('}', "}}");
        self.segments.iter().enumerate().fold(String::new(), |shape, (place, segment)| match segment {
            Segment::Text(text) => shape + "/" + &escape(text),
            Segment::Parameter { prefix, suffix } => {
                format!("{shape}/{}{{p{place}}}{}", escape(prefix), escape(suffix))
            }
            Segment::Rest => shape + "/{*rest}",
        })
    }

    /// The text that its paths begin with, up to the second slash; none where that is a parameter.
    pub(super) fn first_text(&self) -> Option<&str> {
        match self.segments.first() {
            Some(Segment::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// True when it has no parameter.
    pub(super) fn is_literal(&self) -> bool {
        self.segments.iter().all(|segment| matches!(segment, Segment::Text(_)))
    }

    /// True when every path that it takes is taken by `other` too.
    pub fn is_within(&self, other: &Self) -> bool {
        let (mut ours, mut theirs) = (self.segments.iter(), other.segments.iter());
        loop {
            return match (ours.next(), theirs.next()) {
                (None, None) => true,
                (Some(next), Some(Segment::Rest)) => next.can_begin_a_rest(ours.as_slice()),
                (Some(a), Some(b)) if a.is_within(b) => continue,
                _ => false,
            };
        }
    }

    /// True when some path is taken by both.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let (mut ours, mut theirs) = (self.segments.iter(), other.segments.iter());
        loop {
            return match (ours.next(), theirs.next()) {
                (None, None) => true,
                (Some(Segment::Rest), Some(next)) => next.can_begin_a_rest(theirs.as_slice()),
                (Some(next), Some(Segment::Rest)) => next.can_begin_a_rest(ours.as_slice()),
                (Some(a), Some(b)) if a.overlaps(b) => continue,
                _ => false,
            };
        }
    }

    /// True when one matchit router could miss the one for the other, though no path is taken by both: having walked
    /// into a parameter with fixed ends, it does not walk back (`/{x}b/c` hides `/{x}/d` from `/ab/d`).
    pub(super) fn hinders(&self, other: &Self) -> bool {
        self.segments
            .iter()
            .zip(&other.segments)
            .take_while(|(a, b)| a.overlaps(b))
            .any(|(a, b)| a != b && (a.has_fixed_ends() || b.has_fixed_ends()))
    }

    /// `Less` when it says more about a path than `other`: at the first segment from the left where they differ in
    /// kind, text comes before a parameter with fixed ends (the longer, the earlier), then a bare parameter, then a
    /// catch-all. Meaningful between patterns that overlap.
    pub(super) fn specificity(&self, other: &Self) -> Ordering {
        self.segments.iter().map(Segment::rank).cmp(other.segments.iter().map(Segment::rank))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Segment {
    fn new(text: &str) -> Result<Self, PatternError> {
        let (prefix, rest) = literal(text)?;
        let Some(rest) = rest else { return Ok(Self::Text(prefix)) };
        let (name, rest) = rest.split_once('}').ok_or(PatternError::Braces)?;
        let (suffix, another) = literal(rest)?;
        if another.is_some() {
            return Err(PatternError::TwoParameters);
        }
        let (is_rest, name) = name.strip_prefix('*').map_or((false, name), |name| (true, name));
        if name.is_empty() || name.contains(['{', '*']) {
            return Err(PatternError::Braces);
        }
        match is_rest {
            true if prefix.is_empty() && suffix.is_empty() => Ok(Self::Rest),
            true => Err(PatternError::RestNotLast),
            false => Ok(Self::Parameter { prefix, suffix }),
        }
    }

    /// Whether it takes `text`, which stands at the beginning of what is `left` of a path.
    fn takes(&self, text: &str, left: &str) -> bool {
        match self {
            Self::Text(wanted) => text == &**wanted,
            Self::Parameter { prefix, suffix } => text
                .strip_prefix(&**prefix)
                .and_then(|rest| rest.strip_suffix(&**suffix))
                .is_some_and(|value| !value.is_empty()),
            Self::Rest => !left.is_empty(),
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Text(text), parameter @ Self::Parameter { .. })
            | (parameter @ Self::Parameter { .. }, Self::Text(text)) => parameter.takes(text, text),
            (Self::Parameter { prefix: p, suffix: s }, Self::Parameter { prefix: q, suffix: t }) => {
                (p.starts_with(&**q) || q.starts_with(&**p)) && (s.ends_with(&**t) || t.ends_with(&**s))
            }
            (Self::Rest, _) | (_, Self::Rest) => true,
        }
    }

    fn is_within(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(text), wider) => wider.takes(text, text),
            (Self::Parameter { prefix: p, suffix: s }, Self::Parameter { prefix: q, suffix: t }) => {
                p.starts_with(&**q) && s.ends_with(&**t)
            }
            (Self::Parameter { .. }, Self::Text(_)) => false,
            (_, wider) => *wider == Self::Rest,
        }
    }

    fn has_fixed_ends(&self) -> bool {
        matches!(self, Self::Parameter { prefix, suffix } if !prefix.is_empty() || !suffix.is_empty())
    }

    /// Whether a path that goes on with this segment and `more` leaves a catch-all its one byte.
    fn can_begin_a_rest(&self, more: &[Self]) -> bool {
        !more.is_empty() || !matches!(self, Self::Text(text) if text.is_empty())
    }

    fn rank(&self) -> (u8, usize) {
        match self {
            Self::Text(_) => (0, 0),
            Self::Parameter { prefix, suffix } => match prefix.len() + suffix.len() {
                0 => (2, 0),
                fixed => (1, usize::MAX - fixed),
            },
            Self::Rest => (3, 0),
        }
    }
}

/// The text up to a parameter, braces unescaped, and what follows the parameter's opening brace.
fn literal(text: &str) -> Result<(Box<str>, Option<&str>), PatternError> {
    let mut found = String::new();
    let mut rest = text;
    while let Some(brace) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(brace);
        found.push_str(before);
        if let Some(after) = from.strip_prefix("{{") {
            found.push('{');
            rest = after;
        } else if let Some(after) = from.strip_prefix("}}") {
            found.push('}');
            rest = after;
        } else {
            let parameter = from.strip_prefix('{').ok_or(PatternError::Braces)?;
            return Ok((found.into(), Some(parameter)));
        }
    }
    found.push_str(rest);
    Ok((found.into(), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).unwrap()
    }

    #[test]
    fn one_pattern_lies_within_another_where_it_takes_no_other_path() {
        let within = |a: &str, b: &str| pattern(a).is_within(&pattern(b));
        for (a, b) in [
            ("/a", "/a"),
            ("/img/a.png", "/img/{name}"),
            ("/img/{x}.png", "/img/{name}"),
            ("/img/{x}", "/{*rest}"),
            ("/img/{*more}", "/img/{*rest}"),
        ] {
            assert!(within(a, b), "{a} in {b}");
            assert!(a == b || pattern(a).shape() == pattern(b).shape() || !within(b, a), "{b} in {a}");
        }
        for (a, b) in
            [("/a", "/b"), ("/img/{x}/y", "/img/{name}"), ("/img/", "/img/{*rest}"), ("/{x}", "/img")]
        {
            assert!(!within(a, b), "{a} in {b}");
        }
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        for (text, error) in [
            ("img", PatternError::NoSlash),
            ("", PatternError::NoSlash),
            ("/a?b=c", PatternError::Query),
            ("/a b", PatternError::Character(' ')),
            ("/maçã", PatternError::Character('ç')),
            ("/{}", PatternError::Braces),
            ("/{id", PatternError::Braces),
            ("/id}", PatternError::Braces),
            ("/{*}", PatternError::Braces),
            ("/{a}{{", PatternError::Braces),
            ("/{a}{b}", PatternError::TwoParameters),
            ("/{*rest}/b", PatternError::RestNotLast),
            ("/a{*rest}", PatternError::RestNotLast),
        ] {
            assert_eq!(Pattern::new(text), Err(error), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_shape_is_a_pattern_of_the_same_shape(text in "/([ab/{}*]|\\{[a*]|[a]\\}){0,12}") {
            if let Ok(pattern) = Pattern::new(&text) {
                proptest::prop_assert_eq!(Pattern::new(&pattern.shape()).unwrap().shape(), pattern.shape());
            }
        }
    }

    #[test]
    fn a_shape_forgets_names_and_nothing_else() {
        assert_eq!(pattern("/img/{id}").shape(), pattern("/img/{name}").shape());
        assert_ne!(pattern("/img/{id}").shape(), pattern("/img/{id}.png").shape());
        assert_eq!(pattern("/{{a}}/{*r}").shape(), "/{{a}}/{*rest}");
    }

    #[test]
    fn patterns_overlap_where_one_path_fits_both() {
        for (a, b, expected) in [
            ("/api/images", "/api/images", true),
            ("/api/images", "/api/{*rest}", true),
            ("/api/", "/api/{*rest}", false),
            ("/api", "/api/{*rest}", false),
            ("/a/{id}/b", "/a/{*rest}", true),
            ("/{x}/b", "/a/{y}", true),
            ("/img/{id}.png", "/img/{id}.jpg", false),
            ("/img/.png", "/img/{id}.png", false),
            ("/img-{id}", "/{id}.png", true),
        ] {
            assert_eq!(pattern(a).overlaps(&pattern(b)), expected, "{a} {b}");
            assert_eq!(pattern(b).overlaps(&pattern(a)), expected, "{b} {a}");
        }
    }

    #[test]
    fn text_says_more_than_a_parameter_and_a_parameter_more_than_the_rest() {
        let order =
            ["/a/b", "/a/long-{x}", "/a/l{x}", "/a/{x}", "/a/{*rest}", "/{x}/b", "/{*rest}"].map(pattern);
        assert!(order.windows(2).all(|pair| pair[0].specificity(&pair[1]) == Ordering::Less));
        assert_eq!(pattern("/a{x}").specificity(&pattern("/{x}b")), Ordering::Equal);
    }
}
