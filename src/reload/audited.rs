//! What the audit log says of a file that was put in force.

use jiff::Timestamp;

use crate::{
    audit::{Line, What as Kind},
    config::Config,
    parallel_run::sample::sha256_hex,
    routing::diff::{Edit, What, diff},
};

/// Who a change is put down to.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    /// As the log shall name them.
    pub who: &'a str,
    /// Why, where they said so.
    pub why: Option<&'a str>,
    /// The generation that it is in force with, where this process serves.
    pub generation: Option<u64>,
}

/// One line for every route that is not what it was.
pub fn lines(before: &Config, after: &Config, author: Author<'_>, now: Timestamp) -> Vec<Line> {
    let file = sha256_hex([after.text.as_bytes()]);
    let line = |route: String, from, to| Line {
        at: now,
        what: Kind::Route,
        who: author.who.to_owned(),
        route,
        from,
        to,
        why: author.why.map(str::to_owned),
        generation: author.generation,
        file: Some(file.clone()),
    };
    let modes = diff(&before.routes, &after.routes).into_iter().map(|change| {
        let (from, to) = match &change.what {
            What::Added { mode } => (None, Some(mode.to_string())),
            What::Removed => {
                let was = before.routes.routes().iter().find(|route| route.name == change.route);
                (was.map(|route| route.mode.to_string()), None)
            }
            What::Changed(edits) => {
                (Some(words(edits, |edit| &edit.before)), Some(words(edits, |edit| &edit.after)))
            }
        };
        line(change.route.to_string(), from, to)
    });
    let beside = after.judged_otherwise_than(before).into_iter().map(|route| {
        let other = "another contract, shadow, compare, gate or guard".to_owned();
        line(route.to_owned(), None, Some(other))
    });
    modes.chain(beside).collect()
}

/// `canary, percent 5`: a mode speaks for itself.
fn words(edits: &[Edit], side: impl Fn(&Edit) -> &String) -> String {
    let word = |edit: &Edit| match edit.key {
        "mode" => side(edit).clone(),
        key => format!("{key} {}", side(edit)),
    };
    edits.iter().map(word).collect::<Vec<_>>().join(", ")
}
