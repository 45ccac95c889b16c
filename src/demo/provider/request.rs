//! What the API takes: the facts of `CreateImageRequest`, and what it says of everything else.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::answer::Failure;

/// Models that exist; those before them are gone.
const MODELS: [&str; 5] =
    ["gpt-image-2", "gpt-image-2-2026-04-21", "gpt-image-1.5", "gpt-image-1", "gpt-image-1-mini"];
/// Every parameter of the schema that a GPT image model takes.
const KNOWN: [&str; 13] = [
    "prompt",
    "model",
    "n",
    "quality",
    "output_format",
    "output_compression",
    "stream",
    "partial_images",
    "size",
    "moderation",
    "background",
    "style",
    "user",
];
const LONGEST_PROMPT: usize = 32_000;
const STANDARD: [(u32, u32); 3] = [(1024, 1024), (1536, 1024), (1024, 1536)];

/// How an image is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Png,
    Jpeg,
    WebP,
}

impl Format {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpeg",
            Self::WebP => "webp",
        }
    }
}

/// A request that the API takes.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) prompt: String,
    pub(super) model: String,
    pub(super) n: u64,
    pub(super) pixels: (u32, u32),
    pub(super) quality: &'static str,
    pub(super) background: &'static str,
    pub(super) format: Format,
    pub(super) stream: bool,
    pub(super) partial_images: u64,
    pub(super) user: Option<String>,
}

impl Wanted {
    /// Reads a body, or says in the API's own words what is wrong with it.
    pub(super) fn read(body: &Bytes) -> Result<Self, Failure> {
        let unreadable = "We could not parse the JSON body of your request.";
        let Ok(Value::Object(fields)) = serde_json::from_slice(body) else {
            return Err(Failure::new(400, "invalid_request_error", None, None, unreadable));
        };
        if let Some(name) = fields.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            let said = format!("Unknown parameter: '{name}'.");
            return Err(Failure::new(
                400,
                "invalid_request_error",
                Some("unknown_parameter"),
                Some(name),
                &said,
            ));
        }
        let fields = Fields(fields);
        let Some(model) = fields.text("model")?.map(str::to_owned) else {
            let said = "Missing required parameter: 'model'.";
            let code = Some("missing_required_parameter");
            return Err(Failure::new(400, "invalid_request_error", code, Some("model"), said));
        };
        let Some(prompt) = fields.text("prompt")?.map(str::to_owned) else {
            let said = "Missing required parameter: 'prompt'.";
            let code = Some("missing_required_parameter");
            return Err(Failure::new(400, "invalid_request_error", code, Some("prompt"), said));
        };
        if prompt.is_empty() || prompt.chars().count() > LONGEST_PROMPT {
            return Err(wrong("prompt", "a text of 1 to 32000 characters"));
        }
        if !MODELS.contains(&model.as_str()) {
            return Err(Failure::no_model(&model));
        }
        let n = fields.whole("n", 1, 10)?.unwrap_or(1);
        let quality = fields.one_of("quality", &["low", "medium", "high", "auto"])?.unwrap_or("auto");
        let background = fields.one_of("background", &["transparent", "opaque", "auto"])?.unwrap_or("auto");
        fields.one_of("moderation", &["low", "auto"])?;
        let format = match fields.one_of("output_format", &["png", "jpeg", "webp"])? {
            Some("jpeg") => Format::Jpeg,
            Some("webp") => Format::WebP,
            _ => Format::Png,
        };
        if fields.whole("output_compression", 0, 100)?.is_some_and(|percent| percent < 100)
            && format == Format::Png
        {
            return Err(wrong("output_compression", "100 for png"));
        }
        if background == "transparent" && format == Format::Jpeg {
            return Err(wrong("background", "opaque for jpeg"));
        }
        let stream = match fields.get("stream") {
            None => false,
            Some(Value::Bool(stream)) => *stream,
            Some(_) => return Err(wrong("stream", "a boolean")),
        };
        let partial_images = fields.whole("partial_images", 0, 3)?.unwrap_or(0);
        if partial_images > 0 && !stream {
            return Err(wrong("partial_images", "absent without stream"));
        }
        let pixels = match fields.text("size")? {
            None | Some("auto") => (1024, 1024),
            Some(size) => pixels(size, &model).ok_or_else(|| wrong("size", "one that this model takes"))?,
        };
        let user = fields.text("user")?.map(str::to_owned);
        Ok(Self {
            prompt,
            model,
            n,
            pixels,
            quality: if quality == "auto" { "high" } else { quality },
            background: if background == "auto" { "opaque" } else { background },
            format,
            stream,
            partial_images,
            user,
        })
    }

    pub(super) fn size(&self) -> String {
        format!("{}x{}", self.pixels.0, self.pixels.1)
    }
}

/// The standard sizes; of `gpt-image-2` any in steps of 16, from 1:3 to 3:1, up to 3840x2160.
fn pixels(size: &str, model: &str) -> Option<(u32, u32)> {
    let (width, height) = size.split_once('x')?;
    let (width, height): (u32, u32) = (width.parse().ok()?, height.parse().ok()?);
    let free = model.starts_with("gpt-image-2")
        && width % 16 == 0
        && height % 16 == 0
        && (256..=3840).contains(&width.max(height))
        && width.min(height) >= 256
        && width <= 3 * height
        && height <= 3 * width
        && u64::from(width) * u64::from(height) <= 3840 * 2160
        // What the model's pixel limit leaves out below.
        && u64::from(width) * u64::from(height) >= 1024 * 640;
    (free || STANDARD.contains(&(width, height))).then_some((width, height))
}

struct Fields(Map<String, Value>);

impl Fields {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Result<Option<&str>, Failure> {
        self.get(name).map(|value| value.as_str().ok_or_else(|| wrong(name, "a string"))).transpose()
    }

    fn whole(&self, name: &str, least: u64, most: u64) -> Result<Option<u64>, Failure> {
        let fits = |value: &Value| value.as_u64().filter(|number| (least..=most).contains(number));
        let expected = format!("an integer from {least} to {most}");
        self.get(name).map(|value| fits(value).ok_or_else(|| wrong(name, &expected))).transpose()
    }

    fn one_of(&self, name: &str, words: &'static [&'static str]) -> Result<Option<&'static str>, Failure> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let known = words.iter().find(|word| **word == text).copied();
        known.map(Some).ok_or_else(|| wrong(name, &format!("one of {}", words.join(", "))))
    }
}

fn wrong(name: &str, expected: &str) -> Failure {
    let said = format!("Invalid value for '{name}'. It must be {expected}.");
    Failure::new(400, "invalid_request_error", Some("invalid_value"), Some(name), &said)
}
