//! Which paths of an answer a rule speaks for: JSON pointers (RFC 6901) with `*` for any key or index.

use super::settings::Rule;

/// One step down a JSON document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step<'v> {
    /// Into an object.
    Key(&'v str),
    /// Into an array.
    Index(usize),
}

/// A JSON pointer whose `*` stands for any one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Box<str>>);

impl Pattern {
    /// From a pointer; the empty one is the whole document, and so is `/`, as differences name it.
    pub(crate) fn new(pointer: &str) -> Self {
        let steps = if pointer == "/" { "" } else { pointer }.split('/').skip(1);
        Self(steps.map(|step| step.replace("~1", "/").replace("~0", "~").into()).collect())
    }

    /// Whether it names exactly this path.
    pub(crate) fn matches(&self, path: &[Step<'_>]) -> bool {
        self.0.len() == path.len() && self.0.iter().zip(path).all(|(wanted, step)| admits(wanted, *step))
    }
}

fn admits(wanted: &str, step: Step<'_>) -> bool {
    match step {
        _ if wanted == "*" => true,
        Step::Key(key) => wanted == key,
        Step::Index(index) => wanted.parse() == Ok(index),
    }
}

/// The rules of one route, ready to be asked.
#[derive(Clone, Debug)]
pub(crate) struct Rules<'a>(Vec<(Pattern, &'a Rule)>);

impl<'a> Rules<'a> {
    /// In the file's order.
    pub(crate) fn new(rules: &'a [Rule]) -> Self {
        Self(rules.iter().map(|rule| (Pattern::new(&rule.path), rule)).collect())
    }

    /// The first that names this path; it speaks for everything below.
    pub(crate) fn of(&self, path: &[Step<'_>]) -> Option<&'a Rule> {
        self.0.iter().find(|(pattern, _)| pattern.matches(path)).map(|(_, rule)| *rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_one_key_or_index() {
        let pattern = Pattern::new("/data/*/url");
        assert!(pattern.matches(&[Step::Key("data"), Step::Index(3), Step::Key("url")]));
        assert!(pattern.matches(&[Step::Key("data"), Step::Key("a"), Step::Key("url")]));
        assert!(!pattern.matches(&[Step::Key("data"), Step::Key("url")]));
        assert!(!pattern.matches(&[Step::Key("data"), Step::Index(3), Step::Key("url"), Step::Key("x")]));
    }

    #[test]
    fn escapes_and_indices_are_those_of_a_json_pointer() {
        assert!(Pattern::new("/a~1b/~0c/7").matches(&[Step::Key("a/b"), Step::Key("~c"), Step::Index(7)]));
        assert!(!Pattern::new("/7").matches(&[Step::Index(8)]));
        for whole in ["", "/"] {
            assert!(Pattern::new(whole).matches(&[]) && !Pattern::new(whole).matches(&[Step::Index(0)]));
        }
    }
}
