//! The rule that lets a difference pass, as `routes.toml` has it: for an operator who has looked at both sides and knows that
//! they may differ there.

use serde_json::Value;

use crate::parallel_run::comparison::DifferenceKind;

/// A line of a report has room for so many characters of a rule.
const LONGEST: usize = 90;

/// The narrowest that can be told from one example; `None` where no rule helps, or nobody could say which.
pub(super) fn of(path: &str, kind: DifferenceKind, sides: [Option<&str>; 2]) -> Option<String> {
    // What is taken out of both sides is not what the answers say.
    if sides.iter().flatten().any(|side| side.contains("(redacted)")) {
        return None;
    }
    let is_pointer = path.starts_with('/');
    let rule = match (kind, sides) {
        (DifferenceKind::Value | DifferenceKind::Shape, [Some(control), Some(candidate)]) if is_pointer => {
            between(control, candidate)
        }
        (DifferenceKind::Value, [Some(control), Some(candidate)]) if path.starts_with("line:") => {
            Rule::Regex(pattern(control.trim_end(), candidate.trim_end())?)
        }
        (DifferenceKind::Missing | DifferenceKind::Extra, _) if is_pointer => Rule::Named("ignore"),
        (DifferenceKind::Order, _) if is_pointer => Rule::Named("set"),
        _ => return None,
    };
    let path = if is_pointer { path } else { "/" };
    let text = format!(
        "[[route.compare.rule]]\npath = {}\n{rule}\nreason = \"say why this may differ\"\n",
        Value::from(path)
    );
    let is_shown = text.lines().all(|line| line.chars().count() <= LONGEST);
    is_shown.then_some(text)
}

enum Rule {
    Named(&'static str),
    Regex(String),
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Named(rule) => write!(f, "rule = \"{rule}\""),
            Self::Regex(pattern) => write!(f, "rule = \"regex\"\npattern = {}", Value::from(&**pattern)),
        }
    }
}

/// Between two values of one JSON type.
fn between(control: &str, candidate: &str) -> Rule {
    let text = |side: &str| match serde_json::from_str(side) {
        Ok(Value::String(text)) => Some(text),
        _ => None,
    };
    let pattern = text(control).zip(text(candidate)).and_then(|(one, two)| pattern(&one, &two));
    pattern.map_or(
        Rule::Named(if control == "true" || control == "false" { "presence" } else { "shape" }),
        Rule::Regex,
    )
}

/// What both match, and little else: words that are the same in both stand there, and what differs is of the
/// same letters.
fn pattern(control: &str, candidate: &str) -> Option<String> {
    let (ours, theirs) = (words(control), words(candidate));
    if ours.len() != theirs.len() || control.starts_with("..") {
        return None;
    }
    let mut pattern = "^".to_owned();
    for (one, two) in ours.into_iter().zip(theirs) {
        let all = |is: fn(&u8) -> bool| one.bytes().chain(two.bytes()).all(|byte| is(&byte));
        let is_word = |word: &str| word.starts_with(|c: char| c.is_ascii_alphanumeric());
        match (is_word(one) && is_word(two), one == two) {
            // What is the same number in one example is another in the next.
            (true, _) if all(u8::is_ascii_digit) => pattern += "[0-9]+",
            (_, true) => pattern += &regex::escape(one),
            (true, false) if all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) => pattern += "[0-9a-f]+",
            (true, false) => pattern += "[0-9A-Za-z]+",
            (false, false) => return None,
        }
    }
    Some(pattern + "$")
}

/// Runs of letters and digits, and what stands between them.
fn words(text: &str) -> Vec<&str> {
    text.as_bytes()
        .chunk_by(|one, two| one.is_ascii_alphanumeric() == two.is_ascii_alphanumeric())
        .filter_map(|word| std::str::from_utf8(word).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(path: &str, kind: DifferenceKind, control: &str, candidate: &str) -> String {
        of(path, kind, [Some(control), Some(candidate)]).unwrap_or_default()
    }

    #[test]
    fn the_rule_that_is_told_lets_both_sides_pass_and_no_error() {
        for (control, candidate, wrong) in [
            ("26.269ms", "17.918ms", "undefined"),
            ("10.119.34.217", "10.254.178.255", "10.1"),
            ("959722", "148380", "9597a2"),
            ("W/\"f1f0de0c\"", "W/\"f0a7ef46\"", "\"f0a7ef46\""),
            ("$2b$12$BBH8lKFYi", "$2b$12$RTKDFeOSv", "$2b$"),
            ("23:01:45.403907", "23:01:45.451068", "23:01"),
            ("S3sR9", "5lraf", "an error"),
        ] {
            let told = rule(
                "/v",
                DifferenceKind::Value,
                &Value::from(control).to_string(),
                &Value::from(candidate).to_string(),
            );
            let read: toml_edit::DocumentMut = told.parse().unwrap();
            let table = read["route"]["compare"]["rule"][0].as_table().unwrap();
            assert_eq!(
                (table["path"].as_str(), table["rule"].as_str()),
                (Some("/v"), Some("regex")),
                "{told}"
            );
            let pattern = regex::Regex::new(table["pattern"].as_str().unwrap()).unwrap();
            assert!(pattern.is_match(control) && pattern.is_match(candidate), "{told}");
            assert!(!pattern.is_match(wrong) && !pattern.is_match(""), "{told}");
        }
    }

    #[test]
    fn each_kind_of_difference_has_its_rule_or_none() {
        let value = DifferenceKind::Value;
        assert!(rule("/score", value, "0.06", "0.65").contains("rule = \"shape\""));
        assert!(rule("/on", value, "true", "false").contains("rule = \"presence\""));
        assert!(rule("/tags", DifferenceKind::Order, "array of 2", "array of 2").contains("rule = \"set\""));
        assert!(rule("/new", DifferenceKind::Extra, "", "1").contains("rule = \"ignore\""));
        let line = rule("line:3", value, "<!-- in 12ms -->", "<!-- in 9ms -->");
        assert!(line.contains("path = \"/\"\n") && line.contains("pattern = "), "{line}");
        for (path, kind, control, candidate) in [
            ("status", DifferenceKind::Status, "200", "500"),
            ("header:etag", DifferenceKind::Header, "a", "b"),
            ("line:3", value, "<p>one</p>", "<b>an error</b>"),
            ("/a", DifferenceKind::Type, "1", "null"),
            ("/key", value, "\"a (redacted) 1\"", "\"a (redacted) 2\""),
        ] {
            assert_eq!(rule(path, kind, control, candidate), "", "{path}");
        }
    }
}
