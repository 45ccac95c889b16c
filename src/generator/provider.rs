//! Who draws. One narrow door: whoever else draws comes in through it.

pub(crate) mod abilities;
pub(crate) mod local;
pub(crate) mod openai;

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

use self::{abilities::Unable, local::Local, openai::OpenAi};
use super::{
    admission::memory::Memory,
    arrival::{self, Arrival},
    image,
    metrics::Metrics,
    money::Usd,
    order::{Order, Wish},
    plane::{Crashed, Plane},
    settings::{Draws, Settings},
};

/// What was drawn, and what it took. Not yet known to be sound.
#[derive(Debug)]
pub(crate) struct Drawing {
    /// The images in order, encoded.
    pub(crate) images: Vec<Bytes>,
    /// What the provider says of it.
    pub(crate) receipt: Receipt,
    /// What was taken for them when they came.
    pub(crate) memory: Memory,
}

/// What a provider says of what it has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Receipt {
    /// Its own id of the request, to be named when something is to be asked of it.
    pub(crate) request_id: Option<String>,
    /// Tokens used, where it counts them.
    pub(crate) usage: Option<Usage>,
    /// What it costs by our table of prices; none without a price.
    pub(crate) cost: Option<Usd>,
    /// Why it gave no images.
    pub(crate) cause: Option<Box<Cause>>,
}

/// Why there are no images, as far as a client is told: whoever asks again is told the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Cause {
    /// Nothing came by the deadline, or not all of it.
    Late,
    /// [`ProviderError::Refused`].
    Refused {
        /// The kind of reason.
        why: WhyRefused,
        /// What is wrong with the request.
        blame: Option<Box<Blame>>,
    },
}

/// What is wrong with a request, where its client can mend it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Blame {
    /// The parameter.
    pub(crate) param: Option<String>,
    /// The provider's own word for it.
    pub(crate) code: Option<String>,
}

impl Cause {
    /// As records keep it.
    pub(crate) fn written(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads [`written`](Self::written); none of what another version has written.
    pub(crate) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// Tokens of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// Of the prompt.
    pub(crate) input_tokens: u64,
    /// Of the images.
    pub(crate) output_tokens: u64,
}

/// The provider gave no images.
#[derive(Debug, Error)]
pub(crate) enum ProviderError {
    /// It did not draw, and nothing was paid.
    #[error("the provider did not draw: {0}")]
    Refused(Refused),
    /// Whether it drew is unknown. It is never asked again by itself.
    #[error("whether the provider drew is unknown: {what}")]
    Unknown {
        /// What happened.
        what: String,
        /// Its id of the request, where it got so far.
        request_id: Option<String>,
    },
    /// It says that it drew, and there are no usable images in its answer.
    #[error("the provider's answer is unusable: {what}")]
    Unusable {
        /// What is wrong with it.
        what: String,
        /// What came: it was paid for.
        paid: Vec<Bytes>,
        /// What the provider says of it.
        receipt: Receipt,
    },
    /// Nothing came by the deadline: whether it drew is unknown.
    #[error("the provider took too long")]
    Late,
    /// The thread that drew ended.
    #[error("the provider ended without an answer")]
    Crashed(#[from] Crashed),
}

/// Why a provider did not draw.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{why}: {message}", why = why.name())]
pub(crate) struct Refused {
    /// The kind of reason.
    pub(crate) why: WhyRefused,
    /// What is wrong with the request, where its client can mend it.
    pub(crate) blame: Option<Box<Blame>>,
    /// What it was, without what is secret and what it was asked for.
    pub(crate) message: String,
    /// Its id of the request.
    pub(crate) request_id: Option<String>,
    /// When it wants to be asked again.
    pub(crate) retry_after: Option<Duration>,
}

/// The kinds of reasons not to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum WhyRefused {
    /// It does not draw such things. Never asked again, never asked of another.
    Moderation,
    /// It takes something in the request for wrong.
    Request,
    /// It does not take our key (401, 403).
    Key,
    /// It has no such model (404).
    Model,
    /// What may be spent there is used up.
    Quota,
    /// Too many requests, also after waiting (429).
    RateLimit,
    /// It says that it has too much to do (503).
    Overload,
    /// No connection came about.
    Unreachable,
    /// There was no room here to draw in.
    NoRoom,
}

impl WhyRefused {
    /// As logs and metrics write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Moderation => "moderation",
            Self::Request => "request",
            Self::Key => "key",
            Self::Model => "model",
            Self::Quota => "quota",
            Self::RateLimit => "rate-limit",
            Self::Overload => "overload",
            Self::Unreachable => "unreachable",
            Self::NoRoom => "no-room",
        }
    }

    /// Whether another may be asked for the same. Not where the reason may lie in what was asked for.
    pub(crate) fn may_be_asked_of_another(self) -> bool {
        !matches!(self, Self::Moderation | Self::Request)
    }
}

/// Who draws.
#[derive(Clone, Debug)]
pub(crate) enum Provider {
    /// The one in this binary.
    Local(Local),
    /// `OpenAI`'s API, or another server that speaks it.
    OpenAi(OpenAi),
}

impl Provider {
    /// The one that the settings ask for; `before`, with its connections, where nothing about it has changed.
    pub(crate) fn new(settings: &Settings, plane: &Plane, metrics: &Metrics, before: Option<&Self>) -> Self {
        match (&settings.draws, before) {
            (Draws::Local, _) => Self::Local(Local::new(plane.clone())),
            (Draws::OpenAi(wanted), Some(Self::OpenAi(before))) if before.is(wanted, settings.max_image) => {
                Self::OpenAi(before.clone())
            }
            (Draws::OpenAi(wanted), _) => {
                Self::OpenAi(OpenAi::new(wanted.clone(), settings.max_image, plane.clone(), metrics.clone()))
            }
        }
    }

    /// As records name it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Local(_) => "local",
            Self::OpenAi(_) => "openai",
        }
    }

    /// Which of its models draws.
    pub(crate) fn model(&self) -> &str {
        match self {
            Self::Local(_) => "local",
            Self::OpenAi(openai) => openai.model(),
        }
    }

    /// What an order costs at most; none without a price.
    pub(crate) fn price(&self, order: &Order) -> Option<Usd> {
        match self {
            Self::Local(_) => Some(Usd::default()),
            Self::OpenAi(openai) => openai.price(order),
        }
    }

    /// Turns a wish into an order, if it can be done.
    pub(crate) fn agree(&self, wish: Wish) -> Result<Order, Unable> {
        match self {
            Self::Local(_) => Local::abilities().agree(wish),
            Self::OpenAi(openai) => openai.abilities().agree(wish),
        }
    }

    /// About how many bytes one image of an order will have, encoded; rather more than fewer.
    pub(crate) fn expected_bytes(&self, order: &Order) -> u64 {
        match self {
            // Flat shapes and gradients: well under a byte a pixel in any format.
            Self::Local(_) => order.size.pixels(),
            // Photographs with an alpha channel hardly shrink as PNG.
            Self::OpenAi(_) => order.drawn.pixels().saturating_mul(4),
        }
    }

    /// How much memory an order takes: what arrives, the images in it, and one of them drawn here or examined.
    pub(crate) fn working_bytes(&self, order: &Order) -> u64 {
        let arriving = match self {
            Self::Local(_) => self.expected_bytes(order).saturating_mul(u64::from(order.count)),
            Self::OpenAi(openai) => arrival::needed(openai.largest_answer(order)),
        };
        arriving.saturating_add(image::fitting_bytes(order))
    }

    /// Whether memory can be taken when its answer comes: who draws here needs it before.
    pub(crate) fn is_elsewhere(&self) -> bool {
        matches!(self, Self::OpenAi(_))
    }

    /// Draws all of an order's images by `deadline`; what has come by then is looked at to its end. Unfinished ones are
    /// shown where somebody looks and the provider has any.
    pub(crate) async fn draw(
        &self,
        order: &Order,
        deadline: Instant,
        arrival: &Arrival,
    ) -> Result<Drawing, ProviderError> {
        match self {
            Self::Local(local) => {
                timeout_at(deadline, local.draw(order)).await.unwrap_or(Err(ProviderError::Late))
            }
            Self::OpenAi(openai) => openai.draw(order, deadline, arrival).await,
        }
    }
}
