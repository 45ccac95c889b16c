//! What changed between two tables, in the words of `routes.toml`.

use std::{borrow::Cow, collections::HashMap, fmt, sync::Arc};

use super::{Mode, Route, Subject, Table};

/// One route that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The route's name.
    pub route: Arc<str>,
    /// What became of it.
    pub what: What,
}

/// What became of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It is new.
    Added {
        /// The mode it starts in.
        mode: Mode,
    },
    /// It is gone; the monolith answers.
    Removed,
    /// These keys have other values.
    Changed(Vec<Edit>),
}

/// One key with another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The key, as in `routes.toml`.
    pub key: Cow<'static, str>,
    /// Its value before.
    pub before: String,
    /// Its value now.
    pub after: String,
}

/// Every route that differs, those of `after` first, in its order. A route is known by its name; its line and its
/// place do not matter.
pub fn diff(before: &Table, after: &Table) -> Vec<Change> {
    let (old, new) = (by_name(before), by_name(after));
    let kept_or_added = after.routes().iter().filter_map(|route| {
        let what = match old.get(&*route.name) {
            None => What::Added { mode: route.mode },
            Some(was) => What::Changed(edits(was, route)),
        };
        (what != What::Changed(Vec::new())).then(|| Change { route: route.name.clone(), what })
    });
    let removed = before.routes().iter().filter(|route| !new.contains_key(&*route.name));
    kept_or_added
        .chain(removed.map(|route| Change { route: route.name.clone(), what: What::Removed }))
        .collect()
}

fn by_name(table: &Table) -> HashMap<&str, &Route> {
    table.routes().iter().map(|route| (&*route.name, route)).collect()
}

/// The keys whose values differ.
fn edits(before: &Route, after: &Route) -> Vec<Edit> {
    let (before, after) = (values(before), values(after));
    before
        .into_iter()
        .zip(after)
        .filter(|((_, before), (_, after))| before != after)
        .map(|((key, before), (_, after))| Edit { key: key.into(), before, after })
        .collect()
}

/// Every key of a route with its value as a person reads it.
fn values(route: &Route) -> [(&'static str, String); 12] {
    // Destructured so that a new field cannot be forgotten here.
    let Route {
        name: _,
        line: _,
        methods,
        path,
        host,
        // The file's own words are told of them, which may hide what they ask for.
        conditions: _,
        mode,
        brake: _,
        candidate,
        control,
        subject,
        canary,
        fallback,
        timeout,
    } = route;
    let list = |items: &[Box<str>]| format!("[{}]", items.join(", "));
    let methods = methods.iter().map(|method| method.as_str().into()).collect::<Vec<_>>();
    [
        ("mode", mode.to_string()),
        ("percent", canary.share.percent().to_string()),
        ("allow", list(&canary.allow)),
        ("deny", list(&canary.deny)),
        ("methods", if methods.is_empty() { "any".into() } else { list(&methods) }),
        ("host", host.to_string()),
        ("path", path.to_string()),
        ("candidate", candidate.to_string()),
        ("upstream", control.to_string()),
        ("subject", subject.as_ref().map_or_else(|| "none".into(), Subject::to_string)),
        ("fallback", fallback.to_string()),
        ("timeout", timeout.map_or_else(|| "off".into(), |timeout| format!("{timeout:?}"))),
    ]
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "route {}: {}", self.route, self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added { mode } => write!(f, "added in mode {mode}"),
            Self::Removed => f.write_str("removed"),
            Self::Changed(edits) => edits.iter().enumerate().try_for_each(|(nth, edit)| {
                let comma = if nth == 0 { "" } else { ", " };
                write!(f, "{comma}{} {} -> {}", edit.key, edit.before, edit.after)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::routing::{Canary, Share, table::tests::route};

    fn changes(before: Vec<Route>, after: Vec<Route>) -> Vec<String> {
        let table = |routes| Table::new(routes).unwrap();
        diff(&table(before), &table(after)).iter().map(Change::to_string).collect()
    }

    #[test]
    fn what_changed_reads_like_the_file() {
        let before = route("generate-image", "/api/images");
        let after = Route {
            mode: Mode::Canary,
            canary: Canary { share: Share::from_fraction(0.1).unwrap(), ..Canary::default() },
            timeout: Some(Duration::from_secs(5)),
            ..before.clone()
        };
        assert_eq!(
            changes(vec![before, route("old", "/old")], vec![route("new", "/new"), after]),
            [
                "route new: added in mode monolith",
                "route generate-image: mode monolith -> canary, percent 0 -> 10, timeout off -> 5s",
                "route old: removed",
            ]
        );
    }

    #[test]
    fn lines_and_places_do_not_matter() {
        let moved = Route { line: 90, ..route("a", "/a") };
        assert_eq!(changes(vec![route("a", "/a"), route("b", "/b")], vec![route("b", "/b"), moved]), [""; 0]);
    }
}
