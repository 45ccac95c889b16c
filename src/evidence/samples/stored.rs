//! A whole pair as it was kept, to be judged again or to be asked again: what was redacted is gone.

use std::{fs, io, path::Path};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Why, name};
use crate::parallel_run::{
    answer::{Answer, Asked, Delivery, FetchedImage},
    archive::Sample,
    candidate::CapturedRequest,
};

/// What the heads, bodies and images do not say by themselves.
pub(super) const PARTICULARS: &str = "pair.json";

const DELIVERIES: [Delivery; 5] =
    [Delivery::Body, Delivery::Base64, Delivery::DataUrl, Delivery::Url, Delivery::Name];

/// One pair as it was kept.
#[derive(Clone, Debug)]
pub struct Stored {
    /// What both arms were asked; without what was redacted.
    pub request: CapturedRequest,
    /// What the control answered, its images with it.
    pub control: Answer,
    /// What the candidate answered, where it did.
    pub candidate: Option<Answer>,
}

/// As JSON: what was asked for, and where each image stood.
pub(super) fn particulars(sample: &Sample) -> Vec<u8> {
    let images = |answer: &Answer| -> Value {
        let image = |image: &FetchedImage| json!({ "path": image.path, "delivery": image.delivery.as_str(), "declared": image.declared });
        answer.images.iter().map(image).collect()
    };
    let asked = &sample.control.asked;
    let text = json!({
        "asked": {
            "size": asked.size.map(|(width, height)| [width, height]),
            "n": asked.n,
            "format": asked.format,
            "transparent": asked.transparent,
        },
        "control": images(&sample.control),
        "candidate": sample.candidate.as_ref().map(images),
    });
    text.to_string().into_bytes()
}

/// The pair `id` of `route` under `folder`; `None` where it is not kept, or not in a way that can be read again.
pub(crate) fn read(folder: &Path, route: &str, id: Uuid) -> io::Result<Option<Stored>> {
    let places = [Why::Failure, Why::Match].map(|why| folder.join(route).join(name(id, why)));
    let Some(pair) = places.into_iter().find(|pair| pair.is_dir()) else { return Ok(None) };
    let Ok(particulars) = fs::read(pair.join(PARTICULARS)) else { return Ok(None) };
    let particulars: Value = serde_json::from_slice(&particulars).map_err(io::Error::other)?;
    let (line, headers) = head(&fs::read(pair.join("request.head"))?);
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let request = CapturedRequest {
        id,
        route: route.into(),
        method: method.parse::<Method>().map_err(io::Error::other)?,
        target: target.parse::<Uri>().map_err(io::Error::other)?,
        version: Version::HTTP_11,
        gained: [].into(),
        headers,
        body: fs::read(pair.join("request.body"))?.into(),
    };
    let asked = asked(&particulars, &request);
    let candidate = if pair.join("candidate.head").exists() {
        Some(answer(&pair, "candidate", &particulars, asked.clone())?)
    } else {
        None
    };
    Ok(Some(Stored { control: answer(&pair, "control", &particulars, asked)?, request, candidate }))
}

fn asked(particulars: &Value, request: &CapturedRequest) -> Asked {
    let at = |pointer: &str| particulars.pointer(pointer);
    let number = |pointer: &str| at(pointer).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
    Asked {
        size: number("/asked/size/0").zip(number("/asked/size/1")),
        n: number("/asked/n"),
        format: at("/asked/format").and_then(Value::as_str).map(ToOwned::to_owned),
        transparent: at("/asked/transparent").and_then(Value::as_bool).unwrap_or_default(),
        // Such a pair is not compared, and none is kept.
        streamed: false,
        ..request.asked()
    }
}

fn answer(pair: &Path, arm: &str, particulars: &Value, asked: Asked) -> io::Result<Answer> {
    let (line, headers) = head(&fs::read(pair.join(format!("{arm}.head")))?);
    let body = fs::read(pair.join(format!("{arm}.body")))?.into();
    let named = particulars.get(arm).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let image = |(place, image): (usize, &Value)| {
        let text = |key: &str| image.get(key).and_then(Value::as_str);
        let delivery = DELIVERIES.into_iter().find(|known| text("delivery") == Some(known.as_str()))?;
        let bytes = fs::read(pair.join(format!("{arm}.image-{place}")));
        Some(FetchedImage {
            path: text("path")?.to_owned(),
            delivery,
            bytes: bytes.map(Bytes::from).map_err(|_| "it was not had".to_owned()),
            declared: text("declared").map(ToOwned::to_owned),
        })
    };
    let images = named.iter().enumerate().filter_map(image).collect();
    let status = line.parse().map_err(io::Error::other)?;
    Ok(Answer { status, headers, body, images, asked })
}

/// The first line, and the fields that were not redacted.
fn head(bytes: &[u8]) -> (String, HeaderMap) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let first = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let field = |line: &[u8]| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (line.get(..colon)?, line.get(colon + 1..)?.trim_ascii());
        let kept = value != b"(redacted)";
        kept.then(|| Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?)))
            .flatten()
    };
    let mut headers = HeaderMap::new();
    lines.filter_map(field).for_each(|(name, value)| {
        headers.append(name, value);
    });
    (first, headers)
}
