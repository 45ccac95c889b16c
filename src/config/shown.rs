//! What the file in force says, as JSON for the operator's listener: all of it but what may be secret.
//!
//! A secret is only named in the file. Hidden are the addresses of hooks, what stands beside a telling name, and users
//! and passwords in URLs.

use serde_json::{Map, Value as Json};
use toml::{Table, Value};

use super::{Config, mask::without_users};
use crate::routing::is_telling;

/// In place of a value that may be secret.
const HIDDEN: &str = "(hidden)";

impl Config {
    /// The file's tables and keys; a key that it leaves out has its default, and is not here.
    pub fn shown(&self) -> Json {
        let table = self.text.parse::<Table>().unwrap_or_default();
        Json::Object(of_table("", &table))
    }
}

/// Whether the value at `path` may be secret: a path of keys, without places in lists.
pub(super) fn is_hidden(path: &str) -> bool {
    let ends = path.match_indices('.').map(|(at, _)| at).chain([path.len()]);
    ends.filter_map(|end| path.get(..end)).fold(false, |hidden, above| {
        match above.rsplit('.').next().unwrap_or_default() {
            // Where a secret is found is none.
            "env" | "file" => false,
            key => hidden || is_telling(key) || is_address(above) || is_added(above),
        }
    })
}

fn of_table(path: &str, table: &Table) -> Map<String, Json> {
    let shown = |(key, value): (&String, &Value)| {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        (key.clone(), of_value(&path, value))
    };
    table.iter().map(shown).collect()
}

fn of_value(path: &str, value: &Value) -> Json {
    match value {
        Value::Table(table) => Json::Object(of_table(path, table)),
        Value::Array(list) => list.iter().map(|value| of_value(path, value)).collect(),
        Value::String(_) if is_hidden(path) => HIDDEN.into(),
        Value::String(text) => without_users(text.clone()).into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Boolean(truth) => (*truth).into(),
        Value::Datetime(time) => time.to_string().into(),
    }
}

/// Whether the value at `path` is a secret though its name does not say so: hooks carry theirs in their addresses.
pub(super) fn is_address(path: &str) -> bool {
    path == "tell.url"
}

/// What is added to each request to an upstream.
fn is_added(path: &str) -> bool {
    path.starts_with("upstreams.") && path.ends_with(".headers")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use crate::config::parse;

    #[test]
    fn all_that_the_file_says_is_shown_but_what_may_be_secret() {
        let text = "[gateway]\nlisten = [\"127.0.0.1:8080\"]\nadmin_token = { file = \"Cargo.toml\" }\n\
                    [monolith]\nurl = \"http://127.0.0.1:8000\"\n\
                    [[tell]]\nurl = \"https://hooks.example/T0/hunter2\"\n\
                    [[route]]\nname = \"a\"\npath = \"/a\"\nmode = \"canary\"\ncontract = \"article\"\n\
                    subject = \"cookie:session\"\nheaders = { x-token = \"hunter2\" }\ncanary.percent = 2.5\n";
        let config = parse(text, Path::new("routes.toml")).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(
            config.shown(),
            json!({
                "gateway": { "admin_token": { "file": "Cargo.toml" }, "listen": ["127.0.0.1:8080"] },
                "monolith": { "url": "http://127.0.0.1:8000" },
                "route": [{
                    "canary": { "percent": 2.5 },
                    "contract": "article",
                    "headers": { "x-token": "(hidden)" },
                    "mode": "canary",
                    "name": "a",
                    "path": "/a",
                    "subject": "cookie:session",
                }],
                "tell": [{ "url": "(hidden)" }],
            })
        );
    }
}
