//! What changed between two configurations, in the words of the file.
//!
//! Of what a route matches and how it walks, values are compared: what is not written has a default. Of all else it is
//! what the file says, so that no key can be forgotten here. Of what may be secret only that it changed is told.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use super::{Config, mask::without_users, shown::is_hidden};
use crate::routing::diff::{self, What};

/// The keys of a route that are compared by their values.
const ROUTED: [&str; 10] =
    ["mode", "methods", "host", "path", "candidate", "upstream", "subject", "canary", "fallback", "timeout"];

/// What is not as it was, of one route or one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) place: Place,
    pub(crate) what: What,
}

/// Where something changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// A table at the top of the file.
    Table(String),
    /// The route of this name.
    Route(String),
}

/// The keys of one place below their path, each with its value as it is written.
type Leaves = BTreeMap<String, String>;

impl Config {
    /// What is not as it was in `before`, tables before routes; empty when only comments changed.
    pub(crate) fn changes(&self, before: &Self) -> Vec<Change> {
        let (old, new) = (leaves(&before.text), leaves(&self.text));
        let nothing = Leaves::new();
        let edits = |place: &Place| {
            let side =
                |leaves: &BTreeMap<Place, Leaves>| leaves.get(place).cloned().unwrap_or(nothing.clone());
            edits(&side(&old), &side(&new))
        };
        let places: BTreeSet<&Place> = old.keys().chain(new.keys()).collect();
        let tables = places
            .iter()
            .filter(|place| matches!(place, Place::Table(_)))
            .map(|place| Change { place: (*place).clone(), what: What::Changed(edits(place)) });
        let mut changes: Vec<_> = tables.collect();

        let mut routes: BTreeMap<String, What> = diff::diff(&before.routes, &self.routes)
            .into_iter()
            .map(|change| (change.route.to_string(), change.what))
            .collect();
        for route in self.routes.routes() {
            let beside = edits(&Place::Route(route.name.to_string()));
            match routes.entry(route.name.to_string()).or_insert_with(|| What::Changed(Vec::new())) {
                What::Changed(edits) => edits.extend(beside),
                What::Added { .. } | What::Removed => {}
            }
        }
        changes.extend(routes.into_iter().map(|(name, what)| Change { place: Place::Route(name), what }));
        changes.retain(|change| change.what != What::Changed(Vec::new()));
        changes
    }

    /// The same as sentences.
    pub fn changes_since(&self, before: &Self) -> Vec<String> {
        let sentence = |Change { place, what }| match place {
            Place::Table(table) => format!("[{table}]: {what}"),
            Place::Route(route) => format!("route {route}: {what}"),
        };
        self.changes(before).into_iter().map(sentence).collect()
    }
}

/// The keys whose values differ.
fn edits(old: &Leaves, new: &Leaves) -> Vec<diff::Edit> {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let side =
        |leaves: &Leaves, key: &String| leaves.get(key).map_or_else(|| "unset".to_owned(), String::clone);
    keys.into_iter()
        .filter(|key| old.get(*key) != new.get(*key))
        .map(|key| diff::Edit { key: key.clone().into(), before: side(old, key), after: side(new, key) })
        .collect()
}

/// Every key of `text`, which is known to be TOML.
fn leaves(text: &str) -> BTreeMap<Place, Leaves> {
    let mut places: BTreeMap<Place, Leaves> = BTreeMap::new();
    for (table, value) in text.parse::<Table>().unwrap_or_default() {
        match value {
            Value::Array(routes) if table == "route" => {
                for route in routes.into_iter().filter_map(|route| route.try_into::<Table>().ok()) {
                    let Some(name) = route.get("name").and_then(Value::as_str) else { continue };
                    let leaves = places.entry(Place::Route(name.to_owned())).or_default();
                    let beside = |key: &str| key != "name" && !ROUTED.contains(&key);
                    route
                        .iter()
                        .filter(|(key, _)| beside(key))
                        .for_each(|(key, value)| gather(key, &format!("route.{key}"), value, leaves));
                }
            }
            value => {
                let leaves = places.entry(Place::Table(table.clone())).or_default();
                gather("", &table, &value, leaves);
            }
        }
    }
    places
}

/// `path` is that of a person's, with the places in lists; `keys` has none, and begins at the top of the file.
fn gather(path: &str, keys: &str, value: &Value, leaves: &mut Leaves) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                gather(&below(key), &format!("{keys}.{key}"), value, leaves);
            }
        }
        Value::Array(list) if list.iter().any(Value::is_table) => {
            for (nth, value) in list.iter().enumerate() {
                gather(&below(&nth.to_string()), keys, value, leaves);
            }
        }
        value => drop(leaves.insert(path.to_owned(), told(keys, &value.to_string()))),
    }
}

/// `value` as it is written, without what may be secret.
fn told(keys: &str, value: &str) -> String {
    if is_hidden(keys) {
        return unlike(value);
    }
    let told = without_users(value.to_owned());
    if told == value { told } else { format!("{told} {}", unlike(value)) }
}

/// What tells one secret from another, and nothing else of it.
fn unlike(secret: &str) -> String {
    let mut hash = crate::parallel_run::sample::sha256_hex([secret.as_bytes()]);
    hash.truncate(8);
    format!("(hidden, {hash})")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::parse;

    fn changes(before: &str, after: &str) -> Vec<String> {
        let read = |text: &str| {
            let text = format!(
                "{text}\n[[route]]\nname = \"a\"\npath = \"/a\"\nmode = \"monolith\"\ncontract = \"article\"\n"
            );
            let text = if text.contains("[monolith]") {
                text
            } else {
                format!("monolith.url = \"http://h\"\n{text}")
            };
            parse(&text, Path::new("routes.toml")).unwrap_or_else(|errors| panic!("{errors}"))
        };
        read(after).changes_since(&read(before))
    }

    #[test]
    fn every_table_is_told_by_its_keys_and_values() {
        assert_eq!(changes("# one", "# another"), [""; 0]);
        assert_eq!(
            changes(
                "[gateway]\ndrain = \"30s\"\n[monolith]\nurl = \"http://a\"",
                "[gateway]\ndrain = \"5s\"\nlimits.headers = 90\n[monolith]\nurl = \"http://b\""
            ),
            [
                "[gateway]: drain \"30s\" -> \"5s\", limits.headers unset -> 90",
                "[monolith]: url \"http://a\" -> \"http://b\"",
            ]
        );
    }

    #[test]
    fn the_address_of_a_hook_is_told_apart_and_not_told() {
        let hook = |secret: &str| format!("[[tell]]\nurl = \"https://hooks.example/{secret}\"");
        let told = changes(&hook("s3cret"), &hook("other")).concat();
        assert!(told.starts_with("[tell]: 0.url (hidden, ") && !told.contains("s3cret"), "{told}");
    }

    #[test]
    fn of_what_may_be_secret_only_that_it_changed_is_told() {
        let file = |secret: &str| {
            format!(
                "[upstreams.x]\nurl = \"http://h\"\nheaders = {{ x-signature = \"{secret}\" }}\n\
                 [[route]]\nname = \"b\"\npath = \"/b\"\nmode = \"monolith\"\ncontract = \"article\"\n\
                 headers = {{ x-token = \"{secret}\", x-beta = \"1\" }}\n"
            )
        };
        let told = changes(&file("s3cret"), &file("other")).join("\n");
        for key in ["x.headers.x-signature (hidden, ", "headers.x-token (hidden, "] {
            assert!(told.contains(key), "{told}");
        }
        assert!(!["s3cret", "other", "x-beta"].iter().any(|word| told.contains(word)), "{told}");
        let user = super::told("aws.s3_endpoint_url", "\"http://ana:s3cret@h\"");
        assert!(user.starts_with("\"http://**********@h\" (hidden, "), "{user}");
    }

    #[test]
    fn what_stands_beside_a_route_is_told_with_it() {
        let route = "[[route]]\nname = \"b\"\npath = \"/b\"\nmode = \"shadow\"\nsubject = \"cookie:s\"\n";
        let before = format!("{route}contract = \"article\"\n[route.gate]\nmin_subjects = 30\n");
        let after = format!(
            "{}contract = \"openai\"\n[route.gate]\nmin_subjects = 10\n[[route.compare.rule]]\npath = \"/x\"\nrule = \"ignore\"\nreason = \"r\"\n",
            route.replace("shadow", "monolith")
        );
        assert_eq!(
            changes(&before, &after),
            ["route b: mode shadow -> monolith, compare.rule.0.path unset -> \"/x\", \
              compare.rule.0.reason unset -> \"r\", compare.rule.0.rule unset -> \"ignore\", \
              contract \"article\" -> \"openai\", gate.min_subjects 30 -> 10"]
        );
    }
}
