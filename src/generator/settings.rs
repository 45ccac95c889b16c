//! `[generator]` and a route's contract as values.

use std::time::Duration;

use secrecy::SecretString;

/// What the generator may do and where it keeps things; sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Jobs that draw at once.
    pub max_in_flight: usize,
    /// Jobs that may wait beyond it.
    pub queue: usize,
    /// All answers, decoding and spooling together.
    pub memory: usize,
    /// A whole generation.
    pub deadline: Duration,
    /// A request that the generator answers.
    pub max_request: usize,
    /// One image, encoded.
    pub max_image: usize,
    /// One image, decoded.
    pub max_pixels: u64,
    /// Generator requests that may fall back on the monolith at once.
    pub fallback_max_in_flight: usize,
    /// How long a key's answer is kept.
    pub idempotency_ttl: Duration,
    /// Whether the catalog keeps the prompt's text.
    pub keep_prompts: bool,
    /// What our stored names start with.
    pub name_prefix: String,
    /// Path that `url` in answers starts with.
    pub public_url: String,
    /// The site's own image paths.
    pub serve: Vec<Serve>,
}

/// One `[[generator.serve]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serve {
    /// matchit pattern with exactly one parameter, `{name}`.
    pub path: String,
    /// Who answers for names that are not ours.
    pub unknown: Unknown,
    /// Who answers when there is a query string.
    pub query: Query,
    /// `Cache-Control` of our answers.
    pub cache: String,
}

/// Who answers for names that are not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// The monolith.
    Monolith,
    /// We do, with 404.
    NotFound,
}

/// Who answers when there is a query string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// The monolith.
    Monolith,
    /// We do, ignoring it.
    Ignore,
}

/// How a route's own request maps to a generation and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Contract {
    /// `{"processamento": 200, "imagem": name}`.
    Article,
    /// `OpenAI`'s Images API.
    OpenAi,
}

impl Contract {
    /// As `routes.toml` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Article => "article",
            Self::OpenAi => "openai",
        }
    }

    /// JSON pointers to what its refusals say to people, in whatever words.
    pub fn wordings(self) -> &'static [&'static str] {
        match self {
            Self::Article => &["/msg"],
            Self::OpenAi => &["/error/message"],
        }
    }

    /// JSON pointers to the images of its answers, `*` for any index; where an answer names an image twice, to the
    /// first of the two.
    pub fn image_pointers(self) -> &'static [&'static str] {
        match self {
            Self::Article => &["/imagem", "/imagens/*"],
            Self::OpenAi => &["/data/*/url", "/data/*/b64_json"],
        }
    }
}

/// A secret read from an environment variable or a file.
pub type Secret = SecretString;
