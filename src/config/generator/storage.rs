//! `[aws]`, `[generator.store]` and `[generator.catalog]`: where images and records are kept.

use std::time::Duration;

use super::PREFIX;
use crate::{
    config::{
        kind::{Choice, DURATION, Flag, Item, Kind, Text, WEB_PATH, WORDS, Wrong, cannot_be},
        section::Section,
    },
    generator::settings::{Aws, Images, PublicUrl, Records, S3, Sse},
};

/// Which store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stores {
    Filesystem,
    S3,
}

/// Which catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Catalogs {
    Sqlite,
    DynamoDb,
}

const SSE: Choice<Option<Sse>> =
    Choice(&[("AES256", Some(Sse::Aes256)), ("aws:kms", Some(Sse::Kms)), ("off", None)]);
const ENDPOINT: Text<String> = Text::new(
    "the URL of a server, such as \"http://127.0.0.1:9000\"",
    |text| {
        // The text is not repeated where it may hold a password.
        if text.contains('@') {
            return Err("cannot hold a user or a password".to_owned());
        }
        let url: http::Uri = text.parse().map_err(|_| cannot_be(text))?;
        let http = matches!(url.scheme_str(), Some("http" | "https"));
        if http && url.host().is_some() {
            Ok(text.trim_end_matches('/').to_owned())
        } else {
            Err(cannot_be(text))
        }
    },
    String::clone,
);
/// A folder of a bucket, which ends with a slash unless it is all of it.
const FOLDER: Text<String> = Text::new(
    "a folder such as \"images\" or \"shop/images\"; empty for the whole bucket",
    |text| {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._".contains(&b));
        let folder = text.trim_matches('/');
        match (plain, folder) {
            (false, _) => Err(cannot_be(text)),
            (true, "") => Ok(String::new()),
            (true, folder) => Ok(format!("{folder}/")),
        }
    },
    |folder| folder.trim_end_matches('/').to_owned(),
);

/// What `[generator.store]` says.
pub(super) struct Kept {
    pub(super) store: Images,
    pub(super) name_prefix: String,
    pub(super) public_url: PublicUrl,
}

/// A path, or the word for the store's own addresses.
struct Public;

impl Kind for Public {
    type Value = Option<String>;

    fn expects(&self) -> String {
        format!("{} or \"presigned\"", WEB_PATH.expects())
    }

    fn read(&self, item: &Item<'_>) -> Result<Option<String>, Vec<Wrong>> {
        if item.get_ref().as_str() == Some("presigned") { Ok(None) } else { WEB_PATH.read(item).map(Some) }
    }

    fn schema(&self) -> serde_json::Value {
        serde_json::json!({ "type": "string" })
    }

    fn written(&self, value: &Option<String>) -> Option<serde_json::Value> {
        Some(value.as_deref().unwrap_or("presigned").into())
    }
}

/// `[aws]`.
pub(in crate::config) fn aws(aws: &mut Section<'_>) -> Aws {
    Aws {
        region: aws.or("region", WORDS, "us-east-1".to_owned()),
        s3_endpoint_url: aws.optional("s3_endpoint_url", ENDPOINT),
        dynamodb_endpoint_url: aws.optional("dynamodb_endpoint_url", ENDPOINT),
        force_path_style: aws.or("force_path_style", Flag, false),
    }
}

/// `[generator.store]`.
pub(super) fn store(store: &mut Section<'_>) -> Kept {
    let kinds = Choice(&[("filesystem", Stores::Filesystem), ("s3", Stores::S3)]);
    let kind = store.or("kind", kinds, Stores::Filesystem);
    let (bucket, prefix) = (store.optional("bucket", WORDS), store.or("prefix", FOLDER, String::new()));
    let sse = store.or("sse", SSE, Some(Sse::Aes256));
    let name_prefix = store.or("name_prefix", PREFIX, "fg-".to_owned());
    let public = store.or("public_url", Public, Some("/figueira/images".to_owned()));
    let ttl = store.or("url_ttl", DURATION, Duration::from_mins(15));
    if ttl > Duration::from_hours(7 * 24) {
        store.error(
            "url_ttl",
            "`url_ttl` is more than seven days, which no signature is good for",
            "url_ttl = \"7d\"",
        );
    }
    if kind == Stores::Filesystem {
        for key in ["bucket", "prefix", "sse"].into_iter().filter(|key| store.has(key)) {
            let help = "leave it out, or write kind = \"s3\"";
            store.error(key, format!("`{key}` means something only with kind = \"s3\""), help);
        }
        if public.is_none() {
            let help = "public_url = \"/figueira/images\", or kind = \"s3\"";
            store.error("public_url", "a folder has no addresses of its own to sign", help);
        }
    } else if bucket.is_none() && !store.has("bucket") {
        store.error("kind", "kind = \"s3\" needs a `bucket`", "bucket = \"images\"");
    }
    Kept {
        store: match kind {
            Stores::Filesystem => Images::Filesystem,
            Stores::S3 => Images::S3(S3 { bucket: bucket.unwrap_or_default(), prefix, sse }),
        },
        name_prefix,
        public_url: public.map_or(PublicUrl::Presigned(ttl), PublicUrl::Path),
    }
}

/// `[generator.catalog]`.
pub(super) fn catalog(catalog: &mut Section<'_>) -> Records {
    let kinds = Choice(&[("sqlite", Catalogs::Sqlite), ("dynamodb", Catalogs::DynamoDb)]);
    let kind = catalog.or("kind", kinds, Catalogs::Sqlite);
    let table = catalog.or("table", WORDS, "figueira-jobs".to_owned());
    match kind {
        Catalogs::Sqlite => {
            if catalog.has("table") {
                let help = "leave it out, or write kind = \"dynamodb\"";
                catalog.error("table", "`table` means something only with kind = \"dynamodb\"", help);
            }
            Records::Sqlite
        }
        Catalogs::DynamoDb => Records::DynamoDb(table),
    }
}
