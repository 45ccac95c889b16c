//! Who draws. One narrow door: whoever else draws comes in through it.

pub(crate) mod local;

use bytes::Bytes;
use thiserror::Error;

use self::local::Local;
use super::{
    money::Usd,
    order::{AskedSize, Order, Size, Wish},
    plane::Crashed,
};

/// What a provider can do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Abilities {
    /// Images of one job.
    pub(crate) max_count: u32,
    /// Sizes, the one for `auto` first.
    pub(crate) sizes: &'static [Size],
}

/// Well-formed, but nothing that this provider does.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum Unable {
    /// More images than one job has.
    #[error("n must be at most {max}")]
    Count {
        /// How many it may have.
        max: u32,
    },
    /// Another size.
    #[error("this size is not available")]
    Size,
}

/// What a provider says of what it has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Receipt {
    /// Its own id of the request, to be named when something is to be asked of it.
    pub(crate) request_id: Option<String>,
    /// Tokens used, where it counts them.
    pub(crate) usage: Option<Usage>,
    /// What it costs by our table of prices; none without a price.
    pub(crate) cost: Option<Usd>,
}

/// Tokens of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Of the prompt.
    pub(crate) input_tokens: u64,
    /// Of the images.
    pub(crate) output_tokens: u64,
}

/// The provider did not draw.
#[derive(Debug, Error)]
pub(crate) enum ProviderError {
    /// It said no, before anything was paid.
    #[error("the provider did not draw: {0}")]
    Refused(String),
    /// Whether it drew is unknown.
    #[error("the provider ended without an answer")]
    Unknown(#[from] Crashed),
}

/// Who draws.
#[derive(Clone, Debug)]
pub(crate) enum Provider {
    /// The one in this binary.
    Local(Local),
}

impl Provider {
    /// As records name it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Local(_) => "local",
        }
    }

    /// What it can do.
    pub(crate) fn abilities(&self) -> Abilities {
        match self {
            Self::Local(_) => local::ABILITIES,
        }
    }

    /// About how many bytes one image of an order will have, encoded; rather more than fewer.
    pub(crate) fn expected_bytes(&self, order: &Order) -> u64 {
        match self {
            // Flat shapes and gradients: well under a byte a pixel in any format.
            Self::Local(_) => order.size.pixels(),
        }
    }

    /// How much memory an order takes: its images encoded, and one of them decoded twice (drawn, then examined).
    pub(crate) fn working_bytes(&self, order: &Order) -> u64 {
        let encoded = self.expected_bytes(order).saturating_mul(u64::from(order.count));
        encoded.saturating_add(order.size.pixels().saturating_mul(8))
    }

    /// Draws all of an order's images. What comes back is not yet known to be sound.
    pub(crate) async fn draw(&self, order: &Order) -> Result<Vec<Bytes>, ProviderError> {
        match self {
            Self::Local(local) => local.draw(order).await,
        }
    }
}

impl Abilities {
    /// The sizes, for people.
    pub(crate) fn sizes_in_words(&self) -> String {
        let sizes: Vec<String> = self.sizes.iter().map(Size::to_string).collect();
        format!("size must be one of {} or auto", sizes.join(", "))
    }

    /// Turns a wish into an order, if it can be done.
    pub(crate) fn agree(&self, wish: Wish) -> Result<Order, Unable> {
        let Wish { prompt, count, size, format, compression } = wish;
        let count = u32::try_from(count).ok().filter(|count| *count <= self.max_count);
        let count = count.ok_or(Unable::Count { max: self.max_count })?;
        let size = match size {
            AskedSize::Auto => self.sizes.first(),
            AskedSize::Exact(size) => self.sizes.iter().find(|known| **known == size),
        };
        Ok(Order { prompt, count, size: *size.ok_or(Unable::Size)?, format, compression })
    }
}
