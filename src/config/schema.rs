//! A JSON Schema (draft 2020-12) of the file, for editors.
//!
//! It is learned and not written: the same code that reads the file is run once over nothing, and every read names its
//! key, its kind and its default. Keys that are ahead of this version stand in it where they may stand in the file, as
//! constants at their defaults; those that are always refused are left out.

use serde_json::{Map, Value, json};

use super::{kind::Kind, later};

/// What is learned of one table.
#[derive(Default)]
pub(super) struct Shape {
    properties: Map<String, Value>,
    required: Vec<&'static str>,
}

/// The schema of values of `kind`.
pub(super) fn of<K: Kind>(kind: &K, default: Option<&K::Value>) -> Value {
    let mut schema = kind.schema();
    if let Some(keywords) = schema.as_object_mut() {
        keywords.insert("description".to_owned(), sentence(&kind.expects()).into());
        if let Some(default) = default.and_then(|value| kind.written(value)) {
            keywords.insert("default".to_owned(), default);
        }
    }
    schema
}

/// The whole file's.
pub(super) fn whole(root: Shape) -> Value {
    let mut schema = root.table();
    for (path, default) in later::held() {
        if let (Some((table, key)), Some(default)) = (path.rsplit_once('.'), json_of(default)) {
            hold(&mut schema, table, key, &default);
        }
    }
    let mut whole = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "routes.toml of figueira",
        "description": "Which requests leave the monolith, and how far they have walked.",
    });
    if let (Some(whole), Value::Object(schema)) = (whole.as_object_mut(), schema) {
        whole.extend(schema);
    }
    whole
}

impl Shape {
    pub(super) fn key(&mut self, key: &str, schema: Value) {
        self.properties.insert(key.to_owned(), schema);
    }

    /// Lets `key` be this as well as what is known of it; it is never required.
    pub(super) fn alternative(&mut self, key: &'static str, schema: Value) {
        self.required.retain(|required| *required != key);
        let known = self.properties.remove(key);
        let all: Vec<_> = std::iter::once(schema).chain(known).collect();
        self.key(key, json!({ "anyOf": all }));
    }

    pub(super) fn require(&mut self, key: &'static str) {
        self.required.push(key);
    }

    /// True when such a table cannot be absent.
    pub(super) fn is_needed(&self) -> bool {
        !self.required.is_empty()
    }

    /// As one table.
    pub(super) fn table(self) -> Value {
        let Self { properties, required } = self;
        let mut schema = json!({ "type": "object", "properties": properties });
        if let (Some(keywords), false) = (schema.as_object_mut(), required.is_empty()) {
            keywords.insert("required".to_owned(), required.into());
        }
        closed(schema)
    }

    /// As a list of tables.
    pub(super) fn list(self) -> Value {
        json!({ "type": "array", "items": self.table() })
    }

    /// As tables under names that the operator chooses.
    pub(super) fn named(self) -> Value {
        json!({ "type": "object", "additionalProperties": self.table() })
    }
}

fn closed(mut schema: Value) -> Value {
    if let Some(keywords) = schema.as_object_mut() {
        keywords.insert("additionalProperties".to_owned(), false.into());
    }
    schema
}

/// Lets `key` stand in `table` at its default and nothing else.
fn hold(schema: &mut Value, table: &str, key: &str, default: &Value) {
    let found = table.split('.').try_fold(schema, below);
    if let Some(properties) = found.and_then(|table| table.get_mut("properties")?.as_object_mut()) {
        let held = json!({ "const": default, "description": "Not in this version: it may only stand at its default." });
        properties.entry(key).or_insert(held);
    }
}

/// The table `key` below another, added where this version knows nothing of it; `*` is any name.
fn below<'v>(schema: &'v mut Value, key: &str) -> Option<&'v mut Value> {
    let found = if key == "*" {
        schema.get_mut("additionalProperties")?
    } else {
        let properties = schema.get_mut("properties")?.as_object_mut()?;
        properties.entry(key).or_insert_with(|| Shape::default().table())
    };
    if found.get("items").is_some() { found.get_mut("items") } else { Some(found) }
}

fn json_of(toml: &str) -> Option<Value> {
    let table: toml::Table = format!("value = {toml}").parse().ok()?;
    serde_json::to_value(table.get("value")?).ok()
}

/// `words` with a capital.
fn sentence(words: &str) -> String {
    let mut characters = words.chars();
    characters
        .next()
        .map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + characters.as_str())
}
