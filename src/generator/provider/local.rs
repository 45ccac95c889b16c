//! The built-in provider: draws a landscape from the prompt's words and a hash of prompt, size and index. The same
//! input gives the same bytes. It needs no account and no network, and costs nothing.

mod canvas;
mod dice;
mod encode;
mod palette;
mod scene;
mod theme;

use bytes::Bytes;

use self::{canvas::Canvas, dice::Dice, theme::Theme};
use super::{Abilities, ProviderError};
use crate::generator::{
    order::{Order, Size},
    plane::Plane,
};

/// What it can do.
pub(super) const ABILITIES: Abilities = Abilities {
    max_count: 10,
    sizes: &[size(1024, 1024), size(256, 256), size(512, 512), size(1536, 1024), size(1024, 1536)],
};

const fn size(width: u32, height: u32) -> Size {
    Size { width, height }
}

/// The built-in provider.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    plane: Plane,
}

impl Local {
    /// One that draws on this plane's threads.
    pub(crate) fn new(plane: Plane) -> Self {
        Self { plane }
    }

    pub(super) async fn draw(&self, order: &Order) -> Result<Vec<Bytes>, ProviderError> {
        let mut images = Vec::new();
        // One image a piece of work: a deadline can fall between two.
        for index in 0..order.count {
            let order = order.clone();
            images.push(self.plane.blocking(move || paint(&order, index)).await??);
        }
        Ok(images)
    }
}

/// Draws and encodes one image of an order.
fn paint(order: &Order, index: u32) -> Result<Bytes, ProviderError> {
    let refused = |reason: &str| ProviderError::Refused(reason.to_owned());
    let mut dice = Dice::new(&format!("{}/{}/{index}", order.prompt.sha256(), order.size));
    let theme = Theme::of(order.prompt.text(), &mut dice);
    let mut canvas = Canvas::new(order.size).ok_or_else(|| refused("there is no memory for the canvas"))?;
    scene::compose(&mut canvas, &theme, &mut dice);
    let encoded = encode::encode(&canvas.into_pixels(), order).map_err(|error| refused(&error.to_string()))?;
    Ok(encoded.into())
}
