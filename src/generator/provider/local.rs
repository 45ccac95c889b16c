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
use super::{
    Drawing, ProviderError, Receipt, Refused, WhyRefused,
    abilities::{Abilities, Transparency, WebP},
};
use crate::generator::{
    admission::memory::Memory,
    order::{Order, Size},
    plane::Plane,
};

/// Images of one job.
const MAX_COUNT: u32 = 10;
/// The one for `auto` first.
const SIZES: [Size; 5] =
    [size(1024, 1024), size(256, 256), size(512, 512), size(1536, 1024), size(1024, 1536)];
/// All are the same to it: it always does its best.
const QUALITIES: &[&str] = &["low", "medium", "high", "auto", "standard", "hd"];

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

    /// What it can do.
    pub(super) fn abilities() -> Abilities {
        Abilities {
            max_count: MAX_COUNT,
            sizes: SIZES.to_vec(),
            qualities: Some(QUALITIES),
            transparency: Transparency::Absent,
            webp: WebP::Lossless,
        }
    }

    pub(super) async fn draw(&self, order: &Order) -> Result<Drawing, ProviderError> {
        let mut images = Vec::new();
        // One image a piece of work: a deadline can fall between two.
        for index in 0..order.count {
            let order = order.clone();
            images.push(self.plane.computing(move || paint(&order, index)).await??);
        }
        Ok(Drawing { images, receipt: Receipt::default(), memory: Memory::default() })
    }
}

/// Draws and encodes one image of an order.
fn paint(order: &Order, index: u32) -> Result<Bytes, ProviderError> {
    let refused = |reason: &str| {
        let message = reason.to_owned();
        ProviderError::Refused(Refused {
            why: WhyRefused::NoRoom,
            blame: None,
            message,
            request_id: None,
            retry_after: None,
        })
    };
    let mut dice = Dice::new(&format!("{}/{}/{index}", order.prompt.sha256(), order.size));
    let theme = Theme::of(order.prompt.text(), &mut dice);
    let mut canvas = Canvas::new(order.size).ok_or_else(|| refused("there is no memory for the canvas"))?;
    scene::compose(&mut canvas, &theme, &mut dice);
    let encoded =
        encode::encode(&canvas.into_pixels(), order).map_err(|error| refused(&error.to_string()))?;
    Ok(encoded.into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{SIZES, paint, size};
    use crate::generator::{
        image::{Limits, examine},
        order::{AskedSize, Format, Options, Order, Prompt, Size},
    };

    fn order(prompt: &str, size: Size, format: Format) -> Order {
        let (prompt, options) = (Prompt::new(prompt.into()).unwrap(), Options::default());
        let asked = AskedSize::Exact(size);
        Order { prompt, count: 1, asked, size, drawn: size, format, compression: 90, options }
    }

    const LIMITS: Limits = Limits { bytes: 50 << 20, pixels: 1 << 25 };

    #[test]
    fn every_size_and_format_is_sound_and_within_what_was_reserved() {
        for size in SIZES.into_iter().filter(|size| size.pixels() < 1 << 20) {
            for format in [Format::Png, Format::Jpeg, Format::WebP] {
                let image = paint(&order("city in snow at night", size, format), 0).unwrap();
                assert_eq!(examine(&image, size, LIMITS).unwrap(), format);
                assert!(u64::try_from(image.len()).unwrap() < size.pixels());
            }
        }
    }

    #[test]
    fn the_same_input_gives_the_same_bytes_and_any_other_gives_others() {
        let small = size(256, 256);
        let of = |prompt, size, index| paint(&order(prompt, size, Format::Png), index).unwrap();
        assert_eq!(of("sea", small, 0), of("sea", small, 0));
        let pictures = BTreeSet::from([
            of("sea", small, 0),
            of("sea", small, 1),
            of("Sea", small, 0),
            of("mar", small, 0),
            of("sea", size(512, 512), 0),
        ]);
        assert_eq!(pictures.len(), 5);
    }

    #[test]
    fn a_png_says_where_it_comes_from() {
        let image = paint(&order("sea", size(256, 256), Format::Png), 0).unwrap();
        let mark = b"tEXtSoftware\0figueira local provider";
        assert!(image.windows(mark.len()).any(|window| window == mark));
    }

    #[test]
    fn night_is_darker_than_day() {
        let brightness = |prompt| {
            let image = paint(&order(prompt, size(256, 256), Format::Png), 0).unwrap();
            let pixels = image::load_from_memory(&image).unwrap().to_luma8();
            pixels.iter().map(|pixel| u64::from(*pixel)).sum::<u64>() / (256 * 256)
        };
        for (day, night) in
            [("a day in the field", "a night in the field"), ("floresta de dia", "floresta, noite")]
        {
            assert!(brightness(day) > brightness(night) + 40, "{day}");
        }
    }
}
