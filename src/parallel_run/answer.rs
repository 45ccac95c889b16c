//! What one arm answered, whole: what is compared, and what the control's noise is learned from.

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};

/// A complete answer of one arm, with the images that it names.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The head's fields, without `content-encoding` where `body` is without it.
    pub headers: HeaderMap,
    /// The whole body; without its content coding, where that could be taken off.
    pub body: Bytes,
    /// The images that the body holds or names, in their order.
    pub images: Vec<FetchedImage>,
    /// What the request asked for.
    pub asked: Asked,
}

/// One image of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedImage {
    /// Where in the body it stands: a JSON pointer, or empty where the body is the image.
    pub path: String,
    /// How it came.
    pub delivery: Delivery,
    /// Its encoded bytes, or why they could not be had.
    pub bytes: Result<Bytes, String>,
    /// The media type that was claimed for it, without parameters.
    pub declared: Option<String>,
}

/// How an image reaches the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// The body is the image.
    Body,
    /// A field of the body holds it in base64.
    Base64,
    /// A field of the body holds a `data:` URL of it.
    DataUrl,
    /// A field of the body holds its URL.
    Url,
    /// A field of the body holds its name.
    Name,
}

impl Delivery {
    /// The word that is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Base64 => "base64",
            Self::DataUrl => "data-url",
            Self::Url => "url",
            Self::Name => "name",
        }
    }
}

/// What the request asked for, as far as its contract says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Width and height, in pixels.
    pub size: Option<(u32, u32)>,
    /// How many images.
    pub n: Option<u32>,
    /// `png`, `jpeg`, `webp`.
    pub format: Option<String>,
    /// Whether one is to see through it.
    pub transparent: bool,
    /// Whether the answer is to come as a stream of events: a candidate that nobody waits for gives it whole.
    pub streamed: bool,
    /// How it was asked: what may be stored of an answer depends on it.
    pub method: Method,
    /// Of which host: a path alone leads there.
    pub host: Option<String>,
    /// At which target.
    pub target: Uri,
    /// With which body.
    pub body: Bytes,
}
