//! Secrets: named in the file, never written there.

use std::path::Path;

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::{
    kind::{Item, Kind, Wrong},
    section::Document,
};
use crate::generator::settings::Secret as Value;

/// `{ env = "NAME" }` or `{ file = "path" }`, read at once; a file's trailing line break is not part of it.
pub(super) struct Secret<'d>(pub(super) &'d Document<'d>);

impl Kind for Secret<'_> {
    type Value = Value;

    fn expects(&self) -> String {
        "a secret, { env = \"NAME\" } or { file = \"path\" }".to_owned()
    }

    fn read(&self, item: &Item<'_>) -> Result<Value, Vec<Wrong>> {
        let wrong = |because: String| vec![Wrong::new(item, because)];
        let table = match item.get_ref() {
            DeValue::Table(table) => table,
            DeValue::String(_) => {
                return Err(wrong("is a secret, and those are never written here".to_owned()));
            }
            _ => return Err(vec![Wrong::type_of(item)]),
        };
        let text = |key: &str| table.get(key).and_then(|item| item.get_ref().as_str());
        match (table.len(), text("env"), text("file")) {
            (1, Some(name), None) => from_environment(name).map_err(wrong),
            (1, None, Some(path)) => from_file(&self.0.beside(Path::new(path))).map_err(wrong),
            _ => Err(wrong("has to name one environment variable or one file".to_owned())),
        }
    }

    fn schema(&self) -> Json {
        let one = |key: &str| {
            json!({
                "type": "object",
                "properties": { key: { "type": "string" } },
                "required": [key],
                "additionalProperties": false,
            })
        };
        json!({ "anyOf": [one("env"), one("file")] })
    }
}

fn from_environment(name: &str) -> Result<Value, String> {
    // Only what looks like a variable is repeated: people paste the secret itself here.
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_') {
        return Err("has to name an environment variable of A-Z, 0-9 and _".to_owned());
    }
    match std::env::var(name) {
        Ok(value) if value.is_empty() => {
            Err(format!("is in the environment variable {name}, which is empty"))
        }
        Ok(value) => Ok(value.into()),
        Err(std::env::VarError::NotPresent) => {
            Err(format!("is in the environment variable {name}, which is not set"))
        }
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(format!("is in the environment variable {name}, which is not UTF-8"))
        }
    }
}

fn from_file(path: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("is in the file {}, which cannot be read: {error}", path.display()))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(format!("is in the file {}, which is empty", path.display())),
        secret => Ok(secret.into()),
    }
}
