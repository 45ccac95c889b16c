//! `[generator]` and a route's contract as values.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::{HeaderName, Uri};

use secrecy::SecretString;

pub use super::{
    contract::{
        custom::{Answers, Custom, Parameter, Polled, Source},
        template::{Escape, Template},
    },
    credential::Credential,
    money::Usd,
};
pub use crate::aws::{Aws, SharedTable};

/// What the generator may do and where it keeps things; sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Who draws.
    pub draws: Draws,
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
    /// Jobs of one tenant at once.
    pub tenant_max_in_flight: Option<usize>,
    /// A silent owner's jobs are taken over after it.
    pub lease: Duration,
    /// What all jobs of one day may cost.
    pub daily_budget: Option<Usd>,
    /// How long a key's answer is kept.
    pub idempotency_ttl: Duration,
    /// How long images are kept; for ever where it is none.
    pub keep_images: Option<Duration>,
    /// How long answers are kept that were paid and could not be used.
    pub keep_paid: Duration,
    /// For how long a silent gateway's spool may still come back.
    pub spool_grace: Duration,
    /// Whether the catalog keeps the prompt's text.
    pub keep_prompts: bool,
    /// What our stored names start with.
    pub name_prefix: String,
    /// What `url` in answers starts with.
    pub public_url: PublicUrl,
    /// Where images are kept. Read once, at start.
    pub store: Images,
    /// Where records are kept. Read once, at start.
    pub catalog: Records,
    /// Where AWS is. Read once, at start.
    pub aws: Aws,
    /// The site's own image paths.
    pub serve: Vec<Serve>,
    /// By a route's name: how two tries are known for one.
    pub idempotency: BTreeMap<Arc<str>, Idempotency>,
    /// Path below which jobs are asked for.
    pub jobs_url: String,
    /// Routes, and the site's own paths of their jobs, with the parameter `{job}`.
    pub polls: Vec<(Arc<str>, String)>,
    /// By a route's name: who is told what became of its generations.
    pub notify: BTreeMap<Arc<str>, Notify>,
}

impl Settings {
    /// The table that a fleet shares, where the catalog is one.
    pub fn shared_table(&self) -> Option<SharedTable> {
        match &self.catalog {
            Records::Sqlite => None,
            Records::DynamoDb(name) => Some(SharedTable { aws: self.aws.clone(), name: name.clone() }),
        }
    }
}

/// `[route.notify]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// Where, at the upstream.
    pub url: Uri,
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// What of.
    pub on: Vec<News>,
    /// For how long an answer waits for the first delivery.
    pub wait: Option<Duration>,
    /// Whether the prompt's text is sent along.
    pub prompt: bool,
    /// What it is signed with.
    pub secret: Option<Credential>,
}

/// What can be told of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Its images are there.
    Done,
    /// There will be none.
    Failed,
}

impl News {
    /// As `routes.toml` and the event call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// Who draws.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Draws {
    /// The provider in this binary: no account, no network, no cost.
    Local,
    /// `OpenAI`'s API, or any server that speaks it.
    OpenAi(Arc<OpenAi>),
}

impl Draws {
    /// Who draws, with the model that does, as evidence names it.
    pub fn model(&self) -> String {
        match self {
            Self::Local => "local".to_owned(),
            Self::OpenAi(openai) => format!("openai/{}", openai.model),
        }
    }
}

/// `[generator.openai]`, with the table of its model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenAi {
    /// What `/images/generations` is appended to; without a slash at its end.
    pub base_url: String,
    /// What it is authorised with; none for servers that ask for nothing.
    pub api_key: Option<Credential>,
    /// Always sent.
    pub model: String,
    /// Images of one call.
    pub max_count: u32,
    /// What an image costs, and thereby which sizes the model takes; empty: the standard ones, at no known price.
    pub prices: Vec<Price>,
    /// How often to ask again what cannot have been charged.
    pub retries: u32,
    /// From where images may be downloaded.
    pub fetch_hosts: Vec<FetchHost>,
}

/// The price of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// Width and height.
    pub size: (u32, u32),
    /// As the API calls it; `auto` where none is asked for.
    pub quality: String,
    /// Of one image.
    pub usd: Usd,
}

/// A host from which images may be downloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchHost {
    /// A name or a public address, over TLS.
    Named {
        /// Lower case.
        host: String,
        /// 443 by default.
        port: u16,
    },
    /// A port of this machine at 127.0.0.1, over TLS or not.
    Loopback {
        /// The port.
        port: u16,
    },
}

/// What `url` in answers starts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicUrl {
    /// A path of ours.
    Path(String),
    /// The store's own address, signed for so long.
    Presigned(Duration),
}

/// Where images are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Images {
    /// `images/` in the data folder.
    Filesystem,
    /// A bucket.
    S3(S3),
}

/// Where records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Records {
    /// `catalog.sqlite` in the data folder.
    Sqlite,
    /// A table of this name.
    DynamoDb(String),
}

/// `[route.idempotency]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// Where a request's key stands.
    pub key: KeyPlace,
    /// What becomes of the second try while the first one runs.
    pub running: Running,
}

/// Where a request's key stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// In a header.
    Header(HeaderName),
    /// In the body, at a JSON pointer.
    Json(String),
    /// In a form's field.
    Form(String),
    /// In the query.
    Query(String),
}

/// What becomes of the second try while the first one runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    /// It waits for the same answer.
    Wait,
    /// It is answered 409.
    Refuse,
}

/// A bucket, as `[generator.store]` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3 {
    /// The bucket.
    pub bucket: String,
    /// What every key starts with; empty, or ends with a slash.
    pub prefix: String,
    /// Encryption at rest that is asked for.
    pub sse: Option<Sse>,
}

/// Encryption at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sse {
    /// By keys of the store.
    Aes256,
    /// By keys of AWS KMS.
    Kms,
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
    /// Whom to ask first, at the monolith.
    pub authorize: Option<Uri>,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contract {
    /// `{"processamento": 200, "imagem": name}`.
    Article,
    /// `OpenAI`'s Images API.
    OpenAi,
    /// The operator's own.
    Custom(Arc<Custom>),
}

impl Contract {
    /// As `routes.toml` calls it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Article => "article",
            Self::OpenAi => "openai",
            Self::Custom(_) => "custom",
        }
    }

    /// Its name; of one of the operator's own also what it says, because answers depend on that.
    pub fn version(&self) -> String {
        match self {
            Self::Article | Self::OpenAi => self.name().to_owned(),
            Self::Custom(custom) => format!("{}/{}", self.name(), custom.digest()),
        }
    }

    /// JSON pointers to what its refusals say to people, in whatever words.
    pub fn wordings(&self) -> &'static [&'static str] {
        match self {
            Self::Article => &["/msg"],
            Self::OpenAi => &["/error/message"],
            // The route's own rules name them.
            Self::Custom(_) => &[],
        }
    }

    /// JSON pointers to the images of its answers, `*` for any index; where an answer names an image twice, to the
    /// first of the two.
    pub fn image_pointers(&self) -> &'static [&'static str] {
        match self {
            Self::Article => &["/imagem", "/imagens/*"],
            Self::OpenAi => &["/data/*/url", "/data/*/b64_json"],
            // The route's own `images` name them.
            Self::Custom(_) => &[],
        }
    }
}

/// A secret read from an environment variable or a file.
pub type Secret = SecretString;
