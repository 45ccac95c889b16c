//! `[[route.compare.rule]]`.

use jiff::{Timestamp, civil::Date};
use regex::Regex;

use crate::{
    config::{
        diagnostic::{Problem, Span},
        document::Document,
        kind::{Choice, Day, Number, POINTER, Text, WORDS},
        section::Section,
    },
    parallel_run::settings::{Action, Rule},
};

/// What a rule does, before what it needs for it is known.
#[derive(Clone, Copy, PartialEq)]
enum Word {
    Ignore,
    Presence,
    Shape,
    Regex,
    Tolerance,
    Set,
    ListBy,
    Expected,
}

const RULE: Choice<Word> = Choice(&[
    ("ignore", Word::Ignore),
    ("presence", Word::Presence),
    ("shape", Word::Shape),
    ("regex", Word::Regex),
    ("tolerance", Word::Tolerance),
    ("set", Word::Set),
    ("list-by", Word::ListBy),
    ("expected", Word::Expected),
]);

/// What both sides must match.
const EXPRESSION: Text<Regex> = Text::new(
    "a regular expression, such as '^A-[0-9]{6}$'",
    |text| Regex::new(text).map_err(|error| format!("is no regular expression: {error}")),
    ToString::to_string,
);

/// What belongs to one kind of rule only.
struct Arguments {
    pattern: Option<Regex>,
    abs: Option<f64>,
    rel: Option<f64>,
    key: Option<String>,
    until: Option<Date>,
}

/// One rule, and where its path and its last day stand.
pub(super) type Placed = (Rule, Span, Span);

/// Reads one rule.
pub(super) fn read(rule: &mut Section<'_>) -> Option<Placed> {
    let path = rule.required("path", POINTER);
    let word = rule.required("rule", RULE);
    let reason = rule.required("reason", WORDS);
    let owner = rule.optional("owner", WORDS);
    let given = Arguments {
        pattern: rule.optional("pattern", EXPRESSION),
        abs: rule.optional("abs", Number(0.0..=f64::MAX)),
        rel: rule.optional("rel", Number(0.0..=f64::MAX)),
        key: rule.optional("key", WORDS),
        until: rule.optional("until", Day),
    };
    let until = given.until;
    let action = word.and_then(|word| action(rule, word, given));
    let (place, last_day) = (rule.span_of("path"), rule.span_of("until"));
    let rule = Rule { path: path?, action: action?, reason: reason?, owner, until };
    Some((rule, place, last_day))
}

/// What the rule does, with what it needs for it; what belongs to another kind is refused.
fn action(rule: &Section<'_>, word: Word, given: Arguments) -> Option<Action> {
    let of_others = [
        ("pattern", Word::Regex, "regex"),
        ("abs", Word::Tolerance, "tolerance"),
        ("rel", Word::Tolerance, "tolerance"),
        ("key", Word::ListBy, "list-by"),
    ];
    for (key, owner, name) in of_others {
        if rule.has(key) && word != owner {
            rule.error(key, format!("`{key}` is only for rule = \"{name}\""), "leave it out");
        }
    }
    let missing = |key: &str, what: &str, help: &str| {
        if !rule.has(key) {
            rule.error("rule", format!("this rule needs {what}"), help);
        }
        None
    };
    match word {
        Word::Ignore => Some(Action::Ignore),
        Word::Presence => Some(Action::Presence),
        Word::Shape => Some(Action::Shape),
        Word::Set => Some(Action::Set),
        Word::Regex => given
            .pattern
            .map(Action::Regex)
            .or_else(|| missing("pattern", "`pattern`", "pattern = '^A-[0-9]{6}$'")),
        Word::Tolerance => match (given.abs, given.rel) {
            (None, None) if rule.has("abs") || rule.has("rel") => None,
            (None, None) => missing("abs", "`abs`, `rel` or both", "abs = 1, or rel = 0.01 for one per cent"),
            (abs, rel) => {
                Some(Action::Tolerance { abs: abs.unwrap_or_default(), rel: rel.unwrap_or_default() })
            }
        },
        Word::ListBy => given
            .key
            .map(Action::ListBy)
            .or_else(|| missing("key", "`key`, the member that tells elements apart", "key = \"id\"")),
        Word::Expected if given.until.is_some() => Some(Action::Expected),
        Word::Expected => {
            missing("until", "`until`: what is expected for ever is no difference", "until = 2026-12-31")
        }
    }
}

/// Those in force, and those whose day is over. The first rule of a path speaks for it.
pub(super) fn in_order(document: &Document<'_>, rules: Vec<Option<Placed>>) -> (Vec<Rule>, Vec<Rule>) {
    let now = Timestamp::now();
    let (mut kept, mut expired): (Vec<(Rule, Span)>, Vec<Rule>) = (Vec::new(), Vec::new());
    for (rule, span, last_day) in rules.into_iter().flatten() {
        if let Some(until) = rule.until.filter(|_| rule.is_over(now)) {
            let whom = rule.owner.as_ref().map_or_else(String::new, |owner| format!("ask {owner}; "));
            let help = format!(
                "{whom}take the rule out, or set a later date: until then its path is compared again"
            );
            let problem = Problem::warning(format!("this rule expired on {until} and is not applied"));
            document.report(problem.at(last_day).help(help));
            expired.push(rule);
            continue;
        }
        if let Some((_, first)) = kept.iter().find(|(known, _)| known.path == rule.path) {
            document.report(
                Problem::warning(format!("an earlier rule speaks for \"{}\"", rule.path))
                    .at(span.clone())
                    .related(first.clone(), "this one")
                    .help("leave one of them out"),
            );
        }
        kept.push((rule, span));
    }
    (kept.into_iter().map(|(rule, _)| rule).collect(), expired)
}
