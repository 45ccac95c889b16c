//! Fields that requests gain on their way to an upstream: by name, each a text or a secret.

use http::{
    HeaderName, HeaderValue,
    header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE},
};
use secrecy::ExposeSecret as _;
use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::{
    document::Document,
    kind::{HEADER, Item, Kind, Wrong},
    secret::Secret,
};
use crate::{forwarding::head::Gained, routing::is_telling};

/// `{ x-tenant = "shop", x-api-key = { env = "IMAGES_KEY" } }`.
pub(super) struct Headers<'d>(pub(super) &'d Document<'d>);

/// What frames a message or belongs to one connection is not the operator's to say.
const FRAMING: [HeaderName; 7] =
    [CONNECTION, CONTENT_LENGTH, EXPECT, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

impl Headers<'_> {
    fn field(&self, name: &str, item: &Item<'_>) -> Result<Gained, Vec<Wrong>> {
        let wrong = |because: String| vec![Wrong::new(item, because)];
        let known = HEADER
            .check(name)
            .map_err(|_| wrong(format!("has the field \"{name}\", which is no header's name")))?;
        if FRAMING.contains(&known) {
            return Err(wrong(format!(
                "cannot set \"{name}\": it belongs to one connection or to the message itself"
            )));
        }
        let text = match item.get_ref() {
            DeValue::String(_) if is_telling(name) => {
                return Err(wrong(format!("has \"{name}\", a secret, and those are never written here")));
            }
            DeValue::String(text) => text.clone().into_owned(),
            _ => Secret(self.0).read(item)?.expose_secret().to_owned(),
        };
        let mut value = HeaderValue::try_from(text)
            .map_err(|_| wrong(format!("has a value of \"{name}\" that no header can have")))?;
        value.set_sensitive(known != HOST);
        Ok((known, value))
    }
}

impl Kind for Headers<'_> {
    type Value = Vec<Gained>;

    fn expects(&self) -> String {
        "a table of headers, each a text, { env = \"NAME\" } or { file = \"path\" }".to_owned()
    }

    fn read(&self, item: &Item<'_>) -> Result<Vec<Gained>, Vec<Wrong>> {
        let DeValue::Table(table) = item.get_ref() else { return Err(vec![Wrong::type_of(item)]) };
        let (mut fields, mut wrongs) = (Vec::with_capacity(table.len()), Vec::new());
        for (name, item) in table {
            match self.field(name.get_ref(), item) {
                Ok(field) => fields.push(field),
                Err(more) => wrongs.extend(more),
            }
        }
        if wrongs.is_empty() { Ok(fields) } else { Err(wrongs) }
    }

    fn schema(&self) -> Json {
        let value = json!({ "anyOf": [{ "type": "string" }, Secret(self.0).schema()] });
        json!({ "type": "object", "additionalProperties": value })
    }
}
