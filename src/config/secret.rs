//! Secrets: named in the file, never written there.

use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::{
    document::{Document, Purpose},
    kind::{Item, Kind, Wrong},
};
use crate::generator::settings::{Credential, Secret as Value};

/// `{ env = "NAME" }` or `{ file = "path" }`, read at once; a file's trailing line break is not part of it.
pub(super) struct Secret<'d>(pub(super) &'d Document<'d>);

/// The same, read when it is sure to be needed.
pub(super) struct Named;

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In this environment variable.
    Env(String),
    /// In this file.
    File(PathBuf),
}

impl Named {
    /// The default that names a variable.
    pub(super) fn env(name: &str) -> Place {
        Place::Env(name.to_owned())
    }
}

impl Place {
    /// What is there now, or why there is nothing: completes a sentence that begins with the key.
    fn read(&self, document: &Document<'_>) -> Result<Value, String> {
        match self {
            _ if document.purpose == Purpose::Command => Ok("".into()),
            Self::Env(name) => from_environment(name),
            Self::File(path) => from_file(&document.beside(path)),
        }
    }

    /// The same, to be followed when its file changes.
    pub(super) fn credential(&self, document: &Document<'_>) -> Result<Credential, String> {
        let now = self.read(document)?;
        Ok(match self {
            Self::Env(_) => Credential::fixed(now),
            Self::File(path) => Credential::in_file(document.beside(path), now),
        })
    }
}

impl Kind for Named {
    type Value = Place;

    fn expects(&self) -> String {
        "a secret, { env = \"NAME\" } or { file = \"path\" }".to_owned()
    }

    fn read(&self, item: &Item<'_>) -> Result<Place, Vec<Wrong>> {
        let wrong = |because: &str| vec![Wrong::new(item, because)];
        let table = match item.get_ref() {
            DeValue::Table(table) => table,
            DeValue::String(_) => return Err(wrong("is a secret, and those are never written here")),
            _ => return Err(vec![Wrong::type_of(item)]),
        };
        let text = |key: &str| table.get(key).and_then(|item| item.get_ref().as_str());
        match (table.len(), text("env"), text("file")) {
            (1, Some(name), None) if is_variable(name) => Ok(Place::Env(name.to_owned())),
            // What was written is not repeated: people paste the secret itself here.
            (1, Some(_), None) => Err(wrong("has to name an environment variable of A-Z, 0-9 and _")),
            (1, None, Some(path)) => Ok(Place::File(path.into())),
            _ => Err(wrong("has to name one environment variable or one file")),
        }
    }

    fn schema(&self) -> Json {
        let one = |key: &str, spelled: &str| {
            json!({
                "type": "object",
                "properties": { key: { "type": "string", "pattern": spelled } },
                "required": [key],
                "additionalProperties": false,
            })
        };
        json!({ "anyOf": [one("env", "^[A-Z0-9_]+$"), one("file", ".")] })
    }

    fn written(&self, place: &Place) -> Option<Json> {
        match place {
            Place::Env(name) => Some(json!({ "env": name })),
            Place::File(path) => Some(json!({ "file": path.to_str()? })),
        }
    }
}

impl Kind for Secret<'_> {
    type Value = Value;

    fn expects(&self) -> String {
        Named.expects()
    }

    fn read(&self, item: &Item<'_>) -> Result<Value, Vec<Wrong>> {
        Named.read(item)?.read(self.0).map_err(|because| vec![Wrong::new(item, because)])
    }

    fn schema(&self) -> Json {
        Named.schema()
    }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

fn from_environment(name: &str) -> Result<Value, String> {
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
