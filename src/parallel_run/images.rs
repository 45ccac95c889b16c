//! The images of an answer, wherever they are: the body, a field in base64, a URL, a name.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_TYPE};
use serde_json::Value;

use super::{
    answer::{Delivery, FetchedImage},
    candidate::{CapturedRequest, Fetched, ImageName, Images},
    encoding,
};
use crate::routing::Arm;

/// Images of one answer that are looked at.
const MAX_IMAGES: usize = 16;

/// A longer text is no name: it holds the image itself.
const MAX_NAME: usize = 2048;

/// How long one image may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// What an arm answered, before its images were looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply<'a> {
    pub(crate) arm: Arm,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a Bytes,
    /// Images that need not be fetched, by the text that names them.
    pub(crate) at_hand: &'a HashMap<String, Fetched>,
}

/// The media type without parameters, lower case.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or(value).trim().to_ascii_lowercase())
}

/// All images of `reply`, those that it only names fetched by `source`, at most `limit` bytes each.
pub(crate) async fn collect(
    reply: Reply<'_>,
    pointers: &[String],
    request: &CapturedRequest,
    source: &dyn Images,
    limit: usize,
) -> Vec<FetchedImage> {
    if let Some(image) = whole(reply.headers, reply.body) {
        return vec![image];
    }
    let mut images = Vec::new();
    for (path, text) in fields(reply.body, pointers) {
        let image = match held(&path, &text) {
            Some(image) => image,
            None => named(path, &text, reply, request, source, limit).await,
        };
        images.push(image);
    }
    images
}

/// The image that the body is, if it is one: some sites say of every file that it is bytes.
fn whole(headers: &HeaderMap, body: &Bytes) -> Option<FetchedImage> {
    let declared = media_type(headers).filter(|media| media.starts_with("image/"));
    let is_image = declared.is_some() || encoding::image_kind(body).is_some();
    is_image.then(|| FetchedImage {
        path: String::new(),
        delivery: Delivery::Body,
        bytes: Ok(body.clone()),
        declared,
    })
}

/// The texts at `pointers` of a JSON body, each with its own pointer.
fn fields(body: &[u8], pointers: &[String]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    if !pointers.is_empty()
        && let body = body.strip_prefix(encoding::BYTE_ORDER_MARK).unwrap_or(body)
        && let Ok(json) = serde_json::from_slice::<Value>(body)
    {
        for pointer in pointers {
            let steps: Vec<&str> = pointer.split('/').skip(1).collect();
            walk(&json, &steps, &mut String::new(), &mut found);
        }
    }
    // An answer may name an image twice: it is one image.
    let mut seen = HashSet::new();
    found.retain(|(_, text)| seen.insert(text.clone()));
    found.truncate(MAX_IMAGES);
    found
}

fn walk(value: &Value, steps: &[&str], path: &mut String, found: &mut Vec<(String, String)>) {
    let Some((step, rest)) = steps.split_first() else {
        if let Value::String(text) = value {
            found.push((path.clone(), text.clone()));
        }
        return;
    };
    let mut enter = |key: &str, child: &Value| {
        let length = path.len();
        path.push('/');
        path.push_str(key);
        walk(child, rest, path, found);
        path.truncate(length);
    };
    match value {
        Value::Object(members) if *step == "*" => {
            members.iter().for_each(|(key, child)| enter(&escape(key), child));
        }
        Value::Array(items) if *step == "*" => {
            items.iter().enumerate().for_each(|(index, child)| enter(&index.to_string(), child));
        }
        Value::Object(members) => {
            if let Some(child) = members.get(&unescape(step)) {
                enter(step, child);
            }
        }
        Value::Array(items) => {
            if let Some(child) = step.parse().ok().and_then(|index: usize| items.get(index)) {
                enter(step, child);
            }
        }
        _ => {}
    }
}

/// RFC 6901, 3.
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// RFC 6901, 4.
fn unescape(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

/// The image that `text` itself holds, if it holds one.
fn held(path: &str, text: &str) -> Option<FetchedImage> {
    let data = text.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    let (delivery, declared, encoded) = match data {
        Some((media, encoded)) => (Delivery::DataUrl, Some(media.to_owned()), encoded),
        None => (Delivery::Base64, None, text),
    };
    let bytes = match encoding::from_base64(encoded) {
        Ok(bytes) if declared.is_some() || image::guess_format(&bytes).is_ok() => bytes.into(),
        _ if declared.is_none() && text.len() <= MAX_NAME => return None,
        Ok(bytes) => bytes.into(),
        // What cannot be read is there all the same, and compared as it stands.
        Err(_) => Bytes::copy_from_slice(text.as_bytes()),
    };
    Some(FetchedImage { path: path.to_owned(), delivery, bytes: Ok(bytes), declared })
}

/// The image that `text` names.
async fn named(
    path: String,
    text: &str,
    reply: Reply<'_>,
    request: &CapturedRequest,
    source: &dyn Images,
    limit: usize,
) -> FetchedImage {
    let is_url = ["/", "http://", "https://"].iter().any(|start| text.starts_with(start));
    let delivery = if is_url { Delivery::Url } else { Delivery::Name };
    let fetched = if let Some(image) = reply.at_hand.get(text) {
        Ok(image.clone())
    } else {
        let fetching = source.fetch(reply.arm, ImageName { text, delivery }, request, limit);
        match tokio::time::timeout(DEADLINE, fetching).await {
            Ok(fetched) => fetched.map_err(|fault| fault.to_string()),
            Err(_elapsed) => Err("no answer in time".to_owned()),
        }
    };
    let (bytes, declared) = match fetched {
        Ok(Fetched { bytes, declared }) => (Ok(bytes), declared),
        Err(reason) => (Err(reason), None),
    };
    FetchedImage { path, delivery, bytes, declared }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    use super::*;

    const PNG: [u8; 16] =
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, b'I', b'H', b'D', b'R'];

    fn found(body: &str, pointer: &str) -> Vec<(String, String)> {
        fields(body.as_bytes(), &[pointer.to_owned()])
    }

    #[test]
    fn pointers_lead_to_every_text_that_they_match() {
        let body = r#"{"data":[{"url":"/a"},{"url":"/b"},{"url":3}],"a/b":{"c":"/d"}}"#;
        let both =
            [("/data/0/url", "/a"), ("/data/1/url", "/b")].map(|(path, text)| (path.into(), text.into()));
        assert_eq!(found(body, "/data/*/url"), both);
        assert_eq!(found(body, "/data/1/url"), both[1..]);
        assert_eq!(found(body, "/a~1b/*"), [("/a~1b/c".to_owned(), "/d".to_owned())]);
        assert_eq!(found(body, "/nowhere"), []);
        assert_eq!(found("<html>", "/data"), []);
    }

    #[test]
    fn a_body_is_an_image_by_what_is_said_of_it_or_by_its_looks() {
        let of = |media: &'static str, body: &'static [u8]| {
            let headers = [(CONTENT_TYPE, http::HeaderValue::from_static(media))].into_iter().collect();
            whole(&headers, &Bytes::from_static(body)).map(|image| image.declared)
        };
        assert_eq!(of("image/PNG; a=b", b"cut"), Some(Some("image/png".to_owned())));
        assert_eq!(of("application/octet-stream", &PNG), Some(None));
        assert_eq!(of("application/octet-stream", b"bytes"), None);
        assert_eq!(of("application/json", b"{}"), None);
    }

    #[test]
    fn a_text_that_holds_an_image_is_told_from_a_name() {
        let encoded = STANDARD.encode(PNG);
        assert_eq!(held("/b64", &encoded).unwrap().bytes.unwrap(), PNG.as_slice());
        let data = held("/b64", &format!("data:image/png;base64,{encoded}")).unwrap();
        assert_eq!((data.declared.as_deref(), data.delivery), (Some("image/png"), Delivery::DataUrl));
        let lines = format!("{}\n{}\n", &encoded[..8], encoded[8..].trim_end_matches('='));
        assert_eq!(held("/b64", &lines).unwrap().bytes.unwrap(), PNG.as_slice());
        assert_eq!(held("/imagem", "fg-0193a7.png"), None);
        assert_eq!(held("/imagem", "abcd"), None, "a name that happens to be base64");
        let no_image = "!".repeat(MAX_NAME + 1);
        assert_eq!(held("/b64", &no_image).unwrap().bytes.unwrap(), no_image, "too long for a name");
    }
}
