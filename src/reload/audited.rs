//! What the audit log says of a file that was put in force.

use jiff::Timestamp;

use crate::{
    audit::{Line, What as Kind},
    config::{
        Config,
        changes::{Change, Place},
    },
    parallel_run::sample::sha256_hex,
    routing::diff::{Edit, What},
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

/// One line for every route and every table that is not what it was.
pub fn lines(before: &Config, after: &Config, author: Author<'_>, now: Timestamp) -> Vec<Line> {
    let file = sha256_hex([after.text.as_bytes()]);
    let line = |Change { place, what }| {
        let (kind, route, table) = match place {
            Place::Route(name) => (Kind::Route, Some(name), String::new()),
            Place::Table(name) => (Kind::File, None, format!("[{name}] ")),
        };
        let (from, to) = match &what {
            What::Added { mode } => (None, Some(mode.to_string())),
            What::Removed => {
                let mut routes = before.routes.routes().iter();
                let was = routes.find(|known| route.as_deref() == Some(&*known.name));
                (was.map(|route| route.mode.to_string()), None)
            }
            What::Changed(edits) => (
                Some(table.clone() + &words(edits, |edit| &edit.before)),
                Some(table + &words(edits, |edit| &edit.after)),
            ),
        };
        Line {
            at: now,
            what: kind,
            who: author.who.to_owned(),
            route,
            from,
            to,
            why: author.why.map(str::to_owned),
            generation: author.generation,
            file: Some(file.clone()),
        }
    };
    after.changes(before).into_iter().map(line).collect()
}

/// That the content `file`, of which somebody else has told already, is in force in the process of `author`.
pub fn taken_up(file: &str, author: Author<'_>, now: Timestamp) -> Line {
    Line {
        at: now,
        what: Kind::InForce,
        who: "the gateway".to_owned(),
        route: None,
        from: None,
        to: None,
        why: None,
        generation: author.generation,
        file: Some(file.to_owned()),
    }
}

/// `canary, percent 5`: a mode speaks for itself.
fn words(edits: &[Edit], side: impl Fn(&Edit) -> &String) -> String {
    let word = |edit: &Edit| match &*edit.key {
        "mode" => side(edit).clone(),
        key => format!("{key} {}", side(edit)),
    };
    edits.iter().map(word).collect::<Vec<_>>().join(", ")
}
