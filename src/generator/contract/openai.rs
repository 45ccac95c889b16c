//! OpenAI's Images API, `POST .../images/generations`, as any OpenAI client speaks it.

use std::time::UNIX_EPOCH;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{Asked, Made, Refusal, Rejection, fields::Fields};
use crate::generator::{
    events::Writer,
    order::{Format, Options, Order, Wish},
    provider::Usage,
};

const KNOWN: [&str; 14] = [
    "prompt",
    "n",
    "size",
    "model",
    "quality",
    "background",
    "moderation",
    "style",
    "user",
    "response_format",
    "output_format",
    "output_compression",
    "stream",
    "partial_images",
];

/// Unfinished images that can be asked for.
const MOST_PREVIEWS: u8 = 3;

/// How an answer of this contract is written.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    carriage: Carriage,
    /// As it was asked for; what the provider chose is not known.
    quality: Option<&'static str>,
    background: Option<&'static str>,
    /// How many previews are wanted, where the answer comes in pieces.
    previews: Option<u8>,
}

/// How an image travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carriage {
    Url,
    Base64,
}

/// Says clearly what of this API is not done here, whatever its body is.
pub(super) fn is_generation(path: &str) -> Result<(), Rejection> {
    let what = match path.trim_end_matches('/').rsplit('/').next() {
        Some("edits") => "edits",
        Some("variations") => "variations",
        _ => return Ok(()),
    };
    let message = format!("there are no {what} of images here: they are made by POST .../images/generations");
    Err(Rejection::BeyondTables(Refusal::new(http::StatusCode::NOT_FOUND, "unknown_url", message)))
}

/// Reads a request; `key` is the member that the site's clients add to it.
pub(super) fn read(fields: &Fields, key: Option<&str>) -> Result<Asked, Rejection> {
    // What is malformed is said before what is merely not done here.
    let (prompt, count, size) = (fields.prompt()?, fields.count()?, fields.size()?);
    let model = fields.text("model")?.unwrap_or_default();
    let (style, user) = (fields.text("style")?, fields.text("user")?);
    let moderation = fields.text("moderation")?;
    let compression = fields.up_to(100, "output_compression")?;
    let partial = fields.up_to(MOST_PREVIEWS, "partial_images")?.unwrap_or(0);
    let previews = (fields.flag("stream")? == Some(true)).then_some(partial);
    let (asked_quality, asked_background) = (fields.text("quality")?, fields.text("background")?);
    let output = fields.text("output_format")?.unwrap_or("png");
    let carriage = match fields.text("response_format")? {
        Some("url") => Carriage::Url,
        Some("b64_json") => Carriage::Base64,
        Some(_) => {
            return Err(Refusal::parameter(
                "response_format",
                "invalid_value",
                "response_format must be url or b64_json",
            )
            .into());
        }
        // The GPT image models always answer in Base64, and their clients expect it.
        None if model.starts_with("gpt-image") || model.starts_with("chatgpt-image") => Carriage::Base64,
        None => Carriage::Url,
    };

    if let Some(name) = fields.stranger(|name| KNOWN.contains(&name) || key == Some(name)) {
        let shown: String = name.chars().take(64).collect();
        return Err(beyond(None, "unknown_parameter", format!("unknown parameter: {shown:?}")));
    }
    let quality = match asked_quality {
        None | Some("auto") => None,
        Some("low") => Some("low"),
        Some("medium" | "standard") => Some("medium"),
        Some("high" | "hd") => Some("high"),
        Some(_) => {
            return Err(beyond(
                Some("quality"),
                "invalid_value",
                "quality must be low, medium, high or auto",
            ));
        }
    };
    let background = match asked_background {
        None | Some("auto") => None,
        Some("opaque") => Some("opaque"),
        Some("transparent") => Some("transparent"),
        Some(_) => {
            let message = "background must be opaque, transparent or auto";
            return Err(beyond(Some("background"), "invalid_value", message));
        }
    };
    let format = match output {
        "png" => Format::Png,
        "jpeg" => Format::Jpeg,
        "webp" => Format::WebP,
        _ => {
            return Err(beyond(
                Some("output_format"),
                "invalid_value",
                "output_format must be png, jpeg or webp",
            ));
        }
    };
    let compression = compression.unwrap_or(100);
    let word = |word: Option<&str>| word.filter(|word| *word != "auto").map(ToOwned::to_owned);
    let options = Options {
        quality: word(asked_quality),
        background: word(asked_background),
        moderation: word(moderation),
        style: word(style),
        user: word(user),
    };
    let wish = Wish { prompt, count, size, format, compression, options };
    Ok(Asked { wish, reply: super::Reply::OpenAi(Reply { carriage, quality, background, previews }) })
}

fn beyond(param: Option<&'static str>, code: &'static str, message: impl Into<String>) -> Rejection {
    let refusal = Refusal::new(http::StatusCode::BAD_REQUEST, code, message);
    Rejection::BeyondTables(Refusal { param: param.map(Into::into), ..refusal })
}

impl Reply {
    pub(super) fn is_stream(&self) -> bool {
        self.previews.is_some()
    }

    /// Whether the images travel in the answer; in a stream they always do.
    pub(super) fn carries_bytes(&self) -> bool {
        self.carriage == Carriage::Base64 || self.is_stream()
    }

    pub(super) fn stream(&self, order: &Order) -> Option<(u8, Writer)> {
        let Self { quality, background, previews, .. } = *self;
        let (quality, background) = (quality.unwrap_or("auto"), background.unwrap_or("auto"));
        previews.map(|previews| {
            (previews, Writer { size: order.size, format: order.format, quality, background })
        })
    }

    pub(super) fn answer(&self, made: &Made) -> Value {
        let data: Vec<Value> = made
            .images
            .iter()
            .map(|image| match self.carriage {
                Carriage::Url => json!({ "url": image.url }),
                Carriage::Base64 => json!({ "b64_json": BASE64_STANDARD.encode(&image.bytes) }),
            })
            .collect();
        let mut body = json!({
            "created": made.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            "data": data,
            "output_format": made.format.name(),
            "size": made.size.to_string(),
        });
        let known = [
            ("background", self.background.map(Value::from)),
            ("quality", self.quality.map(Value::from)),
            ("usage", made.usage.map(|used| usage(Some(used)))),
        ];
        if let Some(members) = body.as_object_mut() {
            members.extend(known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        }
        body
    }
}

/// What was made, by URL.
pub(super) fn named(made: &Made) -> Value {
    Reply { carriage: Carriage::Url, quality: None, background: None, previews: None }.answer(made)
}

/// Tokens as this API writes them; zero where nobody counts.
pub(crate) fn usage(usage: Option<Usage>) -> Value {
    let Usage { input_tokens, output_tokens } = usage.unwrap_or_default();
    json!({
        "input_tokens": input_tokens,
        "input_tokens_details": { "text_tokens": input_tokens, "image_tokens": 0 },
        "output_tokens": output_tokens,
        "total_tokens": input_tokens.saturating_add(output_tokens),
    })
}

pub(crate) fn refusal(refusal: &Refusal) -> Value {
    let kind = if refusal.status.is_server_error() { "server_error" } else { "invalid_request_error" };
    json!({ "error": { "message": refusal.message, "type": kind, "param": refusal.param, "code": refusal.code } })
}
